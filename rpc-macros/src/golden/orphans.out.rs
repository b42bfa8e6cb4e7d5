/// A print shop.
pub trait Shop {
    /// Prints to the end, whoever goes away.
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn print(&self, pages: u32) -> Result<(), CallError>;
    /// Asked about every half minute.
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn render(&self) -> Result<u32, CallError>;
    ///
    ///# Errors
    ///
    ///A remote call runs **at least once** if it succeeds, and any number of times if it fails: the body must be idempotent. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn search(&self) -> Result<u32, CallError>;
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn look_up(&self) -> Result<u32, CallError>;
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn bind(&self) -> Result<u32, CallError>;
}
///The interface of [`Shop`]: its methods, as both sides must have them.
pub static SHOP_INTERFACE: ::rpc_runtime::Interface = ::rpc_runtime::Interface::new(
    "shop",
    (1u16, 0u16),
    &[
        ::rpc_runtime::Method::new(
                "print",
                "(u32)->Result<(),CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .no_cancel()
            .parameters(&["pages"])
            .forms(|forms| {
                forms.parameter::<u32>();
                forms.output::<Result<(), CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "render",
                "()->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .orphan(::rpc_runtime::orphans::OrphanStrategy::Reincarnate)
            .expires_ns(30000000000u64)
            .forms(|forms| {
                forms.output::<Result<u32, CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "search",
                "()->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtLeastOnce,
            )
            .orphan(::rpc_runtime::orphans::OrphanStrategy::Gentle)
            .forms(|forms| {
                forms.output::<Result<u32, CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "look_up",
                "()->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .orphan(::rpc_runtime::orphans::OrphanStrategy::Expire)
            .ack(::rpc_runtime::protocol::AckProtocol::StopAndWait)
            .forms(|forms| {
                forms.output::<Result<u32, CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "bind",
                "()->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .orphan(::rpc_runtime::orphans::OrphanStrategy::Exterminate)
            .forms(|forms| {
                forms.output::<Result<u32, CallError>>();
            }),
    ],
);
///A client of [`Shop`]: the same trait, carried out in another process.
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct ShopClient(::rpc_runtime::Channel);
impl ShopClient {
    /// Connects to a server at `address`, such as `udp://127.0.0.1:7001`, or to one that a
    /// binder finds, such as `binder://127.0.0.1:7000/name?version=1`.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or the binder finds no server. Whether a server lives
    /// at an address, the first call tells.
    pub fn connect(
        address: &str,
    ) -> ::core::result::Result<Self, ::rpc_runtime::CallError> {
        ::rpc_runtime::__private::connect(address)
    }
    /// Connects to a live server that the binder knows for this interface, and to another
    /// one when that is gone.
    ///
    /// # Errors
    ///
    /// The binder knows none, or none with all methods of this interface.
    pub fn import(
        binder: &::rpc_runtime::Binder,
    ) -> ::core::result::Result<Self, ::rpc_runtime::CallError> {
        ::rpc_runtime::__private::import(binder)
    }
    /// Shares a channel with other stubs.
    #[must_use]
    pub fn on(channel: &::rpc_runtime::Channel) -> Self {
        Self(::core::clone::Clone::clone(channel))
    }
    /// The same client with other options for its calls.
    #[must_use]
    pub fn with(&self, options: ::rpc_runtime::Options) -> Self {
        Self(self.0.with(options))
    }
    /// Starts calls without waiting for them.
    #[must_use]
    pub fn start(&self) -> ShopStart<'_> {
        ShopStart(&self.0)
    }
    /// Asks what became of a call that ended in doubt.
    ///
    /// # Errors
    ///
    /// The server did not answer, or has forgotten: the call stays in doubt.
    pub fn resolve(
        &self,
        call: ::rpc_runtime::CallId,
    ) -> ::core::result::Result<::rpc_runtime::Resolution, ::rpc_runtime::CallError> {
        self.0.resolve(call)
    }
}
impl ::rpc_runtime::Stub for ShopClient {
    fn interface() -> &'static ::rpc_runtime::Interface {
        &SHOP_INTERFACE
    }
    fn on(channel: &::rpc_runtime::Channel) -> Self {
        Self(::core::clone::Clone::clone(channel))
    }
}
impl Shop for ShopClient {
    fn print(&self, pages: u32) -> Result<(), CallError> {
        self.start().print(pages).wait()
    }
    fn render(&self) -> Result<u32, CallError> {
        self.start().render().wait()
    }
    fn search(&self) -> Result<u32, CallError> {
        self.start().search().wait()
    }
    fn look_up(&self) -> Result<u32, CallError> {
        self.start().look_up().wait()
    }
    fn bind(&self) -> Result<u32, CallError> {
        self.start().bind().wait()
    }
}
///Starts calls of [`Shop`] without waiting: see [`ShopClient::start`].
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub struct ShopStart<'c>(&'c ::rpc_runtime::Channel);
impl ShopStart<'_> {
    /// Prints to the end, whoever goes away.
    #[allow(clippy::too_many_arguments)]
    pub fn print(&self, pages: u32) -> ::rpc_runtime::Call<Result<(), CallError>> {
        self.0.call(&SHOP_INTERFACE, 0usize).arg(&pages).start()
    }
    /// Asked about every half minute.
    #[allow(clippy::too_many_arguments)]
    pub fn render(&self) -> ::rpc_runtime::Call<Result<u32, CallError>> {
        self.0.call(&SHOP_INTERFACE, 1usize).start()
    }
    ///Starts [`Shop::search`].
    #[allow(clippy::too_many_arguments)]
    pub fn search(&self) -> ::rpc_runtime::Call<Result<u32, CallError>> {
        self.0.call(&SHOP_INTERFACE, 2usize).start()
    }
    ///Starts [`Shop::look_up`].
    #[allow(clippy::too_many_arguments)]
    pub fn look_up(&self) -> ::rpc_runtime::Call<Result<u32, CallError>> {
        self.0.call(&SHOP_INTERFACE, 3usize).start()
    }
    ///Starts [`Shop::bind`].
    #[allow(clippy::too_many_arguments)]
    pub fn bind(&self) -> ::rpc_runtime::Call<Result<u32, CallError>> {
        self.0.call(&SHOP_INTERFACE, 4usize).start()
    }
}
///Serves calls of [`Shop`] with an object that implements it.
#[derive(::core::fmt::Debug)]
pub struct ShopService<T>(::std::sync::Arc<T>);
impl<T: Shop + ::core::marker::Send + ::core::marker::Sync + 'static> ShopService<T> {
    /// Serves calls with `target`.
    #[must_use]
    pub fn new(target: T) -> Self {
        Self(::std::sync::Arc::new(target))
    }
    /// Serves calls with an object that others hold too.
    #[must_use]
    pub fn shared(target: ::std::sync::Arc<T>) -> Self {
        Self(target)
    }
}
impl<
    T: Shop + ::core::marker::Send + ::core::marker::Sync + 'static,
> ::rpc_runtime::Service for ShopService<T> {
    fn interface(&self) -> &'static ::rpc_runtime::Interface {
        &SHOP_INTERFACE
    }
    fn dispatch(
        &self,
        method: usize,
        incoming: ::rpc_runtime::__private::Incoming<'_>,
    ) -> ::rpc_runtime::__private::Dispatched {
        let target = &*self.0;
        match method {
            0usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            ::core::result::Result::Ok(
                                Shop::print(target, args.last::<u32>()?),
                            )
                        },
                    ),
                )
            }
            1usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            args.end()?;
                            ::core::result::Result::Ok(Shop::render(target))
                        },
                    ),
                )
            }
            2usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            args.end()?;
                            ::core::result::Result::Ok(Shop::search(target))
                        },
                    ),
                )
            }
            3usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            args.end()?;
                            ::core::result::Result::Ok(Shop::look_up(target))
                        },
                    ),
                )
            }
            4usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            args.end()?;
                            ::core::result::Result::Ok(Shop::bind(target))
                        },
                    ),
                )
            }
            _ => ::core::unreachable!("the server calls the methods of the table"),
        }
    }
}
