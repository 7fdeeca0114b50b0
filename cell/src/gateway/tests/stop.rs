//! A stop finishes what is under way, within its grace.

use std::time::Duration;

use corallite_proto::v1;
use hyper::Method;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::script::echo;
use super::{Stopped, World};

const PLACE: &str = "/v1/actors/Order/o-1/place";

/// Waits until the listener no longer takes connections.
async fn closed(address: &str) {
    let address = address.trim_start_matches("http://");
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_cell_stops_at_once() {
    let world = World::new().await;
    world.get("/v1/actors/Order/o-1").await;
    assert_eq!(world.stop().await, Stopped::Clean);
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let mut world = World::new().await;
    world.script.hold();
    let uri = format!("{}{PLACE}", world.http);
    let client = world.client.clone();
    let http =
        tokio::spawn(
            async move { super::request(&client, Method::POST, &uri, &[], "{\"by\":\"http\"}").await },
        );
    let mut actors = world.actors().await;
    let grpc = tokio::spawn(async move {
        let actor = Some(v1::ActorRef { r#type: "Order".into(), id: "o-2".into() });
        actors.execute(v1::ExecuteRequest { actor, command: "place".into(), ..Default::default() }).await
    });
    let held = world.script.held(2).await;
    let held = if held.len() == 2 { held } else { panic!("{} held", held.len()) };
    world.ask_to_stop();
    closed(&world.http).await;
    closed(&world.grpc).await;
    let ready = world.admin("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.body.as_str()), (503, "stopping\n"));
    for (command, answer) in held {
        answer(Ok(echo(&command)));
    }
    let reply = http.await.expect("no panic");
    assert_eq!((reply.status.as_u16(), &reply.json()["reply"]["by"]), (200, &serde_json::json!("http")));
    grpc.await.expect("no panic").expect("applied");
    assert_eq!(world.served.await.expect("no panic"), Stopped::Clean);
}

#[tokio::test]
async fn a_stream_gets_its_answers_and_then_hears_of_the_stop() {
    let mut world = World::new().await;
    world.script.hold();
    let (commands, receiver) = tokio::sync::mpsc::channel(4);
    let mut answers = world
        .actors()
        .await
        .execute_stream(ReceiverStream::new(receiver))
        .await
        .expect("served")
        .into_inner();
    let actor = Some(v1::ActorRef { r#type: "Order".into(), id: "o-1".into() });
    let request = Some(v1::ExecuteRequest { actor, command: "place".into(), ..Default::default() });
    commands.send(v1::ExecuteStreamRequest { tag: 5, request, timeout_ms: 0 }).await.expect("open");
    let held = world.script.held(1).await;
    world.ask_to_stop();
    closed(&world.grpc).await;
    for (command, answer) in held {
        answer(Ok(echo(&command)));
    }
    assert_eq!(answers.message().await.expect("well").expect("an answer").tag, 5);
    let status = answers.message().await.expect_err("the stop");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("stopping"), "{status}");
    drop((commands, answers));
    assert_eq!(world.served.await.expect("no panic"), Stopped::Clean);
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut_off() {
    let mut world = World::with_grace(Duration::ZERO).await;
    world.script.hold();
    let mut actors = world.actors().await;
    let stuck = tokio::spawn(async move {
        let actor = Some(v1::ActorRef { r#type: "Order".into(), id: "o-1".into() });
        actors.execute(v1::ExecuteRequest { actor, command: "place".into(), ..Default::default() }).await
    });
    let held = world.script.held(1).await;
    world.ask_to_stop();
    assert_eq!(world.served.await.expect("no panic"), Stopped::CutOff);
    assert!(stuck.await.expect("no panic").is_err());
    drop(held);
}
