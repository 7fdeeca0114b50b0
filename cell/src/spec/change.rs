//! What a running cell does about a changed spec: which actor types get a new version, and what needs
//! a restart.

use super::{ActorSpec, ShardSpec};

/// One consequence of a change.
#[derive(Debug)]
pub enum Change {
    /// This type's behavior or settings are new.
    Reload(ActorSpec),
    /// Something that a running cell does not take; a sentence for the user.
    NeedsRestart(String),
}

/// What differs between two readings of a shard's manifest.
#[must_use]
pub fn changes(before: &ShardSpec, after: &ShardSpec) -> Vec<Change> {
    let mut changes = Vec::new();
    let identity =
        |spec: &ShardSpec| (spec.namespace.clone(), spec.name.clone(), spec.buckets, spec.root_before_colon);
    if identity(before) != identity(after) {
        changes.push(Change::NeedsRestart(
            "name, namespace, buckets and idRoot of a shard cannot change; the running shard keeps its own"
                .to_owned(),
        ));
    }
    for actor in &after.actors {
        match find(before, actor) {
            None => changes.push(Change::NeedsRestart(format!(
                "{} is a new actor type; it is served after a restart",
                actor.type_name
            ))),
            Some(old) if differ(old, actor) => changes.push(Change::Reload(actor.clone())),
            Some(_) => {}
        }
    }
    for gone in before.actors.iter().filter(|actor| find(after, actor).is_none()) {
        changes.push(Change::NeedsRestart(format!(
            "{} is no longer declared; it is served until a restart",
            gone.type_name
        )));
    }
    changes
}

fn find<'a>(spec: &'a ShardSpec, wanted: &ActorSpec) -> Option<&'a ActorSpec> {
    spec.actors.iter().find(|actor| actor.type_name == wanted.type_name)
}

/// Every field is named, so that a new one is not forgotten here.
fn differ(before: &ActorSpec, after: &ActorSpec) -> bool {
    let ActorSpec {
        type_name: _,
        file,
        source,
        schema,
        snapshot_every_events,
        passivation_idle_seconds,
        script,
        mailbox_commands,
    } = before;
    *file != after.file
        || *source != after.source
        || *schema != after.schema
        || *snapshot_every_events != after.snapshot_every_events
        || *passivation_idle_seconds != after.passivation_idle_seconds
        || *script != after.script
        || *mailbox_commands != after.mailbox_commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(actors: &[(&str, &str)]) -> ShardSpec {
        ShardSpec {
            namespace: "default".to_owned(),
            name: "shop".to_owned(),
            buckets: 16,
            root_before_colon: false,
            actors: actors.iter().map(|(name, source)| ActorSpec::new(name, "a.js", source)).collect(),
        }
    }

    #[test]
    fn only_what_changed_is_reloaded() {
        let before = shop(&[("Order", "1"), ("User", "1")]);
        assert!(changes(&before, &before.clone()).is_empty());
        let after = changes(&before, &shop(&[("User", "1"), ("Order", "2")]));
        assert!(matches!(&after[..], [Change::Reload(actor)] if &*actor.type_name == "Order"), "{after:?}");
        let mut slower = before.clone();
        slower.actors[1].script.command_ms += 1;
        let after = changes(&before, &slower);
        assert!(matches!(&after[..], [Change::Reload(actor)] if &*actor.type_name == "User"), "{after:?}");
    }

    #[test]
    fn what_a_running_cell_does_not_take_is_said() {
        let before = shop(&[("Order", "1")]);
        let after = changes(&before, &shop(&[("Payment", "1")]));
        assert!(matches!(&after[..], [Change::NeedsRestart(_), Change::NeedsRestart(_)]), "{after:?}");
        let mut wider = before.clone();
        wider.buckets = 32;
        let after = changes(&before, &wider);
        assert!(matches!(&after[..], [Change::NeedsRestart(why)] if why.contains("buckets")), "{after:?}");
    }
}
