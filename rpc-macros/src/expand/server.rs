//! The server's side: `BankService`, which takes calls apart and hands them to the user's object.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};

use super::{interface_name, located, named, ours};
use crate::model::{Argument, Kind, Method, Semantics, Service};

pub(super) fn service(service: &Service) -> TokenStream {
    let Service { visibility, runtime, trait_name, .. } = service;
    let name = named(service, "Service");
    let interface = interface_name(service);
    let docs = format!("Serves calls of [`{trait_name}`] with an object that implements it.");
    let arms =
        service.methods.iter().enumerate().map(|(index, method)| arm(service, method, index));
    let (target, incoming, method) = (ours("target"), ours("incoming"), ours("method"));
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
                let #target = &*self.0;
                match #method {
                    #(#arms)*
                    _ => ::core::unreachable!("the server calls the methods of the table"),
                }
            }
        }
    }
}

fn arm(service: &Service, method: &Method, index: usize) -> TokenStream {
    let (trait_name, name) = (&service.trait_name, &method.name);
    let serve = serve(service, method);
    let (target, incoming, args) = (ours("target"), ours("incoming"), ours("args"));
    let count = method.arguments.len();
    let unmarshalled: Vec<_> = method
        .arguments
        .iter()
        .enumerate()
        .map(|(place, argument)| (argument, unmarshal(argument, place + 1 == count, &args)))
        .collect();
    let none = (count == 0).then(|| quote!(#args.end()?;));
    let values = unmarshalled.iter().map(|(_, value)| value);
    if method.has_in_out() {
        let names: Vec<_> = (0..count).map(|place| ours(&format!("argument_{place}"))).collect();
        let lets = unmarshalled.iter().zip(&names).map(|((argument, _), local)| {
            let last = names.last() == Some(local);
            let value = owned(argument, last, &args);
            let mutable = (argument.kind == Kind::InOut).then(|| quote!(mut));
            quote!(let #mutable #local = #value;)
        });
        let passed =
            unmarshalled.iter().zip(&names).map(|((argument, _), local)| pass(argument, local));
        let back = unmarshalled
            .iter()
            .zip(&names)
            .filter(|((argument, _), _)| argument.kind == Kind::InOut)
            .map(|(_, local)| local);
        let out = ours("out");
        return quote! {
            #index => #serve(#incoming, |#args| {
                #(#lets)*
                let #out = #trait_name::#name(#target, #(#passed),*);
                ::core::result::Result::Ok((#out, (#(#back,)*)))
            }),
        };
    }
    if method.semantics == Semantics::Maybe {
        return quote! {
            #index => #serve(#incoming, |#args| {
                #none
                #trait_name::#name(#target, #(#values),*);
                ::core::result::Result::Ok(())
            }),
        };
    }
    quote! {
        #index => #serve(#incoming, |#args| {
            #none
            ::core::result::Result::Ok(#trait_name::#name(#target, #(#values),*))
        }),
    }
}

/// The library's function for such a method, named at the method's result: what the compiler says
/// about the result's type then shows there.
fn serve(service: &Service, method: &Method) -> TokenStream {
    let place = match &method.output {
        syn::ReturnType::Default => Span::call_site(),
        syn::ReturnType::Type(_, written) => located(written),
    };
    let runtime = service.runtime.to_token_stream().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(place));
        token
    });
    let runtime: TokenStream = runtime.collect();
    if method.has_in_out() {
        quote_spanned!(place=> #runtime::__private::serve_inout)
    } else if method.semantics == Semantics::Maybe {
        quote_spanned!(place=> #runtime::__private::serve_maybe)
    } else {
        quote_spanned!(place=> #runtime::__private::serve)
    }
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
        | Kind::CowBytes => value,
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
        Kind::Owned | Kind::OptionBorrowed => quote_spanned!(place=> #args.#take::<#written>()?),
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
        | Kind::CowBytes => quote!(#local),
    }
}
