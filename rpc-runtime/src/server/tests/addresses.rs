//! Servers at all addresses of their host: where they say that they are to be called.

use super::*;

fn server_at(place: &str) -> Server {
    let (sender, _seen) = mpsc::channel();
    let probe =
        Probe { seen: Mutex::new(sender), executions: Arc::default(), release: Arc::default() };
    Server::bind(&format!("udp://{place}")).expect("a free port").export(probe)
}

#[test]
fn a_server_at_all_addresses_names_one_that_can_be_called_from_here() {
    for (place, host) in [("0.0.0.0:0", "udp://127.0.0.1:"), ("[::]:0", "udp://[::1]:")] {
        let running = server_at(place).spawn().expect("starts");
        let url = running.url();
        assert!(url.starts_with(host), "{url}");
        let mut peer = Peer::open_at(url.strip_prefix("udp://").expect("a UDP server"));
        peer.request(0, 1, &PROBE, WORK, b"here");
        assert_eq!(peer.answer(0, 1), returned(b"here"));
    }
}

#[test]
fn a_server_at_all_addresses_is_registered_only_where_it_was_told_that_it_is() {
    for place in ["0.0.0.0:0", "127.0.0.1:0,[::]:0"] {
        let notes = Notes(Arc::default());
        let error = server_at(place).register(&notes).spawn().expect_err("says no address");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains("`advertise("), "{error}");
        assert!(notes.0.lock().unwrap().is_empty());
        let told = server_at(place).register(&notes).advertise("udp://192.0.2.1:7");
        let _running = told.spawn().expect("starts");
        assert_eq!(*notes.0.lock().unwrap(), ["probe at udp://192.0.2.1:7"]);
    }
}
