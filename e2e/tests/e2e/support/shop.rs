//! The shop of `examples/shop` as a shard of a cluster, and a client of it.

use std::collections::BTreeSet;
use std::time::Duration;

use corallite_crds::{ActorShard, condition};
use corallite_e2e::{Case, Image, eventually};
use corallite_proto::v1::actors_client::ActorsClient;
use http::{Request, StatusCode};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};

use super::http as exchange;
use super::operator::binary;

/// The image of the cell as it was built.
pub const CELL: &str = "corallite/cell:e2e";

/// The same cell under another tag: what it takes to roll.
pub const CELL_NEXT: &str = "corallite/cell:e2e-next";

/// Name of the shard in `examples/shop`.
pub const SHOP: &str = "shop";

/// The only pod of the shop.
pub const POD: &str = "shop-0";

/// A shard's start, with image and volume, on a busy machine.
pub const READY_WITHIN: Duration = Duration::from_secs(180);

/// Makes an image of the real cell known to all nodes; once for each reference.
pub async fn load_cell(case: &Case, reference: &'static str) {
    static LOADED: tokio::sync::Mutex<BTreeSet<&str>> = tokio::sync::Mutex::const_new(BTreeSet::new());
    let mut loaded = LOADED.lock().await;
    if !loaded.contains(reference) {
        let program = binary("corallite-cell").await;
        case.load(Image::of_program(reference, "/corallite-cell", &program).unwrap()).await;
        loaded.insert(reference);
    }
}

/// What the shop's README tells a user to do. The image is there first.
pub async fn apply_shop(case: &Case) {
    load_cell(case, CELL).await;
    case.kubectl(["apply", "-k", "examples/shop"]).await;
}

/// Waits until the shop is ready in the generation that it has now, and nothing is on its way.
pub async fn wait_ready(case: &Case) -> ActorShard {
    eventually("the shop is ready", READY_WITHIN, async || {
        let shard = shard(case).await?;
        let is = |type_: &str, status: &str| {
            condition_of(&shard, type_).is_some_and(|condition| {
                condition.status == status && condition.observed_generation == shard.metadata.generation
            })
        };
        if is(condition::READY, "True") && is(condition::PROGRESSING, "False") {
            Ok(shard)
        } else {
            Err(seen(&shard))
        }
    })
    .await
}

/// Waits until a condition of the shop has this status and reason, and returns it.
pub async fn wait_condition(case: &Case, type_: &str, status: &str, reason: &str) -> Condition {
    eventually(&format!("{type_} is {status}: {reason}"), READY_WITHIN, async || {
        let shard = shard(case).await?;
        let condition = condition_of(&shard, type_).filter(|c| c.status == status && c.reason == reason);
        condition.cloned().ok_or_else(|| seen(&shard))
    })
    .await
}

async fn shard(case: &Case) -> Result<ActorShard, String> {
    case.api::<ActorShard>().get(SHOP).await.map_err(|error| error.to_string())
}

/// A condition of a shard, if it has it.
pub fn condition_of<'a>(shard: &'a ActorShard, type_: &str) -> Option<&'a Condition> {
    shard.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == type_)
}

fn seen(shard: &ActorShard) -> String {
    let conditions = shard.status.iter().flat_map(|status| &status.conditions);
    let lines: Vec<_> =
        conditions.map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message)).collect();
    if lines.is_empty() { "no condition".to_owned() } else { lines.join("; ") }
}

/// The uid of the shop's pod; another one after it was replaced.
pub async fn pod_uid(case: &Case) -> Result<String, String> {
    let pod = case.api::<Pod>().get(POD).await.map_err(|error| error.to_string())?;
    pod.metadata.uid.ok_or_else(|| "a pod without uid".to_owned())
}

/// A client of the shop, through its client Service's address.
#[derive(Clone)]
pub struct Shop {
    address: String,
}

impl Shop {
    /// Waits until there is a client Service.
    pub async fn of(case: &Case) -> Self {
        let services = case.api::<Service>();
        let address = eventually("the client Service has an address", READY_WITHIN, async || {
            let service = services.get(SHOP).await.map_err(|error| error.to_string())?;
            let address = service.spec.and_then(|spec| spec.cluster_ip);
            address.ok_or_else(|| "none yet".to_owned())
        })
        .await;
        Self { address }
    }

    /// A command by HTTP, such as `User/ann/register`: status and JSON answer.
    ///
    /// # Errors
    /// When no whole answer came: it may have been applied or not.
    pub async fn send(&self, path: &str, payload: &Value, id: &str) -> Result<(StatusCode, Value), String> {
        let request = Request::post(self.url(path))
            .header("content-type", "application/json")
            .header("idempotency-key", id)
            .body(payload.to_string());
        let (status, body) = exchange::send(request.map_err(|error| error.to_string())?).await?;
        Ok((status, json(&body)))
    }

    /// A command that must be applied at last; sent again under its id until it is.
    pub async fn must(&self, path: &str, payload: &Value, id: &str) -> Value {
        eventually(&format!("{path} is applied"), READY_WITHIN, async || {
            match self.send(path, payload, id).await? {
                (StatusCode::OK, answer) => Ok(answer),
                (status, answer) => Err(format!("{status}: {answer}")),
            }
        })
        .await
    }

    /// A read by HTTP, such as `Order/o1/query/summary`; asked again until it is answered 200.
    pub async fn read(&self, path: &str) -> Value {
        eventually(&format!("{path} is answered"), READY_WITHIN, async || {
            exchange::get(&self.url(path)).await.map(|body| json(&body))
        })
        .await
    }

    /// A gRPC client on a connection of its own.
    ///
    /// # Errors
    /// When it cannot be connected.
    pub async fn grpc(&self) -> Result<ActorsClient<Channel>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}:7070", self.address)).unwrap();
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).timeout(Duration::from_secs(30));
        endpoint.connect().await.map(ActorsClient::new).map_err(|error| format!("{error:?}"))
    }

    /// Where HTTP is: `http://ADDRESS:7080`.
    pub fn http(&self) -> String {
        format!("http://{}:7080", self.address)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/actors/{path}", self.http())
    }
}

/// The body as JSON; as a JSON string if it is something else.
fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| body.into())
}
