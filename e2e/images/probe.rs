//! A small HTTP server for tests of the cluster itself; needs nothing but the kernel.
//!
//! `GET /` answers the pod's name. `PUT /data/NAME` writes its body to a file of the volume at
//! `/data`, and `GET /data/NAME` reads it. `GET /fetch/ADDRESS:PORT` asks another probe for its
//! name, by address or by DNS name. One request per connection, one connection at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:8080")?;
    eprintln!("probe listens on 8080");
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(serve) {
            eprintln!("connection: {error}");
        }
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        if let Some((name, value)) = header.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        header.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = request.split_ascii_whitespace();
    let (status, answer) = match answer(words.next().unwrap_or(""), words.next().unwrap_or(""), &body) {
        Ok(answer) => ("200 OK", answer),
        Err(error) => ("500 Internal Server Error", error.to_string()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn answer(method: &str, path: &str, body: &[u8]) -> io::Result<String> {
    if let Some(file) = path.strip_prefix("/data/").filter(|name| !name.contains('/')) {
        let file = format!("/data/{file}");
        if method == "PUT" {
            fs::write(&file, body)?;
            fs::File::open(&file)?.sync_all()?;
            return Ok(String::new());
        }
        return fs::read_to_string(file);
    }
    if let Some(address) = path.strip_prefix("/fetch/") {
        let mut other = TcpStream::connect(address)?;
        other.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(other, "GET / HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        other.read_to_string(&mut answer)?;
        return Ok(answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned());
    }
    Ok(env::var("HOSTNAME").unwrap_or_default())
}
