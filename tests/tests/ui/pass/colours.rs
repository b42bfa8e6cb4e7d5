//! What an async method may be: any form of parameter, in any service, beside blocking ones.

use rpc_runtime::{CallError, service};

#[service]
pub(crate) trait Mixed {
    async fn slow(&self, name: &str, list: Vec<&str>) -> rpc_runtime::Result<u32, String>;
    #[rpc(worker, at_least_once)]
    async fn nothing(&self) -> Result<(), CallError>;
    #[rpc(maybe)]
    async fn note(&self, line: Option<&str>);
    #[rpc(timeout = "2s")]
    async fn fill(&self, basket: &mut Vec<String>, by: Option<&u64>) -> Result<u32, CallError>;
    fn fast(&self, name: std::borrow::Cow<'_, str>) -> Result<(), CallError>;
}

/// A server's object may give any future that can be sent, not only one of an `async fn`.
struct ByHand;

impl Mixed for ByHand {
    async fn slow(&self, name: &str, list: Vec<&str>) -> rpc_runtime::Result<u32, String> {
        self.nothing().await?;
        Ok(u32::try_from(name.len() + list.len()).map_err(|error| error.to_string())?)
    }

    fn nothing(&self) -> impl Future<Output = Result<(), CallError>> + Send {
        std::future::ready(Ok(()))
    }

    async fn note(&self, _line: Option<&str>) {}

    async fn fill(&self, basket: &mut Vec<String>, by: Option<&u64>) -> Result<u32, CallError> {
        self.nothing().await?;
        basket.push(format!("{by:?}"));
        Ok(1)
    }

    fn fast(&self, _name: std::borrow::Cow<'_, str>) -> Result<(), CallError> {
        Ok(())
    }
}

/// Generic code over a service may move its calls to another thread.
fn is_sent(mixed: &(impl Mixed + Sync)) {
    fn send(_: impl Future<Output = Result<(), CallError>> + Send) {}
    send(async {
        mixed.note(None).await;
        mixed.nothing().await
    });
}

#[test]
fn clients_mocks_and_services_share_an_async_trait() {
    let _: [fn(&str); 1] = [|url| {
        let _ = MixedClient::connect(url).map(|mixed| is_sent(&mixed));
        let _ = MixedClient::connect(url).map(|mixed| mixed.start().nothing().wait());
    }];
    is_sent(&ByHand);
    let _ = MixedService::new(ByHand);
    let signatures: Vec<_> =
        MIXED_INTERFACE.methods().iter().map(rpc_runtime::Method::signature).collect();
    assert_eq!(
        signatures[..2],
        ["(str,Vec<str>)->rpc_runtime::Result<u32,str>", "()->Result<(),CallError>"]
    );
}
