//! Streams of commands: order, tags, bounds, and answers that come late, never, or all at once.

use corallite_proto::v1;
use corallite_proto::v1::execute_stream_response::Answer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::World;
use super::script::{NOW_MS, echo};
use crate::limits::STREAM_COMMANDS_MAX;
use crate::outcome::Failure;

/// The caller's two halves of a stream.
struct Call {
    commands: mpsc::Sender<v1::ExecuteStreamRequest>,
    answers: Streaming<v1::ExecuteStreamResponse>,
}

impl Call {
    async fn new(world: &World) -> Self {
        let (commands, receiver) = mpsc::channel(2 * STREAM_COMMANDS_MAX);
        let stream = ReceiverStream::new(receiver);
        let answers = world.actors().await.execute_stream(stream).await.expect("served").into_inner();
        Self { commands, answers }
    }

    async fn send(&self, tag: u64, payload: &str) {
        let actor = Some(v1::ActorRef { r#type: "Order".into(), id: format!("o-{}", tag % 3) });
        let request = v1::ExecuteRequest {
            actor,
            command: "place".into(),
            payload: payload.to_owned().into(),
            command_id: format!("k-{tag}"),
            ..Default::default()
        };
        let request = v1::ExecuteStreamRequest { tag, request: Some(request), timeout_ms: 0 };
        self.commands.send(request).await.expect("open");
    }

    async fn next(&mut self) -> Option<(u64, Answer)> {
        let answer = self.answers.message().await.expect("well")?;
        Some((answer.tag, answer.answer.expect("an answer")))
    }
}

fn error(answer: Answer) -> v1::Error {
    match answer {
        Answer::Error(error) => error,
        Answer::Applied(applied) => panic!("{applied:?}"),
    }
}

#[tokio::test]
async fn commands_are_handed_in_in_order_and_answered_by_tag() {
    let world = World::new().await;
    let mut call = Call::new(&world).await;
    for tag in 0..500 {
        call.send(tag, &tag.to_string()).await;
    }
    for tag in 0..500 {
        let (answered, answer) = call.next().await.expect("an answer");
        let Answer::Applied(applied) = answer else { panic!("{answer:?}") };
        assert_eq!((answered, &applied.reply[..]), (tag, tag.to_string().as_bytes()));
        assert_eq!((applied.command_id, applied.seq), (format!("k-{tag}"), 7));
    }
    let ids: Vec<String> =
        world.script.commands.lock().iter().map(|command| command.id.to_string()).collect();
    assert_eq!(ids, (0..500).map(|tag| format!("k-{tag}")).collect::<Vec<_>>());
    drop(call.commands);
    assert!(call.answers.message().await.expect("well").is_none());
}

#[tokio::test]
async fn answers_come_as_they_are_known() {
    let world = World::new().await;
    world.script.hold();
    let mut call = Call::new(&world).await;
    for tag in 0..3 {
        call.send(tag, "{}").await;
    }
    let mut held = world.script.held(3).await;
    held.reverse();
    for (command, answer) in held {
        answer(Ok(echo(&command)));
    }
    let mut tags = Vec::new();
    for _ in 0..3 {
        tags.push(call.next().await.expect("an answer").0);
    }
    assert_eq!(tags, [2, 1, 0]);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_counted_so() {
    let world = World::new().await;
    world.script.hold();
    let mut call = Call::new(&world).await;
    call.send(9, "{}").await;
    drop(world.script.held(1).await);
    let (tag, answer) = call.next().await.expect("an answer");
    let error = error(answer);
    assert_eq!((tag, error.outcome(), error.command_id.as_str()), (9, v1::Outcome::Unknown, "k-9"));
    assert!(error.retryable);
    let metrics = world.admin("/metrics").await.body;
    assert!(
        metrics.contains("corallite_commands_total{type=\"Order\",outcome=\"unknown\"} 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn one_bad_command_fails_alone() {
    let world = World::new().await;
    let mut call = Call::new(&world).await;
    call.send(1, "{").await;
    call.commands
        .send(v1::ExecuteStreamRequest { tag: 2, request: None, timeout_ms: 0 })
        .await
        .expect("open");
    let bad_id = v1::ExecuteRequest { command_id: "a b".into(), ..Default::default() };
    let bad_id = v1::ExecuteStreamRequest { tag: 3, request: Some(bad_id), timeout_ms: 0 };
    call.commands.send(bad_id).await.expect("open");
    call.send(4, "{}").await;
    for (expected, code, id) in
        [(1, "MalformedJson", "k-1"), (2, "MalformedName", ""), (3, "MalformedName", "")]
    {
        let (tag, answer) = call.next().await.expect("an answer");
        let error = error(answer);
        assert_eq!((tag, error.code.as_str(), error.outcome()), (expected, code, v1::Outcome::NotApplied));
        // A made id is longer than any id of this test.
        assert!(error.command_id == id || (tag == 2 && error.command_id.len() == 36), "{error:?}");
    }
    assert!(matches!(call.next().await, Some((4, Answer::Applied(_)))));
}

#[tokio::test]
async fn failures_cross_whole_and_deadlines_are_each_commands_own() {
    let world = World::new().await;
    *world.script.fail.lock() = Some(Failure::overloaded("the mailbox is full"));
    let mut call = Call::new(&world).await;
    let actor = Some(v1::ActorRef { r#type: "Order".into(), id: "o-1".into() });
    let request = v1::ExecuteRequest { actor, command: "place".into(), ..Default::default() };
    let request = v1::ExecuteStreamRequest { tag: 1, request: Some(request), timeout_ms: 70 };
    call.commands.send(request).await.expect("open");
    let error = error(call.next().await.expect("an answer").1);
    assert_eq!((error.code.as_str(), error.retry_after_ms), ("Overloaded", 100));
    assert_eq!(world.script.commands.lock()[0].deadline_ms, NOW_MS + 70);
}

#[tokio::test]
async fn commands_without_answers_are_bounded() {
    let world = World::new().await;
    world.script.hold();
    let mut call = Call::new(&world).await;
    let over = STREAM_COMMANDS_MAX as u64 + 10;
    for tag in 0..over {
        call.send(tag, "").await;
    }
    let held = world.script.held(STREAM_COMMANDS_MAX).await;
    // A unary call comes through meanwhile, so the stream had its chance to take more.
    let before = world.script.held_count();
    let reply = world.get("/v1/actors/Order/o-1").await;
    assert_eq!((reply.status.as_u16(), before, held.len()), (200, STREAM_COMMANDS_MAX, STREAM_COMMANDS_MAX));
    for (command, answer) in held {
        answer(Ok(echo(&command)));
    }
    for _ in 0..STREAM_COMMANDS_MAX {
        call.next().await.expect("an answer");
    }
    let rest = world.script.held(over as usize).await;
    assert_eq!(rest.len(), 10);
    drop(rest);
    for _ in 0..10 {
        call.next().await.expect("an answer");
    }
}

#[tokio::test]
async fn a_caller_that_ends_its_half_still_gets_its_answers() {
    let world = World::new().await;
    world.script.hold();
    let mut call = Call::new(&world).await;
    call.send(1, "{}").await;
    let (closed, _) = mpsc::channel(1);
    drop(std::mem::replace(&mut call.commands, closed));
    for (command, answer) in world.script.held(1).await {
        answer(Ok(echo(&command)));
    }
    assert!(matches!(call.next().await, Some((1, Answer::Applied(_)))));
    assert!(call.next().await.is_none());
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_disturb_the_cell() {
    let world = World::new().await;
    world.script.hold();
    let call = Call::new(&world).await;
    call.send(1, "{}").await;
    let held = world.script.held(1).await;
    drop(call);
    for (command, answer) in held {
        answer(Ok(echo(&command)));
    }
    assert_eq!(world.get("/v1/actors/Order/o-1").await.status, 200);
}
