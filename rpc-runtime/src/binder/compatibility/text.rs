//! Methods as texts, where their forms cannot be read: the words of their signatures, or where the
//! texts of their forms begin to differ.

use crate::binder::model::{MethodDescription, cut};

/// Longest part of a signature that a message shows, in bytes.
const SIGNATURE_SHOWN_BYTES_MAX: usize = 80;

/// Longest part of a form that a message shows, in bytes, and how much of it lies before the
/// difference.
const FORM_SHOWN_BYTES_MAX: usize = 60;
const FORM_BEFORE_BYTES: usize = 20;

/// What `method` looks like where it differs from `other`.
pub(super) fn form(method: &MethodDescription, other: &MethodDescription) -> String {
    let signature = cut(&method.signature, SIGNATURE_SHOWN_BYTES_MAX);
    if method.signature != other.signature {
        return signature.to_owned();
    }
    // The words are the same: a type inside has another shape.
    let part = part(&method.form, &other.form);
    part.unwrap_or_else(|| format!("{signature} of shape {}", method.fingerprint))
}

/// Where `form` begins to differ from `other`, with a little of what stands before.
fn part(form: &str, other: &str) -> Option<String> {
    let same = form.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
    if same == form.len().min(other.len()) {
        return None; // one is the beginning of the other: what differs was cut off
    }
    let begins =
        (0..=same.saturating_sub(FORM_BEFORE_BYTES)).rev().find(|&at| form.is_char_boundary(at))?;
    let shown = cut(&form[begins..], FORM_SHOWN_BYTES_MAX);
    let before = if begins == 0 { "" } else { "…" };
    let after = if begins + shown.len() == form.len() { "" } else { "…" };
    Some(format!("{before}{shown}{after}"))
}
