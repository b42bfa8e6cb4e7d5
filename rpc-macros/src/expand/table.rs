//! The interface as a static table.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};

use super::{interface_name, located, ours};
use crate::model::{Argument, Kind, Method, Semantics, Service};
use crate::signature;

pub(super) fn interface(service: &Service) -> TokenStream {
    let Service { visibility, runtime, wire_name, version: (major, minor), .. } = service;
    let name = interface_name(service);
    let docs = format!(
        "The interface of [`{}`]: its methods, as both sides must have them.",
        service.trait_name
    );
    let methods = service.methods.iter().map(|method| {
        let wire_name = &method.wire_name;
        let signature = signature::of(method);
        let semantics = format_ident!("{}", method.semantics.variant());
        let timeout = method.timeout_ns.map(|ns| quote!(.timeout_ns(#ns)));
        let hedge = method.hedge_ns.map(|ns| quote!(.hedge_ns(#ns)));
        let orphan = method.orphan.map(|orphan| {
            let strategy = format_ident!("{}", orphan.variant());
            quote!(.orphan(#runtime::orphans::OrphanStrategy::#strategy))
        });
        let expires = method.expires_ns.map(|ns| quote!(.expires_ns(#ns)));
        let no_cancel = method.no_cancel.then(|| quote!(.no_cancel()));
        let ack = method.ack.map(|protocol| {
            let protocol = format_ident!("{}", protocol.variant());
            quote!(.ack(#runtime::protocol::AckProtocol::#protocol))
        });
        let inline = method.inline.then(|| quote!(.inline()));
        let worker = (method.place_given && !method.inline).then(|| quote!(.worker()));
        let parameters = parameters(method);
        let forms = forms(method);
        quote! {
            #runtime::Method::new(#wire_name, #signature, #runtime::Semantics::#semantics) #timeout #hedge #orphan #expires #no_cancel #ack #inline #worker #parameters #forms
        }
    });
    quote! {
        #[doc = #docs]
        #visibility static #name: #runtime::Interface =
            #runtime::Interface::new(#wire_name, (#major, #minor), &[#(#methods),*]);
    }
}

/// The names of a method's parameters, for callers that have no types.
fn parameters(method: &Method) -> Option<TokenStream> {
    let names: Vec<_> = method.arguments.iter().map(|argument| argument.wire_name()).collect();
    (!names.is_empty()).then(|| quote!(.parameters(&[#(#names),*])))
}

/// The types of a method, as its interface's fingerprint covers them.
fn forms(method: &Method) -> TokenStream {
    let forms = ours("forms");
    let parameters = method.arguments.iter().map(|argument| parameter(argument, &forms));
    let output = match &method.output {
        syn::ReturnType::Type(_, output) if method.semantics != Semantics::Maybe => {
            let span = located(output);
            quote_spanned!(span=> #forms.output::<#output>();)
        }
        syn::ReturnType::Type(..) | syn::ReturnType::Default => TokenStream::new(),
    };
    quote!(.forms(|#forms| { #(#parameters)* #output }))
}

/// The type that a parameter is decoded into.
fn parameter(argument: &Argument, forms: &Ident) -> TokenStream {
    let Argument { kind, written, inner, .. } = argument;
    let span = located(inner);
    let decoded = match kind {
        Kind::Str | Kind::CowStr => quote!(&::core::primitive::str),
        Kind::Bytes | Kind::CowBytes => quote!(&[::core::primitive::u8]),
        Kind::Owned | Kind::OptionBorrowed | Kind::SharedBytes => quote!(#written),
        Kind::Reference | Kind::InOut => quote!(#inner),
        Kind::Slice => quote_spanned!(span=> ::std::vec::Vec<#inner>),
        Kind::OptionReference => quote_spanned!(span=> ::core::option::Option<#inner>),
    };
    match kind {
        Kind::InOut => quote_spanned!(span=> #forms.in_out::<#decoded>();),
        Kind::Str
        | Kind::CowStr
        | Kind::Bytes
        | Kind::CowBytes
        | Kind::SharedBytes
        | Kind::Owned
        | Kind::OptionBorrowed
        | Kind::Reference
        | Kind::Slice
        | Kind::OptionReference => quote_spanned!(span=> #forms.parameter::<#decoded>();),
    }
}
