//! How quantities and foreign text read on the page.

use std::fmt::Write as _;

/// Between groups of three digits, and between a number and its unit: narrow, and never at a line's end.
const THIN: char = '\u{202f}';
/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "–";

/// A count: in groups of three digits, from ten millions on in millions.
pub(super) fn count(count: u64) -> String {
    if count >= 10_000_000 {
        return format!("{}{THIN}M", grouped(count / 1_000_000));
    }
    grouped(count)
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// Calls a second: with one decimal below ten.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => UNKNOWN.into(),
        Some(rate) if rate < 0.05 => "0".into(),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rates are positive, and a cast of floats saturates"
        )]
        Some(rate) => count(rate.round() as u64),
    }
}

/// A latency: two or three digits and the unit. None where no handler was measured.
pub(super) fn latency(us: Option<u32>) -> String {
    match us {
        None | Some(0) => UNKNOWN.into(),
        Some(us) if us < 1_000 => format!("{us}{THIN}µs"),
        Some(us) if us < 10_000 => decimal(us / 100, "ms"),
        Some(us) if us < 1_000_000 => format!("{}{THIN}ms", us / 1_000),
        Some(us) if us < 10_000_000 => decimal(us / 100_000, "s"),
        Some(us) => format!("{}{THIN}s", us / 1_000_000),
    }
}

fn decimal(tenths: u32, unit: &str) -> String {
    format!("{}.{}{THIN}{unit}", tenths / 10, tenths % 10)
}

/// A time in seconds with one decimal, of a minute and more in minutes: as the script writes it.
pub(super) fn seconds(ms: u64) -> String {
    if ms >= 60_000 {
        return format!("{}{THIN}min", ms / 60_000);
    }
    format!("{}.{}{THIN}s", ms / 1_000, ms % 1_000 / 100)
}

/// Text that somebody else chose, with whatever is not seen, or turns the text around it, made visible.
pub(super) fn foreign(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_hidden(c) {
            let _infallible = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks of direction, joiners, and characters without any width.
const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_carry_their_units() {
        let plain = |text: String| text.replace(THIN, " ");
        assert_eq!(plain(count(0)), "0");
        assert_eq!(plain(count(1_234_567)), "1 234 567");
        assert_eq!(plain(count(12_345_678_901)), "12 345 M");
        assert_eq!(plain(rate(Some(3.24))), "3.2");
        assert_eq!(plain(rate(Some(9.97))), "10");
        assert_eq!(plain(rate(Some(4_200.4))), "4 200");
        assert_eq!(rate(None), UNKNOWN);
        assert_eq!(latency(Some(0)), UNKNOWN);
        assert_eq!(plain(latency(Some(820))), "820 µs");
        assert_eq!(plain(latency(Some(4_250))), "4.2 ms");
        assert_eq!(plain(latency(Some(99_999))), "99 ms");
        assert_eq!(plain(latency(Some(1_250_000))), "1.2 s");
        assert_eq!(plain(latency(Some(u32::MAX))), "4294 s");
        assert_eq!(plain(seconds(8_249)), "8.2 s");
        assert_eq!(plain(seconds(61_000)), "1 min");
    }

    #[test]
    fn nothing_foreign_hides_or_turns_the_text_around_it() {
        assert_eq!(foreign("eu-1a é 漢"), "eu-1a é 漢");
        assert_eq!(foreign("a\u{202e}b\u{200b}\n"), "a\\u{202e}b\\u{200b}\\u{a}");
        assert_eq!(foreign("\u{e0041}\u{feff}"), "\\u{e0041}\\u{feff}");
    }
}
