//! A method's signature as canonical text: what both sides must agree on.
//!
//! Walks tokens, not text, so that `Permutation` keeps its `mut`. Borrowing, parameter names and
//! lifetimes do not matter on the wire and are left out: `&str`, `String` and `Cow<'_, str>` are
//! all `str`.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::ReturnType;

use crate::model::{Kind, Method};

/// `(str,inout:Vec<str>,u32)->Result<u64,BankError>`
pub(crate) fn of(method: &Method) -> String {
    let arguments: Vec<String> = method
        .arguments
        .iter()
        .map(|argument| match argument.kind {
            Kind::InOut => format!("inout:{}", canonical(&argument.inner)),
            Kind::SharedBytes => "bytes".to_owned(),
            Kind::Owned
            | Kind::Str
            | Kind::Bytes
            | Kind::Slice
            | Kind::Reference
            | Kind::OptionBorrowed
            | Kind::OptionReference
            | Kind::CowStr
            | Kind::CowBytes => canonical(&argument.written),
        })
        .collect();
    let output = match &method.output {
        ReturnType::Default => String::new(),
        ReturnType::Type(_, output) => canonical(output),
    };
    format!("({})->{output}", arguments.join(","))
}

fn canonical(node: &impl ToTokens) -> String {
    let mut text = String::new();
    write(node.to_token_stream(), &mut text);
    // `Cow<str>` and `Vec<u8>` are marshalled as their borrowed forms are.
    text.replace("Cow<str>", "str")
        .replace("Cow<[u8]>", "bytes")
        .replace("SharedBytes<>", "bytes")
        .replace("[u8]", "bytes")
}

fn write(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => {}
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                tokens.next(); // the lifetime's name
                if matches!(tokens.peek(), Some(TokenTree::Punct(comma)) if comma.as_char() == ',')
                {
                    tokens.next();
                }
            }
            TokenTree::Punct(punct) => text.push(punct.as_char()),
            TokenTree::Ident(ident) if ident == "String" => word("str", text),
            TokenTree::Ident(ident) => word(&ident.to_string(), text),
            TokenTree::Literal(literal) => word(&literal.to_string(), text),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
        }
    }
}

/// Appends a word, with a space where it would run into another one.
fn word(word: &str, text: &mut String) {
    if text.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
        text.push(' ');
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::Type;

    fn text(written: &str) -> String {
        canonical(&syn::parse_str::<Type>(written).expect("a type"))
    }

    #[test]
    fn borrowing_does_not_matter_and_words_stay_whole() {
        assert_eq!(text("&str"), "str");
        assert_eq!(text("String"), "str");
        assert_eq!(text("Cow<'_, str>"), "str");
        assert_eq!(text("Vec<String>"), "Vec<str>");
        assert_eq!(text("&[u8]"), "bytes");
        assert_eq!(text("MyString"), "MyString");
        assert_eq!(text("Result<(), Permutation>"), "Result<(),Permutation>");
    }
}
