//! Collects mistakes, so that all are told at once, each at its token.

use proc_macro2::{Span, TokenStream};
use syn::spanned::Spanned;

/// The mistakes found so far. Dropping it unread panics: a mistake must not get lost.
pub(crate) struct Diagnostics {
    errors: Option<syn::Error>,
    finished: bool,
}

impl Diagnostics {
    pub(crate) const fn new() -> Self {
        Self { errors: None, finished: false }
    }

    /// A mistake at these tokens.
    pub(crate) fn at(&mut self, node: &impl Spanned, message: impl std::fmt::Display) {
        self.at_span(node.span(), message);
    }

    /// A mistake over all of these tokens.
    pub(crate) fn over(&mut self, tokens: impl quote::ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// A mistake at this place.
    pub(crate) fn at_span(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(syn::Error::new(span, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }

    /// All mistakes as `compile_error!`s, or nothing.
    pub(crate) fn finish(mut self) -> Option<TokenStream> {
        self.finished = true;
        self.errors.take().map(|errors| errors.into_compile_error())
    }
}

impl Drop for Diagnostics {
    fn drop(&mut self) {
        assert!(
            self.finished || std::thread::panicking(),
            "a diagnostics collector was dropped unread"
        );
    }
}

/// One mistake alone.
pub(crate) fn error(span: Span, message: &str) -> TokenStream {
    syn::Error::new(span, message).into_compile_error()
}

/// The known word nearest to `word`, if one is near (Levenshtein, at most 3 edits and fewer than
/// half the letters).
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let edits_max = (word.len() / 2).min(3);
    let near = known.iter().map(|&other| (distance(word, other), other)).min()?;
    (near.0 <= edits_max).then_some(near.1)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["maybe", "at_least_once", "at_most_once", "timeout"];
        assert_eq!(nearest("at_least_onec", &known), Some("at_least_once"));
        assert_eq!(nearest("timout", &known), Some("timeout"));
        assert_eq!(nearest("colour", &known), None);
    }
}
