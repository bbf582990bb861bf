//! The values of literals: numbers, characters, quoted strings, as Go writes them.

use serde_json::Number;

/// A number literal's value; `None` if it is none.
pub(super) fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if misplaced || !digits.starts_with(|c: char| c == '.' || c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let (radix, body) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        Some("0b") => (2, digits.get(2..)?),
        _ if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (8, &*digits)
        }
        _ => (10, &*digits),
    };
    // `from_str_radix` would take a second sign.
    if body.starts_with(['+', '-']) {
        return None;
    }
    if let Ok(magnitude) = i128::from_str_radix(body, radix) {
        let value = if negative { -magnitude } else { magnitude };
        return i64::try_from(value).ok().map(Number::from);
    }
    let float: f64 = (radix == 10
        && body.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')))
    .then(|| body.parse().ok())
    .flatten()?;
    Number::from_f64(if negative { -float } else { float })
}

/// A character literal's code point.
pub(super) fn character(quoted: &str) -> Option<Number> {
    let text = unquote(quoted, '\'')?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Some(Number::from(u32::from(c))),
        _ => None,
    }
}

/// What a string in double or back quotes stands for.
pub(super) fn string(quoted: &str) -> Option<String> {
    if let Some(raw) = quoted.strip_prefix('`') {
        return raw.strip_suffix('`').map(|raw| raw.replace('\r', ""));
    }
    unquote(quoted, '"')
}

fn unquote(quoted: &str, quote: char) -> Option<String> {
    let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push(&mut bytes, c);
            continue;
        }
        match chars.next()? {
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            '\\' => bytes.push(b'\\'),
            c if c == quote => push(&mut bytes, c),
            'x' => bytes.push(u8::try_from(code(&mut chars, 0, 2, 16)?).ok()?),
            'u' => push(&mut bytes, char::from_u32(code(&mut chars, 0, 4, 16)?)?),
            'U' => push(&mut bytes, char::from_u32(code(&mut chars, 0, 8, 16)?)?),
            c @ '0'..='7' => {
                let first = c.to_digit(8)?;
                bytes.push(u8::try_from(code(&mut chars, first, 2, 8)?).ok()?);
            }
            _ => return None,
        }
    }
    // Go's strings are bytes and ours are not: what `\xff` makes of them is replaced.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn code(chars: &mut std::str::Chars<'_>, start: u32, digits: usize, radix: u32) -> Option<u32> {
    (0..digits).try_fold(start, |value, _| {
        let digit = chars.next()?.to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", 0),
            ("42", 42),
            ("-7", -7),
            ("+7", 7),
            ("0x1F", 31),
            ("0b101", 5),
            ("0o17", 15),
            ("017", 15),
            ("1_000", 1000),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(number(text).and_then(|n| n.as_i64()), Some(value), "{text}");
        }
        assert_eq!(number("1.5e1").and_then(|n| n.as_f64()), Some(15.0));
        for text in ["", "-", "1a", "0x", "1__0", "--1", "0x-1", "9223372036854775808", "1e999", "."] {
            assert!(number(text).is_none(), "{text}");
        }
    }

    #[test]
    fn strings() {
        assert_eq!(string(r#""a\tb\n\"\\\x41\u00e9\101""#).as_deref(), Some("a\tb\n\"\\Aé\u{41}"));
        assert_eq!(string(r"`a\tb`").as_deref(), Some(r"a\tb"));
        assert_eq!(string(r#""\'""#), None);
        assert_eq!(string(r#""\q""#), None);
        assert_eq!(string(r#""\x4""#), None);
        assert_eq!(string(r#""\400""#), None);
        assert_eq!(character(r"'\''"), Some(Number::from(39)));
        assert_eq!(character("'ab'"), None);
    }
}
