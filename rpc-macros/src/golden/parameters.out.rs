trait Parameters {
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn all(
        &self,
        bytes: &[u8],
        order: &Order,
        orders: &[Order],
        maybe_text: Option<&str>,
        maybe_order: Option<&Order>,
        cow: Cow<'_, str>,
        cow_bytes: Cow<'_, [u8]>,
        owned: Vec<&str>,
        shared: SharedBytes<'_>,
    ) -> Result<(), CallError>;
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn nothing(&self) -> Result<(), CallError>;
}
///The interface of [`Parameters`]: its methods, as both sides must have them.
static PARAMETERS_INTERFACE: ::rpc_runtime::Interface = ::rpc_runtime::Interface::new(
    "parameters",
    (1u16, 0u16),
    &[
        ::rpc_runtime::Method::new(
                "all_forms",
                "(bytes,Order,[Order],Option<str>,Option<Order>,str,bytes,Vec<str>,bytes)->Result<(),CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .inline()
            .parameters(
                &[
                    "bytes",
                    "order",
                    "orders",
                    "maybe_text",
                    "maybe_order",
                    "cow",
                    "cow_bytes",
                    "owned",
                    "shared",
                ],
            )
            .forms(|forms| {
                forms.parameter::<&[::core::primitive::u8]>();
                forms.parameter::<Order>();
                forms.parameter::<::std::vec::Vec<Order>>();
                forms.parameter::<Option<&str>>();
                forms.parameter::<::core::option::Option<Order>>();
                forms.parameter::<&::core::primitive::str>();
                forms.parameter::<&[::core::primitive::u8]>();
                forms.parameter::<Vec<&str>>();
                forms.parameter::<SharedBytes<'_>>();
                forms.output::<Result<(), CallError>>();
            }),
        ::rpc_runtime::Method::new(
                "nothing",
                "()->Result<(),CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .forms(|forms| {
                forms.output::<Result<(), CallError>>();
            }),
    ],
);
///A client of [`Parameters`]: the same trait, carried out in another process.
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct ParametersClient(::rpc_runtime::Channel);
impl ParametersClient {
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
    pub fn start(&self) -> ParametersStart<'_> {
        ParametersStart(&self.0)
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
impl ::rpc_runtime::Stub for ParametersClient {
    fn interface() -> &'static ::rpc_runtime::Interface {
        &PARAMETERS_INTERFACE
    }
    fn on(channel: &::rpc_runtime::Channel) -> Self {
        Self(::core::clone::Clone::clone(channel))
    }
}
impl Parameters for ParametersClient {
    fn all(
        &self,
        bytes: &[u8],
        order: &Order,
        orders: &[Order],
        maybe_text: Option<&str>,
        maybe_order: Option<&Order>,
        cow: Cow<'_, str>,
        cow_bytes: Cow<'_, [u8]>,
        owned: Vec<&str>,
        shared: SharedBytes<'_>,
    ) -> Result<(), CallError> {
        self.start()
            .all(
                bytes,
                order,
                orders,
                maybe_text,
                maybe_order,
                cow,
                cow_bytes,
                owned,
                shared,
            )
            .wait()
    }
    fn nothing(&self) -> Result<(), CallError> {
        self.start().nothing().wait()
    }
}
///Starts calls of [`Parameters`] without waiting: see [`ParametersClient::start`].
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
struct ParametersStart<'c>(&'c ::rpc_runtime::Channel);
impl ParametersStart<'_> {
    ///Starts [`Parameters::all`].
    #[allow(clippy::too_many_arguments)]
    pub fn all(
        &self,
        bytes: &[u8],
        order: &Order,
        orders: &[Order],
        maybe_text: Option<&str>,
        maybe_order: Option<&Order>,
        cow: Cow<'_, str>,
        cow_bytes: Cow<'_, [u8]>,
        owned: Vec<&str>,
        shared: SharedBytes<'_>,
    ) -> ::rpc_runtime::Call<Result<(), CallError>> {
        self.0
            .call(&PARAMETERS_INTERFACE, 0usize)
            .bytes(bytes)
            .arg(order)
            .slice(orders)
            .arg(&maybe_text)
            .opt(maybe_order)
            .arg(&&*cow)
            .bytes(&cow_bytes)
            .arg(&owned)
            .shared(&shared)
            .start()
    }
    ///Starts [`Parameters::nothing`].
    #[allow(clippy::too_many_arguments)]
    pub fn nothing(&self) -> ::rpc_runtime::Call<Result<(), CallError>> {
        self.0.call(&PARAMETERS_INTERFACE, 1usize).start()
    }
}
///Serves calls of [`Parameters`] with an object that implements it.
#[derive(::core::fmt::Debug)]
struct ParametersService<T>(::std::sync::Arc<T>);
impl<
    T: Parameters + ::core::marker::Send + ::core::marker::Sync + 'static,
> ParametersService<T> {
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
    T: Parameters + ::core::marker::Send + ::core::marker::Sync + 'static,
> ::rpc_runtime::Service for ParametersService<T> {
    fn interface(&self) -> &'static ::rpc_runtime::Interface {
        &PARAMETERS_INTERFACE
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
                                Parameters::all(
                                    target,
                                    args.next::<&[::core::primitive::u8]>()?,
                                    &args.next::<Order>()?,
                                    &args.next::<::std::vec::Vec<Order>>()?,
                                    args.next::<Option<&str>>()?,
                                    ::core::option::Option::as_ref(
                                        &args.next::<::core::option::Option<Order>>()?,
                                    ),
                                    ::std::borrow::Cow::Borrowed(
                                        args.next::<&::core::primitive::str>()?,
                                    ),
                                    ::std::borrow::Cow::Borrowed(
                                        args.next::<&[::core::primitive::u8]>()?,
                                    ),
                                    args.next::<Vec<&str>>()?,
                                    args.last::<SharedBytes<'_>>()?,
                                ),
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
                            ::core::result::Result::Ok(Parameters::nothing(target))
                        },
                    ),
                )
            }
            _ => ::core::unreachable!("the server calls the methods of the table"),
        }
    }
}
