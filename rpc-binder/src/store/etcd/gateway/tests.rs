//! The way to etcd, before members that do as they are told.

#![expect(clippy::disallowed_methods, reason = "a member is a thread with a socket")]

use std::io::Write as _;
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::super::fake::{HEADER, http, question};
use super::super::message::{GrantAnswer, KeyValue, RangeAnswer};
use super::*;

/// A member that gives one answer after the other, on a connection each, and hands out what it was asked.
fn member(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let answer = |answer: Vec<u8>| {
            let (mut stream, _) = listener.accept().unwrap();
            let (path, body) = question(&mut stream).unwrap();
            let _reset = stream.write_all(&answer);
            format!("{path} {body}")
        };
        answers.into_iter().map(answer).collect()
    });
    (place, serving)
}

fn gateway(endpoints: &[&str]) -> Gateway {
    let world = rpc_runtime::scheme::open("udp://127.0.0.1:0").unwrap().0;
    Gateway::new(world, endpoints.iter().map(|&place| place.to_owned()).collect())
}

fn soon(gateway: &Gateway) -> Instant {
    gateway.world.now() + Duration::from_secs(30)
}

/// Where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

const PATH: &str = "/v3/x";

#[test]
fn the_next_member_is_asked_when_one_is_away_and_first_of_all_the_next_time() {
    let granted = format!(r#"{{{HEADER},"ID":"7","TTL":"2"}}"#);
    let (place, serving) = member(vec![http("200 OK", &granted); 2]);
    let nobody = nobody();
    let gateway = gateway(&[&nobody, &place]);
    for _ in 0..2 {
        let answer: GrantAnswer = gateway.ask(PATH, &1, soon(&gateway)).unwrap();
        assert_eq!(answer.ttl.0, 2);
        assert_eq!(gateway.first.load(Ordering::Relaxed), 1);
    }
    assert_eq!(serving.join().unwrap(), ["/v3/x 1"; 2]);
}

#[test]
fn a_refusal_is_no_reason_to_ask_another_and_is_doubtful_after_a_lost_answer() {
    let refusal = r#"{"error":"etcdserver: requested lease not found","message":"…","code":5}"#;
    let (place, serving) = member(vec![http("404 Not Found", refusal)]);
    let gateway = gateway(&[&place, "127.0.0.1:1"]);
    let refused = gateway.ask::<GrantAnswer>(PATH, &1, soon(&gateway)).unwrap_err();
    let text = "etcdserver: requested lease not found".to_owned();
    assert_eq!(refused, Trouble::Refused { code: 5, text: text.clone(), is_doubtful: false });
    serving.join().unwrap();

    let (place, serving) = member(vec![Vec::new(), http("404 Not Found", refusal)]);
    let gateway = self::gateway(&[&place]);
    let refused = gateway.ask::<GrantAnswer>(PATH, &1, soon(&gateway)).unwrap_err();
    assert_eq!(refused, Trouble::Refused { code: 5, text, is_doubtful: true });
    assert!(refused.into_error().is_doubtful());
    serving.join().unwrap();
}

#[test]
fn what_was_not_sent_was_not_done() {
    let nobody = nobody();
    let gateway = gateway(&[&nobody]);
    let until = gateway.world.now() + Duration::from_millis(120);
    let away = gateway.ask::<GrantAnswer>(PATH, &1, until).unwrap_err();
    assert!(matches!(away, Trouble::Away { is_doubtful: false, .. }), "{away:?}");
    assert!(away.into_error().to_string().contains(&nobody));
}

#[test]
fn a_member_without_a_leader_has_done_nothing_and_the_next_is_asked() {
    let refusal = r#"{"error":"etcdserver: requested lease not found","message":"…","code":5}"#;
    for no_leader in [
        r#"{"error":"etcdserver: no leader","code":14,"message":"…"}"#,
        r#"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}"#,
        r#"{"code":14,"message":"etcdserver: no leader","details":[]}"#,
    ] {
        let (lonely, serving) = member(vec![http("503 Service Unavailable", no_leader)]);
        let (place, others) = member(vec![http("404 Not Found", refusal)]);
        let gateway = gateway(&[&lonely, &place]);
        let refused = gateway.ask::<GrantAnswer>(PATH, &1, soon(&gateway)).unwrap_err();
        let Trouble::Refused { code: 5, is_doubtful: false, .. } = refused else {
            panic!("{refused:?} after {no_leader}");
        };
        serving.join().unwrap();
        others.join().unwrap();
    }
}

#[test]
fn answers_that_make_no_sense_are_errors_in_words() {
    for (answer, part) in [
        (http("200 OK", "<html>"), "it answered 200 \"<html>\", which cannot be read"),
        (http("200 OK", r#"{"TTL":"much"}"#), "which cannot be read"),
        (http("200 OK", r#"{"TTL":3}"#), "which cannot be read"),
        (http("200 OK", "{}"), "what answers is not etcd"),
        (http("200 OK", r#"{"header":{"revision":"7"},"TTL":"2"}"#), "is not etcd"),
        (http("200 OK", r#"{"header":{"cluster_id":"7"},"TTL":"2"}"#), "is not etcd"),
        (http("404 Not Found", r#"{"code":404,"message":"no such page"}"#), "no such page"),
        (http("400 X", r#"{"code":-5,"message":"odd"}"#), "odd"),
        (http("502 Bad Gateway", "oh"), "it answered 502 \"oh\", which cannot be read"),
        (http("503 X", r#"{"error":"etcdserver: leader changed","code":14}"#), "leader changed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec(), ""),
        (Vec::new(), ""),
    ] {
        let (place, serving) = member(vec![answer]);
        let gateway = gateway(&[&place]);
        let made = gateway.attempt::<GrantAnswer>(0, PATH, b"1", Duration::from_secs(20));
        let Err(Trouble::Away { text, is_doubtful: true }) = made else { panic!("{made:?}") };
        assert!(text.contains(part), "{text}");
        serving.join().unwrap();
    }
}

#[test]
fn what_is_of_another_cluster_is_passed_over() {
    let granted = |cluster: u32| {
        let header = format!(r#""header":{{"cluster_id":"{cluster}","revision":"5"}}"#);
        http("200 OK", &format!(r#"{{{header},"TTL":"2"}}"#))
    };
    let (ours, serving) = member(vec![granted(1), granted(1)]);
    let (theirs, others) = member(vec![granted(2)]);
    let gateway = gateway(&[&ours, &theirs]);
    gateway.ask::<GrantAnswer>(PATH, &1, soon(&gateway)).unwrap();
    gateway.first.store(1, Ordering::Relaxed);
    gateway.ask::<GrantAnswer>(PATH, &1, soon(&gateway)).unwrap();
    assert_eq!((gateway.first.load(Ordering::Relaxed), gateway.head()), (0, 5));
    serving.join().unwrap();
    others.join().unwrap();
}

#[test]
fn an_answer_without_end_is_an_error() {
    let huge = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"kvs\":[".to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        question(&mut stream).unwrap();
        stream.write_all(&huge).unwrap();
        let spaces = vec![b' '; 1 << 20];
        let mut sent = 0_u64;
        while stream.write_all(&spaces).is_ok() && sent < 4 * ANSWER_BYTES_MAX {
            sent += 1 << 20;
        }
        sent
    });
    let gateway = gateway(&[&place]);
    let made = gateway.attempt::<RangeAnswer>(0, PATH, b"1", Duration::from_secs(60));
    assert!(matches!(made, Err(Trouble::Away { is_doubtful: true, .. })), "{made:?}");
    drop(gateway);
    assert!(serving.join().unwrap() < 2 * ANSWER_BYTES_MAX);
}

#[test]
fn a_stream_gives_its_items_one_by_one_and_ends_with_the_connection() {
    let (place, serving) = member(vec![http("200 OK", "{\"a\":1}\n{\"b\":2}\n{\"c\"")]);
    let gateway = gateway(&[&place]);
    let mut heard = Vec::new();
    let ended = gateway.stream(0, PATH, &1, Duration::from_secs(20), &mut |item| {
        heard.push(String::from_utf8_lossy(item).into_owned());
        true
    });
    assert_eq!(heard, ["{\"a\":1}\n", "{\"b\":2}\n"]);
    let Err(Trouble::Away { text, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(text, "an item ended after 4 bytes");
    serving.join().unwrap();
}

#[test]
fn keys_come_as_etcd_writes_them() {
    let answer = br#"{"header":{"cluster_id":"3","revision":"9"},"kvs":[{"key":"L3AvZXBvY2g=",
        "create_revision":"2","mod_revision":"4","version":"1","value":"b25l","lease":"77"}],
        "more":true,"count":"2"}"#;
    let answer: RangeAnswer = read(200, answer).unwrap();
    assert_eq!((answer.header.revision.0, answer.more), (9, true));
    let KeyValue { key, value, mod_revision } = &answer.kvs[0];
    assert_eq!((&*key.0, &*value.0, mod_revision.0), (&b"/p/epoch"[..], &b"one"[..], 4));
}
