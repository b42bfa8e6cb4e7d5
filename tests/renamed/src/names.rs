//! An interface whose names collide with those of generated code.

use ::std::borrow::{Cow, ToOwned};
use ::std::format;
use ::std::iter::Extend;
use ::std::option::Option;
use ::std::result::Result;
use ::std::string::String;
use ::wire_calls::{CallError, service};

#[expect(
    unused_imports,
    reason = "what shadows the prelude must not be seen by generated code"
)]
use crate::prelude::*;

/// A value with the name of a trait's word.
#[derive(
    ::std::clone::Clone,
    ::std::fmt::Debug,
    ::std::cmp::PartialEq,
    ::serde::Serialize,
    ::serde::Deserialize,
)]
pub struct Everything {
    /// What was passed, in order.
    pub arguments: String,
}

/// Parameters and methods that are named as generated code might name its own.
#[service(crate = "::wire_calls", name = "names")]
pub trait Names {
    /// Parameters named as a dispatcher's locals.
    #[expect(clippy::too_many_arguments, reason = "each is a name that might collide")]
    fn dispatch(
        &self,
        call: &str,
        target: &[u8],
        args: u32,
        out: Option<&str>,
        method: Cow<'_, str>,
        incoming: &Everything,
        channel: &[Everything],
    ) -> ::wire_calls::Result<Everything, String>;

    /// In-out parameters named as the locals that bring them back.
    fn restore(
        &self,
        new_0: &mut u32,
        new_new_0: &mut u32,
        argument_0: &mut String,
        argument_1: u32,
        out: &mut ::std::vec::Vec<u8>,
        args: &str,
    ) -> Result<u32, CallError>;

    /// Names that are keywords.
    #[rpc(at_least_once)]
    fn r#type(&self, r#in: u32, r#match: &mut u32) -> Result<u32, CallError>;

    /// A method of the call's handle, and of the result's trait.
    #[::wire_calls::rpc(inline)]
    fn wait(&self, start: u32) -> Result<u32, CallError>;

    /// A method of the channel.
    fn call(&self, interface: u32, index: u32) -> Result<u32, CallError>;

    /// A method that every type has.
    fn clone(&self, fmt: u32) -> Result<u32, CallError>;

    /// Functions of the client and of the server's stub.
    fn on(&self, new: u32) -> Result<u32, CallError>;

    /// A method of the stub's trait.
    fn interface(&self) -> Result<u32, CallError>;

    /// Nobody waits.
    #[rpc(maybe)]
    fn detach(&self, drop: &str);

    /// A method of every future, with parameters named as the locals of one that serves it.
    async fn poll(
        &self,
        target: &str,
        args: &Everything,
        arguments: Option<&Everything>,
        served: u32,
    ) -> ::wire_calls::Result<Everything, String>;

    /// The same, with parameters that come back.
    async fn restored(
        &self,
        target: &mut u32,
        new_0: &mut String,
        served: &str,
    ) -> Result<u32, CallError>;

    /// Nobody waits for what waits.
    #[rpc(maybe)]
    async fn wake(&self, reply: &str);
}

/// Answers with what was passed.
#[derive(::std::fmt::Debug)]
pub struct MyNames;

impl Names for MyNames {
    fn dispatch(
        &self,
        call: &str,
        target: &[u8],
        args: u32,
        out: Option<&str>,
        method: Cow<'_, str>,
        incoming: &Everything,
        channel: &[Everything],
    ) -> ::wire_calls::Result<Everything, String> {
        if channel.is_empty() {
            return Result::Err(::wire_calls::Error::App(ToOwned::to_owned("no channel")));
        }
        let arguments =
            format!("{call} {target:?} {args} {out:?} {method} {incoming:?} {channel:?}");
        Result::Ok(Everything { arguments })
    }

    fn restore(
        &self,
        new_0: &mut u32,
        new_new_0: &mut u32,
        argument_0: &mut String,
        argument_1: u32,
        out: &mut ::std::vec::Vec<u8>,
        args: &str,
    ) -> Result<u32, CallError> {
        ::std::mem::swap(new_0, new_new_0);
        argument_0.push_str(args);
        out.extend(args.bytes());
        Result::Ok(argument_1 + *new_0)
    }

    fn r#type(&self, r#in: u32, r#match: &mut u32) -> Result<u32, CallError> {
        *r#match += r#in;
        Result::Ok(*r#match)
    }

    fn wait(&self, start: u32) -> Result<u32, CallError> {
        Result::Ok(start)
    }

    fn call(&self, interface: u32, index: u32) -> Result<u32, CallError> {
        Result::Ok(interface + index)
    }

    fn clone(&self, fmt: u32) -> Result<u32, CallError> {
        Result::Ok(fmt)
    }

    fn on(&self, new: u32) -> Result<u32, CallError> {
        Result::Ok(new)
    }

    fn interface(&self) -> Result<u32, CallError> {
        Result::Err(CallError::failed("no interface"))
    }

    fn detach(&self, _drop: &str) {}

    async fn poll(
        &self,
        target: &str,
        args: &Everything,
        arguments: Option<&Everything>,
        served: u32,
    ) -> ::wire_calls::Result<Everything, String> {
        ::std::future::ready(()).await;
        Result::Ok(Everything { arguments: format!("{target} {args:?} {arguments:?} {served}") })
    }

    async fn restored(
        &self,
        target: &mut u32,
        new_0: &mut String,
        served: &str,
    ) -> Result<u32, CallError> {
        new_0.push_str(served);
        *target += 1;
        Result::Ok(*target)
    }

    async fn wake(&self, _reply: &str) {}
}
