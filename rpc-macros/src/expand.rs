//! The model to tokens: the trait as written, the interface's table, the stubs.

mod fallback;
mod server;
mod stub;
mod table;

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Ident, ItemTrait, ReturnType, TraitItem};

use crate::diagnostics::{Diagnostics, error};
use crate::model::{Method, Semantics, Service};
use crate::{parse, validate};

/// Expands `#[service(attribute)] item`.
pub(crate) fn service(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let Ok(parsed) = syn::parse2::<ItemTrait>(item.clone()) else {
        return not_a_trait(item);
    };
    let mut diagnostics = Diagnostics::new();
    let service = parse::service(attribute, parsed, &mut diagnostics);
    validate::service(&service, &mut diagnostics);
    match diagnostics.finish() {
        Some(errors) => {
            let repaired = fallback::repaired(service.item);
            quote!(#errors #repaired)
        }
        None => whole(&service),
    }
}

fn not_a_trait(item: TokenStream) -> TokenStream {
    let message = "#[service] belongs on a trait: the trait is the interface";
    let is_trait = item.clone().into_iter().any(|token| token.to_string() == "trait");
    if is_trait {
        // The trait has a syntax error, which the compiler words better than we do.
        return item;
    }
    let place = item.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span());
    let error = error(place, message);
    quote!(#error #item)
}

fn whole(service: &Service) -> TokenStream {
    let item = documented(service);
    let table = table::interface(service);
    let client = stub::client(service);
    let server = server::service(service);
    quote!(#item #table #client #server)
}

/// The trait, with what each method promises in its documentation.
fn documented(service: &Service) -> TokenStream {
    let mut item = service.item.clone();
    let mut methods = service.methods.iter();
    for inner in &mut item.items {
        let TraitItem::Fn(function) = inner else { continue };
        let Some(method) = methods.next() else { continue };
        if method.is_async {
            promised(&mut function.sig);
        }
        if method.semantics == Semantics::Maybe {
            continue;
        }
        let promise = method.semantics.promise();
        function.attrs.push(syn::parse_quote!(#[doc = ""]));
        function.attrs.push(syn::parse_quote!(#[doc = "# Errors"]));
        function.attrs.push(syn::parse_quote!(#[doc = ""]));
        function.attrs.push(syn::parse_quote!(#[doc = #promise]));
        // Clippy looks for the section in what the user wrote only.
        function.attrs.push(syn::parse_quote!(#[allow(clippy::missing_errors_doc)]));
    }
    quote!(#item)
}

/// `async fn put() -> R` as `fn put() -> impl Future<Output = R> + Send`: the compiler takes an
/// `async fn` for its implementation, and anybody may send what it gives to another thread.
fn promised(signature: &mut syn::Signature) {
    signature.asyncness = None;
    let (place, output) = match &signature.output {
        ReturnType::Default => (Span::call_site(), quote!(())),
        ReturnType::Type(_, written) => (located(written), quote!(#written)),
    };
    signature.output = syn::parse_quote_spanned! {place=>
        -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
    };
}

/// `BankClient` and its sisters.
fn named(service: &Service, suffix: &str) -> Ident {
    format_ident!("{}{suffix}", service.trait_name)
}

/// `BANK_INTERFACE`, of `Bank`; `MY_BANK_INTERFACE`, of `MyBank`.
fn interface_name(service: &Service) -> Ident {
    let mut name = String::new();
    for letter in service.trait_name.to_string().trim_start_matches("r#").chars() {
        if letter.is_uppercase() && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        name.extend(letter.to_uppercase());
    }
    format_ident!("{name}_INTERFACE", span = service.trait_name.span())
}

/// A name of ours that cannot be confused with a parameter's.
fn ours(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// Where an error about this type shows: at the type, as macro code, so that lints stay silent.
fn located(node: &impl syn::spanned::Spanned) -> Span {
    Span::call_site().located_at(node.span())
}

/// Where an error about a method's result shows.
fn result_place(method: &Method) -> Span {
    match &method.output {
        ReturnType::Default => Span::call_site(),
        ReturnType::Type(_, written) => located(written),
    }
}

/// `written`, or nothing for a method without a result.
fn output(method: &Method, runtime: &syn::Path) -> TokenStream {
    match &method.output {
        ReturnType::Default => {
            quote!(::core::result::Result<(), #runtime::CallError>)
        }
        ReturnType::Type(_, output) => quote_spanned!(located(output)=> #output),
    }
}
