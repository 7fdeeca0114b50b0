//! The shard's authority and certificate, between their Secrets and `certificates`.
//!
//! Guarantees: of two operators that make an authority at once, one wins and the other takes the
//! winner's. So what is written rests on the Secret itself, not on a watch that may be behind.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};

use super::build;
use super::fetch::World;
use super::validate::Plan;
use crate::certificates::{Leaf, Ring, Turned, turn};
use crate::context::Context;
use crate::error::Error;
use crate::kind::Kind;
use crate::names;

/// What is in the two Secrets.
struct Stored {
    ring: Option<Ring>,
    leaf: Option<Leaf>,
}

/// Authority and certificate as they should be now. If the authority changes, it is written before
/// this returns; the certificate is written with the other children.
///
/// # Errors
/// A certificate cannot be made, the Secret cannot be read or written, or another operator was first.
pub async fn keep(context: &Context, plan: &Plan, world: &World) -> Result<Turned, Error> {
    let now = (context.clock)();
    let names = dns_names(plan);
    let policy = context.config.certificates();
    let seen = Stored {
        ring: seen(world, names::authority(&plan.name)).and_then(|data| Ring::from_data(&data)),
        leaf: seen(world, names::tls(&plan.name)).and_then(|data| Leaf::from_data(&data)),
    };
    let turned = turn(seen.ring.as_ref(), seen.leaf.as_ref(), &names, now, &policy)?;
    if !turned.changed {
        return Ok(turned);
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &plan.namespace);
    let read =
        async |name: String| api.get_opt(&name).await.map_err(Error::of(format!("read Secret {name}")));
    let authority = read(names::authority(&plan.name)).await?;
    let certificate = read(names::tls(&plan.name)).await?;
    let ring = authority.as_ref().and_then(|secret| Ring::from_data(&texts(secret)));
    let leaf = certificate.as_ref().and_then(|secret| Leaf::from_data(&texts(secret)));
    let turned = turn(ring.as_ref(), leaf.as_ref(), &names, now, &policy)?;
    if ring.as_ref() != Some(&turned.ring) {
        write(context, plan, &turned, authority.as_ref()).await?;
    }
    Ok(turned)
}

/// The names that peers and the operator verify.
fn dns_names(plan: &Plan) -> Vec<String> {
    let name = names::peers_dns(&plan.name, &plan.namespace);
    vec![format!("*.{name}"), name]
}

/// Writes the authority, unless somebody else wrote it meanwhile.
async fn write(context: &Context, plan: &Plan, keys: &Turned, before: Option<&Secret>) -> Result<(), Error> {
    let mut wanted = build::authority(plan, keys);
    let what = format!("write Secret {}", wanted.name);
    let api = super::apply::api(context, Kind::Secret, &plan.namespace);
    match before.and_then(|secret| secret.metadata.resource_version.as_deref()) {
        None => {
            let object: DynamicObject = serde_json::from_value(wanted.object)
                .map_err(|error| Error::Render { what: "Secret", message: error.to_string() })?;
            let params =
                PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
            api.create(&params, &object).await.map_err(Error::of(what))?;
        }
        Some(version) => {
            wanted.object["metadata"]["resourceVersion"] = version.into();
            let params = PatchParams::apply(names::FIELD_MANAGER).force();
            api.patch(&wanted.name, &params, &Patch::Apply(&wanted.object)).await.map_err(Error::of(what))?;
        }
    }
    context.metrics.wrote(Kind::Secret.name());
    tracing::info!(namespace = plan.namespace, shard = plan.name, "authority written");
    Ok(())
}

fn seen(world: &World, name: String) -> Option<BTreeMap<String, String>> {
    let object = world.children.get(&(Kind::Secret, name))?;
    let secret = DynamicObject::clone(object).try_parse::<Secret>().ok()?;
    Some(texts(&secret))
}

fn texts(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.filter_map(|(key, bytes)| Some((key.clone(), String::from_utf8(bytes.0.clone()).ok()?))).collect()
}
