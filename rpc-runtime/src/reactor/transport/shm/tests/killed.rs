//! Processes that are killed in the midst of what they do to the rings.

use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Stdio};

use super::*;

/// A process that does what the test of that name does, at that path.
fn process(test: &str, path: &str) -> Child {
    let name = format!("reactor::transport::shm::tests::killed::{test}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--ignored"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{path}").unwrap();
    child
}

/// The path, for one who was started so.
fn given_path() -> String {
    let mut path = String::new();
    std::io::stdin().lock().read_line(&mut path).unwrap();
    path.trim_end().to_owned()
}

#[test]
#[ignore = "the other process of the test below"]
fn a_caller_that_does_nothing_but_send() {
    let path = given_path();
    let Ok((client, to)) = dial(&path) else { return };
    let mut buffer = vec![0; client.datagram_bytes_max()];
    loop {
        client.send(to, &[7; 1_000]);
        client.take(&mut buffer);
    }
}

#[test]
fn callers_killed_in_the_midst_of_writing_lose_their_own_rings_only() {
    const KILLED: u64 = 12;
    let Pair { server, client, to, path, _folder, .. } = pair();
    let mut buffer = vec![0; server.datagram_bytes_max()];
    let mut next = |server: &Listening| loop {
        let soon = clock::now() + Duration::from_secs(20);
        match server.receive(&mut buffer, Some(soon)) {
            Received::Datagram { len, from } => return (buffer[..len].to_vec(), from),
            Received::Nothing | Received::Broken | Received::Closed => {
                assert!(clock::now() < soon, "{:?}", server.streams());
            }
        }
    };
    for number in 0..KILLED {
        let mut child = process("a_caller_that_does_nothing_but_send", &path);
        for _ in 0..number * 3 + 1 {
            let (came, from) = next(&server);
            assert!(came.len() % 1_000 == 0 && came.iter().all(|byte| *byte == 7));
            server.send(from, &came[..1_000]);
        }
        child.kill().unwrap();
        assert_eq!(client.send(to, &[1]), Sent::Yes);
        while next(&server).0 != [1] {}
        child.wait().unwrap();
    }
    until(&*server, || server.streams().ended == KILLED);
    assert_eq!((server.streams().opened, server.streams().malformed), (KILLED + 1, 0));
    assert_eq!(client.streams().opened, 1);
}

#[test]
#[ignore = "the other process of the test below"]
fn a_server_that_answers_all() {
    let path = given_path();
    let Ok(server) = listen(&path) else { return };
    let mut buffer = vec![0; server.datagram_bytes_max()];
    loop {
        if let Received::Datagram { len, from } = server.receive(&mut buffer, None) {
            server.send(from, &buffer[..len]);
        }
    }
}

#[test]
fn a_server_killed_in_the_midst_of_answering_is_called_again_in_its_next_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket").to_str().unwrap().to_owned();
    let (client, to) = dial(&path).unwrap();
    let mut buffer = vec![0; client.datagram_bytes_max()];
    for life in 1..=8_u64 {
        let mut server = process("a_server_that_answers_all", &path);
        let end = clock::now() + Duration::from_secs(20);
        let mut heard = 0;
        while heard < life * 50 {
            assert!(clock::now() < end, "{:?}", client.streams());
            client.send(to, &[3; 500]);
            let soon = clock::now() + Duration::from_millis(1);
            if let Received::Datagram { len, .. } = client.receive(&mut buffer, Some(soon)) {
                assert!(buffer[..len].iter().all(|byte| *byte == 3));
                heard += 1;
            }
        }
        assert_eq!(client.streams().opened, life);
        server.kill().unwrap();
        server.wait().unwrap();
    }
    assert_eq!(client.streams().malformed, 0);
}
