//! The interface as a static table.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::interface_name;
use crate::model::Service;
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
        let inline = method.inline.then(|| quote!(.inline()));
        quote! {
            #runtime::Method::new(#wire_name, #signature, #runtime::Semantics::#semantics) #timeout #inline
        }
    });
    quote! {
        #[doc = #docs]
        #visibility static #name: #runtime::Interface =
            #runtime::Interface::new(#wire_name, (#major, #minor), &[#(#methods),*]);
    }
}
