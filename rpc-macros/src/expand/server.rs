//! The server's side: `BankService`, which takes calls apart and hands them to the user's object.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use super::{interface_name, located, named, ours, result_place};
use crate::model::{Argument, Kind, Method, Semantics, Service};

pub(super) fn service(service: &Service) -> TokenStream {
    if service.is_durable() { durable(service) } else { plain(service) }
}

/// A service whose calls run on one object.
fn plain(service: &Service) -> TokenStream {
    let Service { visibility, runtime, trait_name, .. } = service;
    let name = named(service, "Service");
    let interface = interface_name(service);
    let docs = format!("Serves calls of [`{trait_name}`] with an object that implements it.");
    let (target, incoming, method) = (ours("target"), ours("incoming"), ours("method"));
    let is_lent = service.methods.iter().any(|method| !method.is_async);
    let lent = is_lent.then(|| quote!(let #target = &*self.0;));
    let dispatch = dispatch(service, now_or_later);
    quote! {
        #[doc = #docs]
        #[derive(::core::fmt::Debug)]
        #visibility struct #name<T>(::std::sync::Arc<T>);

        impl<T: #trait_name + ::core::marker::Send + ::core::marker::Sync + 'static> #name<T> {
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

        impl<T: #trait_name + ::core::marker::Send + ::core::marker::Sync + 'static> #runtime::Service for #name<T> {
            fn interface(&self) -> &'static #runtime::Interface {
                &#interface
            }

            fn dispatch(
                &self,
                #method: usize,
                #incoming: #runtime::__private::Incoming<'_>,
            ) -> #runtime::__private::Dispatched {
                #lent
                #dispatch
            }
        }
    }
}

/// A service whose calls run in transactions, each on an object built around its own.
fn durable(service: &Service) -> TokenStream {
    let Service { visibility, runtime, trait_name, .. } = service;
    let (name, call) = (named(service, "Service"), named(service, "Call"));
    let interface = interface_name(service);
    let docs = format!(
        "Serves calls of [`{trait_name}`] in transactions of a store: what a call does and what it \
         replies are committed together, or neither is."
    );
    let call_docs = format!(
        "A call of [`{trait_name}`], waiting for the object to run on: see [`{name}::durable`]."
    );
    let (target, incoming, method) = (ours("target"), ours("incoming"), ours("method"));
    let dispatch = dispatch(service, now);
    quote! {
        #[doc = #call_docs]
        #[derive(::core::fmt::Debug)]
        #visibility struct #call<'c> {
            method: usize,
            incoming: #runtime::__private::Incoming<'c>,
        }

        impl #call<'_> {
            /// Runs the call on an object built around the open transaction.
            pub fn on(self, #target: &impl #trait_name) -> #runtime::Done {
                let (#method, #incoming) = (self.method, self.incoming);
                #runtime::__private::done(#dispatch)
            }
        }

        #[doc = #docs]
        #visibility struct #name<S: #runtime::store::Store>(
            ::std::sync::Arc<#runtime::store::Durable<S>>,
            #runtime::__private::DurableBody<S>,
        );

        impl<S: #runtime::store::Store> #name<S> {
            /// Serves calls with what `body` makes of each call's transaction: it builds an object
            /// around the transaction and runs the call on it. A body may run more than once for a
            /// call, each time on a transaction of its own; one of them is committed.
            #[must_use]
            pub fn durable(
                store: &::std::sync::Arc<#runtime::store::Durable<S>>,
                body: impl Fn(&mut S::Tx<'_>, #call<'_>) -> #runtime::Done
                    + ::core::marker::Send
                    + ::core::marker::Sync
                    + 'static,
            ) -> Self {
                Self(
                    ::std::sync::Arc::clone(store),
                    ::std::sync::Arc::new(move |tx, method, incoming| {
                        body(tx, #call { method, incoming })
                    }),
                )
            }
        }

        impl<S: #runtime::store::Store> ::core::fmt::Debug for #name<S> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                ::core::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl<S: #runtime::store::Store> #runtime::Service for #name<S> {
            fn interface(&self) -> &'static #runtime::Interface {
                &#interface
            }

            fn ledger(
                &self,
            ) -> ::core::option::Option<::std::sync::Arc<dyn #runtime::__private::Ledger>> {
                ::core::option::Option::Some(::core::clone::Clone::clone(&self.0) as _)
            }

            fn dispatch(
                &self,
                #method: usize,
                #incoming: #runtime::__private::Incoming<'_>,
            ) -> #runtime::__private::Dispatched {
                #runtime::__private::serve_durable(&self.0, &self.1, #method, #incoming)
            }
        }
    }
}

/// The table of methods as code: one arm each.
fn dispatch(service: &Service, arm: impl Fn(&Service, &Method) -> TokenStream) -> TokenStream {
    let method = ours("method");
    let arms = service.methods.iter().enumerate().map(|(index, method)| {
        let body = arm(service, method);
        quote!(#index => #body,)
    });
    quote! {
        match #method {
            #(#arms)*
            _ => ::core::unreachable!("the server calls the methods of the table"),
        }
    }
}

/// One method, whose answer is there at once or comes from a future.
fn now_or_later(service: &Service, method: &Method) -> TokenStream {
    if method.is_async {
        return later(service, method);
    }
    let place = result_place(method);
    let runtime = moved(service.runtime.to_token_stream(), place);
    let answer = now(service, method);
    quote_spanned!(place=> #runtime::__private::Dispatched::Now(#answer))
}

/// The answer of a method that runs to its end.
fn now(service: &Service, method: &Method) -> TokenStream {
    let place = result_place(method);
    let runtime = moved(service.runtime.to_token_stream(), place);
    let handler = handler(service, method, place);
    let (target, incoming, args) = (ours("target"), ours("incoming"), ours("args"));
    if method.has_in_out() {
        let body = with_in_outs(method, &handler, place);
        return quote_spanned! {place=>
            #runtime::__private::serve_inout(#incoming, |#args| { #body })
        };
    }
    let (none, values) = (none(method, &args), values(method, &args));
    if method.semantics == Semantics::Maybe {
        return quote! {
            #runtime::__private::serve_maybe(#incoming, |#args| {
                #none
                #handler(#target, #(#values),*);
                ::core::result::Result::Ok(())
            })
        };
    }
    quote_spanned! {place=>
        #runtime::__private::serve(#incoming, |#args| {
            #none
            ::core::result::Result::Ok(#handler(#target, #(#values),*))
        })
    }
}

/// The future of an async method. It owns the arguments, so that what is decoded may borrow from
/// them for as long as it lives, and shares the server's object.
fn later(service: &Service, method: &Method) -> TokenStream {
    let place = result_place(method);
    let runtime = moved(service.runtime.to_token_stream(), place);
    let handler = handler(service, method, place);
    let (target, incoming, args) = (ours("target"), ours("incoming"), ours("args"));
    let (arguments, served) = (ours("arguments"), ours("served"));
    let (serve, body) = if method.has_in_out() {
        (quote_spanned!(place=> serve_inout_async), with_in_outs(method, &handler, place))
    } else {
        let (none, values) = (none(method, &args), values(method, &args));
        let serve = match method.semantics {
            Semantics::Maybe => quote_spanned!(place=> serve_maybe_async),
            Semantics::AtLeastOnce | Semantics::AtMostOnce | Semantics::ExactlyOnce => {
                quote_spanned!(place=> serve_async)
            }
        };
        let called = quote_spanned!(place=> #handler(#target, #(#values),*).await);
        (serve, quote_spanned!(place=> #none ::core::result::Result::Ok(#called)))
    };
    quote_spanned! {place=>
        {
            let #target = ::core::clone::Clone::clone(&self.0);
            #runtime::__private::#serve(#incoming, |#arguments| async move {
                let #served = async {
                    let #target = &*#target;
                    let #args = &mut #runtime::__private::Args::of(&#arguments);
                    #body
                };
                (#served.await, #arguments)
            })
        }
    }
}

/// The trait's method, so that no other of the same name is meant.
fn handler(service: &Service, method: &Method, place: Span) -> TokenStream {
    let trait_name = moved(service.trait_name.to_token_stream(), place);
    let name = moved(method.name.to_token_stream(), place);
    quote_spanned!(place=> #trait_name::#name)
}

/// What a method without parameters has to check.
fn none(method: &Method, args: &syn::Ident) -> Option<TokenStream> {
    method.arguments.is_empty().then(|| quote!(#args.end()?;))
}

/// The parameters, each decoded where it is passed.
fn values(method: &Method, args: &syn::Ident) -> Vec<TokenStream> {
    let count = method.arguments.len();
    let value = |(place, argument)| unmarshal(argument, place + 1 == count, args);
    method.arguments.iter().enumerate().map(value).collect()
}

/// Decodes all parameters, calls, and gives back what came and the in-out parameters.
fn with_in_outs(method: &Method, handler: &TokenStream, place: Span) -> TokenStream {
    let (target, args, out) = (ours("target"), ours("args"), ours("out"));
    let count = method.arguments.len();
    let named = || {
        let name = |place| ours(&format!("argument_{place}"));
        method.arguments.iter().enumerate().map(move |(place, argument)| (argument, name(place)))
    };
    let lets = named().enumerate().map(|(place, (argument, local))| {
        let value = owned(argument, place + 1 == count, &args);
        let mutable = (argument.kind == Kind::InOut).then(|| quote!(mut));
        quote!(let #mutable #local = #value;)
    });
    let passed = named().map(|(argument, local)| pass(argument, &local));
    let back = named().filter(|(argument, _)| argument.kind == Kind::InOut).map(|(_, local)| local);
    let wait = method.is_async.then(|| quote_spanned!(place=> .await));
    quote_spanned! {place=>
        #(#lets)*
        let #out = #handler(#target, #(#passed),*) #wait;
        ::core::result::Result::Ok((#out, (#(#back,)*)))
    }
}

/// The same tokens, standing at `place`.
fn moved(tokens: TokenStream, place: Span) -> TokenStream {
    let mut tokens: Vec<_> = tokens.into_iter().collect();
    for token in &mut tokens {
        token.set_span(token.span().located_at(place));
    }
    tokens.into_iter().collect()
}

/// A parameter decoded where it is passed.
fn unmarshal(argument: &Argument, last: bool, args: &syn::Ident) -> TokenStream {
    let value = owned(argument, last, args);
    match argument.kind {
        Kind::Reference | Kind::Slice => quote_spanned!(located(&argument.inner)=> &#value),
        Kind::OptionReference => {
            quote_spanned!(located(&argument.written)=> ::core::option::Option::as_ref(&#value))
        }
        Kind::InOut
        | Kind::Owned
        | Kind::Str
        | Kind::Bytes
        | Kind::OptionBorrowed
        | Kind::CowStr
        | Kind::CowBytes
        | Kind::SharedBytes => value,
    }
}

/// A parameter decoded, before any `&` that the handler wants.
fn owned(argument: &Argument, last: bool, args: &syn::Ident) -> TokenStream {
    let Argument { kind, written, inner, .. } = argument;
    let place = located(inner);
    let take = if last { quote_spanned!(place=> last) } else { quote_spanned!(place=> next) };
    match kind {
        Kind::Str => quote_spanned!(place=> #args.#take::<&::core::primitive::str>()?),
        Kind::Bytes => quote_spanned!(place=> #args.#take::<&[::core::primitive::u8]>()?),
        Kind::CowStr => {
            quote_spanned!(place=> ::std::borrow::Cow::Borrowed(#args.#take::<&::core::primitive::str>()?))
        }
        Kind::CowBytes => {
            quote_spanned!(place=> ::std::borrow::Cow::Borrowed(#args.#take::<&[::core::primitive::u8]>()?))
        }
        Kind::Owned | Kind::OptionBorrowed | Kind::SharedBytes => {
            quote_spanned!(place=> #args.#take::<#written>()?)
        }
        Kind::Reference | Kind::InOut => quote_spanned!(place=> #args.#take::<#inner>()?),
        Kind::Slice => quote_spanned!(place=> #args.#take::<::std::vec::Vec<#inner>>()?),
        Kind::OptionReference => {
            quote_spanned!(place=> #args.#take::<::core::option::Option<#inner>>()?)
        }
    }
}

/// A decoded local as the handler takes it.
fn pass(argument: &Argument, local: &syn::Ident) -> TokenStream {
    match argument.kind {
        Kind::InOut => quote!(&mut #local),
        Kind::Reference | Kind::Slice => quote!(&#local),
        Kind::OptionReference => quote!(::core::option::Option::as_ref(&#local)),
        Kind::Owned
        | Kind::Str
        | Kind::Bytes
        | Kind::OptionBorrowed
        | Kind::CowStr
        | Kind::CowBytes
        | Kind::SharedBytes => quote!(#local),
    }
}
