//! The rules for the types of parameters and results, wherever in the type the mistake sits.
//!
//! Whether serde can marshal a type, only the compiler knows: `rpc-runtime`'s traits say it.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{GenericArgument, PathArguments, Type};

use crate::diagnostics::Diagnostics;
use crate::model::{Argument, Kind};

/// Types that share memory.
const SHARED: &[&str] = &["Rc", "Arc", "Cell", "RefCell", "Mutex", "RwLock"];

/// The rules for a parameter.
pub(super) fn parameter(argument: &Argument, diagnostics: &mut Diagnostics) {
    let Argument { written, inner, .. } = argument;
    let in_out = argument.kind == Kind::InOut;
    if in_out {
        let growing = match inner {
            Type::Slice(slice) => Some(format!("&mut Vec<{}>", plain(&slice.elem))),
            Type::Path(path) if path.path.is_ident("str") => Some("&mut String".to_owned()),
            _ => None,
        };
        if let Some(instead) = growing {
            diagnostics.over(
                written,
                format!("an in-out parameter must be able to change its length: use `{instead}`"),
            );
        }
    }
    let mut rules = ParameterRules { diagnostics, in_out };
    match written {
        Type::Reference(reference) => {
            if let Some(lifetime) = &reference.lifetime {
                rules.visit_lifetime(lifetime);
            }
            rules.referenced(reference);
        }
        _ => rules.visit_type(written),
    }
}

/// A type as people write it: tokens print with a space around each.
fn plain(written: &Type) -> String {
    let mut text = written.to_token_stream().to_string();
    for (spaced, tight) in
        [(" :: ", "::"), (" < ", "<"), (" >", ">"), (" ,", ","), ("& ", "&"), (" ;", ";")]
    {
        text = text.replace(spaced, tight);
    }
    text
}

struct ParameterRules<'a> {
    diagnostics: &'a mut Diagnostics,
    in_out: bool,
}

impl<'ast> Visit<'ast> for ParameterRules<'_> {
    fn visit_type(&mut self, node: &'ast Type) {
        match node {
            Type::ImplTrait(_) => self.diagnostics.over(
                node,
                "a remote parameter needs a concrete type: `impl Trait` cannot be marshalled",
            ),
            Type::TraitObject(_) => self.diagnostics.over(
                node,
                "a trait object cannot be marshalled: pass data, or the name of a service to call back",
            ),
            Type::FnPtr(_) => self.diagnostics.over(
                node,
                "a function cannot be marshalled: pass data, or the name of a service to call back",
            ),
            Type::Ptr(_) => self.diagnostics.over(
                node,
                "a pointer means nothing in another address space: pass the data, `&T` or `&mut T`",
            ),
            Type::Infer(_) => {
                self.diagnostics.over(node, "a remote parameter needs its type written out");
            }
            Type::Reference(reference) => self.inner_reference(reference),
            _ => visit::visit_type(self, node),
        }
    }

    fn visit_type_path(&mut self, node: &'ast syn::TypePath) {
        let Some(last) = node.path.segments.last() else { return };
        let name = last.ident.to_string();
        match name.as_str() {
            "Self" => self
                .diagnostics
                .over(node, "`Self` differs between client and server: name the type"),
            shared if SHARED.contains(&shared) => self.diagnostics.over(node, shares(shared)),
            "Option" if has_mutable(&last.arguments) => self
                .diagnostics
                .over(node, "an optional in-out parameter is not supported: use `&mut Option<T>`"),
            _ => visit::visit_type_path(self, node),
        }
    }

    fn visit_lifetime(&mut self, node: &'ast syn::Lifetime) {
        if node.ident != "_" {
            self.diagnostics
                .over(node, "a parameter is borrowed for the call only: leave the lifetime out");
        } else if self.in_out {
            self.borrowed_in_out(node);
        }
    }
}

impl ParameterRules<'_> {
    /// A reference that is not the whole parameter.
    fn inner_reference(&mut self, reference: &syn::TypeReference) {
        if reference.mutability.is_some() {
            self.diagnostics.over(
                reference,
                "only a whole parameter comes back: write `&mut` in front of its type, not inside",
            );
            return;
        }
        if self.in_out {
            self.borrowed_in_out(reference);
            return;
        }
        if let Some(lifetime) = &reference.lifetime {
            self.visit_lifetime(lifetime);
        }
        self.referenced(reference);
    }

    /// What stands behind `&` or `&mut`.
    fn referenced(&mut self, reference: &syn::TypeReference) {
        if matches!(&*reference.elem, Type::Reference(_)) {
            self.diagnostics
                .over(reference, "a reference to a reference cannot be marshalled: use one `&`");
            return;
        }
        self.visit_type(&reference.elem);
    }

    fn borrowed_in_out(&mut self, node: &impl ToTokens) {
        self.diagnostics.over(
            node,
            "what comes back through `&mut` is made anew and cannot borrow: use an owned type (`String`, `Vec<T>`, …)",
        );
    }
}

fn shares(name: &str) -> String {
    format!(
        "`{name}` shares memory, and client and server share none: pass the value inside, `&T` or `T`"
    )
}

fn has_mutable(arguments: &PathArguments) -> bool {
    let PathArguments::AngleBracketed(generic) = arguments else { return false };
    generic.args.iter().any(|argument| {
        matches!(argument, GenericArgument::Type(Type::Reference(reference)) if reference.mutability.is_some())
    })
}

/// The rules for what a method returns.
pub(super) fn result(output: &Type, diagnostics: &mut Diagnostics) {
    ResultRules(diagnostics).visit_type(output);
}

struct ResultRules<'a>(&'a mut Diagnostics);

impl ResultRules<'_> {
    fn borrows(&mut self, node: &impl syn::spanned::Spanned) {
        self.0.at(
            node,
            "a result crosses address spaces and cannot borrow: return an owned type (`String`, `Vec<T>`, …)",
        );
    }
}

impl<'ast> Visit<'ast> for ResultRules<'_> {
    fn visit_type(&mut self, node: &'ast Type) {
        match node {
            Type::TraitObject(_) => self.0.over(
                node,
                "a remote result needs a concrete type: a trait object cannot be marshalled\nfor `Box<dyn Error>`, use an error enum of your own, or `String`",
            ),
            Type::ImplTrait(_) => self.0.over(
                node,
                "a remote result needs a concrete type: `impl Trait` cannot be marshalled",
            ),
            Type::FnPtr(_) => self.0.over(
                node,
                "a function cannot be marshalled: return data, or the name of a service to call",
            ),
            Type::Ptr(_) => self
                .0
                .over(node, "a pointer means nothing in another address space: return the data"),
            Type::Infer(_) => self.0.over(node, "a remote result needs its type written out"),
            Type::Reference(reference) => self.borrows(&reference.and_token),
            _ => visit::visit_type(self, node),
        }
    }

    fn visit_type_path(&mut self, node: &'ast syn::TypePath) {
        let Some(last) = node.path.segments.last() else { return };
        let name = last.ident.to_string();
        match name.as_str() {
            "Self" => self.0.over(node, "`Self` differs between client and server: name the type"),
            shared if SHARED.contains(&shared) => self.0.over(
                node,
                format!("`{shared}` shares memory, and client and server share none: return the value inside, `T`"),
            ),
            _ => visit::visit_type_path(self, node),
        }
    }

    fn visit_lifetime(&mut self, node: &'ast syn::Lifetime) {
        if node.ident != "static" {
            self.borrows(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_shown_as_people_write_them() {
        for text in ["u8", "Vec<u8>", "std::vec::Vec<(u8, &str)>", "[u8; 4]"] {
            assert_eq!(plain(&syn::parse_str(text).expect("a type")), text);
        }
    }
}
