//! The kinds of error that take a peer of another mind, another life, or another interface.

use std::error::Error as _;

use rpc_binder::daemon;
use rpc_runtime::binder::Binder;
use rpc_runtime::driver::Received;
use rpc_runtime::ids::{Incarnation, ServerId};
use rpc_runtime::wire::{self, Envelope, Pdu, Reject, RejectReason};
use rpc_runtime::{CallReport, DecodeError, ErrorKind, Execution, Options};
use serde::{Deserialize, Serialize};

use super::kinds::{Cell, desk, lasting_place, own_desk, own_place, within};
use super::middle::Middle;
use super::*;
use ErrorKind as K;
use Execution::{Executed, NotExecuted, Unknown};

/// Serves at `place` for a while, and answers every HELLO with this.
fn rejecting(place: &str, reason: RejectReason) -> String {
    let link = here().listen(place_of(place)).unwrap();
    let url = url_of(&*link, place);
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

pub(crate) fn version_mismatch() -> Vec<Cell> {
    let case = Case::of(|url| {
        let url = rejecting(&own_place(url), RejectReason::Version);
        desk(&url).count().unwrap_err()
    });
    vec![Cell::new("VersionMismatch", NotExecuted, case)]
}

/// A server that is about to leave, to a client that it does not know yet.
pub(crate) const fn draining_at_the_door() -> Case {
    Case::of(|url| {
        let url = rejecting(&own_place(url), RejectReason::Draining);
        desk(&url).with(Options::new().retry(false)).count().unwrap_err()
    })
}

/// A server that has no room for a client.
pub(crate) const fn overloaded_at_the_door() -> Case {
    Case::of(|url| {
        let url = rejecting(&own_place(url), RejectReason::NoRoom);
        desk(&url).with(within(300).retry(false)).count().unwrap_err()
    })
}

pub(crate) fn unauthorised() -> Vec<Cell> {
    let case = Case::of(|url| {
        let url = rejecting(&own_place(url), RejectReason::OldIncarnation);
        desk(&url).count().unwrap_err()
    });
    vec![Cell::new("Unauthorised", NotExecuted, case)]
}

/// A binder in the visitor's own process.
fn binder(url: &str) -> (rpc_runtime::server::Running, Binder) {
    let running = daemon::start(&own_place(url), rpc_binder::registry::Limits::default()).unwrap();
    let binder = Binder::at(&running.url()).unwrap().patience(Duration::from_millis(400));
    (running, binder)
}

pub(crate) fn no_server() -> Vec<Cell> {
    let case = Case::of(|url| {
        let (_running, binder) = binder(url);
        DeskClient::import(&binder).unwrap_err()
    });
    let without_binder = Case::of(|url| {
        let (running, binder) = binder(url);
        drop(running);
        let error = DeskClient::import(&binder).unwrap_err();
        let source = error.source().expect("why it is not known");
        assert!(source.downcast_ref::<CallReport>().is_some());
        error
    });
    vec![
        Cell::new("NoServer", NotExecuted, case),
        Cell::new("NoServer, nor a binder", NotExecuted, without_binder),
    ]
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

pub(crate) fn interface_mismatch() -> Vec<Cell> {
    let case = Case::of(|url| {
        let (_running, binder) = binder(url);
        let place = own_place(url).replace("visitor", "visitor:9");
        let service = other::SmallerService::new(other::Small);
        let server = Server::bind(&place).unwrap().export(service).register(&binder);
        let _server = server.spawn().unwrap();
        DeskClient::import(&binder).unwrap_err()
    });
    vec![Cell::new("InterfaceMismatch", NotExecuted, case)]
}

/// What a call learns whose server was gone when it left, and came back in another life.
pub(crate) fn server_restarted() -> Vec<Cell> {
    let case = Case::of(|url| {
        let url = lasting_place(url, 20_001);
        let first = own_desk(Server::bind(&url).unwrap());
        let desk = desk(&url).with(within(9_000));
        assert_eq!(desk.count().unwrap(), 1);
        first.stop();
        let call = desk.start().count();
        rest(Duration::from_millis(150));
        let _second = own_desk(Server::bind(&url).unwrap());
        call.wait().unwrap_err()
    });
    vec![Cell::new("ServerRestarted", Unknown, case)]
}

/// A path that is cut for longer than the session lasts without a word.
pub(crate) fn session_lost() -> Vec<Cell> {
    let serve = |server| {
        with_limits(server, |limits| {
            limits.retransmit_ceiling = limits.lease_min / 2;
            (limits.lease_unused, limits.lease) = (limits.lease_min, limits.lease_min);
        })
    };
    let visit = |url: &str| {
        let middle = Middle::before(url, |datagram| vec![datagram.to_vec()]);
        let desk = desk(&middle.url).with(within(20_000));
        assert_eq!(desk.count().unwrap(), 1);
        middle.cut(true);
        let call = desk.start().count();
        rest(Duration::from_millis(2_500));
        middle.cut(false);
        call.wait().unwrap_err()
    };
    vec![Cell::new("SessionLost", Unknown, Case { serve, visit })]
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

pub(crate) fn bad_arguments() -> Vec<Cell> {
    let visit = |url: &str| ShopClient::connect(url).unwrap().discount(Percent(200)).unwrap_err();
    vec![Cell::new("BadArguments", NotExecuted, Case { serve: with_shop, visit })]
}

pub(crate) fn reply_undecodable() -> Vec<Cell> {
    let visit = |url: &str| {
        let error = ShopClient::connect(url).unwrap().best().unwrap_err();
        let source = error.source().expect("why").downcast_ref::<DecodeError>();
        assert!(matches!(source, Some(DecodeError::Wrong(_))), "{source:?}");
        assert_eq!((error.method(), error.evidence().transmissions), ("shop.best", 1));
        assert_ne!(error.call(), rpc_runtime::CallId::UNSENT);
        error
    };
    let case = Case { serve: with_shop, visit };
    vec![Cell::new("ReplyUndecodable", Executed, case)]
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

pub(crate) fn unmarshallable() -> Vec<Cell> {
    let case = Case::of(|url| {
        let error = SphinxClient::connect(url).unwrap().ask("me", &Riddle).unwrap_err();
        assert!(error.source().is_some(), "what the marshaller said");
        error
    });
    vec![Cell::new("Unmarshallable", NotExecuted, case)]
}

/// Contract rule 5 at the same time: the nested call's certainty is in the text, not in the error.
pub(crate) const fn failed_nested_call() -> Case {
    Case::of(|url| {
        let nobody = if url.starts_with("sim") { own_place(url) } else { deserted(url) };
        let error = desk(url).pass_on(&nobody).unwrap_err();
        let source = error.source().expect("the nested call's failure");
        let report = source.downcast_ref::<CallReport>().expect("a report");
        assert_eq!((report.kind(), report.execution()), (K::Unreachable, NotExecuted));
        assert!(source.source().is_none());
        error
    })
}
