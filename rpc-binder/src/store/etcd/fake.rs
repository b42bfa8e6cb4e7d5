//! A member of etcd that does as it is told.

#![expect(clippy::disallowed_methods, reason = "a member is a thread with a socket")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What every answer of etcd has; written as HEADER in [`ok`].
pub(super) const HEADER: &str = r#""header":{"cluster_id":"14841639068965178418","revision":"9"}"#;

/// What is said to one request.
#[derive(Debug)]
pub(super) struct Answer {
    bytes: Vec<u8>,
    /// Whether the member says nothing more then, and does not end the connection.
    is_silent: bool,
}

impl Answer {
    pub(super) fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes, is_silent: false }
    }

    /// Items of a stream, after which nothing comes.
    pub(super) fn stream(items: &str) -> Self {
        let items = items.replace("HEADER", HEADER);
        let text = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{items}");
        Self { bytes: text.into(), is_silent: true }
    }
}

/// A good answer.
pub(super) fn ok(body: &str) -> Answer {
    Answer::whole(http("200 OK", &body.replace("HEADER", HEADER)))
}

pub(super) fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

/// The path and the body of one request, which asks for a member that has a leader.
pub(super) fn question(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut lines = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    let mut has_wish = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("POST ") {
            path = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = bytes.parse().unwrap();
        }
        has_wish |= line.eq_ignore_ascii_case("grpc-metadata-hasleader: true");
        if line.is_empty() {
            assert!(has_wish, "whoever has no leader is to say so");
            let mut body = vec![0; length];
            lines.read_exact(&mut body).ok()?;
            return Some((path, String::from_utf8(body).unwrap()));
        }
    }
}

/// Answers for as long as the test runs, a thread for each connection.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) place: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Member {
    pub(super) fn start(answer: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, notes) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, notes) = (Arc::clone(&answer), Arc::clone(&notes));
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let Some((path, body)) = question(&mut stream) else { return };
                    notes.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                    let Answer { bytes, is_silent } = answer(&path, &body);
                    let _gone = stream.write_all(&bytes);
                    if is_silent {
                        let _closed = stream.read(&mut [0]); // until the other end lets go
                    }
                });
            }
        });
        Self { place, asked }
    }

    /// How often a path was asked for.
    pub(super) fn count(&self, path: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|one| *one == path).count()
    }
}
