//! Which cell is replaced next, if any.
//!
//! Guarantees: at most one cell that could serve is away because of a rollout; the next is taken when
//! the one before is ready again and owns buckets. A cell that is not ready, and not what is wanted, is
//! replaced whatever the others do, so that a bad rollout can be taken back. When a new cell does not
//! become ready in time nothing more is replaced.
//!
//! [`next`] is a function of the cells and the time; nothing is remembered between calls, so another
//! operator goes on where this one stopped.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::cells::Cell;

/// What is true of a shard apart from its cells.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What cells should be started with, as a hash.
    pub rollout_hash: &'a str,
    /// How many cells there should be.
    pub cells: u32,
    /// Whether a pod that is made now is made from the template that is wanted.
    pub template_observed: bool,
    /// How long a cell may take to become ready, or to leave.
    pub deadline: Duration,
    /// The time.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every cell is there, ready, and what it should be.
    Settled,
    /// Something is on its way; look again.
    Wait {
        /// What is waited for, in words.
        what: String,
        /// Whether it is a replacement, and not a first start.
        rolling: bool,
    },
    /// Replace this cell.
    Replace {
        /// Which, as a place in the list of cells.
        cell: usize,
        /// Whether it serves, and should be drained first.
        drain: bool,
    },
    /// A cell did not become ready in time. Nothing is replaced until the spec changes.
    Stuck {
        /// Which, and what to do, in words.
        message: String,
    },
}

/// Decides.
#[must_use]
pub fn next(cells: &[Cell], facts: &Facts<'_>) -> Step {
    let outdated = |cell: &Cell| cell.rollout_hash != facts.rollout_hash;
    let rolling = cells.iter().any(outdated);
    let wait = |what: String| Step::Wait { what, rolling };
    if !facts.template_observed {
        return wait("Kubernetes to take up the StatefulSet".to_owned());
    }
    if let Some(cell) =
        cells.iter().position(|cell| outdated(cell) && !cell.ready() && cell.leaves_by.is_none())
    {
        return Step::Replace { cell, drain: false };
    }
    if let Some(late) = cells.iter().find(|cell| is_late(cell, facts)) {
        return Step::Stuck { message: stuck(late, facts, rolling) };
    }
    if let Some(leaving) = cells.iter().find(|cell| cell.leaves_by.is_some()) {
        return wait(format!("cell {} to leave", leaving.name));
    }
    if let Some(starting) = cells.iter().find(|cell| !cell.ready()) {
        return wait(format!("cell {} to be ready", starting.name));
    }
    if cells.len() < facts.cells as usize {
        return wait(format!("{} of {} cells to be made", facts.cells as usize - cells.len(), facts.cells));
    }
    if let Some(idle) =
        cells.iter().find(|cell| !outdated(cell) && cell.report.as_ref().is_some_and(|r| r.buckets == 0))
    {
        return wait(format!("cell {} to own its buckets", idle.name));
    }
    // Highest first, as Kubernetes does it.
    match cells.iter().rposition(outdated) {
        Some(cell) => Step::Replace { cell, drain: true },
        None if cells.len() > facts.cells as usize => wait("surplus cells to leave".to_owned()),
        None => Step::Settled,
    }
}

/// Whether a cell has had its time: to become ready, or to leave.
fn is_late(cell: &Cell, facts: &Facts<'_>) -> bool {
    let deadline = SignedDuration::try_from(facts.deadline).unwrap_or(SignedDuration::MAX);
    let since = match cell.leaves_by {
        Some(by) => by,
        None if cell.ready() => return false,
        None => cell.created,
    };
    facts.now.duration_since(since) > deadline
}

fn stuck(cell: &Cell, facts: &Facts<'_>, rolling: bool) -> String {
    let minutes = facts.deadline.as_secs() / 60;
    let what = if cell.leaves_by.is_some() { "has not left" } else { "is not ready" };
    let why = cell.failure.as_ref().map(|failure| format!(" ({failure})")).unwrap_or_default();
    let rest = if rolling { "no other cell is replaced; " } else { "" };
    let name = &cell.name;
    format!(
        "cell {name} {what} after {minutes} minutes{why}; {rest}see kubectl logs {name}, or apply the spec from before"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Report;

    const NEW: &str = "new";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    fn ago(seconds: i64) -> Timestamp {
        now().checked_sub(SignedDuration::from_secs(seconds)).expect("in range")
    }

    fn cell(ordinal: u32, hash: &str) -> Cell {
        Cell {
            name: format!("shop-{ordinal}"),
            ordinal,
            ready_since: Some(ago(1000)),
            created: ago(1100),
            rollout_hash: hash.to_owned(),
            report: Some(Report { buckets: 8, ..Report::default() }),
            ..Cell::default()
        }
    }

    fn starting(ordinal: u32, hash: &str, seconds: i64) -> Cell {
        Cell { ready_since: None, created: ago(seconds), report: None, ..cell(ordinal, hash) }
    }

    fn step(cells: &[Cell]) -> Step {
        step_of(cells, 3, true)
    }

    fn step_of(cells: &[Cell], wanted: u32, template_observed: bool) -> Step {
        let deadline = Duration::from_secs(600);
        next(cells, &Facts { rollout_hash: NEW, cells: wanted, template_observed, deadline, now: now() })
    }

    fn waits(step: &Step, for_what: &str) -> bool {
        matches!(step, Step::Wait { what, .. } if what.contains(for_what))
    }

    #[test]
    fn cells_are_replaced_one_by_one_from_the_last() {
        let (old, new) = (|n| cell(n, "old"), |n| cell(n, NEW));
        assert_eq!(step(&[old(0), old(1), old(2)]), Step::Replace { cell: 2, drain: true });
        let leaving = Cell { leaves_by: Some(now()), ..old(2) };
        assert!(waits(&step(&[old(0), old(1), leaving]), "shop-2 to leave"));
        assert!(waits(&step(&[old(0), old(1)]), "1 of 3 cells to be made"));
        assert!(waits(&step(&[old(0), old(1), starting(2, NEW, 5)]), "shop-2 to be ready"));
        let bucketless = Cell { report: Some(Report::default()), ..new(2) };
        assert!(waits(&step(&[old(0), old(1), bucketless]), "shop-2 to own"));
        assert_eq!(step(&[old(0), old(1), new(2)]), Step::Replace { cell: 1, drain: true });
        assert_eq!(step(&[old(0), new(1), new(2)]), Step::Replace { cell: 0, drain: true });
        assert_eq!(step(&[new(0), new(1), new(2)]), Step::Settled);
    }

    #[test]
    fn a_pod_is_not_deleted_before_its_successor_would_be_right() {
        assert!(waits(&step_of(&[cell(0, "old")], 1, false), "StatefulSet"));
    }

    #[test]
    fn a_new_cell_that_does_not_start_stops_the_rollout() {
        let cells = [cell(0, "old"), cell(1, "old"), starting(2, NEW, 601)];
        let Step::Stuck { message } = step(&cells) else { panic!("{:?}", step(&cells)) };
        assert!(message.contains("shop-2 is not ready after 10 minutes"), "{message}");
        let failing = Cell { failure: Some("ImagePullBackOff".into()), ..starting(2, NEW, 601) };
        let Step::Stuck { message } = step(&[cell(0, "old"), cell(1, "old"), failing]) else {
            panic!("not stuck")
        };
        assert!(message.contains("ImagePullBackOff"), "{message}");
    }

    #[test]
    fn the_old_spec_takes_a_stuck_rollout_back() {
        // What was "new" is wanted no more: the bad cell has another hash than the two that serve.
        let cells = [cell(0, NEW), cell(1, NEW), starting(2, "bad", 5000)];
        assert_eq!(step(&cells), Step::Replace { cell: 2, drain: false });
    }

    #[test]
    fn a_cell_that_does_not_answer_does_not_hold_up_the_rest() {
        let silent = Cell { report: None, ..cell(2, NEW) };
        assert_eq!(step(&[cell(0, "old"), cell(1, "old"), silent]), Step::Replace { cell: 1, drain: true });
    }

    #[test]
    fn surplus_cells_are_waited_for() {
        let cells = [cell(0, NEW), cell(1, NEW)];
        assert!(waits(&step_of(&cells, 1, true), "surplus"));
    }
}
