//! The rules of an interface, one function each. None returns early: all mistakes are told at once.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, ItemTrait, Pat, PathArguments, ReturnType, TraitItem, TraitItemFn, Type,
};

use crate::diagnostics::Diagnostics;
use crate::model::{Kind, Method, Semantics, Service};

/// Names that every client stub has methods of.
const RESERVED: &[&str] = &["start", "with", "resolve", "channel"];

/// Checks everything.
pub(crate) fn service(service: &Service, diagnostics: &mut Diagnostics) {
    the_trait(&service.item, diagnostics);
    for item in &service.item.items {
        match item {
            TraitItem::Fn(function) => function_form(function, diagnostics),
            TraitItem::Const(item) => {
                diagnostics.at(
                    &item.const_token,
                    "a remote interface holds methods only: a constant does not travel",
                );
            }
            TraitItem::Type(item) => {
                diagnostics.at(
                    &item.type_token,
                    "a remote interface cannot have associated types: write the type out",
                );
            }
            other => diagnostics.over(other, "a remote interface holds methods only"),
        }
    }
    for method in &service.methods {
        semantics(method, diagnostics);
        for argument in &method.arguments {
            parameter(&argument.written, argument.kind, diagnostics);
        }
    }
    wire_names(&service.methods, diagnostics);
}

fn the_trait(item: &ItemTrait, diagnostics: &mut Diagnostics) {
    if !item.generics.params.is_empty() {
        diagnostics.over(
            &item.generics.params,
            "a remote interface cannot be generic: both sides must agree on one set of types",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        diagnostics.at(&clause.where_token, "a remote interface takes no where clause");
    }
    if let Some(token) = &item.unsafety {
        diagnostics.at(token, "a remote interface cannot be unsafe");
    }
}

fn function_form(function: &TraitItemFn, diagnostics: &mut Diagnostics) {
    let signature = &function.sig;
    let name = signature.ident.to_string();
    if RESERVED.contains(&name.as_str()) {
        diagnostics.at(
            &signature.ident,
            format!("`{name}` is a method of every client stub: call this one differently, and keep its name on the wire with #[rpc(name = \"{name}\")]"),
        );
    }
    for attribute in &function.attrs {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            diagnostics.over(
                attribute,
                "an interface is the same in every build, or client and server disagree: put `cfg` on the whole trait",
            );
        }
    }
    if let Some(token) = &signature.asyncness {
        diagnostics.at(token, "an async method is not built yet: leave `async` out, and use `start()` to overlap calls");
    }
    if let Some(token) = &signature.constness {
        diagnostics.at(token, "a remote method cannot be const: it runs in another process");
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        diagnostics.at(token, "a remote method cannot be unsafe");
    }
    if let Some(abi) = &signature.abi {
        diagnostics.over(abi, "a remote method has the Rust ABI");
    }
    if let Some(token) = &signature.variadic {
        diagnostics.over(token, "a remote method has a fixed number of parameters");
    }
    if !signature.generics.params.is_empty() {
        let lifetimes = signature.generics.lifetimes().count() == signature.generics.params.len();
        let message = if lifetimes {
            "a parameter is borrowed for the call only: leave the lifetime out"
        } else {
            "a remote method cannot be generic: the server must know the type before the call arrives"
        };
        diagnostics.over(&signature.generics, message);
    }
    if let Some(clause) = &signature.generics.where_clause {
        diagnostics.at(&clause.where_token, "a remote method takes no where clause");
    }
    if let Some(body) = &function.default {
        diagnostics.at(
            &body.brace_token.span.open(),
            "a remote method has no default body: each server implements it, the client stub sends it",
        );
    }
    receiver(function, diagnostics);
    for input in &signature.inputs {
        if let FnArg::Typed(typed) = input {
            pattern(&typed.pat, diagnostics);
        }
    }
}

fn receiver(function: &TraitItemFn, diagnostics: &mut Diagnostics) {
    let Some(FnArg::Receiver(receiver)) = function.sig.inputs.first() else {
        diagnostics.at(
            &function.sig.ident,
            "a remote method takes `&self`: there is no server object to call otherwise",
        );
        return;
    };
    match &receiver.kind {
        syn::ReceiverKind::Reference(_, _, None) => {}
        syn::ReceiverKind::Reference(_, _, Some(_)) => diagnostics.over(
            receiver,
            "a remote method takes `&self`: calls run at the same time, so keep mutable state behind a lock",
        ),
        _ => diagnostics.over(
            receiver,
            "a remote method takes `&self`: the server object is not given away by one call",
        ),
    }
}

fn pattern(pattern: &Pat, diagnostics: &mut Diagnostics) {
    match pattern {
        Pat::Ident(name)
            if name.subpat.is_none() && name.by_ref.is_none() && name.mutability.is_none() => {}
        Pat::Wild(_) => diagnostics.over(
            pattern,
            "a remote parameter needs a name: it is part of the interface's description",
        ),
        _ => diagnostics
            .over(pattern, "a remote parameter is a plain name: take it apart in the body"),
    }
}

fn semantics(method: &Method, diagnostics: &mut Diagnostics) {
    let name = &method.name;
    if method.semantics == Semantics::Maybe {
        if let ReturnType::Type(_, output) = &method.output {
            diagnostics.over(
                output,
                format!("a `maybe` call has no reply, so it cannot return anything\nleave the type out, or choose `at_least_once` or `at_most_once` for `{name}`"),
            );
        }
        for argument in method.in_outs() {
            diagnostics.over(
                &argument.written,
                "a `maybe` call has no reply, so nothing can come back through `&mut`",
            );
        }
        if let Some(span) = method.timeout_span {
            diagnostics
                .at_span(span, "`timeout` has no meaning for a `maybe` call: nobody waits for it");
        }
        return;
    }
    match &method.output {
        ReturnType::Default => diagnostics.at_span(
            method.paren_span,
            format!("a remote call can fail, and `{name}` has no way to say so\nreturn `Result<(), rpc_runtime::CallError>` or `rpc_runtime::Result<(), YourError>`; for a call nobody waits for, mark it #[rpc(maybe)]"),
        ),
        ReturnType::Type(_, output) => result(output, diagnostics),
    }
}

fn result(output: &Type, diagnostics: &mut Diagnostics) {
    struct Borrows<'a>(&'a mut Diagnostics);
    impl<'ast> Visit<'ast> for Borrows<'_> {
        fn visit_type_reference(&mut self, reference: &'ast syn::TypeReference) {
            self.0.at(
                &reference.and_token,
                "a result crosses address spaces and cannot borrow: return an owned type (`String`, `Vec<T>`, …)",
            );
        }

        fn visit_type_trait_object(&mut self, object: &'ast syn::TypeTraitObject) {
            self.0.over(
                object,
                "a remote result needs a concrete type: a trait object cannot be marshalled\nfor `Box<dyn Error>`, use an error enum of your own, or `String`",
            );
        }

        fn visit_type_impl_trait(&mut self, object: &'ast syn::TypeImplTrait) {
            self.0.over(
                object,
                "a remote result needs a concrete type: `impl Trait` cannot be marshalled",
            );
        }
    }
    Borrows(diagnostics).visit_type(output);
}

/// The rules for parameters' types, wherever in the type the mistake sits.
fn parameter(written: &Type, kind: Kind, diagnostics: &mut Diagnostics) {
    if let (Kind::InOut, Type::Reference(reference)) = (kind, written) {
        let growing = match &*reference.elem {
            Type::Slice(_) => Some(("&mut Vec<…>", "[…]")),
            Type::Path(path) if path.path.is_ident("str") => Some(("&mut String", "str")),
            _ => None,
        };
        if let Some((instead, _)) = growing {
            diagnostics.over(
                written,
                format!("an in-out parameter must be able to change its length: use `{instead}`"),
            );
        }
    }
    let mut rules = ParameterRules { diagnostics, top: true };
    rules.visit_type(written);
}

struct ParameterRules<'a> {
    diagnostics: &'a mut Diagnostics,
    top: bool,
}

impl<'ast> Visit<'ast> for ParameterRules<'_> {
    fn visit_type(&mut self, node: &'ast Type) {
        let top = std::mem::replace(&mut self.top, false);
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
            Type::Reference(reference) => self.reference(reference, top),
            _ => visit::visit_type(self, node),
        }
    }

    fn visit_type_path(&mut self, node: &'ast syn::TypePath) {
        let Some(last) = node.path.segments.last() else { return };
        let name = last.ident.to_string();
        match name.as_str() {
            "Self" => self.diagnostics.over(
                node,
                "`Self` differs between client and server: name the type",
            ),
            "Rc" | "Arc" | "Cell" | "RefCell" | "Mutex" | "RwLock" => self.diagnostics.over(
                node,
                format!("`{name}` shares memory, and client and server share none: pass the value inside, `&T` or `T`"),
            ),
            "Option" if has_mutable(&last.arguments) => self.diagnostics.over(
                node,
                "an optional in-out parameter is not supported: use `&mut Option<T>`",
            ),
            _ => visit::visit_type_path(self, node),
        }
    }

    fn visit_lifetime(&mut self, node: &'ast syn::Lifetime) {
        if node.ident != "_" {
            self.diagnostics
                .over(node, "a parameter is borrowed for the call only: leave the lifetime out");
        }
    }
}

impl<'ast> ParameterRules<'_> {
    fn reference(&mut self, reference: &'ast syn::TypeReference, _top: bool) {
        if let Some(lifetime) = &reference.lifetime {
            self.visit_lifetime(lifetime);
        }
        if matches!(&*reference.elem, Type::Reference(_)) {
            self.diagnostics
                .over(reference, "a reference to a reference cannot be marshalled: use one `&`");
            return;
        }
        visit::visit_type(self, &reference.elem);
    }
}

fn has_mutable(arguments: &PathArguments) -> bool {
    let PathArguments::AngleBracketed(generic) = arguments else { return false };
    generic.args.iter().any(|argument| {
        matches!(argument, GenericArgument::Type(Type::Reference(reference)) if reference.mutability.is_some())
    })
}

fn wire_names(methods: &[Method], diagnostics: &mut Diagnostics) {
    for (place, method) in methods.iter().enumerate() {
        let wire = &method.wire_name;
        if let Some(first) = methods[..place].iter().find(|first| first.wire_name == *wire) {
            diagnostics.at_span(
                method.wire_name_span.span(),
                format!("`{wire}` is already the name of `{}` on the wire: give one of them another with #[rpc(name = \"...\")]", first.name),
            );
        }
    }
}
