//! Step five: what is said about a shard.
//!
//! Guarantees: written on every path, and only when it differs; times do not count as a difference,
//! and a condition's transition time moves only with its status. [`describe`] is a function of what
//! was found; nothing here decides what is done.

use corallite_crds::{ActorShardStatus, CELL_STATUS_MAX, CellStatus, condition, reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::cells::Cell;
use super::rollout::Step;
use super::validate::Problem;
use crate::names;

/// What was found.
#[derive(Debug)]
pub struct Findings<'a> {
    /// Name of the shard.
    pub name: &'a str,
    /// Generation that was looked at.
    pub generation: Option<i64>,
    /// Cells and buckets that are wanted.
    pub wanted: (u32, u32),
    /// Why the spec is not in use as it stands.
    pub problem: Option<&'a Problem>,
    /// What of the spec cannot be followed.
    pub limitation: Option<&'a Problem>,
    /// The hashes that cells should have: of what they were started with, and of what they read. `None`
    /// when nothing could be built.
    pub hashes: Option<(&'a str, &'a str)>,
    /// The cells, by ordinal.
    pub cells: &'a [Cell],
    /// What the rollout does.
    pub step: Option<&'a Step>,
    /// The failure of this reconcile, in words.
    pub failure: Option<&'a str>,
}

/// A condition in the making.
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

fn verdict(holds: bool, reason: &'static str, message: impl Into<String>) -> Verdict {
    Verdict { holds, reason, message: message.into() }
}

/// The status for what was found.
#[must_use]
pub fn describe(found: &Findings<'_>, before: Option<&ActorShardStatus>, now: Timestamp) -> ActorShardStatus {
    let verdicts = [
        (condition::ACCEPTED, accepted(found)),
        (condition::READY, ready(found)),
        (condition::PROGRESSING, progressing(found)),
        (condition::DEGRADED, degraded(found)),
    ];
    let count = |holds: &dyn Fn(&Cell) -> bool| {
        Some(u32::try_from(found.cells.iter().filter(|cell| holds(cell)).count()).unwrap_or(u32::MAX))
    };
    ActorShardStatus {
        observed_generation: found.generation,
        conditions: conditions(verdicts, found.generation, before, now),
        cells: count(&|_| true),
        ready_cells: count(&Cell::ready),
        updated_cells: found.hashes.and_then(|(rollout, _)| count(&|cell| cell.rollout_hash == rollout)),
        owned_buckets: owned_buckets(found.cells),
        cell_status: found.cells.iter().take(CELL_STATUS_MAX).map(cell_status).collect(),
        selector: Some(names::selector_text(found.name)),
    }
}

/// The conditions, each with the time at which its status last moved.
pub fn conditions_of(
    type_: &str,
    holds: bool,
    reason: &str,
    message: String,
    generation: Option<i64>,
    before: Option<&ActorShardStatus>,
    now: Timestamp,
) -> Condition {
    let status = if holds { "True" } else { "False" };
    let same = before
        .and_then(|before| before.conditions.iter().find(|c| c.type_ == type_))
        .filter(|condition| condition.status == status);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: same.map_or(Time(now), |condition| condition.last_transition_time.clone()),
    }
}

fn conditions(
    verdicts: [(&'static str, Verdict); 4],
    generation: Option<i64>,
    before: Option<&ActorShardStatus>,
    now: Timestamp,
) -> Vec<Condition> {
    verdicts
        .into_iter()
        .map(|(type_, v)| conditions_of(type_, v.holds, v.reason, v.message, generation, before, now))
        .collect()
}

fn accepted(found: &Findings<'_>) -> Verdict {
    if let Some(problem) = found.problem {
        return verdict(false, problem.reason, &problem.message);
    }
    let refusals: std::collections::BTreeSet<String> = found
        .cells
        .iter()
        .flat_map(Cell::refusals)
        .map(|(type_name, message)| format!("{type_name}: {message}"))
        .collect();
    if !refusals.is_empty() {
        let list = refusals.into_iter().collect::<Vec<_>>().join("; ");
        return verdict(false, reason::BEHAVIOR_REFUSED, format!("{list}; the version before goes on"));
    }
    let error = found.cells.iter().find_map(|cell| {
        let error = &cell.report.as_ref()?.config_error;
        (!error.is_empty()).then(|| format!("cell {}: {error}", cell.name))
    });
    match error {
        // A rollout on its way is what such a cell waits for.
        Some(error)
            if !matches!(found.step, Some(Step::Wait { rolling: true, .. } | Step::Replace { .. })) =>
        {
            verdict(false, reason::BEHAVIOR_REFUSED, error)
        }
        _ => verdict(true, reason::ACCEPTED, "the spec is in use"),
    }
}

fn ready(found: &Findings<'_>) -> Verdict {
    let (cells, buckets) = found.wanted;
    let ready = found.cells.iter().filter(|cell| cell.ready()).count();
    if found.cells.is_empty() && found.hashes.is_none() {
        return verdict(false, reason::NOT_ACCEPTED, "no cell runs, and none can be made of this spec");
    }
    if ready < cells as usize {
        let why = found.cells.iter().find_map(waits_for).map(|why| format!("; {why}")).unwrap_or_default();
        return verdict(false, reason::CELLS_NOT_READY, format!("{ready} of {cells} cells are ready{why}"));
    }
    match owned_buckets(found.cells) {
        Some(owned) if owned < buckets => {
            verdict(false, reason::BUCKETS_NOT_OWNED, format!("{owned} of {buckets} buckets have an owner"))
        }
        _ => {
            let plural = if cells == 1 { "cell serves" } else { "cells serve" };
            verdict(true, reason::SERVING, format!("{ready} {plural} {buckets} buckets"))
        }
    }
}

/// What a cell that is not ready waits for.
fn waits_for(cell: &Cell) -> Option<String> {
    if cell.ready() {
        return None;
    }
    let told = cell.report.as_ref().map(|report| report.waits_for.as_str()).filter(|text| !text.is_empty());
    cell.failure.clone().or_else(|| told.map(|told| format!("cell {}: {told}", cell.name)))
}

fn progressing(found: &Findings<'_>) -> Verdict {
    match found.step {
        Some(Step::Stuck { .. }) => return verdict(false, reason::HALTED, "a cell is stuck; see Degraded"),
        Some(Step::Replace { cell, .. }) => {
            let name = found.cells.get(*cell).map_or("", |cell| cell.name.as_str());
            return verdict(true, reason::ROLLING_OUT, format!("replacing cell {name}"));
        }
        Some(Step::Wait { what, rolling }) => {
            let surplus = found.cells.len() > found.wanted.0 as usize;
            let reason = match (rolling, surplus) {
                (true, _) => reason::ROLLING_OUT,
                (false, true) => reason::SCALING,
                (false, false) => reason::STARTING,
            };
            return verdict(true, reason, format!("waiting for {what}"));
        }
        Some(Step::Settled) | None => {}
    }
    let behind =
        found.hashes.and_then(|(_, config)| found.cells.iter().find(|cell| !cell.has_config(config)));
    match behind {
        Some(cell) => verdict(
            true,
            reason::TAKING_OVER,
            format!("waiting for cell {} to take over the configuration", cell.name),
        ),
        None if found.hashes.is_none() => verdict(false, reason::HALTED, "the spec is not accepted"),
        None => verdict(false, reason::SETTLED, "every cell runs what the spec says"),
    }
}

fn degraded(found: &Findings<'_>) -> Verdict {
    if let Some(Step::Stuck { message }) = found.step {
        return verdict(true, reason::ROLLOUT_STUCK, message);
    }
    if let Some(failure) = found.failure {
        return verdict(true, reason::RECONCILE_FAILED, failure);
    }
    if let Some(failure) = found.cells.iter().find_map(|cell| cell.failure.as_ref()) {
        return verdict(true, reason::CELL_FAILING, failure);
    }
    match found.limitation {
        Some(limitation) => verdict(true, limitation.reason, &limitation.message),
        None => verdict(false, reason::HEALTHY, "nothing needs attention"),
    }
}

/// Buckets with an owner; `None` when a ready cell did not tell, or there is none.
fn owned_buckets(cells: &[Cell]) -> Option<u32> {
    let ready = cells.iter().filter(|cell| cell.ready());
    let told: Option<Vec<u32>> =
        ready.map(|cell| cell.report.as_ref().map(|report| report.buckets)).collect();
    told.filter(|told| !told.is_empty()).map(|told| told.iter().sum())
}

fn cell_status(cell: &Cell) -> CellStatus {
    let behaviors = cell.report.iter().flat_map(|report| &report.behaviors);
    CellStatus {
        name: cell.name.clone(),
        ready: cell.ready(),
        buckets: cell.report.as_ref().map(|report| report.buckets),
        behaviors: behaviors.map(|behavior| (behavior.type_name.clone(), behavior.version)).collect(),
        refused: cell.refusals().map(|(type_name, why)| (type_name.to_owned(), why.to_owned())).collect(),
    }
}
