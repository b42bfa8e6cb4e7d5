//! After a mistake: the trait alone, repaired where the compiler would repeat what was said.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::visit::{self, Visit};
use syn::{FnArg, ItemTrait, Pat, ReturnType, TraitItem, TraitItemFn, Type};

use crate::parse::is_rpc;

/// The trait without what would make the compiler complain a second time.
pub(super) fn repaired(mut item: ItemTrait) -> ItemTrait {
    for inner in &mut item.items {
        if let TraitItem::Fn(function) = inner {
            repair(function);
        }
    }
    item
}

fn repair(function: &mut TraitItemFn) {
    function.attrs.retain(|attribute| !is_rpc(attribute));
    let signature = &mut function.sig;
    signature.constness = None;
    signature.variadic = None;
    if let ReturnType::Type(_, output) = &mut signature.output {
        fill(output);
        if names_self(output) {
            signature.generics.make_where_clause().predicates.push(syn::parse_quote!(Self: Sized));
        }
    }
    if function.default.is_none() && signature.asyncness.is_some() {
        super::promised(signature);
    }
    for (place, input) in signature.inputs.iter_mut().enumerate() {
        let FnArg::Typed(typed) = input else { continue };
        typed.attrs.retain(|attribute| !is_rpc(attribute));
        fill(&mut typed.ty);
        let plain = matches!(&*typed.pat, Pat::Ident(name) if name.mutability.is_none() && name.by_ref.is_none());
        // A body, where patterns may stand, knows them by these names.
        if !plain && function.default.is_none() {
            let name = format_ident!("parameter_{place}");
            *typed.pat = syn::parse_quote!(#name);
        }
    }
}

/// Puts `()` where a type holds `_`, which no signature may.
fn fill(written: &mut Type) {
    let filled = filled(written.to_token_stream());
    *written = syn::parse2(filled).unwrap_or_else(|_| syn::parse_quote!(()));
}

fn filled(tokens: TokenStream) -> TokenStream {
    let mut in_lifetime = false; // `'_` is a quote and an `_`
    let fill = |token: TokenTree| {
        let anonymous = std::mem::take(&mut in_lifetime);
        match token {
            TokenTree::Ident(ident) if ident == "_" && !anonymous => quote!(()),
            TokenTree::Group(group) => {
                let mut inside = Group::new(group.delimiter(), filled(group.stream()));
                inside.set_span(group.span());
                TokenTree::from(inside).into()
            }
            other => {
                in_lifetime = matches!(&other, TokenTree::Punct(punct) if punct.as_char() == '\'');
                other.into()
            }
        }
    };
    tokens.into_iter().map(fill).collect()
}

fn names_self(written: &Type) -> bool {
    struct Finder(bool);
    impl<'ast> Visit<'ast> for Finder {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            self.0 |= path.is_ident("Self");
            visit::visit_path(self, path);
        }
    }
    let mut finder = Finder(false);
    finder.visit_type(written);
    finder.0
}
