//! The kinds of error that take a peer of another mind, another life, or another interface.

use std::error::Error as _;

use rpc_binder::daemon;
use rpc_runtime::binder::Binder;
use rpc_runtime::driver::Received;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::wire::{self, Envelope, Pdu, Reject, RejectReason};
use rpc_runtime::{CallReport, ErrorKind, Execution};
use serde::{Deserialize, Serialize};

use super::kinds::{desk, everywhere, hold, own_place, place_of, within};
use super::*;
use ErrorKind as K;
use Execution::{Executed, NotExecuted, Unknown};

/// Serves at `place` for a while, and answers every HELLO with this.
fn rejecting(place: &str, reason: RejectReason) -> String {
    let link = here().listen(place_of(place)).unwrap();
    let url = match link.local() {
        rpc_runtime::address::Address::Ip(address) => format!("udp://{address}"),
        rpc_runtime::address::Address::Virtual(_) => place.to_owned(),
    };
    let answer = move |bytes: &[u8]| {
        let Ok((envelope, Pdu::Hello(hello), _)) = wire::decode(bytes) else { return None };
        let reject = Reject {
            nonce: hello.nonce,
            server: ServerId(7),
            highest: Incarnation(envelope.incarnation.0 + 1),
            reason,
            version_min: 2,
            version_max: 3,
            pad: 0,
            push_back_ms: 0,
        };
        let back = Envelope { target: envelope.incarnation.tag(), ..envelope };
        let mut out = Vec::new();
        wire::encode(&back, &Pdu::Reject(reject), &mut out);
        Some(out)
    };
    let until = here().now() + Duration::from_secs(2);
    let serve = move || {
        let mut buffer = [0; 2_048];
        while here().now() < until {
            if let Received::Datagram { len, from } = link.receive(&mut buffer, Some(until))
                && let Some(bytes) = answer(&buffer[..len])
            {
                link.send(from, &bytes);
            }
        }
    };
    here().spawn("rejecting", Box::new(serve)).unwrap();
    url
}

#[test]
fn version_mismatch() {
    let case = Case::of(|url| {
        let url = rejecting(own_place(url), RejectReason::Version);
        desk(&url).count().unwrap_err()
    });
    everywhere("VersionMismatch", K::VersionMismatch, NotExecuted, case);
}

#[test]
fn unauthorised() {
    let case = Case::of(|url| {
        let url = rejecting(own_place(url), RejectReason::OldIncarnation);
        desk(&url).count().unwrap_err()
    });
    everywhere("Unauthorised", K::Unauthorised, NotExecuted, case);
}

/// A binder in the visitor's own process.
fn binder(url: &str) -> (rpc_runtime::server::Running, Binder) {
    let running = daemon::start(own_place(url), rpc_binder::registry::Limits::default()).unwrap();
    let binder = Binder::at(&running.url()).unwrap().patience(Duration::from_millis(400));
    (running, binder)
}

#[test]
fn no_server() {
    let case = Case::of(|url| {
        let (_running, binder) = binder(url);
        DeskClient::import(&binder).unwrap_err()
    });
    everywhere("NoServer", K::NoServer, NotExecuted, case);
    let without_binder = Case::of(|url| {
        let (running, binder) = binder(url);
        drop(running);
        let error = DeskClient::import(&binder).unwrap_err();
        let source = error.source().expect("why it is not known");
        assert!(source.downcast_ref::<CallReport>().is_some());
        error
    });
    everywhere("NoServer, nor a binder", K::NoServer, NotExecuted, without_binder);
}

mod other {
    use super::*;

    #[service(name = "desk", version = "1.0")]
    pub(crate) trait Smaller {
        fn count(&self) -> Result<u64, CallError>;
    }

    pub(crate) struct Small;
    impl Smaller for Small {
        fn count(&self) -> Result<u64, CallError> {
            Ok(0)
        }
    }
}

#[test]
fn interface_mismatch() {
    let case = Case::of(|url| {
        let (_running, binder) = binder(url);
        let place = own_place(url).replace("visitor", "visitor:9");
        let service = other::SmallerService::new(other::Small);
        let server = Server::bind(&place).unwrap().export(service).register(&binder);
        let _server = server.spawn().unwrap();
        DeskClient::import(&binder).unwrap_err()
    });
    everywhere("InterfaceMismatch", K::InterfaceMismatch, NotExecuted, case);
}

#[test]
fn server_restarted() {
    let (clerk, learned) = (Clerk::default(), Arc::<Mutex<Option<CallError>>>::default());
    let (kept, told) = (clerk.clone(), Arc::clone(&learned));
    let crash = move |control: &mut Control, stage: Stage| {
        control.at(at(100), move |control| stage.crash(control, kept));
    };
    world(
        1,
        clerk,
        |server| server,
        crash,
        move || {
            let desk = desk("sim://desk").with(within(9_000));
            *told.lock().unwrap() = Some(desk.dawdle(300).unwrap_err());
        },
    );
    let error = learned.lock().unwrap().take().unwrap();
    hold("ServerRestarted", K::ServerRestarted, Unknown, &error);
}

#[test]
fn session_lost() {
    let learned = Arc::<Mutex<Option<CallError>>>::default();
    let told = Arc::clone(&learned);
    let cut = |control: &mut Control, stage: Stage| {
        let (there, back) = ((stage.visitor, stage.desk), (stage.desk, stage.visitor));
        for (from, to) in [there, back] {
            control.at(at(100), move |control| control.net.cut(from, to));
            control.at(at(60_000), move |control| control.net.mend(from, to));
        }
    };
    world(
        1,
        Clerk::default(),
        |server| server,
        cut,
        move || {
            let desk = desk("sim://desk").with(within(90_000));
            assert_eq!(desk.count().unwrap(), 1);
            rest(Duration::from_millis(200));
            *told.lock().unwrap() = Some(desk.count().unwrap_err());
        },
    );
    let error = learned.lock().unwrap().take().unwrap();
    hold("SessionLost", K::SessionLost, Unknown, &error);
}

/// A number that only its receiver checks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
struct Percent(u8);

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl TryFrom<u8> for Percent {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number <= 100 { Ok(Self(number)) } else { Err("more than all of it") }
    }
}

#[service(name = "shop")]
trait Shop {
    fn discount(&self, percent: Percent) -> Result<u8, CallError>;
    fn best(&self) -> Result<Percent, CallError>;
}

struct Generous;

impl Shop for Generous {
    fn discount(&self, percent: Percent) -> Result<u8, CallError> {
        panic!("{percent:?} was not to be decoded")
    }

    fn best(&self) -> Result<Percent, CallError> {
        Ok(Percent(200))
    }
}

fn with_shop(server: Server) -> Server {
    server.export(ShopService::new(Generous))
}

#[test]
fn bad_arguments() {
    let visit = |url: &str| ShopClient::connect(url).unwrap().discount(Percent(200)).unwrap_err();
    everywhere("BadArguments", K::BadArguments, NotExecuted, Case { serve: with_shop, visit });
}

#[test]
fn reply_undecodable() {
    let visit = |url: &str| ShopClient::connect(url).unwrap().best().unwrap_err();
    let case = Case { serve: with_shop, visit };
    everywhere("ReplyUndecodable", K::ReplyUndecodable, Executed, case);
}

/// What cannot be marshalled, and says so.
#[derive(Debug, Deserialize)]
struct Riddle;

impl Serialize for Riddle {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a riddle is not told"))
    }
}

#[service(name = "sphinx")]
trait Sphinx {
    fn ask(&self, who: &str, riddle: &Riddle) -> Result<(), CallError>;
}

#[test]
fn unmarshallable() {
    let case = Case::of(|url| SphinxClient::connect(url).unwrap().ask("me", &Riddle).unwrap_err());
    everywhere("Unmarshallable", K::Unmarshallable, NotExecuted, case);
}

/// Contract rule 5 at the same time: the nested call's certainty is in the text, not in the error.
#[test]
fn handler_failed_because_its_own_call_failed() {
    let case = Case::of(|url| {
        let nobody = if url.starts_with("sim") { "sim://visitor" } else { "udp://127.0.0.1:1" };
        let error = desk(url).pass_on(nobody).unwrap_err();
        let source = error.source().expect("the nested call's failure");
        let report = source.downcast_ref::<CallReport>().expect("a report");
        assert_eq!((report.kind(), report.execution()), (K::Unreachable, NotExecuted));
        assert!(source.source().is_none());
        error
    });
    everywhere("HandlerFailed, nested", K::HandlerFailed, Executed, case);
}
