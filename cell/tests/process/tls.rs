//! Who gets an answer on the control listener, and certificates that change under it.

use std::time::Instant;

use tonic::Code;

use crate::certificates::{Authority, OPERATOR};
use crate::pod::{PATIENCE, Pod, borrowed, control, status};

#[tokio::test]
async fn control_answers_the_operator_only() {
    let pod = Pod::new();
    let run = pod.start().await;
    let trusted = pod.authority.certificate();
    let ask = async |pair: Option<crate::certificates::Pair>| status(&run, &trusted, pair.as_ref()).await;

    let answer = ask(Some(pod.operator())).await.expect("the operator is answered");
    assert_eq!((&*answer.cell, &*answer.config_hash), ("shop-0", "hash-1"));

    let error = ask(Some(pod.authority.client("shop-1.shop-cells.market.svc"))).await.expect_err("a peer");
    assert_eq!(error.code(), Code::PermissionDenied, "{error:?}");
    assert!(error.message().contains(OPERATOR), "{error:?}");

    for (what, pair) in [
        ("no certificate", None),
        ("a foreign CA", Some(Authority::new().client(OPERATOR))),
        ("an expired certificate", Some(pod.authority.expired_client(OPERATOR))),
    ] {
        let error = ask(pair).await.expect_err(what);
        // The handshake fails, so there is no answer of the service.
        assert_ne!(error.code(), Code::PermissionDenied, "{what}: {error:?}");
        assert_ne!(error.code(), Code::DeadlineExceeded, "{what}: {error:?}");
    }
    run.wait_for("a control connection was refused").await;
    let error = status(&run, &Authority::new().certificate(), Some(&pod.operator())).await;
    error.expect_err("the operator does not talk to a cell of another CA");
    // Nobody without TLS gets anywhere.
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", run.peers)).expect("an address");
    if let Ok(channel) = plain.timeout(PATIENCE).connect().await {
        let mut client = corallite_proto::v1::control_client::ControlClient::new(channel);
        client.status(corallite_proto::v1::StatusRequest {}).await.expect_err("no TLS, no answer");
    }
}

#[tokio::test]
async fn certificates_are_rotated_without_a_restart() {
    let mut pod = Pod::new();
    let run = pod.start().await;
    let (old_authority, old_operator) = (pod.authority.certificate(), pod.operator());
    let mut before = control(&run, &old_authority, Some(&old_operator)).await.expect("connected");
    let session =
        before.status(corallite_proto::v1::StatusRequest {}).await.expect("asked").into_inner().session;

    // A key that is not the certificate's: refused, and the pair in use goes on.
    let mut unfit = pod.authority.server();
    unfit[1].1 = pod.authority.client("x").key;
    pod.tls.replace(&borrowed(&unfit));
    run.wait_for("new certificates are refused").await;
    status(&run, &old_authority, Some(&old_operator)).await.expect("the old pair goes on");

    // Another CA altogether: only its certificates are shown and taken from then on.
    pod.authority = Authority::new();
    pod.tls.replace(&borrowed(&pod.authority.server()));
    let (authority, operator) = (pod.authority.certificate(), pod.operator());
    let started = Instant::now();
    while let Err(error) = status(&run, &authority, Some(&operator)).await {
        assert!(started.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    status(&run, &old_authority, Some(&old_operator)).await.expect_err("the old CA is not trusted any more");
    status(&run, &authority, Some(&old_operator)).await.expect_err("nor are its clients");
    // The connection from before is still there, and so is the process.
    let after = before.status(corallite_proto::v1::StatusRequest {}).await.expect("asked").into_inner();
    assert_eq!(after.session, session);
}

#[test]
fn without_certificates_it_does_not_start() {
    let pod = Pod::new();
    let (status, line, sentence) = pod.fails(pod.command());
    assert_eq!(status.code(), Some(1));
    assert!(sentence.contains("--tls") && sentence.contains("corallite dev"), "{sentence}");
    assert_eq!(line["message"], *sentence);

    let mut command = pod.command();
    std::fs::remove_file(pod.tls.path().join("..data/ca.crt")).expect("removed");
    command.arg("--tls").arg(pod.tls.path());
    let (status, _, sentence) = pod.fails(command);
    assert_eq!(status.code(), Some(1));
    assert!(sentence.contains("ca.crt"), "{sentence}");
    assert!(!crate::pod::has_store(&pod), "nothing was made");
}
