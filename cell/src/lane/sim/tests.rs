//! The histories that are run, and each rule taken out in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::faults::Rule;
use super::history::{self, Shown};
use super::world::World;

const SEEDS_DEFAULT: u64 = 2_000;
const TRACE_LINES: usize = 150;

fn number_from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn try_seed(seed: u64, rule: Rule) -> Result<Shown, String> {
    catch_unwind(AssertUnwindSafe(|| history::run(&mut World::new(seed, rule, false))))
        .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What happened in a seed, to the end or to where it failed.
fn trace_of(seed: u64, rule: Rule) -> String {
    let mut world = World::new(seed, rule, true);
    let _ = catch_unwind(AssertUnwindSafe(|| history::run(&mut world)));
    let lines = number_from_env("CORALLITE_SIM_TRACE").map_or(TRACE_LINES, |lines| lines as usize);
    world.trace.tail(lines)
}

fn run_seed(seed: u64) -> Shown {
    try_seed(seed, Rule::Kept).unwrap_or_else(|why| {
        panic!("seed {seed} (CORALLITE_SIM_SEED={seed} runs it again): {why}\n{}", trace_of(seed, Rule::Kept))
    })
}

#[test]
fn every_history_is_one_the_model_allows() {
    if let Some(seed) = number_from_env("CORALLITE_SIM_SEED") {
        let shown = run_seed(seed);
        println!("{}\n{shown:?}", trace_of(seed, Rule::Kept));
        return;
    }
    let all = std::env::var_os("CORALLITE_SIM_KEEP_GOING").is_some();
    let seeds = number_from_env("CORALLITE_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let mut total = Shown::default();
    for seed in 0..seeds {
        if all {
            if let Err(why) = try_seed(seed, Rule::Kept) {
                println!("SEED {seed}: {}", why.chars().take(400).collect::<String>());
            }
            continue;
        }
        let shown = run_seed(seed);
        total.records += shown.records;
        total.applied += shown.applied;
        total.refused += shown.refused;
        total.reads += shown.reads;
        total.processes += shown.processes;
    }
    println!("{seeds} seeds: {total:?}");
}
