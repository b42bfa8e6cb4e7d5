//! Calls of the user whose names collide, over UDP on this machine.

use std::borrow::Cow;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rpc_tests_renamed::{
    Core, CoreClient, CoreService, Everything, MyCore, MyNames, Names, NamesClient, NamesService,
};
use wire_calls::{Error, Server};

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn calls_arrive_whatever_their_names_are() {
    let running = Server::bind("udp://127.0.0.1:0")
        .expect("a free port")
        .export(NamesService::new(MyNames))
        .export(CoreService::new(MyCore))
        .spawn()
        .expect("a server");
    let core = CoreClient::connect(&running.url()).expect("an address");
    assert_eq!(core.version().expect("an answer"), 42);

    let names = NamesClient::connect(&running.url()).expect("an address");
    let one = Everything { arguments: "one".to_owned() };
    let method = || Cow::Borrowed("method");
    let channel = [one.clone()];
    let over_there = names.dispatch("call", &[1], 2, Some("out"), method(), &one, &channel);
    let here = MyNames.dispatch("call", &[1], 2, Some("out"), method(), &one, &channel);
    assert_eq!(over_there.expect("an answer"), here.expect("an answer"));
    let refused = names.dispatch("call", &[1], 2, None, method(), &one, &[]);
    assert!(matches!(refused, Err(Error::App(text)) if text == "no channel"));

    let (mut first, mut second, mut text, mut bytes) = (1, 2, "a".to_owned(), vec![0]);
    let sum = names.restore(&mut first, &mut second, &mut text, 10, &mut bytes, "b");
    assert_eq!(sum.expect("an answer"), 12);
    assert_eq!((first, second, text.as_str(), bytes), (2, 1, "ab", vec![0, b'b']));

    let mut matched = 3;
    assert_eq!(names.r#type(4, &mut matched).expect("an answer"), 7);
    assert_eq!(matched, 7);
    assert_eq!(names.wait(5).expect("an answer"), 5);
    assert_eq!(names.call(6, 7).expect("an answer"), 13);
    assert_eq!(Names::clone(&names, 8).expect("an answer"), 8);
    assert_eq!(Names::on(&names, 9).expect("an answer"), 9);
    assert!(Names::interface(&names).expect_err("it fails").to_string().contains("no interface"));
    names.detach("nobody waits");
    block_on(names.wake("nobody waits"));
    let waited = block_on(names.poll("target", &one, Some(&one), 9)).expect("an answer");
    let here = block_on(MyNames.poll("target", &one, Some(&one), 9)).expect("an answer");
    assert_eq!(waited, here);
    let (mut target, mut new_0) = (1, "a".to_owned());
    let restored = names.restored(&mut target, &mut new_0, "b");
    assert_eq!(block_on(restored).expect("an answer"), 2);
    assert_eq!((target, new_0.as_str()), (2, "ab"));
    running.stop();
}
