//! The client's side: `BankClient`, which is a `Bank`, and `BankStart` for overlapped calls.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{interface_name, located, named, ours, output, result_place};
use crate::model::{Argument, Kind, Method, Semantics, Service};

pub(super) fn client(service: &Service) -> TokenStream {
    let Service { visibility, runtime, trait_name, .. } = service;
    let (client, start) = (named(service, "Client"), named(service, "Start"));
    let interface = interface_name(service);
    let client_docs =
        format!("A client of [`{trait_name}`]: the same trait, carried out in another process.");
    let start_docs =
        format!("Starts calls of [`{trait_name}`] without waiting: see [`{client}::start`].");
    let calls = service.methods.iter().map(|method| plain_call(service, method));
    let starts = service
        .methods
        .iter()
        .enumerate()
        .map(|(index, method)| start_call(service, method, index));
    quote! {
        #[doc = #client_docs]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client(#runtime::Channel);

        impl #client {
            /// Connects to a server at `address`, such as `udp://127.0.0.1:7001`, or to one that a
            /// binder finds, such as `binder://127.0.0.1:7000/name?version=1`.
            ///
            /// # Errors
            ///
            /// The address cannot be used, or the binder finds no server. Whether a server lives
            /// at an address, the first call tells.
            pub fn connect(address: &str) -> ::core::result::Result<Self, #runtime::CallError> {
                #runtime::__private::connect(address)
            }

            /// Connects to a live server that the binder knows for this interface, and to another
            /// one when that is gone.
            ///
            /// # Errors
            ///
            /// The binder knows none, or none with all methods of this interface.
            pub fn import(binder: &#runtime::Binder) -> ::core::result::Result<Self, #runtime::CallError> {
                #runtime::__private::import(binder)
            }

            /// Shares a channel with other stubs.
            #[must_use]
            pub fn on(channel: &#runtime::Channel) -> Self {
                Self(::core::clone::Clone::clone(channel))
            }

            /// The same client with other options for its calls.
            #[must_use]
            pub fn with(&self, options: #runtime::Options) -> Self {
                Self(self.0.with(options))
            }

            /// Starts calls without waiting for them.
            #[must_use]
            pub fn start(&self) -> #start<'_> {
                #start(&self.0)
            }

            /// Asks what became of a call that ended in doubt.
            ///
            /// # Errors
            ///
            /// The server did not answer, or has forgotten: the call stays in doubt.
            pub fn resolve(&self, call: #runtime::CallId) -> ::core::result::Result<#runtime::Resolution, #runtime::CallError> {
                self.0.resolve(call)
            }
        }

        impl #runtime::Stub for #client {
            fn interface() -> &'static #runtime::Interface {
                &#interface
            }

            fn on(channel: &#runtime::Channel) -> Self {
                Self(::core::clone::Clone::clone(channel))
            }
        }

        impl #trait_name for #client {
            #(#calls)*
        }

        #[doc = #start_docs]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #visibility struct #start<'c>(&'c #runtime::Channel);

        impl #start<'_> {
            #(#starts)*
        }
    }
}

/// The plain call: start it, wait for it.
fn plain_call(_service: &Service, method: &Method) -> TokenStream {
    let name = &method.name;
    let parameters = method.arguments.iter().map(|argument| {
        let Argument { name, written, .. } = argument;
        quote!(#name: #written)
    });
    let passed = method.arguments.iter().map(|argument| {
        let name = &argument.name;
        if argument.kind == Kind::InOut { quote!(&*#name) } else { quote!(#name) }
    });
    let written = &method.output;
    let place = result_place(method);
    let start = quote_spanned!(place=> self.start().#name(#(#passed),*));
    let asyncness = method.is_async.then(|| quote!(async));
    let body = if method.semantics == Semantics::Maybe {
        quote!(#start.detach();)
    } else if method.has_in_out() {
        let (restore, wait) = if method.is_async {
            (quote_spanned!(place=> restored), Some(quote_spanned!(place=> .await)))
        } else {
            (quote_spanned!(place=> restore), None)
        };
        let names: Vec<_> = method.in_outs().map(|argument| &argument.name).collect();
        let new: Vec<_> = (0..names.len()).map(|place| ours(&format!("new_{place}"))).collect();
        quote_spanned!(place=> #start.#restore(|(#(#new,)*)| { #(*#names = #new;)* }) #wait)
    } else if method.is_async {
        quote_spanned!(place=> #start.await)
    } else {
        quote_spanned!(place=> #start.wait())
    };
    quote! {
        #asyncness fn #name(&self, #(#parameters),*) #written { #body }
    }
}

/// The overlapped call: marshal, send, and give a handle.
fn start_call(service: &Service, method: &Method, index: usize) -> TokenStream {
    let runtime = &service.runtime;
    let interface = interface_name(service);
    let (name, docs) = (&method.name, &method.docs);
    let default_docs = docs.is_empty().then(|| {
        let text = format!("Starts [`{}::{name}`].", service.trait_name);
        quote!(#[doc = #text])
    });
    let parameters = method.arguments.iter().map(parameter);
    let marshalled = method.arguments.iter().map(marshal);
    let output = output(method, runtime);
    let restored = method.in_outs().map(|argument| &argument.inner);
    let result = if method.has_in_out() {
        quote!(#runtime::Call<#output, (#(#restored,)*)>)
    } else {
        quote!(#runtime::Call<#output>)
    };
    let place = result_place(method);
    let begin = quote_spanned!(place=> self.0.call(&#interface, #index));
    let finish = quote_spanned!(place=> .start());
    quote! {
        #(#docs)*
        #default_docs
        #[allow(clippy::too_many_arguments)]
        pub fn #name(&self, #(#parameters),*) -> #result {
            #begin #(#marshalled)* #finish
        }
    }
}

fn parameter(argument: &Argument) -> TokenStream {
    let Argument { name, kind, written, inner, .. } = argument;
    if *kind == Kind::InOut { quote!(#name: &#inner) } else { quote!(#name: #written) }
}

/// One step of the builder. The name stands at the type: what the compiler says about the type
/// shows there.
fn marshal(argument: &Argument) -> TokenStream {
    let Argument { name, kind, inner, .. } = argument;
    let place = located(inner);
    let mut name = name.clone();
    name.set_span(name.span().located_at(place));
    let step = match kind {
        Kind::Bytes => quote_spanned!(place=> .bytes(#name)),
        Kind::Slice => quote_spanned!(place=> .slice(#name)),
        Kind::OptionReference => quote_spanned!(place=> .opt(#name)),
        Kind::Reference | Kind::InOut => quote_spanned!(place=> .arg(#name)),
        Kind::CowStr => quote_spanned!(place=> .arg(&&*#name)),
        Kind::SharedBytes => quote_spanned!(place=> .shared(&#name)),
        Kind::CowBytes => quote_spanned!(place=> .bytes(&#name)),
        Kind::Str | Kind::Owned | Kind::OptionBorrowed => quote_spanned!(place=> .arg(&#name)),
    };
    if argument.is_key { quote_spanned!(place=> #step.as_key()) } else { step }
}
