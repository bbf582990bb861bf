//! Text from elsewhere, made harmless for a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes what a terminal would act on: control characters, and those that turn the direction of writing.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if harmless(c) {
            out.push(c);
        } else {
            out.push_str(&printable(c));
        }
        out
    }))
}

fn harmless(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    !(c.is_control() || invisible)
}

/// A character as Go quotes it, without the quotes.
pub(super) fn printable(c: char) -> String {
    let mut out = String::new();
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        _ if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        _ if harmless(c) => out.push(c),
        _ if u32::from(c) > 0xffff => {
            let _ = write!(out, "\\U{:08x}", u32::from(c));
        }
        _ => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_stays_as_it_was() {
        assert_eq!(escape("web"), "web");
        assert_eq!(escape("wéb ☃"), "wéb ☃");
        assert_eq!(escape("a\u{1b}[31mb\r\n\t"), "a\\x1b[31mb\\r\\n\\t");
        assert_eq!(escape("\u{9b}0m\u{7f}"), "\\u009b0m\\x7f");
        assert_eq!(escape("\u{202e}gnp"), "\\u202egnp");
    }
}
