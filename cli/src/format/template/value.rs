//! Values while a template runs, and how Go prints them.

use std::rc::Rc;

use serde_json::{Map, Number, Value};

static NULL: Value = Value::Null;

/// A value that belongs to the data, or one that a function made.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    /// Part of the data.
    Ref(&'a Value),
    /// Made on the way.
    Own(Rc<Value>),
}

impl Val<'_> {
    /// Nothing.
    pub(super) fn null() -> Self {
        Val::Ref(&NULL)
    }

    /// A value just made.
    pub(super) fn new(value: impl Into<Value>) -> Self {
        Val::Own(Rc::new(value.into()))
    }

    /// The value.
    pub(super) fn get(&self) -> &Value {
        match self {
            Val::Ref(value) => value,
            Val::Own(value) => value,
        }
    }

    /// A part of it.
    pub(super) fn child(&self, part: impl for<'b> Fn(&'b Value) -> Option<&'b Value>) -> Option<Self> {
        match self {
            Val::Ref(value) => part(value).map(Val::Ref),
            Val::Own(value) => part(value).cloned().map(Val::new),
        }
    }

    /// Go's truth: not empty, not zero.
    pub(super) fn truth(&self) -> bool {
        match self.get() {
            Value::Null => false,
            Value::Bool(value) => *value,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
        }
    }

    /// As `{{.}}` prints it.
    pub(super) fn print(&self, out: &mut String) {
        match self.get() {
            Value::Null => out.push_str("<no value>"),
            value => write(value, out),
        }
    }
}

/// Go's name for the type of a value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if integer(number).is_some() => "int",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The entries of a map by name, whatever order it keeps them in.
pub(super) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    entries
}

/// A whole number, also one that JSON wrote as `1.0`.
pub(super) fn integer(number: &Number) -> Option<i128> {
    if let Some(value) = number.as_i64() {
        return Some(value.into());
    }
    if let Some(value) = number.as_u64() {
        return Some(value.into());
    }
    // Every whole double below 2^53 is exact.
    let float = number.as_f64()?;
    if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 {
        return format!("{float:.0}").parse().ok();
    }
    None
}

/// Appends a value as Go's `%v` prints it.
pub(super) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (at, (name, item)) in sorted(map).into_iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(name);
                out.push(':');
                write(item, out);
            }
            out.push(']');
        }
    }
}

/// A value as text, for functions that work on text.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// A number as `%v` prints it.
pub(super) fn number_text(number: &Number) -> String {
    match integer(number) {
        Some(value) => value.to_string(),
        None => float_text(number.as_f64().unwrap_or_default()),
    }
}

/// The shortest form of a double, with an exponent outside of 1e-4 to 1e6, as Go does.
pub(super) fn float_text(float: f64) -> String {
    let magnitude = float.abs();
    if float != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        return exponent(&format!("{float:e}"));
    }
    format!("{float}")
}

/// Rust's `1e5` as Go's `1e+05`.
pub(super) fn exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text.to_owned();
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A string as Go's `%q` quotes it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => out.push_str(&super::super::escape::printable(c)),
        }
    }
    out.push('"');
    out
}
