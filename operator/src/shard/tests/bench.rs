//! A shard on a bench: the fake API server, watches that are brought up to date by hand, cells that
//! answer what the test says, a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use kube::core::{DeserializeGuard, DynamicObject, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::fake::Fake;
use crate::config::{Arguments, Command};
use crate::context::{Context, Stores};
use crate::control::{BehaviorReport, Control, ControlError, Line, Report};
use crate::error::Error;
use crate::kind::Kind;
use crate::shard::inputs::Inputs;
use crate::watch::Shard;

pub const SHARD: &str = "/apis/corallite.dev/v1alpha1/namespaces/blue/actorshards/shop";
pub const SET: &str = "/apis/apps/v1/namespaces/blue/statefulsets/shop";
pub const TEXTS: &str = "/api/v1/namespaces/blue/configmaps/texts";
pub const CONFIG: &str = "/api/v1/namespaces/blue/configmaps/shop-config";
pub const TLS: &str = "/api/v1/namespaces/blue/secrets/shop-tls";
pub const AUTHORITY: &str = "/api/v1/namespaces/blue/secrets/shop-ca";

/// What cells answer, and what they were asked.
#[derive(Default)]
pub struct Cells {
    pub report: Option<Report>,
    pub drained: Vec<String>,
}

#[derive(Clone, Default)]
pub struct FakeControl(pub Arc<Mutex<Cells>>);

#[async_trait]
impl Control for FakeControl {
    async fn status(&self, _: &Line) -> Result<Report, ControlError> {
        let report = self.0.lock().report.clone();
        report.ok_or_else(|| ControlError::Call(Box::new(tonic::Status::unavailable("silent"))))
    }

    async fn drain(&self, line: &Line) -> Result<(), ControlError> {
        self.0.lock().drained.push(line.address.ip().to_string());
        Ok(())
    }
}

pub struct Bench {
    pub fake: Fake,
    pub control: FakeControl,
    pub context: Arc<Context>,
    pub now: Arc<Mutex<Timestamp>>,
    shards: Writer<Shard>,
    children: BTreeMap<Kind, Writer<DynamicObject>>,
    pods: Writer<DeserializeGuard<k8s_openapi::api::core::v1::Pod>>,
    config_maps: Writer<PartialObjectMeta<k8s_openapi::api::core::v1::ConfigMap>>,
}

impl Bench {
    pub fn new() -> Self {
        Self::of(Fake::default(), "cell:1")
    }

    /// Another operator, or the same after a restart, on the same API server.
    pub fn of(fake: Fake, image: &str) -> Self {
        let (shards, pods, config_maps) = (Writer::default(), Writer::default(), Writer::default());
        let children: BTreeMap<_, Writer<DynamicObject>> =
            Kind::ALL.map(|kind| (kind, Writer::new(kind.resource()))).into();
        let control = FakeControl::default();
        let now = Arc::new(Mutex::new(Timestamp::from_second(1_800_000_000).expect("in range")));
        let clock = Arc::clone(&now);
        let Command::Run(config) =
            Arguments::try_parse_from(["x", "run", "--cell-image", image]).expect("enough").command;
        let context = Arc::new(Context {
            client: fake.client(),
            stores: Stores {
                shards: shards.as_reader(),
                children: children.iter().map(|(kind, writer)| (*kind, writer.as_reader())).collect(),
                pods: pods.as_reader(),
                config_maps: config_maps.as_reader(),
            },
            inputs: Arc::new(Inputs::default()),
            control: Arc::new(control.clone()),
            clock: Arc::new(move || *clock.lock()),
            config: *config,
            metrics: Arc::default(),
            service_monitors: Arc::default(),
            memories: Mutex::default(),
        });
        Self { fake, control, context, now, shards, children, pods, config_maps }
    }

    /// A bench with the shop: one cell, one behavior in ConfigMap `texts`.
    pub fn shop() -> Self {
        let bench = Self::new();
        bench.fake.put(TEXTS, text("export default {}"));
        bench.fake.put(SHARD, shop());
        bench
    }

    /// The shop, with one ready cell that has what it should have.
    pub async fn serving() -> Self {
        let mut bench = Self::shop();
        bench.reconcile().await.expect("reconciled");
        bench.kubernetes();
        bench.cells_agree();
        bench.reconcile().await.expect("reconciled");
        bench.reconcile().await.expect("reconciled");
        assert_eq!(bench.condition("Ready"), ("True".into(), "Serving".into()));
        assert_eq!(bench.condition("Progressing"), ("False".into(), "Settled".into()));
        bench.fake.writes();
        bench
    }

    /// The watches catch up; then one reconcile.
    pub async fn reconcile(&mut self) -> Result<(), Error> {
        self.watch();
        let shard =
            self.context.stores.shards.get(&ObjectRef::new("shop").within("blue")).expect("the shard");
        crate::shard::reconcile(shard, Arc::clone(&self.context)).await.map(|_| ())
    }

    /// The watches catch up.
    pub fn watch(&mut self) {
        fill(&mut self.shards, self.fake.list("actorshards"));
        fill(&mut self.pods, self.fake.list("pods"));
        fill(&mut self.config_maps, self.fake.list("configmaps"));
        for (kind, writer) in &mut self.children {
            let objects = self.fake.list(&kind.resource().plural);
            fill(writer, objects.into_iter().filter(|o| !o["metadata"]["labels"].is_null()).collect());
        }
    }

    /// What Kubernetes does: takes up the StatefulSet, and makes a ready pod of its template.
    pub fn kubernetes(&self) {
        let set = self.fake.get(SET).expect("a StatefulSet");
        self.fake.edit(SET, |set| {
            set["metadata"]["generation"] = 1.into();
            set["status"] = json!({ "observedGeneration": 1 });
        });
        if self.fake.get(&pod_path(0)).is_none() {
            let template = &set["spec"]["template"];
            self.fake.put(
                &pod_path(0),
                json!({
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {
                        "name": "shop-0",
                        "namespace": "blue",
                        "labels": template["metadata"]["labels"],
                        "annotations": template["metadata"]["annotations"],
                        "creationTimestamp": self.now.lock().to_string(),
                    },
                    "spec": template["spec"],
                }),
            );
            self.ready(true);
        }
    }

    /// The cell becomes ready, or not.
    pub fn ready(&self, ready: bool) {
        let status = if ready { "True" } else { "False" };
        let condition =
            json!({ "type": "Ready", "status": status, "lastTransitionTime": self.now.lock().to_string() });
        self.fake.edit(&pod_path(0), |pod| {
            pod["status"] = json!({ "podIP": "10.0.0.7", "conditions": [condition] })
        });
    }

    /// Cells report the configuration that is there, and all buckets.
    pub fn cells_agree(&self) {
        let config = self.fake.get(CONFIG).expect("a configuration");
        let behavior = BehaviorReport { type_name: "Order".into(), version: 1, refused: None };
        self.control.0.lock().report = Some(Report {
            buckets: 256,
            config_hash: config["data"]["hash"].as_str().expect("a hash").to_owned(),
            behaviors: vec![behavior],
            ..Report::default()
        });
    }

    /// Moves the clock.
    pub fn later(&self, seconds: i64) {
        let mut now = self.now.lock();
        *now = now.checked_add(SignedDuration::from_secs(seconds)).expect("in range");
    }

    /// Status and reason of a condition.
    pub fn condition(&self, type_: &str) -> (String, String) {
        let condition = self.condition_json(type_);
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"))
    }

    /// The message of a condition.
    pub fn message(&self, type_: &str) -> String {
        self.condition_json(type_)["message"].as_str().unwrap_or_default().to_owned()
    }

    fn condition_json(&self, type_: &str) -> Value {
        let shard = self.fake.get(SHARD).expect("the shard");
        let conditions = shard["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == type_).unwrap_or_default()
    }
}

fn fill<K>(writer: &mut Writer<K>, objects: Vec<Value>)
where
    K: kube::Resource + DeserializeOwned + Clone,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        writer.apply_watcher_event(&Event::InitApply(serde_json::from_value(object).expect("readable")));
    }
    writer.apply_watcher_event(&Event::InitDone);
}

pub fn pod_path(ordinal: u32) -> String {
    format!("/api/v1/namespaces/blue/pods/shop-{ordinal}")
}

pub fn shop() -> Value {
    json!({
        "apiVersion": "corallite.dev/v1alpha1",
        "kind": "ActorShard",
        "metadata": { "name": "shop", "namespace": "blue", "generation": 1 },
        "spec": {
            "store": { "embedded": { "size": "3Gi" } },
            "actors": [{ "type": "Order", "behavior": { "configMapKeyRef": { "name": "texts", "key": "o.js" } } }],
        },
    })
}

pub fn text(content: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "texts", "namespace": "blue" },
        "data": { "o.js": content },
    })
}
