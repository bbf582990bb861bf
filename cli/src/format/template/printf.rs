//! Go's `fmt.Sprintf` over JSON values.

use std::fmt::Write as _;

use serde_json::{Number, Value};

use super::value::{exponent, float_text, integer, kind, number_text, quote, sorted, text};

/// The widest field or precision. Go's own limit is a million; Rust's formatter panics past 65535.
const MAX_WIDTH: usize = 65_000;

// One for each of Go's flags.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats `args`; the error says that the result grew past `limit` bytes.
pub(super) fn sprintf(format: &str, args: &[&Value], limit: usize) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut used = 0;
    let mut reordered = false;
    while let Some(c) = chars.next() {
        if out.len() > limit {
            return Err(super::TOO_LONG.to_owned());
        }
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(&flag) = chars.peek() {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            chars.next();
        }
        let mut bad_index = false;
        let mut index = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, used: &mut usize| {
            if chars.peek() == Some(&'[') {
                chars.next();
                reordered = true;
                let digits: String = chars.by_ref().take_while(|c| *c != ']').collect();
                match digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
                    Some(at) if at < args.len() => *used = at,
                    _ => bad_index = true,
                }
            }
        };
        index(&mut chars, &mut used);
        match size(&mut chars, args, &mut used) {
            Size::Given(Ok(width)) => {
                spec.minus |= width < 0;
                spec.width = Some(usize::try_from(width.unsigned_abs()).unwrap_or(MAX_WIDTH));
            }
            Size::Given(Err(())) => out.push_str("%!(BADWIDTH)"),
            Size::Absent => {}
        }
        if chars.peek() == Some(&'.') {
            chars.next();
            index(&mut chars, &mut used);
            match size(&mut chars, args, &mut used) {
                Size::Given(Ok(precision)) => spec.precision = usize::try_from(precision).ok(),
                Size::Given(Err(())) => out.push_str("%!(BADPREC)"),
                Size::Absent => spec.precision = Some(0),
            }
        }
        index(&mut chars, &mut used);
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if verb == '%' {
            out.push('%');
        } else if bad_index {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(arg) = args.get(used) {
            used += 1;
            write(arg, verb, &spec, &mut out, limit);
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
    }
    if !reordered && used < args.len() {
        let rest: Vec<String> = args.iter().skip(used).map(|v| described(v)).collect();
        let _ = write!(out, "%!(EXTRA {})", rest.join(", "));
    }
    Ok(out)
}

enum Size {
    Absent,
    Given(Result<i64, ()>),
}

/// A width or precision: digits, or `*` and an argument.
fn size(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, args: &[&Value], used: &mut usize) -> Size {
    let limit = i64::try_from(MAX_WIDTH).unwrap_or(i64::MAX);
    let checked = |n: i64| if n.abs() <= limit { Ok(n) } else { Err(()) };
    if chars.peek() == Some(&'*') {
        chars.next();
        let arg = args.get(*used);
        *used += 1;
        return Size::Given(arg.and_then(|v| v.as_i64()).map_or(Err(()), checked));
    }
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    if digits.is_empty() {
        return Size::Absent;
    }
    Size::Given(digits.parse().map_or(Err(()), checked))
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        value => format!("{}={}", kind(value), text(value)),
    }
}

fn bad(verb: char, value: &Value) -> String {
    format!("%!{verb}({})", described(value))
}

/// Appends `value`, stopping soon after `limit`.
fn write(value: &Value, verb: char, spec: &Spec, out: &mut String, limit: usize) {
    let mut between = "";
    match value {
        Value::Array(items) if verb != 'T' => {
            out.push('[');
            for item in items {
                if out.len() > limit {
                    return;
                }
                out.push_str(between);
                between = " ";
                write(item, verb, spec, out, limit);
            }
            out.push(']');
        }
        Value::Object(map) if verb != 'T' => {
            out.push_str("map[");
            for (name, item) in sorted(map) {
                if out.len() > limit {
                    return;
                }
                out.push_str(between);
                between = " ";
                let name = string_verb(name, verb, spec);
                out.push_str(&name.unwrap_or_else(|| bad(verb, &Value::Null)));
                out.push(':');
                write(item, verb, spec, out, limit);
            }
            out.push(']');
        }
        leaf => out.push_str(&scalar(leaf, verb, spec).unwrap_or_else(|| bad(verb, leaf))),
    }
}

fn scalar(value: &Value, verb: char, spec: &Spec) -> Option<String> {
    match value {
        Value::Null if matches!(verb, 'v' | 'T') => Some(pad("<nil>".to_owned(), spec, false)),
        _ if verb == 'T' => Some(pad(kind(value).to_owned(), spec, false)),
        Value::Bool(flag) if matches!(verb, 't' | 'v') => Some(pad(flag.to_string(), spec, false)),
        Value::Number(number) => number_verb(number, verb, spec),
        Value::String(content) => string_verb(content, verb, spec),
        _ => None,
    }
}

fn string_verb(content: &str, verb: char, spec: &Spec) -> Option<String> {
    let cut: String = match spec.precision {
        Some(precision) => content.chars().take(precision).collect(),
        None => content.to_owned(),
    };
    let text = match verb {
        'v' if spec.sharp => quote(&cut),
        's' | 'v' => cut,
        'q' if spec.sharp && !cut.contains(['`', '\n', '\r']) => format!("`{cut}`"),
        'q' => quote(&cut),
        'x' | 'X' => {
            let bytes = content.as_bytes();
            let bytes = bytes.get(..spec.precision.unwrap_or(bytes.len())).unwrap_or(bytes);
            let hex: Vec<String> = bytes
                .iter()
                .map(|b| if verb == 'x' { format!("{b:02x}") } else { format!("{b:02X}") })
                .collect();
            let prefix = match (spec.sharp, verb) {
                (true, 'x') => "0x",
                (true, _) => "0X",
                _ => "",
            };
            if spec.space {
                hex.iter().map(|h| format!("{prefix}{h}")).collect::<Vec<_>>().join(" ")
            } else {
                format!("{}{}", if hex.is_empty() { "" } else { prefix }, hex.concat())
            }
        }
        _ => return None,
    };
    Some(pad(text, spec, false))
}

fn number_verb(number: &Number, verb: char, spec: &Spec) -> Option<String> {
    match integer(number) {
        Some(value) if !matches!(verb, 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => integer_verb(value, verb, spec),
        _ => float_verb(number, verb, spec),
    }
}

fn integer_verb(value: i128, verb: char, spec: &Spec) -> Option<String> {
    let magnitude = value.unsigned_abs();
    let as_char =
        || u32::try_from(value).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let (prefix, digits) = match verb {
        'd' | 'v' => ("", magnitude.to_string()),
        'x' => ("0x", format!("{magnitude:x}")),
        'X' => ("0X", format!("{magnitude:X}")),
        'o' => ("0", format!("{magnitude:o}")),
        'O' => ("0o", format!("{magnitude:o}")),
        'b' => ("0b", format!("{magnitude:b}")),
        'c' => return Some(pad(as_char().to_string(), spec, false)),
        'q' => {
            let quoted = match as_char() {
                '\'' => "'\\''".to_owned(),
                '"' => "'\"'".to_owned(),
                c => format!("'{}'", quote(&c.to_string()).trim_matches('"')),
            };
            return Some(pad(quoted, spec, false));
        }
        'U' => return Some(pad(format!("U+{magnitude:04X}"), spec, false)),
        _ => return None,
    };
    let prefix = if spec.sharp || verb == 'O' { prefix } else { "" };
    let digits = match spec.precision {
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let zeros = spec.zero && spec.precision.is_none();
    Some(signed(value < 0, &format!("{prefix}{digits}"), spec, zeros))
}

fn float_verb(number: &Number, verb: char, spec: &Spec) -> Option<String> {
    let float = number.as_f64()?;
    let magnitude = float.abs();
    let precision = spec.precision.unwrap_or(6);
    let text = match verb {
        'f' | 'F' => format!("{magnitude:.precision$}"),
        'e' => exponent(&format!("{magnitude:.precision$e}")),
        'E' => exponent(&format!("{magnitude:.precision$e}")).to_uppercase(),
        'g' | 'G' | 'v' => {
            let text = match spec.precision {
                Some(digits) => vswitch::control::units::general(magnitude, digits.max(1)),
                None if verb == 'v' => number_text(&Number::from_f64(magnitude)?),
                None => float_text(magnitude),
            };
            if verb == 'G' { text.to_uppercase() } else { text }
        }
        _ => return None,
    };
    Some(signed(float.is_sign_negative(), &text, spec, spec.zero))
}

fn signed(negative: bool, digits: &str, spec: &Spec, zeros: bool) -> String {
    let sign = match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    if zeros && !spec.minus {
        let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
        return format!("{sign}{digits:0>width$}");
    }
    pad(format!("{sign}{digits}"), spec, true)
}

fn pad(text: String, spec: &Spec, number: bool) -> String {
    let Some(width) = spec.width else {
        return text;
    };
    if spec.minus {
        format!("{text:<width$}")
    } else if spec.zero && !number {
        format!("{text:0>width$}")
    } else {
        format!("{text:>width$}")
    }
}
