//! Tokens to the model: what the grammar of the two attributes can say.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Ident, ItemTrait, LitStr, Path, Token, TraitItem, TraitItemFn, Type};

use crate::diagnostics::{Diagnostics, nearest};
use crate::model::{AckProtocol, Argument, Kind, Method, Orphan, Semantics, Service};

const SERVICE_OPTIONS: &[&str] = &["name", "version", "crate"];
const RPC_OPTIONS: &[&str] = &[
    "maybe",
    "at_least_once",
    "at_most_once",
    "exactly_once",
    "name",
    "timeout",
    "hedge",
    "expires",
    "orphan",
    "no_cancel",
    "ack",
    "inline",
    "worker",
];

/// Words of the grammar whose mechanism does not exist yet, and what to use until it does.
const NOT_YET: &[(&str, &str)] = &[("broadcast", "use `maybe` for each server")];

/// One option: `word` or `word = value`.
struct OptionItem {
    word: Ident,
    value: Option<syn::Expr>,
}

impl Parse for OptionItem {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        use syn::ext::IdentExt;
        if !input.peek(Ident::peek_any) {
            return Err(input.error(
                "an option is a word without quotes, such as `at_least_once`, or `timeout = \"2s\"`",
            ));
        }
        let word = input.call(Ident::parse_any)?;
        if input.peek(syn::token::Paren) {
            return Err(input
                .error(format!("the value of an option stands behind `=`: `{word} = \"...\"`")));
        }
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("options are separated by commas: put a `,` before this"));
        }
        Ok(Self { word, value })
    }
}

type Options = Punctuated<OptionItem, Token![,]>;

/// Reads the trait and its attributes. Mistakes of the grammar go to `diagnostics`.
pub(crate) fn service(
    attribute: TokenStream,
    mut item: ItemTrait,
    diagnostics: &mut Diagnostics,
) -> Service {
    let lower = item.ident.to_string().trim_start_matches("r#").to_lowercase();
    let mut service = Service {
        visibility: item.vis.clone(),
        trait_name: item.ident.clone(),
        wire_name: lower,
        version: (1, 0),
        runtime: syn::parse_quote!(::rpc_runtime),
        methods: Vec::new(),
        item: syn::parse_quote!(
            trait Placeholder {}
        ),
    };
    let mut named = false;
    match syn::parse::Parser::parse2(Options::parse_terminated, attribute) {
        Ok(options) => {
            named = options.iter().any(|option| option.word == "name");
            service_options(&mut service, &options, diagnostics);
        }
        Err(error) => diagnostics.push(error),
    }
    if !named && !is_service_name(&service.wire_name) {
        let trait_name = &service.trait_name;
        diagnostics.at(
            trait_name,
            format!("`{trait_name}` is no name on the wire: give one of a-z, 0-9, `.`, `_` and `-` with #[service(name = \"...\")]"),
        );
    }
    for item in &mut item.items {
        if let TraitItem::Fn(function) = item {
            let method = method(function, diagnostics);
            function.attrs.retain(|attribute| !is_rpc(attribute));
            for input in &mut function.sig.inputs {
                if let FnArg::Typed(typed) = input {
                    typed.attrs.retain(|attribute| !is_rpc(attribute));
                }
            }
            service.methods.extend(method);
        }
    }
    service.item = item;
    service
}

/// Whether an attribute is `#[rpc(..)]`, under whatever path.
pub(crate) fn is_rpc(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "rpc")
}

fn docs(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect()
}

fn service_options(service: &mut Service, options: &Options, diagnostics: &mut Diagnostics) {
    let mut seen = Vec::new();
    for option in options {
        let word = option.word.to_string();
        if repeated(&mut seen, option, diagnostics) {
            continue;
        }
        match word.as_str() {
            "name" => {
                if let Some(name) = string(option, "name = \"bank\"", diagnostics) {
                    service.wire_name = name.value();
                    check_wire_name(&name, diagnostics);
                }
            }
            "version" => {
                if let Some(text) = string(option, "version = \"1.0\"", diagnostics) {
                    service.version = version(&text, diagnostics);
                }
            }
            "crate" => {
                if let Some(text) = string(option, "crate = \"::rpc_runtime\"", diagnostics) {
                    match text.parse::<Path>() {
                        Ok(path) => service.runtime = path,
                        Err(_) => {
                            diagnostics
                                .at(&text, "`crate` takes a path, such as \"::rpc_runtime\"");
                        }
                    }
                }
            }
            _ => unknown(&option.word, SERVICE_OPTIONS, diagnostics),
        }
    }
}

fn is_service_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(good)
}

fn check_wire_name(name: &LitStr, diagnostics: &mut Diagnostics) {
    if !is_service_name(&name.value()) {
        diagnostics
            .at(name, "a service's name is 1 to 64 of the characters a-z, 0-9, `.`, `_` and `-`");
    }
}

fn version(text: &LitStr, diagnostics: &mut Diagnostics) -> (u16, u16) {
    let value = text.value();
    let parts = value.split_once('.').map(|(major, minor)| (major.parse(), minor.parse()));
    if let Some((Ok(major), Ok(minor))) = parts {
        return (major, minor);
    }
    let patch = if value.split('.').count() == 3 {
        " (a patch number says nothing about an interface)"
    } else {
        ""
    };
    diagnostics.at(
        text,
        format!("a version is \"major.minor\", such as \"1.2\"; `{value}` is not{patch}"),
    );
    (1, 0)
}

/// Whether an option was given before; says so.
fn repeated(seen: &mut Vec<String>, option: &OptionItem, diagnostics: &mut Diagnostics) -> bool {
    let word = option.word.to_string();
    if seen.contains(&word) {
        diagnostics.at(&option.word, format!("`{word}` is given twice: keep one"));
        return true;
    }
    seen.push(word);
    false
}

fn unknown(word: &Ident, known: &[&str], diagnostics: &mut Diagnostics) {
    let text = word.to_string();
    let hint =
        nearest(&text, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    diagnostics.at(word, format!("unknown option `{text}`{hint}\nknown: {}", known.join(", ")));
}

/// The string of `word = "string"`.
fn string(option: &OptionItem, example: &str, diagnostics: &mut Diagnostics) -> Option<LitStr> {
    let word = &option.word;
    match &option.value {
        Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })) => Some(text.clone()),
        Some(value) => {
            diagnostics.at(value, format!("`{word}` takes a string: `{example}`"));
            None
        }
        None => {
            diagnostics.at(word, format!("`{word}` needs a value: `{example}`"));
            None
        }
    }
}

fn method(function: &TraitItemFn, diagnostics: &mut Diagnostics) -> Option<Method> {
    let signature = &function.sig;
    let mut method = Method {
        name: signature.ident.clone(),
        wire_name: signature.ident.to_string().trim_start_matches("r#").to_owned(),
        wire_name_span: signature.ident.span(),
        docs: docs(&function.attrs),
        semantics: Semantics::AtMostOnce,
        semantics_given: false,
        timeout_ns: None,
        timeout_span: None,
        hedge_ns: None,
        hedge_span: None,
        orphan: None,
        orphan_span: None,
        expires_ns: None,
        expires_span: None,
        no_cancel: false,
        no_cancel_span: None,
        ack: None,
        ack_span: None,
        inline: false,
        inline_span: signature.ident.span(),
        is_async: signature.asyncness.is_some(),
        async_span: signature.asyncness.map_or_else(|| signature.ident.span(), |token| token.span),
        place_given: false,
        arguments: Vec::new(),
        output: signature.output.clone(),
        paren_span: signature.paren_token.span.close(),
    };
    let mut seen = Vec::new();
    for attribute in function.attrs.iter().filter(|attribute| is_rpc(attribute)) {
        let options = match &attribute.meta {
            syn::Meta::List(list) => list.parse_args_with(Options::parse_terminated),
            syn::Meta::Path(_) => continue,
            syn::Meta::NameValue(pair) => Err(syn::Error::new(
                pair.span(),
                "write the options in parentheses: #[rpc(at_least_once, timeout = \"2s\")]",
            )),
        };
        match options {
            Ok(options) => {
                for option in &options {
                    if !repeated(&mut seen, option, diagnostics) {
                        rpc_option(&mut method, option, diagnostics);
                    }
                }
            }
            Err(error) => diagnostics.push(error),
        }
    }
    for input in &signature.inputs {
        if let FnArg::Typed(typed) = input
            && let syn::Pat::Ident(name) = &*typed.pat
        {
            for attribute in typed.attrs.iter().filter(|one| is_rpc(one) && !is_key(one)) {
                diagnostics.over(
                    attribute,
                    "a parameter has one option, by which calls of equal values go to one server: `#[rpc(key)]`",
                );
            }
            let is_key = typed.attrs.iter().any(is_key);
            method.arguments.push(Argument { is_key, ..argument(name.ident.clone(), &typed.ty) });
        }
    }
    Some(method)
}

fn rpc_option(method: &mut Method, option: &OptionItem, diagnostics: &mut Diagnostics) {
    let word = option.word.to_string();
    let bare = option.value.is_none();
    match word.as_str() {
        "maybe" | "at_least_once" | "at_most_once" | "exactly_once" | "no_cancel" | "inline"
        | "worker"
            if !bare =>
        {
            diagnostics.at(&option.value, format!("`{word}` stands alone: leave the value out"));
        }
        "maybe" => semantics(method, Semantics::Maybe, &option.word, diagnostics),
        "at_least_once" => semantics(method, Semantics::AtLeastOnce, &option.word, diagnostics),
        "at_most_once" => semantics(method, Semantics::AtMostOnce, &option.word, diagnostics),
        "exactly_once" => semantics(method, Semantics::ExactlyOnce, &option.word, diagnostics),
        "inline" | "worker" => {
            if method.place_given {
                diagnostics
                    .at(&option.word, "`inline` and `worker` contradict each other: choose one");
            }
            method.place_given = true;
            method.inline = word == "inline";
            method.inline_span = option.word.span();
        }
        "name" => {
            if let Some(name) = string(option, "name = \"transfer\"", diagnostics) {
                method.wire_name_span = name.span();
                method.wire_name = name.value();
                let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if method.wire_name.is_empty() || !method.wire_name.chars().all(good) {
                    diagnostics.at(
                        &name,
                        "a method's name on the wire is made of letters, digits and `_`",
                    );
                }
            }
        }
        "timeout" => {
            method.timeout_span = Some(option.word.span());
            if let Some(text) = string(option, "timeout = \"2s\"", diagnostics) {
                method.timeout_ns = duration(&text, diagnostics);
            }
        }
        "hedge" => {
            method.hedge_span = Some(option.word.span());
            if let Some(text) = string(option, "hedge = \"20ms\"", diagnostics) {
                method.hedge_ns = duration(&text, diagnostics);
            }
        }
        "expires" => {
            method.expires_span = Some(option.word.span());
            if let Some(text) = string(option, "expires = \"30s\"", diagnostics) {
                method.expires_ns = duration(&text, diagnostics);
            }
        }
        "orphan" => {
            method.orphan_span = Some(option.word.span());
            if let Some(text) = string(option, "orphan = \"gentle\"", diagnostics) {
                method.orphan = orphan(&text, diagnostics);
            }
        }
        "ack" => {
            method.ack_span = Some(option.word.span());
            if let Some(text) = string(option, "ack = \"stop_and_wait\"", diagnostics) {
                method.ack = ack(&text, diagnostics);
            }
        }
        "no_cancel" => {
            method.no_cancel = true;
            method.no_cancel_span = Some(option.word.span());
        }
        "key" => diagnostics.at(
            &option.word,
            "`key` is said of a parameter, by whose value calls are spread: write `#[rpc(key)]` before one",
        ),
        _ => match NOT_YET.iter().find(|(known, _)| *known == word) {
            Some((_, instead)) => {
                diagnostics.at(&option.word, format!("`{word}` is not built yet: {instead}"));
            }
            None => unknown(&option.word, RPC_OPTIONS, diagnostics),
        },
    }
}

fn semantics(method: &mut Method, is: Semantics, word: &Ident, diagnostics: &mut Diagnostics) {
    if method.semantics_given {
        let before = method.semantics.word();
        diagnostics.at(word, format!("a method has one call semantics: it is already `{before}`"));
        return;
    }
    method.semantics = is;
    method.semantics_given = true;
}

/// The strategy of a word.
fn orphan(text: &LitStr, diagnostics: &mut Diagnostics) -> Option<Orphan> {
    let value = text.value();
    let found = Orphan::WORDS.iter().find(|(word, _)| *word == value);
    if found.is_none() {
        let known: Vec<&str> = Orphan::WORDS.iter().map(|(word, _)| *word).collect();
        let hint = nearest(&value, &known)
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let known = known.join(", ");
        diagnostics
            .at(text, format!("unknown value for `orphan`: `{value}`{hint}\nknown: {known}"));
    }
    found.map(|(_, orphan)| *orphan)
}

/// The acknowledgement protocol of a word.
fn ack(text: &LitStr, diagnostics: &mut Diagnostics) -> Option<AckProtocol> {
    let value = text.value();
    let found = AckProtocol::WORDS.iter().find(|(word, _)| *word == value);
    if found.is_none() {
        let known: Vec<&str> = AckProtocol::WORDS.iter().map(|(word, _)| *word).collect();
        let hint = nearest(&value, &known)
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let known = known.join(", ");
        diagnostics.at(text, format!("unknown value for `ack`: `{value}`{hint}\nknown: {known}"));
    }
    found.map(|(_, protocol)| *protocol)
}

/// Nanoseconds of `"1m 30s"`.
fn duration(text: &LitStr, diagnostics: &mut Diagnostics) -> Option<u64> {
    const FORM: &str = "a duration is a number with a unit, such as \"500ms\", \"2s\" or \"1m 30s\" (units: us, ms, s, m, h)";
    let value = text.value();
    let mut total = 0_u64;
    let mut rest = value.trim();
    if rest.is_empty() {
        diagnostics.at(text, FORM);
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() || number.is_empty() {
            let lacks = match (number.is_empty(), after.starts_with('.')) {
                (true, _) => "is none",
                (false, true) => "has a fraction; take a smaller unit",
                (false, false) => "has no unit",
            };
            diagnostics.at(text, format!("`{value}` {lacks}: {FORM}"));
            return None;
        }
        let Some(scale) = scale(unit) else {
            diagnostics.at(text, format!("unknown unit `{unit}`: {FORM}"));
            return None;
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        let Some(sum) = part.and_then(|part| total.checked_add(part)) else {
            diagnostics
                .at(text, format!("`{value}` is longer than any call can wait: use a shorter one"));
            return None;
        };
        total = sum;
        rest = after.trim_start();
    }
    if total == 0 {
        diagnostics.at(text, "a call needs time: the duration must be greater than zero");
        return None;
    }
    Some(total)
}

fn scale(unit: &str) -> Option<u64> {
    Some(match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Classifies a parameter by its syntax.
fn argument(name: Ident, written: &Type) -> Argument {
    let (kind, inner) = match written {
        Type::Reference(reference) if reference.mutability.is_some() => {
            (Kind::InOut, (*reference.elem).clone())
        }
        Type::Reference(reference) => referenced(&reference.elem),
        Type::Path(path) => by_path(path, written),
        _ => (Kind::Owned, written.clone()),
    };
    Argument { name, kind, written: written.clone(), inner, is_key: false }
}

/// Whether a parameter's attributes are `#[rpc(key)]`.
fn is_key(attribute: &Attribute) -> bool {
    is_rpc(attribute) && attribute.parse_args::<Ident>().is_ok_and(|word| word == "key")
}

fn referenced(inner: &Type) -> (Kind, Type) {
    match inner {
        Type::Path(path) if path.path.is_ident("str") => (Kind::Str, inner.clone()),
        Type::Slice(slice) if is_u8(&slice.elem) => (Kind::Bytes, inner.clone()),
        Type::Slice(slice) => (Kind::Slice, (*slice.elem).clone()),
        _ => (Kind::Reference, inner.clone()),
    }
}

fn by_path(path: &syn::TypePath, written: &Type) -> (Kind, Type) {
    let Some(last) = path.path.segments.last() else { return (Kind::Owned, written.clone()) };
    let syn::PathArguments::AngleBracketed(generic) = &last.arguments else {
        return (Kind::Owned, written.clone());
    };
    let is_one_lifetime = matches!(generic.args.first(), Some(syn::GenericArgument::Lifetime(_)));
    if last.ident == "SharedBytes" && is_one_lifetime && generic.args.len() == 1 {
        return (Kind::SharedBytes, written.clone());
    }
    let types: Vec<&Type> = generic
        .args
        .iter()
        .filter_map(|argument| match argument {
            syn::GenericArgument::Type(inner) => Some(inner),
            _ => None,
        })
        .collect();
    match (last.ident.to_string().as_str(), types.as_slice()) {
        ("Option", [Type::Reference(reference)]) if reference.mutability.is_none() => {
            match referenced(&reference.elem) {
                (Kind::Str | Kind::Bytes, _) => (Kind::OptionBorrowed, written.clone()),
                (_, inner) => (Kind::OptionReference, inner),
            }
        }
        ("Cow", [Type::Path(inner)]) if inner.path.is_ident("str") => {
            (Kind::CowStr, written.clone())
        }
        ("Cow", [Type::Slice(inner)]) if is_u8(&inner.elem) => (Kind::CowBytes, written.clone()),
        _ => (Kind::Owned, written.clone()),
    }
}

fn is_u8(element: &Type) -> bool {
    matches!(element, Type::Path(path) if path.path.is_ident("u8"))
}
