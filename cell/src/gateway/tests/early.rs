//! Health while a cell starts: what is waited for, and the hand-over to the gateway.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::{Early, Listeners};

async fn listeners() -> Listeners {
    let open = || TcpListener::bind("127.0.0.1:0");
    Listeners {
        grpc: open().await.expect("bound"),
        http: open().await.expect("bound"),
        admin: open().await.expect("bound"),
    }
}

/// Asks on a connection that stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: cell\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = vec![0; 4_096];
    let read = stream.read(&mut text).await.expect("answered");
    String::from_utf8(text[..read].to_vec()).expect("text")
}

#[tokio::test]
async fn a_starting_cell_is_alive_and_says_what_it_waits_for() {
    let listeners = listeners().await;
    let early = Early::start(&listeners, "the store to be opened");
    let to = listeners.admin.local_addr().expect("bound");
    let mut stream = TcpStream::connect(to).await.expect("connected");
    assert!(ask(&mut stream, "/livez").await.starts_with("HTTP/1.1 200 "));
    let answer = ask(&mut stream, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("waits for the store to be opened"),
        "{answer}"
    );
    early.waits_for("the buckets");
    let answer = ask(&mut stream, "/readyz").await;
    assert!(answer.contains("waits for the buckets"), "{answer}");
}

#[tokio::test]
async fn after_it_stopped_connections_are_another_s() {
    let listeners = listeners().await;
    let early = Early::start(&listeners, "anything");
    let to = listeners.admin.local_addr().expect("bound");
    let mut idle = TcpStream::connect(to).await.expect("connected");
    assert!(ask(&mut idle, "/livez").await.starts_with("HTTP/1.1 200 "));
    early.stop().await;
    let client = TcpStream::connect(to).await.expect("the socket is still listened on");
    let (accepted, _) = listeners.admin.accept().await.expect("accepted");
    assert_eq!(accepted.peer_addr().expect("a peer"), client.local_addr().expect("bound"));
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.expect("closed, not reset");
    assert_eq!(rest, "");
}
