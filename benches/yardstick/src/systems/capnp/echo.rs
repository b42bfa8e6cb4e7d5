//! What Cap'n Proto's server does.

use capnp::Error;
use capnp::capability::Rc;

use super::service::{
    EchoParams, EchoResults, NullParams, NullResults, Server, SinkParams, SinkResults,
    SourceParams, SourceResults,
};

pub(super) struct Here;

impl Server for Here {
    async fn null(self: Rc<Self>, _: NullParams, _: NullResults) -> Result<(), Error> {
        Ok(())
    }

    async fn echo(self: Rc<Self>, given: EchoParams, mut back: EchoResults) -> Result<(), Error> {
        back.get().set_bytes(given.get()?.get_bytes()?);
        Ok(())
    }

    async fn sink(self: Rc<Self>, given: SinkParams, mut back: SinkResults) -> Result<(), Error> {
        back.get().set_count(given.get()?.get_bytes()?.len() as u64);
        Ok(())
    }

    async fn source(
        self: Rc<Self>,
        given: SourceParams,
        mut back: SourceResults,
    ) -> Result<(), Error> {
        let len = given.get()?.get_count() as u32;
        back.get().init_bytes(len).fill(7);
        Ok(())
    }
}
