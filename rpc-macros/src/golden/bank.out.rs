/// A bank.
pub trait Bank {
    /// What is in `account`.
    ///
    ///# Errors
    ///
    ///A remote call runs **at least once** if it succeeds, and any number of times if it fails: the body must be idempotent. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError>;
    /// Moves `cents`.
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn transfer(
        &self,
        from: &str,
        to: &str,
        cents: u64,
    ) -> rpc_runtime::Result<Receipt, BankError>;
    /// Writes a line to the log; nobody waits.
    fn note(&self, line: &str);
    /// In-out: the basket comes back changed.
    ///
    ///# Errors
    ///
    ///A remote call runs **at most once**, whatever the network does. A failed call says whether it ran.
    #[allow(clippy::missing_errors_doc)]
    fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError>;
}
///The interface of [`Bank`]: its methods, as both sides must have them.
pub static BANK_INTERFACE: ::rpc_runtime::Interface = ::rpc_runtime::Interface::new(
    "bank",
    (1u16, 2u16),
    &[
        ::rpc_runtime::Method::new(
                "balance",
                "(str)->rpc_runtime::Result<u64,BankError>",
                ::rpc_runtime::Semantics::AtLeastOnce,
            )
            .parameters(&["account"])
            .forms(|forms| {
                forms.parameter::<&::core::primitive::str>();
                forms.output::<rpc_runtime::Result<u64, BankError>>();
            }),
        ::rpc_runtime::Method::new(
                "transfer",
                "(str,str,u64)->rpc_runtime::Result<Receipt,BankError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .timeout_ns(2000000000u64)
            .parameters(&["from", "to", "cents"])
            .forms(|forms| {
                forms.parameter::<&::core::primitive::str>();
                forms.parameter::<&::core::primitive::str>();
                forms.parameter::<u64>();
                forms.output::<rpc_runtime::Result<Receipt, BankError>>();
            }),
        ::rpc_runtime::Method::new("note", "(str)->", ::rpc_runtime::Semantics::Maybe)
            .parameters(&["line"])
            .forms(|forms| {
                forms.parameter::<&::core::primitive::str>();
            }),
        ::rpc_runtime::Method::new(
                "fill",
                "(inout:Vec<str>,u32)->Result<u32,CallError>",
                ::rpc_runtime::Semantics::AtMostOnce,
            )
            .parameters(&["basket", "n"])
            .forms(|forms| {
                forms.in_out::<Vec<String>>();
                forms.parameter::<u32>();
                forms.output::<Result<u32, CallError>>();
            }),
    ],
);
///A client of [`Bank`]: the same trait, carried out in another process.
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct BankClient(::rpc_runtime::Channel);
impl BankClient {
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
    pub fn start(&self) -> BankStart<'_> {
        BankStart(&self.0)
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
impl ::rpc_runtime::Stub for BankClient {
    fn interface() -> &'static ::rpc_runtime::Interface {
        &BANK_INTERFACE
    }
    fn on(channel: &::rpc_runtime::Channel) -> Self {
        Self(::core::clone::Clone::clone(channel))
    }
}
impl Bank for BankClient {
    fn balance(&self, account: &str) -> rpc_runtime::Result<u64, BankError> {
        self.start().balance(account).wait()
    }
    fn transfer(
        &self,
        from: &str,
        to: &str,
        cents: u64,
    ) -> rpc_runtime::Result<Receipt, BankError> {
        self.start().transfer(from, to, cents).wait()
    }
    fn note(&self, line: &str) {
        self.start().note(line).detach();
    }
    fn fill(&self, basket: &mut Vec<String>, n: u32) -> Result<u32, CallError> {
        self.start()
            .fill(&*basket, n)
            .restore(|(new_0,)| {
                *basket = new_0;
            })
    }
}
///Starts calls of [`Bank`] without waiting: see [`BankClient::start`].
#[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
pub struct BankStart<'c>(&'c ::rpc_runtime::Channel);
impl BankStart<'_> {
    /// What is in `account`.
    #[allow(clippy::too_many_arguments)]
    pub fn balance(
        &self,
        account: &str,
    ) -> ::rpc_runtime::Call<rpc_runtime::Result<u64, BankError>> {
        self.0.call(&BANK_INTERFACE, 0usize).arg(&account).start()
    }
    /// Moves `cents`.
    #[allow(clippy::too_many_arguments)]
    pub fn transfer(
        &self,
        from: &str,
        to: &str,
        cents: u64,
    ) -> ::rpc_runtime::Call<rpc_runtime::Result<Receipt, BankError>> {
        self.0.call(&BANK_INTERFACE, 1usize).arg(&from).arg(&to).arg(&cents).start()
    }
    /// Writes a line to the log; nobody waits.
    #[allow(clippy::too_many_arguments)]
    pub fn note(
        &self,
        line: &str,
    ) -> ::rpc_runtime::Call<::core::result::Result<(), ::rpc_runtime::CallError>> {
        self.0.call(&BANK_INTERFACE, 2usize).arg(&line).start()
    }
    /// In-out: the basket comes back changed.
    #[allow(clippy::too_many_arguments)]
    pub fn fill(
        &self,
        basket: &Vec<String>,
        n: u32,
    ) -> ::rpc_runtime::Call<Result<u32, CallError>, (Vec<String>,)> {
        self.0.call(&BANK_INTERFACE, 3usize).arg(basket).arg(&n).start()
    }
}
///Serves calls of [`Bank`] with an object that implements it.
#[derive(::core::fmt::Debug)]
pub struct BankService<T>(::std::sync::Arc<T>);
impl<T: Bank + ::core::marker::Send + ::core::marker::Sync + 'static> BankService<T> {
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
    T: Bank + ::core::marker::Send + ::core::marker::Sync + 'static,
> ::rpc_runtime::Service for BankService<T> {
    fn interface(&self) -> &'static ::rpc_runtime::Interface {
        &BANK_INTERFACE
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
                                Bank::balance(
                                    target,
                                    args.last::<&::core::primitive::str>()?,
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
                            ::core::result::Result::Ok(
                                Bank::transfer(
                                    target,
                                    args.next::<&::core::primitive::str>()?,
                                    args.next::<&::core::primitive::str>()?,
                                    args.last::<u64>()?,
                                ),
                            )
                        },
                    ),
                )
            }
            2usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve_maybe(
                        incoming,
                        |args| {
                            Bank::note(target, args.last::<&::core::primitive::str>()?);
                            ::core::result::Result::Ok(())
                        },
                    ),
                )
            }
            3usize => {
                ::rpc_runtime::__private::Dispatched::Now(
                    ::rpc_runtime::__private::serve_inout(
                        incoming,
                        |args| {
                            let mut argument_0 = args.next::<Vec<String>>()?;
                            let argument_1 = args.last::<u32>()?;
                            let out = Bank::fill(target, &mut argument_0, argument_1);
                            ::core::result::Result::Ok((out, (argument_0,)))
                        },
                    ),
                )
            }
            _ => ::core::unreachable!("the server calls the methods of the table"),
        }
    }
}
