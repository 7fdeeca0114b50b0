//! The methods of `Actors` other than streams, and the services around it.

use corallite_proto::v1;
use prost::Message;
use tonic::{Code, Request};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1 as reflection;

use super::World;
use super::script::{NOW_MS, token};
use crate::limits::DEADLINE_MS_MAX;
use crate::outcome::{Class, Failure};
use crate::request::{Consistency, ReadWhat};

fn order() -> Option<v1::ActorRef> {
    Some(v1::ActorRef { r#type: "Order".into(), id: "o-1".into() })
}

fn place() -> v1::ExecuteRequest {
    v1::ExecuteRequest {
        actor: order(),
        command: "place".into(),
        payload: "{\"a\":1}".into(),
        command_id: "k-1".into(),
        until: vec!["OrderPaid".into()],
        wait_ms: 250,
    }
}

#[tokio::test]
async fn a_command_and_its_answer_cross_whole() {
    let world = World::new().await;
    let response = world.actors().await.execute(place()).await.expect("applied").into_inner();
    let event = v1::Event {
        seq: 7,
        name: "OrderPaid".into(),
        payload: "{\"a\":1}".into(),
        time_ms: 5,
        position: token(3, 9),
    };
    let expected = v1::ExecuteResponse {
        reply: "{\"a\":1}".into(),
        seq: 7,
        position: token(3, 9),
        events: vec!["OrderPlaced".into(), "Said\"Hi\"".into()],
        event: Some(event),
        command_id: "k-1".into(),
    };
    assert_eq!(response, expected);
    let commands = world.script.commands.lock();
    assert_eq!((commands[0].actor.to_string().as_str(), &*commands[0].id), ("Order/o-1", "k-1"));
    assert_eq!(commands[0].until.as_ref().map(|until| until.wait_ms), Some(250));
}

#[tokio::test]
async fn ids_are_made_and_deadlines_taken() {
    let world = World::new().await;
    let mut request = Request::new(v1::ExecuteRequest { command_id: String::new(), ..place() });
    request.metadata_mut().insert("grpc-timeout", "2S".parse().expect("a header"));
    let made = world.actors().await.execute(request).await.expect("applied").into_inner().command_id;
    assert_eq!(uuid::Uuid::parse_str(&made).expect("a uuid").get_version_num(), 7);
    let mut request = Request::new(place());
    request.metadata_mut().insert("grpc-timeout", "100H".parse().expect("a header"));
    world.actors().await.execute(request).await.expect("applied");
    let commands = world.script.commands.lock();
    assert_eq!((&*commands[0].id, commands[0].deadline_ms), (made.as_str(), NOW_MS + 2_000));
    assert_eq!(commands[1].deadline_ms, NOW_MS + DEADLINE_MS_MAX);
}

#[tokio::test]
async fn reads_cross_whole() {
    let world = World::new().await;
    let mut actors = world.actors().await;
    let state = actors.get(v1::GetRequest { actor: order(), at_seq: 3, stale: true }).await.expect("read");
    let expected = v1::GetResponse { state: "{\"status\":\"placed\"}".into(), seq: 4, position: token(3, 8) };
    assert_eq!(state.into_inner(), expected);
    let query =
        v1::QueryRequest { actor: order(), query: "summary".into(), args: "[1]".into(), stale: false };
    assert_eq!(actors.query(query).await.expect("read").into_inner().result, expected.state);
    let events = v1::EventsRequest { actor: order(), from: 0, limit: 0 };
    let page = actors.events(events).await.expect("read").into_inner();
    assert_eq!((page.events.len(), page.next), (2, 3));
    let reads = world.script.reads.lock();
    assert!(matches!((&reads[0].what, reads[0].consistency), (ReadWhat::StateAt(_), Consistency::Stale)));
    assert!(matches!(&reads[1].what, ReadWhat::Query { args, .. } if args == "[1]"));
    let histories = world.script.histories.lock();
    assert_eq!((histories[0].from.0, histories[0].limit), (1, 100));
}

#[tokio::test]
async fn dead_letters_cross_whole() {
    let world = World::new().await;
    let mut actors = world.actors().await;
    let position = token(3, 2);
    let list = v1::ListDeadLettersRequest { limit: 0, after: position.clone() };
    let letters = actors.list_dead_letters(list).await.expect("listed").into_inner().letters;
    assert_eq!((letters.len(), &letters[0].source, &letters[1].source), (2, &None, &order()));
    let get = v1::GetDeadLetterRequest { position: position.clone() };
    let letter = actors.get_dead_letter(get).await.expect("read").into_inner().letter.expect("a letter");
    assert_eq!(
        (letter.position.as_str(), &letter.payload[..]),
        (position.as_str(), &b"{\"quantity\":2}"[..])
    );
    let replay = v1::ReplayDeadLetterRequest { position: position.clone() };
    actors.replay_dead_letter(replay).await.expect("replayed");
    actors.drop_dead_letter(v1::DropDeadLetterRequest { position }).await.expect("dropped");
    let after = format!("list {:?} 100", Some(super::script::at(3, 2)));
    assert_eq!(*world.script.dead.lock(), [after.as_str(), "get 3:2", "replay 3:2", "drop 3:2"]);
}

#[tokio::test]
async fn a_failure_is_a_status_with_the_whole_error() {
    let world = World::new().await;
    *world.script.fail.lock() =
        Some(Failure::retryable(Class::Overloaded, "Overloaded", "the mailbox is full", 100));
    let status = world.actors().await.execute(place()).await.expect_err("overloaded");
    let error = v1::Error::decode(status.details()).expect("details");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!((error.code.as_str(), error.outcome()), ("Overloaded", v1::Outcome::NotApplied));
    assert_eq!((error.retryable, error.retry_after_ms, error.command_id.as_str()), (true, 100, "k-1"));
    assert!(status.message().contains("the mailbox is full") && status.message().contains("notApplied"));
}

#[tokio::test]
async fn a_message_far_over_the_limit_is_cut_off_by_the_transport() {
    let world = World::new().await;
    let request = v1::ExecuteRequest { payload: vec![b' '; 4 << 20].into(), ..place() };
    let status = world.actors().await.execute(request).await.expect_err("too large");
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(world.script.commands.lock().is_empty());
}

#[tokio::test]
async fn views_and_feed_say_they_are_not_served() {
    let world = World::new().await;
    let mut views = v1::views_client::ViewsClient::new(world.channel().await);
    let mut feed = v1::feed_client::FeedClient::new(world.channel().await);
    let statuses = [
        views.query(v1::ViewsQueryRequest::default()).await.expect_err("unserved"),
        views.watch(v1::WatchRequest::default()).await.expect_err("unserved"),
        feed.subscribe(v1::SubscribeRequest::default()).await.expect_err("unserved"),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("not served by this version"), "{status}");
    }
}

#[tokio::test]
async fn control_is_not_on_the_public_listener() {
    let world = World::new().await;
    let mut control = v1::control_client::ControlClient::new(world.channel().await);
    let status = control.status(v1::StatusRequest {}).await.expect_err("not there");
    assert_eq!((status.code(), status.message()), (Code::Unimplemented, ""));
}

#[tokio::test]
async fn reflection_lists_what_is_public() {
    let world = World::new().await;
    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(world.channel().await);
    let request = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let stream = client.server_reflection_info(tokio_stream::once(request)).await.expect("served");
    let response = stream.into_inner().message().await.expect("well").expect("an answer");
    let Some(reflection::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        response.message_response
    else {
        panic!("{response:?}")
    };
    let mut names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    let expected = [
        "corallite.v1.Actors",
        "corallite.v1.Feed",
        "corallite.v1.Views",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn health_follows_readiness() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel().await);
    let request = HealthCheckRequest { service: "corallite.v1.Actors".into() };
    let mut watch = health.watch(request).await.expect("served").into_inner();
    let mut next = async || watch.message().await.expect("well").expect("a status").status();
    assert_eq!(next().await, ServingStatus::Serving);
    *world.script.waits_for.lock() = Some("the store".to_owned());
    assert_eq!(next().await, ServingStatus::NotServing);
}
