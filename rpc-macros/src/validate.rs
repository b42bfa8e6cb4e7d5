//! The rules of an interface, one function each. None returns early: all mistakes are told at once.

use syn::spanned::Spanned;
use syn::{FnArg, ItemTrait, Pat, ReturnType, TraitItem, TraitItemFn};

mod types;

use crate::diagnostics::Diagnostics;
use crate::model::{Method, Orphan, Semantics, Service};

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
                    "a remote interface holds methods only: a constant does not travel, so put it beside the trait",
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
        place(method, diagnostics);
        if method.is_async && service.is_durable() {
            outlives_transaction(method, diagnostics);
        }
        orphans(method, diagnostics);
        for argument in &method.arguments {
            types::parameter(argument, diagnostics);
        }
    }
    wire_names(&service.methods, diagnostics);
}

fn the_trait(item: &ItemTrait, diagnostics: &mut Diagnostics) {
    if !item.generics.params.is_empty() {
        diagnostics.over(
            &item.generics.params,
            "a remote interface cannot be generic: both sides must agree on one set of types, so write them out",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        diagnostics
            .at(&clause.where_token, "a remote interface takes no where clause: leave it out");
    }
    if let Some(token) = &item.unsafety {
        diagnostics.at(token, "a remote interface cannot be unsafe: leave `unsafe` out");
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
        conditional(attribute, diagnostics);
    }
    if let Some(token) = &signature.constness {
        diagnostics.at(
            token,
            "a remote method cannot be const: it runs in another process, so leave `const` out",
        );
    }
    if let syn::Safety::Unsafe(token) = &signature.safety {
        diagnostics.at(token, "a remote method cannot be unsafe: leave `unsafe` out");
    }
    if let Some(abi) = &signature.abi {
        diagnostics.over(abi, "a remote method has the Rust ABI: leave `extern` out");
    }
    if let Some(token) = &signature.variadic {
        diagnostics
            .over(token, "a remote method has a fixed number of parameters: use a slice, `&[T]`");
    }
    if !signature.generics.params.is_empty() {
        let lifetimes = signature.generics.lifetimes().count() == signature.generics.params.len();
        let message = if lifetimes {
            "a parameter is borrowed for the call only: leave the lifetime out"
        } else {
            "a remote method cannot be generic: the server must know the type before the call arrives, so write it out"
        };
        diagnostics.over(&signature.generics, message);
    }
    if let Some(clause) = &signature.generics.where_clause {
        diagnostics.at(&clause.where_token, "a remote method takes no where clause: leave it out");
    }
    if let Some(body) = &function.default {
        diagnostics.at(
            &body.brace_token.span.open(),
            "a remote method has no default body, only `;`: each server implements it, the client stub sends it",
        );
    }
    receiver(function, diagnostics);
    for input in &signature.inputs {
        if let FnArg::Typed(typed) = input {
            pattern(&typed.pat, diagnostics);
            attributes(&typed.attrs, diagnostics);
        }
    }
}

fn conditional(attribute: &syn::Attribute, diagnostics: &mut Diagnostics) {
    if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
        diagnostics.over(
            attribute,
            "an interface is the same in every build, or client and server disagree: put `cfg` on the whole trait",
        );
    }
}

/// Attributes of a parameter.
fn attributes(attributes: &[syn::Attribute], diagnostics: &mut Diagnostics) {
    for attribute in attributes {
        conditional(attribute, diagnostics);
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
        syn::ReceiverKind::Reference(_, None, None) => {}
        syn::ReceiverKind::Reference(_, Some(lifetime), None) => diagnostics.over(
            lifetime,
            "the server object is borrowed for the call only: leave the lifetime out",
        ),
        syn::ReceiverKind::Reference(_, _, Some(_)) => diagnostics.over(
            receiver,
            "a remote method takes `&self`: calls run at the same time, so keep mutable state behind a lock",
        ),
        syn::ReceiverKind::Typed(_, written) if matches!(&**written, syn::Type::Reference(_)) => {
            diagnostics.over(receiver, "a remote method takes `&self`: write it so");
        }
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
        Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => diagnostics.over(
            name.mutability,
            "a remote parameter is a plain name: leave `mut` out here, and write it where the method is implemented",
        ),
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
    hedge(method, diagnostics);
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
                "a `maybe` call has no reply, so nothing can come back through `&mut`: use `&`",
            );
        }
        if let Some(span) = method.timeout_span {
            diagnostics.at_span(
                span,
                "`timeout` has no meaning for a `maybe` call: nobody waits for it, so leave it out",
            );
        }
        return;
    }
    match &method.output {
        ReturnType::Default => diagnostics.at_span(
            method.paren_span,
            format!("a remote call can fail, and `{name}` has no way to say so\nreturn `Result<(), rpc_runtime::CallError>` or `rpc_runtime::Result<(), YourError>`; for a call nobody waits for, mark it #[rpc(maybe)]"),
        ),
        ReturnType::Type(_, output) => types::result(output, diagnostics),
    }
}

/// A hedged call may run at two servers.
fn hedge(method: &Method, diagnostics: &mut Diagnostics) {
    let Some(span) = method.hedge_span.filter(|_| method.semantics != Semantics::AtLeastOnce)
    else {
        return;
    };
    let word = method.semantics.word();
    let instead = if method.semantics == Semantics::Maybe {
        "leave it out: nobody waits for the call"
    } else {
        "leave it out, or mark the method `at_least_once` if its body is idempotent"
    };
    diagnostics.at_span(
        span,
        format!("`hedge` makes the call at a second server while the first may still run it, which `{word}` forbids\n{instead}"),
    );
}

fn place(method: &Method, diagnostics: &mut Diagnostics) {
    if method.inline && method.is_async {
        diagnostics.at_span(
            method.inline_span,
            "`inline` and `async` contradict each other: an inline handler runs where calls are received, and must not wait: leave one of them out",
        );
    }
}

/// What is done about orphans: of a `maybe` call nobody is the caller, and what must run to its end
/// cannot expire.
fn orphans(method: &Method, diagnostics: &mut Diagnostics) {
    let given = [
        ("expires", method.expires_span),
        ("orphan", method.orphan_span),
        ("no_cancel", method.no_cancel_span),
    ];
    if method.semantics == Semantics::Maybe {
        for (word, span) in given {
            if let Some(span) = span {
                diagnostics.at_span(
                    span,
                    format!("`{word}` has no meaning for a `maybe` call: nobody waits for it, so nothing cancels it; leave it out"),
                );
            }
        }
        if let Some(span) = method.ack_span {
            diagnostics.at_span(
                span,
                "`ack` has no meaning for a `maybe` call: nobody acknowledges it; leave it out",
            );
        }
    } else if let (Some(_), Some(no_cancel)) = (method.expires_span, method.no_cancel_span) {
        diagnostics.at_span(
            no_cancel,
            "`expires` and `no_cancel` contradict each other: what must run to its end cannot expire",
        );
    } else if let (Some(Orphan::Exterminate), Some(no_cancel)) =
        (method.orphan, method.no_cancel_span)
    {
        diagnostics.at_span(
            no_cancel,
            "`orphan = \"exterminate\"` and `no_cancel` contradict each other: what must run to its end cannot be killed",
        );
    }
}

/// All calls of a durable service run in transactions, whatever their semantics.
fn outlives_transaction(method: &Method, diagnostics: &mut Diagnostics) {
    let name = &method.name;
    let instead = if method.semantics == Semantics::ExactlyOnce {
        format!("leave `async` out of `{name}`; its callers can still overlap calls with `start()`")
    } else {
        format!("leave `async` out of `{name}`, or move it to an interface without `exactly_once`")
    };
    diagnostics.at_span(
        method.async_span,
        format!("an interface with an `exactly_once` method cannot have an async one yet: the transaction does not outlive the handler's thread\n{instead}"),
    );
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
