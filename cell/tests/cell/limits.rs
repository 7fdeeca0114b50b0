//! Every queue is bounded: what does not fit is told so at once, and the rest goes on.

use std::time::Instant;

use corallite_proto::v1;
use hyper::Method;

use super::world::{World, applied, command, config, error};

/// Rounds of `spin` that take at least `milliseconds` on this machine.
async fn rounds(world: &World, milliseconds: u128) -> u64 {
    let mut rounds: u64 = 100_000;
    loop {
        let started = Instant::now();
        world.apply("Counter/measure", "spin", &format!("{{\"rounds\":{rounds}}}")).await;
        let took = started.elapsed().as_millis().max(1);
        if took >= milliseconds {
            return rounds;
        }
        rounds = rounds * 2 * u64::try_from((milliseconds / took).clamp(1, 8)).expect("small");
    }
}

/// Its events fit a record and so does its reply, but not both.
const TOO_LARGE: &str = r#"{"events":4,"bytes":950000,"reply":900000}"#;

/// One lane, so that a spinning actor holds all others up.
async fn one_lane(mailbox_commands: u32) -> World {
    let mut config = config();
    config.lanes = 1;
    for actor in &mut config.spec.actors {
        actor.mailbox_commands = mailbox_commands;
    }
    World::start(config).await
}

#[tokio::test]
async fn a_full_mailbox_is_429_with_a_hint_and_takes_commands_again() {
    let world = one_lane(2).await;
    let spin = format!("{{\"rounds\":{}}}", rounds(&world, 300).await);
    // While one actor spins, commands gather for another that is not in memory yet. Whether they all
    // come in time is up to the machine, so it is tried with one actor after another.
    for n in 0..100 {
        let actor = format!("Counter/busy-{n}");
        let mut commands = vec![command("Counter/spinner", "spin", &spin)];
        commands.extend((0..10).map(|_| command(&actor, "add", r#"{"by":1}"#)));
        let answers = world.burst(commands).await;
        applied(&answers[0]);
        let is_error = |answer: &&_| matches!(answer, v1::execute_stream_response::Answer::Error(_));
        let refused: Vec<_> = answers.iter().filter(is_error).map(error).collect();
        let taken = answers.len() - 1 - refused.len();
        assert!(taken >= 2, "what fits the mailbox is applied");
        assert_eq!(world.state(&actor).await.1, taken as u64, "exactly what was acknowledged");
        assert_eq!(
            world.apply(&actor, "add", r#"{"by":1}"#).await["reply"],
            taken + 1,
            "it takes commands again"
        );
        for error in &refused {
            assert_eq!((error.code.as_str(), error.outcome()), ("Overloaded", v1::Outcome::NotApplied));
            assert!(error.retryable && error.retry_after_ms > 0 && error.message.contains("mailboxCommands"));
        }
        if !refused.is_empty() {
            return world.stop().await;
        }
    }
    panic!("the mailbox was never full");
}

#[tokio::test]
async fn a_full_mailbox_is_429_by_http_too() {
    let world = one_lane(1).await;
    let spin = format!("{{\"rounds\":{}}}", rounds(&world, 500).await);
    for n in 0..100 {
        let actor = format!("Counter/busy-{n}");
        let spinning = world.post("Counter/spinner", "spin", &spin);
        let adding = futures_util::future::join_all((0..8).map(|_| world.post(&actor, "add", r#"{"by":1}"#)));
        let (_, replies) = tokio::join!(spinning, adding);
        let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
        for reply in &refused {
            reply.refused(429, "Overloaded");
            assert_eq!(reply.headers["retry-after"], "1", "{reply:?}");
        }
        assert_eq!(world.state(&actor).await.1, 8 - refused.len() as u64);
        if !refused.is_empty() {
            return world.stop().await;
        }
    }
    panic!("the mailbox was never full");
}

#[tokio::test]
async fn a_deadline_that_passes_before_the_turn_is_504_and_nothing_happened() {
    let world = one_lane(1_000).await;
    let rounds = rounds(&world, 200).await;
    let started = Instant::now();
    world.apply("Counter/spinner", "spin", &format!("{{\"rounds\":{rounds}}}")).await;
    let once_ms = u64::try_from(started.elapsed().as_millis()).expect("small");
    let spin = format!("{{\"rounds\":{rounds}}}");
    // The lane is busy with the first when the others and the late one come: their turns are of one
    // burst, and the deadline passes within it. All are in memory, so nobody is loaded meanwhile.
    let spinners = ["Counter/1", "Counter/2", "Counter/3", "Counter/4"];
    for n in 0..5 {
        let actor = format!("Counter/late-{n}");
        for actor in [&[&*actor][..], &spinners].concat() {
            world.apply(actor, "flood", r#"{"events":1,"bytes":1}"#).await;
        }
        let mut late = command(&actor, "add", r#"{"by":1}"#);
        late.timeout_ms = once_ms * 3 / 2;
        let answers =
            world.burst([spinners.map(|a| command(a, "spin", &spin)).to_vec(), vec![late]].concat()).await;
        if let v1::execute_stream_response::Answer::Error(error) = &answers[spinners.len()] {
            assert_eq!((error.code.as_str(), error.outcome()), ("DeadlineExceeded", v1::Outcome::NotApplied));
            assert_eq!(world.state(&actor).await.1, 1);
            return world.stop().await;
        }
    }
    panic!("no deadline passed before its turn");
}

#[tokio::test]
async fn a_deadline_is_504_by_http() {
    let world = one_lane(1_000).await;
    let rounds = rounds(&world, 300).await;
    let spin = format!("{{\"rounds\":{rounds}}}");
    for n in 0..100 {
        let path = format!("/v1/actors/Counter/late-{n}/add");
        let spinning = world.post("Counter/spinner", "spin", &spin);
        let adding = world.send(Method::POST, &path, &[("request-timeout", "1ms")], r#"{"by":1}"#);
        let (_, reply) = tokio::join!(spinning, adding);
        if reply.status == 504 {
            reply.refused(504, "DeadlineExceeded");
            assert_eq!(world.get(&format!("/v1/actors/Counter/late-{n}")).await.status, 404);
            return world.stop().await;
        }
    }
    panic!("no deadline passed before its turn");
}

#[tokio::test]
async fn a_command_too_large_for_a_record_fails_alone() {
    let world = World::new().await;
    let said = world.post("Counter/a", "flood", r#"{"events":5,"bytes":1000000}"#).await;
    let said = said.refused(422, "ScriptBadValue");
    assert!(said.contains("4000000"), "{said}");
    let said = world.post("Counter/a", "flood", TOO_LARGE).await.refused(413, "RecordTooLarge");
    assert!(said.contains("4000000"), "{said}");
    assert_eq!(world.get("/v1/actors/Counter/a").await.status, 404);
    // In a burst with many that are large and fit.
    let mut commands = Vec::new();
    for n in 0..12 {
        let payload = if n == 5 { TOO_LARGE } else { r#"{"events":3,"bytes":900000}"# };
        commands.push(command(&format!("Counter/b-{}", n % 3), "flood", payload));
        commands.push(command("Counter/c", "add", r#"{"by":1}"#));
    }
    let answers = world.burst(commands).await;
    for (n, answer) in answers.iter().enumerate() {
        if n == 10 {
            assert_eq!(error(answer).code, "RecordTooLarge");
        } else {
            applied(answer);
        }
    }
    let seqs = [
        world.state("Counter/b-0").await.1,
        world.state("Counter/b-1").await.1,
        world.state("Counter/b-2").await.1,
    ];
    assert_eq!((seqs, world.state("Counter/c").await.1), ([12, 12, 9], 12));
    world.stop().await;
}
