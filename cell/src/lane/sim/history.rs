//! One history from its seed to its end: unkind steps, coming to rest, recovery, and rebuilding from
//! the log alone. Says what the checker found.

use std::collections::BTreeMap;

use rand::RngExt;

use super::checker::{self, Derived, ensure};
use super::clients::Next;
use super::process::{BUCKETS, Phase};
use super::world::World;
use crate::env::Clock;
use crate::ids::{Bucket, Seq};
use crate::lane::Input;
use crate::lane::input::ReadKind;

/// What a history shows about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// Records in the log.
    pub records: usize,
    /// Commands answered applied.
    pub applied: usize,
    /// Commands refused by the behavior.
    pub refused: usize,
    /// Reads answered.
    pub reads: usize,
    /// Processes that ran.
    pub processes: u32,
}

/// Runs the history of a seed; `Err` is what it did wrong.
pub fn run(world: &mut World) -> Result<Shown, String> {
    boot(world)?;
    for _ in 0..world.profile.steps {
        step(world);
        if let Some(violation) = world.violations.first() {
            return Err(violation.clone());
        }
    }
    if world.rng.random_ratio(1, 2) {
        rebuild_midway(world)?;
    }
    rest(world)?;
    flush_all(world)?;
    let shown = checker::check(world)?;
    // A new process has only the checkpoint and what follows it.
    recover(world)?;
    read_everything(world)?;
    flush_all(world)?;
    check_rebuilt(world)?;
    read_everything(world)?;
    checker::check(world)?;
    let processes = world.processes.last().map_or(0, |process| process.number);
    Ok(Shown { processes, ..shown })
}

/// While messages and timers are pending, the log alone gives what was checkpointed.
fn rebuild_midway(world: &mut World) -> Result<(), String> {
    world.resting = true;
    settle_store(world)?;
    while let Some(at) = world.processes.iter().position(|process| process.zombie) {
        world.kill(at);
    }
    world.packets.clear();
    for _ in 0..5 {
        serve(world, settle_store)?;
        flush_all_by(world, settle_store)?;
        // Released or lost meanwhile: its last records may not be in a checkpoint.
        if world.processes[0].serves_all() {
            return check_rebuilt(world);
        }
    }
    Err("a process does not go on serving".to_owned())
}

/// Throws away all that was written behind the log, and has a new process make it again.
fn check_rebuilt(world: &mut World) -> Result<(), String> {
    let checkpointed = Derived::read(world)?;
    for bucket in 0..BUCKETS {
        for range in world.keys.derived_ranges(Bucket(bucket)) {
            world.store.delete_range(&range);
        }
    }
    crash_all(world);
    world.packets.clear();
    serve(world, settle_store)?;
    flush_all_by(world, settle_store)?;
    checkpointed.check_same(&Derived::read(world)?)
}

fn boot(world: &mut World) -> Result<(), String> {
    world.start_process();
    let unkind = std::mem::replace(&mut world.resting, true);
    for _ in 0..1_000 {
        world.poll_tasks();
        if world.processes[0].serves_all() {
            world.resting = unkind;
            return Ok(());
        }
        world.complete_some();
    }
    Err("the first process does not come to serve".to_owned())
}

/// One thing happens.
fn step(world: &mut World) {
    let (crash, zombie, release) = (world.profile.crash, world.profile.zombie, world.profile.release);
    let has_zombie = world.processes.iter().any(|process| process.zombie);
    let weights = [
        250,
        if world.packets.is_empty() { 0 } else { 200 },
        350,
        60,
        60,
        if world.store.late().is_empty() { 0 } else { 30 },
        crash,
        zombie,
        release,
        if world.profile.is_calm() { 0 } else { 5 },
        if has_zombie { 10 } else { 0 },
        60,
    ];
    let mut roll = world.rng.random_range(0..weights.iter().sum());
    let chosen = weights.iter().position(|weight| {
        let hit = roll < *weight;
        roll = roll.saturating_sub(*weight);
        hit
    });
    match chosen.unwrap_or(0) {
        0 => client(world),
        1 => {
            let at = world.rng.random_range(0..world.packets.len());
            world.deliver(at);
        }
        2 => {
            world.complete_some();
        }
        3 => {
            let by_ms = [1, 10, 60, 300, 2_500][world.rng.random_range(0..5)];
            world.advance(by_ms);
        }
        4 => each_lane(world, |world, at, lane| world.flush(at, lane)),
        5 => {
            world.land_one();
        }
        6 => crash_all(world),
        7 => world.make_zombie(),
        8 => release_one(world),
        9 => each_lane(world, |world, at, lane| world.give(at, lane, Input::Flush)),
        10 => {
            if let Some(at) = world.processes.iter().position(|process| process.zombie) {
                world.kill(at);
            }
        }
        _ => boot_free(world),
    }
    world.poll_tasks();
}

fn client(world: &mut World) {
    if world.clients.outstanding() >= 14 {
        return;
    }
    let zombie = world.processes.iter().position(|process| process.zombie);
    let at = match zombie {
        Some(at) if world.rng.random_ratio(1, 3) => at,
        _ => world.current().unwrap_or(0),
    };
    let accounts = world.profile.accounts;
    let next = world.clients.next(&mut world.rng, accounts);
    world.client(at, next);
}

fn crash_all(world: &mut World) {
    while !world.processes.is_empty() {
        world.kill(0);
    }
    world.start_process();
}

fn release_one(world: &mut World) {
    let at = world.rng.random_range(0..world.processes.len());
    let bucket = world.rng.random_range(0..BUCKETS);
    if let Phase::Served(lane) = world.processes[at].buckets[bucket as usize] {
        world.give(at, lane, Input::Release(Bucket(bucket)));
    }
}

fn boot_free(world: &mut World) {
    for at in 0..world.processes.len() {
        for bucket in 0..BUCKETS {
            if world.processes[at].buckets[bucket as usize] == Phase::Free {
                world.boot(at, Bucket(bucket));
            }
        }
    }
}

fn each_lane(world: &mut World, mut act: impl FnMut(&mut World, usize, usize)) {
    for at in 0..world.processes.len() {
        for lane in 0..world.processes[at].lanes.len() {
            act(world, at, lane);
        }
    }
}

/// Nothing goes wrong any more: what is under way ends, stubborn clients get their answers, timers
/// fire.
fn rest(world: &mut World) -> Result<(), String> {
    world.resting = true;
    let mut restarts = 0;
    for _ in 0..4_000 {
        settle(world)?;
        while world.land_one() {}
        if let Some(at) = world.processes.iter().position(|process| process.zombie) {
            world.kill(at);
            continue;
        }
        boot_free(world);
        if world.processes[0].buckets.contains(&Phase::Lost) {
            // An older session may have started last; nobody is left who could do that again.
            ensure!(restarts < 2, "the only process loses its buckets again and again");
            restarts += 1;
            crash_all(world);
            continue;
        }
        if world.processes[0].serves_all() {
            for op in world.clients.unsettled() {
                if world.clients.outstanding() < 14 {
                    world.client(0, Next::Command { op, payload: 0 });
                }
            }
            if is_at_rest(world) {
                return Ok(());
            }
        }
        let by_ms = world.rng.random_range(100..1_500);
        world.advance(by_ms);
    }
    let outbox: Vec<_> = world.processes[0].lanes.iter_mut().map(|lane| lane.stats().outbox).collect();
    Err(format!(
        "it does not come to rest: phases {:?}, outbox {outbox:?}, {} answers awaited, {} unsettled, at {}",
        world.processes[0].buckets,
        world.clients.outstanding(),
        world.clients.unsettled().len(),
        world.clock.now_ms(),
    ))
}

fn is_at_rest(world: &mut World) -> bool {
    let quiet = world.clients.outstanding() == 0
        && world.clients.unsettled().is_empty()
        && world.tasks.is_empty()
        && world.packets.is_empty()
        && world.store.pending().is_empty();
    let empty = world.processes[0].lanes.iter_mut().all(|lane| {
        let stats = lane.stats();
        stats.outbox == 0 && stats.timers == 0 && stats.queued_commands == 0
    });
    quiet && empty && !checker::timers_pending(world)
}

/// Everything under way ends, without time passing.
fn settle(world: &mut World) -> Result<(), String> {
    for _ in 0..10_000 {
        settle_store(world)?;
        if world.packets.is_empty() {
            return Ok(());
        }
        let at = world.rng.random_range(0..world.packets.len());
        world.deliver(at);
    }
    Err("it does not settle".to_owned())
}

/// Everything that waits for the store ends; packets stay where they are.
fn settle_store(world: &mut World) -> Result<(), String> {
    for _ in 0..10_000 {
        world.poll_tasks();
        if let Some(violation) = world.violations.first() {
            return Err(violation.clone());
        }
        each_lane(world, World::flush);
        if !world.complete_some() {
            return Ok(());
        }
    }
    Err("the store has no end of work".to_owned())
}

fn flush_all(world: &mut World) -> Result<(), String> {
    flush_all_by(world, settle)
}

/// Writes every checkpoint.
fn flush_all_by(world: &mut World, settle: fn(&mut World) -> Result<(), String>) -> Result<(), String> {
    for round in 0..100 {
        world.processes[0].flushed.fill(false);
        each_lane(world, |world, at, lane| world.give(at, lane, Input::Flush));
        settle(world)?;
        let flushed = world.processes[0].flushed.iter().all(|flushed| *flushed);
        // What still lags behind when all lanes say otherwise is for the comparison to find.
        let ended = checker::is_checkpointed(world) || !world.processes[0].serves_all() || round == 20;
        if flushed && ended {
            return Ok(());
        }
        world.advance(600);
    }
    Err("it is never flushed".to_owned())
}

/// A new process takes over from the store alone.
fn recover(world: &mut World) -> Result<(), String> {
    crash_all(world);
    serve(world, settle)
}

fn serve(world: &mut World, settle: fn(&mut World) -> Result<(), String>) -> Result<(), String> {
    for _ in 0..100 {
        settle(world)?;
        while world.land_one() {}
        if world.processes[0].buckets.contains(&Phase::Lost) {
            crash_all(world);
        }
        if world.processes[0].serves_all() {
            return Ok(());
        }
        boot_free(world);
        world.advance(60);
    }
    Err(format!("a process does not come to serve: {:?}", world.processes[0].buckets))
}

/// Reads every account and repeats every command: answers must be as before.
fn read_everything(world: &mut World) -> Result<(), String> {
    for account in 0..world.profile.accounts {
        for what in [ReadKind::State, ReadKind::Events { from: Seq(1), limit: 1_000 }] {
            let next = world.clients.add_read(format!("a{account}"), what, true);
            world.client(0, next);
        }
    }
    settle(world)?;
    let mut newest: BTreeMap<String, usize> = BTreeMap::new();
    for (at, op) in world.clients.ops.iter().enumerate() {
        newest.insert(op.account.clone(), at);
    }
    let applied = |world: &World, op: usize| {
        let mut attempts = world.clients.ops[op].attempts.iter().map(|&at| &world.clients.attempts[at]);
        attempts.any(|attempt| matches!(&attempt.answer, Some((_, _, Ok(_)))))
    };
    for op in newest.into_values() {
        if applied(world, op) {
            world.client(0, Next::Command { op, payload: 0 });
        }
    }
    settle(world)?;
    for _ in 0..100 {
        if world.clients.outstanding() == 0 {
            return Ok(());
        }
        world.advance(100);
        settle(world)?;
    }
    Err("reads after recovery are not answered".to_owned())
}
