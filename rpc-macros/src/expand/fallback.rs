//! After a mistake: the trait alone, repaired where the compiler would repeat what was said.

use quote::format_ident;
use syn::{FnArg, ItemTrait, Pat, ReturnType, TraitItem};

use crate::parse::is_rpc;

/// The trait without what would make the compiler complain a second time.
pub(super) fn repaired(mut item: ItemTrait) -> ItemTrait {
    for inner in &mut item.items {
        let TraitItem::Fn(function) = inner else { continue };
        function.attrs.retain(|attribute| !is_rpc(attribute));
        function.sig.constness = None;
        function.sig.variadic = None;
        if let ReturnType::Type(_, output) = &mut function.sig.output
            && has_placeholder(output)
        {
            function.sig.output = ReturnType::Default;
        }
        let has_body = function.default.is_some();
        let inputs = function.sig.inputs.iter_mut().enumerate();
        for (place, input) in inputs {
            let FnArg::Typed(typed) = input else { continue };
            typed.attrs.retain(|attribute| !is_rpc(attribute));
            // A body, where patterns may stand, knows them by these names.
            if !has_body
                && !matches!(&*typed.pat, Pat::Ident(name) if name.mutability.is_none() && name.by_ref.is_none())
            {
                let name = format_ident!("parameter_{place}");
                *typed.pat = syn::parse_quote!(#name);
            }
            if has_placeholder(&typed.ty) {
                *typed.ty = syn::parse_quote!(());
            }
        }
    }
    item
}

/// Whether a type holds `_`, which no signature may.
fn has_placeholder(written: &syn::Type) -> bool {
    struct Finder(bool);
    impl<'ast> syn::visit::Visit<'ast> for Finder {
        fn visit_type_infer(&mut self, _: &'ast syn::TypeInfer) {
            self.0 = true;
        }
    }
    let mut finder = Finder(false);
    syn::visit::Visit::visit_type(&mut finder, written);
    finder.0
}
