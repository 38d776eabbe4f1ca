//! A small HTTP server on loopback, in the place of an AWS service or of Lambda's Runtime API.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// Headers by name in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// A request: path, headers, body.
type Asked = (String, Headers, String);

/// Status, headers and body.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

/// Answers in threads of its own until the process ends. Gives `host:port`.
pub(crate) fn serve(
    answer: impl Fn(&str, &Headers, &str) -> Answer + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            // A peer that is gone ends its thread.
            std::thread::spawn(move || talk(&stream.unwrap(), &*answer));
        }
    });
    address
}

fn talk(mut stream: &TcpStream, answer: &impl Fn(&str, &Headers, &str) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (path, headers, body) = read(&mut reader)?;
        let (status, headers, body) = answer(&path, &headers, &body);
        let headers: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} -\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
            .ok()?;
    }
}

fn read(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = || {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                break;
            }
        }
    } else {
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        body.resize(length.unwrap_or(0), 0);
        reader.read_exact(&mut body).ok()?;
    }
    Some((path, headers, String::from_utf8_lossy(&body).into_owned()))
}
