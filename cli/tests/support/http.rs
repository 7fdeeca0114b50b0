//! Plain HTTP/1.1 over a socket: one request, one connection, nothing hidden.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request; an error means that the answer was lost, not that nothing happened.
///
/// # Errors
/// The server cannot be reached or ended the connection before the answer was whole.
pub fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n");
    head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// `GET`.
///
/// # Errors
/// As [`request`].
pub fn get(to: SocketAddr, path: &str) -> io::Result<Response> {
    request(to, "GET", path, &[], "")
}

/// `POST` of a command with its idempotency key.
///
/// # Errors
/// As [`request`].
pub fn command(to: SocketAddr, actor: &str, name: &str, id: &str, payload: &str) -> io::Result<Response> {
    request(to, "POST", &format!("/v1/actors/{actor}/{name}"), &[("idempotency-key", id)], payload)
}

/// A whole answer, or nothing.
fn parse(bytes: &[u8]) -> Option<Response> {
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..split]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let value = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
    let rest = &bytes[split + 4..];
    let body = if value("transfer-encoding") == Some("chunked") {
        unchunk(rest)?
    } else {
        let length = value("content-length").and_then(|length| length.parse().ok()).unwrap_or(rest.len());
        rest.get(..length)?.to_vec()
    };
    Some(Response { status, body: String::from_utf8(body).ok()?, headers })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let chunk = rest.get(line + 2..line + 2 + size)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + size + 2..)?;
    }
}

#[test]
fn answers_are_read_whole_or_not_at_all() {
    let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(parse(whole).map(|response| response.body), Some("{}".to_owned()));
    assert!(parse(&whole[..whole.len() - 1]).is_none(), "cut short");
    let chunked = b"HTTP/1.1 409 Conflict\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    let response = parse(chunked).expect("whole");
    assert_eq!((response.status, response.body.as_str()), (409, "{}"));
    assert!(parse(&chunked[..chunked.len() - 8]).is_none(), "cut short");
}
