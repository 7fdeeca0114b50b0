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

fn try_seed(seed: u64, rule: Rule, suited: Rule) -> Result<Shown, String> {
    catch_unwind(AssertUnwindSafe(|| history::run(&mut World::new(seed, rule, suited, false))))
        .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What happened in a seed, to the end or to where it failed.
fn trace_of(seed: u64, suited: Rule) -> String {
    let mut world = World::new(seed, Rule::Kept, suited, true);
    let _ = catch_unwind(AssertUnwindSafe(|| history::run(&mut world)));
    let lines = number_from_env("CORALLITE_SIM_TRACE").map_or(TRACE_LINES, |lines| lines as usize);
    world.trace.tail(lines)
}

fn run_seed(seed: u64, suited: Rule) -> Shown {
    try_seed(seed, Rule::Kept, suited).unwrap_or_else(|why| {
        panic!("seed {seed} (CORALLITE_SIM_SEED={seed} runs it again): {why}\n{}", trace_of(seed, suited))
    })
}

#[test]
fn every_history_is_one_the_model_allows() {
    if let Some(seed) = number_from_env("CORALLITE_SIM_SEED") {
        let shown = run_seed(seed, Rule::Kept);
        println!("{}\n{shown:?}", trace_of(seed, Rule::Kept));
        return;
    }
    let seeds = number_from_env("CORALLITE_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let mut total = Shown::default();
    for seed in 0..seeds {
        let shown = run_seed(seed, Rule::Kept);
        total.records += shown.records;
        total.applied += shown.applied;
        total.refused += shown.refused;
        total.reads += shown.reads;
        total.processes += shown.processes;
    }
    println!("{seeds} seeds: {total:?}");
}

#[test]
fn equal_seeds_make_equal_histories() {
    for seed in 0..20 {
        assert_eq!(whole_trace_of(seed), whole_trace_of(seed), "seed {seed}");
    }
}

fn whole_trace_of(seed: u64) -> String {
    let mut world = World::new(seed, Rule::Kept, Rule::Kept, true);
    let _ = history::run(&mut world);
    world.trace.tail(usize::MAX)
}

/// How many histories a missing rule may go unnoticed in.
const SEEDS_UNNOTICED_MAX: u64 = 2_000;

/// With the rule taken out, the checker finds a history that is wrong. With it, that history is right:
/// what is found is the missing rule's doing.
fn assert_needed(rule: Rule) {
    let hook = std::panic::take_hook();
    let caught =
        (0..SEEDS_UNNOTICED_MAX).find_map(|seed| try_seed(seed, rule, rule).err().map(|why| (seed, why)));
    std::panic::set_hook(hook);
    let (seed, why) =
        caught.unwrap_or_else(|| panic!("nobody misses {rule:?} in {SEEDS_UNNOTICED_MAX} seeds"));
    println!("{rule:?} is missed in seed {seed}: {}", why.chars().take(300).collect::<String>());
    run_seed(seed, rule);
}

#[test]
fn a_doubtful_commit_is_not_a_failed_one() {
    assert_needed(Rule::DoubtIsFailure);
}

#[test]
fn a_doubtful_commit_is_made_impossible() {
    assert_needed(Rule::ResolveReadsOnly);
}

#[test]
fn a_commit_checks_the_heads_it_overwrites() {
    assert_needed(Rule::HeadUnchecked);
}

#[test]
fn a_stale_owner_always_conflicts() {
    assert_needed(Rule::OwnerUnchecked);
}

#[test]
fn a_claim_needs_its_own_session() {
    assert_needed(Rule::ClaimUnchecked);
}

#[test]
fn a_refusal_waits_for_its_batch() {
    assert_needed(Rule::RefusalEarly);
}

#[test]
fn an_answer_waits_for_proof_of_ownership() {
    assert_needed(Rule::SessionUnchecked);
}

#[test]
fn a_page_of_history_waits_for_proof_of_ownership() {
    assert_needed(Rule::HistoryUnchecked);
}

#[test]
fn a_reply_waits_for_its_commit() {
    assert_needed(Rule::ReplyEarly);
}

#[test]
fn an_outcome_is_kept_until_its_low_water_mark() {
    assert_needed(Rule::InboxForgotten);
}

#[test]
fn a_low_water_mark_covers_logged_acknowledgements_only() {
    assert_needed(Rule::LowWaterTooHigh);
}

#[test]
fn a_checkpoint_cannot_go_back() {
    assert_needed(Rule::CheckpointUnchecked);
}

#[test]
fn a_checkpoint_takes_durable_rows_only() {
    assert_needed(Rule::CheckpointSpeculates);
}

#[test]
fn a_message_that_comes_again_gets_the_same_outcome() {
    assert_needed(Rule::AnsweredAnew);
}

#[test]
fn an_acknowledgement_is_logged_before_the_outbox_forgets() {
    assert_needed(Rule::AckDropped);
}

#[test]
fn messages_of_a_pair_are_taken_in_the_order_told() {
    assert_needed(Rule::PairUnordered);
}

#[test]
fn a_timer_fires_only_in_its_generation() {
    assert_needed(Rule::GenerationIgnored);
}

#[test]
fn a_command_id_is_remembered() {
    assert_needed(Rule::IdForgotten);
}

#[test]
fn the_overlay_outlives_a_load() {
    assert_needed(Rule::OverlayDropped);
}
