trait Colours {
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn slow(
        &self,
        name: &str,
        line: &Line,
        cents: u64,
    ) -> impl ::core::future::Future<
        Output = rpc_runtime::Result<u64, BankError>,
    > + ::core::marker::Send;
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn nothing(
        &self,
    ) -> impl ::core::future::Future<
        Output = Result<(), CallError>,
    > + ::core::marker::Send;
    fn note(
        &self,
        line: &str,
    ) -> impl ::core::future::Future<Output = ()> + ::core::marker::Send;
    ///
    ///# Errors
    ///
    ///A remote call runs **at least once** if it succeeds, and any number of times if it fails: the body must be idempotent. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn fill(
        &self,
        basket: &mut Vec<String>,
        n: u32,
    ) -> impl ::core::future::Future<
        Output = Result<u32, CallError>,
    > + ::core::marker::Send;
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn fast(&self) -> Result<(), CallError>;
}
///The interface of [`Colours`]: its methods, as both sides must have them.
static COLOURS_INTERFACE: ::rpc_runtime::Interface = ::rpc_runtime::Interface::new(
    "colours",
    (1u16, 0u16),
    &[
        ::rpc_runtime::Method::new(
                "slow",
                "(str,Line,u64)->rpc_runtime::Result<u64,BankError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .parameters(&["name", "line", "cents"])
            .forms(|forms| {
                forms.parameter::<&::core::primitive::str>();
                forms.parameter::<Line>();
                forms.parameter::<u64>();
                forms.output::<rpc_runtime::Result<u64, BankError>>();
            }),
        ::rpc_runtime::Method::new(
                "nothing",
                "()->Result<(),CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .forms(|forms| {
                forms.output::<Result<(), CallError>>();
            }),
        ::rpc_runtime::Method::new("note", "(str)->", ::rpc_runtime::Semantics::Maybe)
            .parameters(&["line"])
            .forms(|forms| {
                forms.parameter::<&::core::primitive::str>();
            }),
        ::rpc_runtime::Method::new(
                "fill",
                "(inout:Vec<str>,u32)->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtLeastOnce,
            )
            .timeout_ns(2000000000u64)
            .hedge_ns(20000000u64)
            .parameters(&["basket", "n"])
            .forms(|forms| {
                forms.in_out::<Vec<String>>();
                forms.parameter::<u32>();
                forms.output::<Result<u32, CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "fast",
                "()->Result<(),CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .forms(|forms| {
                forms.output::<Result<(), CallError>>();
            }),
    ],
);
///A client of [`Colours`]: the same trait, carried out in another process.
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct ColoursClient(::rpc_runtime::Channel);
impl ColoursClient {
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
    pub fn start(&self) -> ColoursStart<'_> {
        ColoursStart(&self.0)
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
impl ::rpc_runtime::Stub for ColoursClient {
    fn interface() -> &'static ::rpc_runtime::Interface {
        &COLOURS_INTERFACE
    }
    fn on(channel: &::rpc_runtime::Channel) -> Self {
        Self(::core::clone::Clone::clone(channel))
    }
}
impl Colours for ColoursClient {
    async fn slow(
        &self,
        name: &str,
        line: &Line,
        cents: u64,
    ) -> rpc_runtime::Result<u64, BankError> {
        self.start().slow(name, line, cents).await
    }
    async fn nothing(&self) -> Result<(), CallError> {
        self.start().nothing().await
    }
    async fn note(&self, line: &str) {
        self.start().note(line).detach();
    }
    async fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError> {
        self.start()
            .fill(&*basket, n)
            .restored(|(new_0,)| {
                *basket = new_0;
            })
            .await
    }
    fn fast(&self) -> Result<(), CallError> {
        self.start().fast().wait()
    }
}
///Starts calls of [`Colours`] without waiting: see [`ColoursClient::start`].
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct ColoursStart<'c>(&'c ::rpc_runtime::Channel);
impl ColoursStart<'_> {
    ///Starts [`Colours::slow`].
    #[allow(clippy::too_many_arguments)]
    pub fn slow(
        &self,
        name: &str,
        line: &Line,
        cents: u64,
    ) -> ::rpc_runtime::Call<rpc_runtime::Result<u64, BankError>> {
        self.0.call(&COLOURS_INTERFACE, 0usize).arg(&name).arg(line).arg(&cents).start()
    }
    ///Starts [`Colours::nothing`].
    #[allow(clippy::too_many_arguments)]
    pub fn nothing(&self) -> ::rpc_runtime::Call<Result<(), CallError>> {
        self.0.call(&COLOURS_INTERFACE, 1usize).start()
    }
    ///Starts [`Colours::note`].
    #[allow(clippy::too_many_arguments)]
    pub fn note(
        &self,
        line: &str,
    ) -> ::rpc_runtime::Call<::core::result::Result<(), ::rpc_runtime::CallError>> {
        self.0.call(&COLOURS_INTERFACE, 2usize).arg(&line).start()
    }
    ///Starts [`Colours::fill`].
    #[allow(clippy::too_many_arguments)]
    pub fn fill(
        &self,
        basket: &Vec<String>,
        n: u32,
    ) -> ::rpc_runtime::Call<Result<u32, CallError>, (Vec<String>,)> {
        self.0.call(&COLOURS_INTERFACE, 3usize).arg(basket).arg(&n).start()
    }
    ///Starts [`Colours::fast`].
    #[allow(clippy::too_many_arguments)]
    pub fn fast(&self) -> ::rpc_runtime::Call<Result<(), CallError>> {
        self.0.call(&COLOURS_INTERFACE, 4usize).start()
    }
}
///Serves calls of [`Colours`] with an object that implements it.
#[derive(::core::fmt::Debug)]
struct ColoursService<T>(::std::sync::Arc<T>);
impl<
    T: Colours + ::core::marker::Send + ::core::marker::Sync + 'static,
> ColoursService<T> {
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
    T: Colours + ::core::marker::Send + ::core::marker::Sync + 'static,
> ::rpc_runtime::Service for ColoursService<T> {
    fn interface(&self) -> &'static ::rpc_runtime::Interface {
        &COLOURS_INTERFACE
    }
    fn dispatch(
        &self,
        method: usize,
        incoming: ::rpc_runtime::__private::Incoming<'_>,
    ) -> ::rpc_runtime::__private::Dispatched {
        let target = &*self.0;
        match method {
            0usize => {
                let target = ::core::clone::Clone::clone(&self.0);
                ::rpc_runtime::__private::serve_async(
                    incoming,
                    |arguments| async move {
                        let served = async {
                            let target = &*target;
                            let args = &mut ::rpc_runtime::__private::Args::of(
                                &arguments,
                            );
                            ::core::result::Result::Ok(
                                Colours::slow(
                                        target,
                                        args.next::<&::core::primitive::str>()?,
                                        &args.next::<Line>()?,
                                        args.last::<u64>()?,
                                    )
                                    .await,
                            )
                        };
                        (served.await, arguments)
                    },
                )
            }
            1usize => {
                let target = ::core::clone::Clone::clone(&self.0);
                ::rpc_runtime::__private::serve_async(
                    incoming,
                    |arguments| async move {
                        let served = async {
                            let target = &*target;
                            let args = &mut ::rpc_runtime::__private::Args::of(
                                &arguments,
                            );
                            args.end()?;
                            ::core::result::Result::Ok(Colours::nothing(target).await)
                        };
                        (served.await, arguments)
                    },
                )
            }
            2usize => {
                let target = ::core::clone::Clone::clone(&self.0);
                ::rpc_runtime::__private::serve_maybe_async(
                    incoming,
                    |arguments| async move {
                        let served = async {
                            let target = &*target;
                            let args = &mut ::rpc_runtime::__private::Args::of(
                                &arguments,
                            );
                            ::core::result::Result::Ok(
                                Colours::note(
                                        target,
                                        args.last::<&::core::primitive::str>()?,
                                    )
                                    .await,
                            )
                        };
                        (served.await, arguments)
                    },
                )
            }
            3usize => {
                let target = ::core::clone::Clone::clone(&self.0);
                ::rpc_runtime::__private::serve_inout_async(
                    incoming,
                    |arguments| async move {
                        let served = async {
                            let target = &*target;
                            let args = &mut ::rpc_runtime::__private::Args::of(
                                &arguments,
                            );
                            let mut argument_0 = args.next::<Vec<String>>()?;
                            let argument_1 = args.last::<u32>()?;
                            let out = Colours::fill(target, &mut argument_0, argument_1)
                                .await;
                            ::core::result::Result::Ok((out, (argument_0,)))
                        };
                        (served.await, arguments)
                    },
                )
            }
            4usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve(
                        incoming,
                        |args| {
                            args.end()?;
                            ::core::result::Result::Ok(Colours::fast(target))
                        },
                    ),
                )
            }
            _ => ::core::unreachable!("the server calls the methods of the table"),
        }
    }
}
