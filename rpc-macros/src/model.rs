//! What a service is, as plain data: spans are kept, attribute syntax is not.

use proc_macro2::Span;
use syn::{Attribute, Ident, ItemTrait, Path, ReturnType, Type, Visibility};

/// A trait marked `#[service]`.
pub(crate) struct Service {
    pub(crate) item: ItemTrait,
    pub(crate) visibility: Visibility,
    pub(crate) trait_name: Ident,
    pub(crate) wire_name: String,
    pub(crate) version: (u16, u16),
    pub(crate) runtime: Path,
    pub(crate) methods: Vec<Method>,
}

/// One method of a service.
pub(crate) struct Method {
    pub(crate) name: Ident,
    pub(crate) wire_name: String,
    pub(crate) wire_name_span: Span,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) semantics: Semantics,
    pub(crate) semantics_given: bool,
    pub(crate) timeout_ns: Option<u64>,
    pub(crate) timeout_span: Option<Span>,
    pub(crate) hedge_ns: Option<u64>,
    pub(crate) hedge_span: Option<Span>,
    pub(crate) orphan: Option<Orphan>,
    pub(crate) orphan_span: Option<Span>,
    pub(crate) expires_ns: Option<u64>,
    pub(crate) expires_span: Option<Span>,
    pub(crate) no_cancel: bool,
    pub(crate) no_cancel_span: Option<Span>,
    pub(crate) ack: Option<AckProtocol>,
    pub(crate) ack_span: Option<Span>,
    pub(crate) inline: bool,
    pub(crate) inline_span: Span,
    pub(crate) is_async: bool,
    pub(crate) async_span: Span,
    /// Whether `inline` or `worker` was written.
    pub(crate) place_given: bool,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: ReturnType,
    pub(crate) paren_span: Span,
}

/// What a method promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Semantics {
    Maybe,
    AtLeastOnce,
    AtMostOnce,
    ExactlyOnce,
}

impl Semantics {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Maybe => "maybe",
            Self::AtLeastOnce => "at_least_once",
            Self::AtMostOnce => "at_most_once",
            Self::ExactlyOnce => "exactly_once",
        }
    }

    pub(crate) const fn variant(self) -> &'static str {
        match self {
            Self::Maybe => "Maybe",
            Self::AtLeastOnce => "AtLeastOnce",
            Self::AtMostOnce => "AtMostOnce",
            Self::ExactlyOnce => "ExactlyOnce",
        }
    }

    /// What the documentation of a method says about its failure.
    pub(crate) const fn promise(self) -> &'static str {
        match self {
            Self::Maybe => "",
            Self::AtLeastOnce => {
                "A remote call runs **at least once** if it succeeds, and any number of times if it \
                 fails: the body must be idempotent. A failed call says whether it ran."
            }
            Self::AtMostOnce => {
                "A remote call runs **at most once**, whatever the network does. A failed call says \
                 whether it ran."
            }
            Self::ExactlyOnce => {
                "A remote call takes effect **exactly once**, over crashes of the server too, as long as \
                 somebody keeps asking. A failed call says whether it ran."
            }
        }
    }
}

/// What is done about a method's calls when their client may be gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Orphan {
    Exterminate,
    Reincarnate,
    Gentle,
    Expire,
}

impl Orphan {
    /// The strategies by their words in the attribute.
    pub(crate) const WORDS: &[(&str, Self)] = &[
        ("exterminate", Self::Exterminate),
        ("reincarnate", Self::Reincarnate),
        ("gentle", Self::Gentle),
        ("expire", Self::Expire),
    ];

    pub(crate) const fn variant(self) -> &'static str {
        match self {
            Self::Exterminate => "Exterminate",
            Self::Reincarnate => "Reincarnate",
            Self::Gentle => "Gentle",
            Self::Expire => "Expire",
        }
    }
}

/// How the fragments of large messages are acknowledged.
#[derive(Clone, Copy)]
pub(crate) enum AckProtocol {
    Blast,
    StopAndWait,
}

impl AckProtocol {
    /// The protocols by their words in the attribute.
    pub(crate) const WORDS: &[(&str, Self)] =
        &[("blast", Self::Blast), ("stop_and_wait", Self::StopAndWait)];

    pub(crate) const fn variant(self) -> &'static str {
        match self {
            Self::Blast => "Blast",
            Self::StopAndWait => "StopAndWait",
        }
    }
}

/// One parameter of a method.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) kind: Kind,
    /// The type as written.
    pub(crate) written: Type,
    /// The type inside the reference or option, or as written.
    pub(crate) inner: Type,
    /// Whether calls of equal values may go to one server.
    pub(crate) is_key: bool,
}

/// How a parameter travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `T`, also with borrowed parts that serde borrows.
    Owned,
    /// `&str`.
    Str,
    /// `&[u8]`.
    Bytes,
    /// `&[T]`.
    Slice,
    /// `&T`.
    Reference,
    /// `Option<&str>`, `Option<&[u8]>`: decoded borrowed.
    OptionBorrowed,
    /// `Option<&T>`.
    OptionReference,
    /// `Cow<'_, str>`.
    CowStr,
    /// `Cow<'_, [u8]>`.
    CowBytes,
    /// `SharedBytes<'_>`.
    SharedBytes,
    /// `&mut T`: copied in, copied back.
    InOut,
}

impl Argument {
    /// Its name for callers that have no types: as written, without `r#`.
    pub(crate) fn wire_name(&self) -> String {
        self.name.to_string().trim_start_matches("r#").to_owned()
    }
}

impl Service {
    /// Whether its calls run in transactions of a store.
    pub(crate) fn is_durable(&self) -> bool {
        self.methods.iter().any(|method| method.semantics == Semantics::ExactlyOnce)
    }
}

impl Method {
    pub(crate) fn in_outs(&self) -> impl Iterator<Item = &Argument> {
        self.arguments.iter().filter(|argument| argument.kind == Kind::InOut)
    }

    pub(crate) fn has_in_out(&self) -> bool {
        self.in_outs().next().is_some()
    }
}
