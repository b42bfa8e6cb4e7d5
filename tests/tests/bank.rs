//! A bank over real UDP sockets: every form of call, every form of failure.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rpc_runtime::protocol::AckProtocol;
use rpc_runtime::{
    CallError, Error, ErrorKind, Execution, Options, Resolution, Server, Stub, service,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum BankError {
    NoFunds { short: u64 },
}

#[service(name = "bank", version = "1.2")]
trait Bank {
    #[rpc(at_least_once)]
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError>;
    fn transfer(&self, from: &str, cents: u64) -> rpc_runtime::Result<u64, BankError>;
    #[rpc(maybe)]
    fn note(&self, line: &str);
    #[rpc(inline)]
    fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError>;
    fn panic(&self, text: &str) -> Result<(), CallError>;
    fn give_up(&self) -> Result<(), CallError>;
    #[rpc(timeout = "1s")]
    fn sleep_until_cancelled(&self) -> Result<(), CallError>;
    fn large(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError>;
    fn grow(&self, count: u32) -> Result<Vec<u8>, CallError>;
}

#[derive(Default)]
struct MyBank {
    notes: AtomicU64,
    transfers: AtomicU64,
}

impl Bank for MyBank {
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError> {
        Ok(account.len() as u64)
    }

    fn transfer(&self, from: &str, cents: u64) -> rpc_runtime::Result<u64, BankError> {
        self.transfers.fetch_add(1, Ordering::Relaxed);
        let have = from.len() as u64;
        Ok(have.checked_sub(cents).ok_or_else(|| BankError::NoFunds { short: cents - have })?)
    }

    fn note(&self, _line: &str) {
        self.notes.fetch_add(1, Ordering::Relaxed);
    }

    fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError> {
        basket.push(format!("item {n}"));
        Ok(n + 1)
    }

    fn panic(&self, text: &str) -> Result<(), CallError> {
        std::panic::resume_unwind(Box::new(text.to_owned()));
    }

    fn give_up(&self) -> Result<(), CallError> {
        Err(CallError::failed("out of paper"))
    }

    fn sleep_until_cancelled(&self) -> Result<(), CallError> {
        let context = rpc_runtime::current().expect("inside a handler");
        let (tell, told) = std::sync::mpsc::channel();
        context.on_cancel(move || {
            let _ = tell.send(());
        });
        let _ = told.recv_timeout(Duration::from_secs(5));
        Err(CallError::failed("nobody waits"))
    }

    fn large(&self, bytes: &[u8]) -> Result<Vec<u8>, CallError> {
        Ok(bytes.to_vec())
    }

    fn grow(&self, count: u32) -> Result<Vec<u8>, CallError> {
        Ok(vec![7; count as usize])
    }
}

fn bank() -> (rpc_runtime::server::Running, Arc<MyBank>, BankClient) {
    let object = Arc::new(MyBank::default());
    let server = Server::bind("udp://127.0.0.1:0")
        .unwrap()
        .export(BankService::shared(Arc::clone(&object)))
        .spawn()
        .unwrap();
    let client = BankClient::connect(&server.url()).unwrap();
    (server, object, client)
}

#[test]
fn calls_return_values_errors_and_in_outs() {
    let (_server, object, bank) = bank();
    assert_eq!(bank.balance("ann").unwrap(), 3);
    assert_eq!(bank.transfer("ann", 2).unwrap(), 1);
    let poor = bank.transfer("ann", 5);
    assert!(matches!(poor, Err(Error::App(BankError::NoFunds { short: 2 }))), "{poor:?}");
    let mut basket = vec!["apple".to_owned()];
    assert_eq!(bank.fill(&mut basket, 4).unwrap(), 5);
    assert_eq!(basket, ["apple", "item 4"]);
    assert_eq!(bank.large(&[5; 900]).unwrap(), vec![5; 900]);
    for _ in 0..10 {
        bank.note("line");
    }
    assert_eq!(bank.balance("x").unwrap(), 1, "a call behind the notes");
    assert_eq!(object.transfers.load(Ordering::Relaxed), 2);
}

#[test]
fn overlapped_calls_are_under_way_at_once() {
    let (_server, _object, bank) = bank();
    let names: Vec<String> = (0..200).map(|n| "x".repeat(n)).collect();
    let calls: Vec<_> = names.iter().map(|name| bank.start().balance(name)).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.wait().unwrap(), n as u64);
    }
}

#[test]
fn many_threads_share_one_connection() {
    let (_server, _object, bank) = bank();
    std::thread::scope(|scope| {
        for thread in 0..16_usize {
            let bank = bank.clone();
            scope.spawn(move || {
                let name = "y".repeat(thread);
                for _ in 0..200 {
                    assert_eq!(bank.balance(&name).unwrap(), thread as u64);
                }
            });
        }
    });
}

#[test]
fn a_future_is_woken_by_whoever_receives() {
    let (_server, _object, bank) = bank();
    for _ in 0..50 {
        assert_eq!(block_on(bank.start().balance("abcd")).unwrap(), 4);
    }
}

/// The smallest executor: parks its thread between polls.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_panic_and_a_handler_that_gives_up_are_executed() {
    let (_server, _object, bank) = bank();
    let error = bank.panic("on fire").unwrap_err();
    assert_eq!(error.to_string(), "executed: the handler panicked: on fire");
    assert_eq!(error.method(), "bank.panic");
    let error = bank.give_up().unwrap_err();
    assert_eq!(error.to_string(), "executed, perhaps in part: the handler gave up: out of paper");
    assert_eq!(bank.balance("ann").unwrap(), 3, "no other call was disturbed");
}

#[test]
fn nobody_there_is_not_executed() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let bank = BankClient::connect(&url).unwrap();
    let bank = bank.with(Options::new().timeout(Duration::from_millis(300)));
    let error = bank.balance("ann").unwrap_err();
    let error = error.call().expect("the call failed");
    assert_eq!((error.kind(), error.execution()), (ErrorKind::Unreachable, Execution::NotExecuted));
    assert!(error.is_safe_to_retry());
}

#[test]
fn what_does_not_fit_is_refused_before_it_leaves_and_a_reply_that_does_not_is_executed() {
    let (_server, _object, bank) = bank();
    let error = bank.large(&vec![0; 17 << 20]).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::TooLarge, Execution::NotExecuted));
    let error = bank.grow(17 << 20).unwrap_err();
    assert_eq!((error.kind(), error.execution()), (ErrorKind::ReplyTooLarge, Execution::Executed));
}

#[test]
fn large_arguments_and_replies_cross_real_sockets_by_both_protocols() {
    let (_server, _object, bank) = bank();
    for protocol in [AckProtocol::Blast, AckProtocol::StopAndWait] {
        let bank = bank.with(Options::new().ack(protocol).timeout(Duration::from_secs(60)));
        for length in [1, 1_140, 1_141, 1_165, 5_000, 100_000, 1 << 20] {
            let bytes: Vec<u8> =
                (0..length).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect();
            assert!(bank.large(&bytes).unwrap() == bytes, "{length} bytes by {protocol:?}");
        }
    }
}

#[test]
fn a_call_past_its_deadline_is_in_doubt_cancelled_and_resolved() {
    let (_server, _object, bank) = bank();
    let error = bank.sleep_until_cancelled().unwrap_err();
    if error.execution() == Execution::Executed {
        // The server stops the handler at the same moment, and its word came first.
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        return;
    }
    assert_eq!((error.kind(), error.execution()), (ErrorKind::NoReply, Execution::Unknown));
    assert!(error.evidence().working_seen);
    let resolution = bank.resolve(error.call()).unwrap();
    assert!(matches!(resolution, Resolution::Failed(_)), "{resolution:?}");
}

/// The same service name with another signature, and one that nobody serves.
mod other {
    use super::*;

    #[service(name = "bank")]
    pub(crate) trait Changed {
        fn transfer(&self, from: &str) -> Result<(), CallError>;
        fn audit(&self) -> Result<(), CallError>;
    }
}

#[test]
fn an_unknown_method_and_a_changed_one_are_told_apart() {
    use other::Changed as _;
    let (server, _object, _bank) = bank();
    let client = other::ChangedClient::connect(&server.url()).unwrap();
    assert_eq!(other::ChangedClient::interface().name(), "bank");
    let changed = client.transfer("ann").unwrap_err();
    let unknown = client.audit().unwrap_err();
    assert_eq!(
        (changed.kind(), unknown.kind()),
        (ErrorKind::ChangedMethod, ErrorKind::UnknownMethod)
    );
    assert!(changed.is_safe_to_retry() && unknown.is_safe_to_retry());
    let text = changed.to_string();
    assert!(
        text.contains(
            "`bank.transfer` exists there with another signature: at_most_once (str,u64)"
        )
    );
    assert!(text.contains("; here it is at_most_once (str)->"), "{text}");
    let text = unknown.to_string();
    assert!(text.contains("no method `audit` in `bank`, which has: balance, transfer, note, fill"));
}

#[test]
fn bad_addresses_say_what_to_write() {
    for (url, text) in [
        ("127.0.0.1:1", "not executed: `127.0.0.1:1` has no scheme: write `udp://127.0.0.1:7001`"),
        (
            "http://x",
            "not executed: `http` in `http://x` is no known scheme: use `udp://`, `tcp://`, \
             `unix://`, `shm://`, `mem://` or `sim://`",
        ),
    ] {
        assert_eq!(BankClient::connect(url).unwrap_err().to_string(), text);
    }
}

#[test]
fn an_idle_client_hears_that_its_server_drained_and_the_next_call_did_not_run() {
    let (running, _bank, client) = bank();
    assert_eq!(client.transfer("ann", 1).unwrap(), 2);
    assert!(running.drain(Duration::from_secs(5)).is_complete());
    let client = client.with(Options::new().timeout(Duration::from_millis(300)));
    let error = client.transfer("ann", 1).unwrap_err();
    let Error::Call(error) = error else { panic!("{error:?}") };
    assert_eq!(error.execution(), Execution::NotExecuted, "{error}");
}
