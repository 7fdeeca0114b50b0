//! An HTTP server that answers every request on a connection from a script: status and body.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// What was asked: the request line and the idempotency key.
pub type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// Serves until the runtime ends. When the script is over, everything is 200 with `{}`.
pub async fn start(script: &[(u16, &'static str)]) -> (String, Asked) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let script: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(script.iter().copied().collect()));
    let asked = Asked::default();
    let remember = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone(), remember.clone()));
        }
    });
    (url, asked)
}

async fn serve(
    stream: TcpStream,
    script: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    asked: Asked,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await? == 0 {
            return Ok(());
        }
        let (mut length, mut key) = (0, None);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().expect("a length");
                }
                Some((name, value)) if name.eq_ignore_ascii_case("idempotency-key") => {
                    key = Some(value.to_owned());
                }
                Some(_) => {}
                None => break,
            }
        }
        stream.read_exact(&mut vec![0; length]).await?;
        asked.lock().expect("no panic").push((first.trim_end().to_owned(), key));
        let (status, body) = script.lock().expect("no panic").pop_front().unwrap_or((200, "{}"));
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}
