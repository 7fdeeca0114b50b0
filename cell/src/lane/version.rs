//! Behavior versions: prepared beside the one in use, then used from the next turn on.
//!
//! Versions change between two batches, so that a batch has one of each type; a turn that comes after
//! an accepted version runs on it.
//!
//! A live state keeps the version it was made with until its next turn; then it becomes bytes and is
//! read by the version in use. A version that cannot read what is recorded is refused before that.

use std::sync::Arc;

use super::actor::Residence;
use super::work::Token;
use super::{Lane, Reply};
use crate::behavior::{BehaviorSource, Engine, Interface, ScriptError, ScriptErrorKind};
use crate::limits;

/// Whether a version can stand in for one that came before: it folds every event that one recorded,
/// and reads its states.
///
/// # Errors
/// A sentence that says what it lacks.
pub fn check_succession(
    source: &BehaviorSource,
    next: &Interface,
    events_before: &[Arc<str>],
    state_version_before: u32,
) -> Result<(), ScriptError> {
    let refuse = |message: String| ScriptError {
        kind: ScriptErrorKind::Load,
        file: source.file.clone(),
        line: 0,
        message,
    };
    let reads = |event: &Arc<str>| next.events.contains(event) || next.upcasts.contains(event);
    if let Some(event) = events_before.iter().find(|event| !reads(event)) {
        return Err(refuse(format!(
            "events has no {event}, which an earlier version recorded; keep its fold, or add it to upcast"
        )));
    }
    if next.state_version < state_version_before {
        return Err(refuse(format!(
            "stateVersion is {}, but states of version {state_version_before} are stored; it may only grow",
            next.state_version
        )));
    }
    if next.state_version > state_version_before && !next.migrates {
        return Err(refuse(format!(
            "stateVersion grew from {state_version_before} to {}, but there is no migrate(state, from)",
            next.state_version
        )));
    }
    Ok(())
}

impl<E: Engine> Lane<E> {
    /// Loads a version and reads the resident states with it.
    pub(super) fn prepare(&mut self, source: &Arc<BehaviorSource>, token: Token) {
        let result = self.try_version(source);
        if result.is_err() {
            self.engine.unload(source.key);
        }
        self.reply(token, Reply::Prepared(result));
    }

    fn try_version(&mut self, source: &Arc<BehaviorSource>) -> Result<(), ScriptError> {
        let interface = self.engine.load(source)?;
        let current = self.type_state(source.key.type_id);
        let before = (current.interface.events.clone(), current.interface.state_version);
        check_succession(source, &interface, &before.0, before.1)?;
        let (old, old_state_version) = (current.source.key, before.1);
        let resident = self.actors.iter().filter(|(_, actor)| actor.key.type_id == source.key.type_id);
        for (_, actor) in resident.take(limits::PREPARE_STATES_MAX) {
            match &actor.state {
                Residence::Hot(live) if live.ordinal == old.ordinal => {
                    let bytes = self.engine.freeze(old, &live.state)?;
                    self.engine.thaw(source.key, &bytes, old_state_version)?;
                }
                Residence::Warm(bytes, state_version) => {
                    self.engine.thaw(source.key, bytes, *state_version)?;
                }
                Residence::Packed(packed) => {
                    if let Some((_, state, state_version)) = packed.open() {
                        self.engine.thaw(source.key, state, state_version)?;
                    }
                }
                Residence::Hot(..) | Residence::None => {}
            }
        }
        Ok(())
    }

    /// Uses a prepared version: at once, or as soon as the gathered batch is on its way.
    pub(super) fn activate(&mut self, source: Arc<BehaviorSource>) {
        self.accepted.push(source);
        self.swap_versions();
    }

    /// Uses the accepted versions if no batch is begun.
    pub(super) fn swap_versions(&mut self) {
        if self.batch.entries.is_empty() {
            for source in std::mem::take(&mut self.accepted) {
                self.swap(source);
            }
        }
    }

    fn swap(&mut self, source: Arc<BehaviorSource>) {
        // Prepared before: loading it again gives the interface and cannot fail.
        let Ok(interface) = self.engine.load(&source) else { return };
        let kind = &mut self.types[source.key.type_id.0 as usize];
        self.state_versions.insert(kind.source.key, kind.interface.state_version);
        kind.source = source;
        kind.interface = interface;
    }
}
