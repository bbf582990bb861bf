//! The functions a template may call: Go's own and those Docker adds.

use serde_json::Value;

use super::printf::sprintf;
use super::value::{Val, integer, kind, sorted, text};

/// A function by name.
pub(super) struct Function {
    /// Its name.
    pub(super) name: &'static str,
    least: usize,
    most: Option<usize>,
    /// Docker's: over a table's header it gives its first argument back.
    plain_in_header: bool,
    call: for<'a> fn(&[Val<'a>], usize) -> Result<Val<'a>, Failure>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Why a call failed.
pub(super) enum Failure {
    /// Too few or too many arguments: the sentence stands alone.
    Count(String),
    /// An argument of another type than the function takes.
    Type {
        /// Which argument.
        at: usize,
        /// What it takes.
        want: &'static str,
        /// What it got.
        got: &'static str,
    },
    /// The function said so.
    Called(String),
}

type Made<'a> = Result<Val<'a>, Failure>;

impl Function {
    /// Calls it; `limit` bounds what it may make.
    pub(super) fn call<'a>(&self, args: &[Val<'a>], header: bool, limit: usize) -> Made<'a> {
        let most = self.most.unwrap_or(usize::MAX);
        if args.len() < self.least || args.len() > most {
            let want = if self.most == Some(self.least) {
                self.least.to_string()
            } else {
                format!("at least {}", self.least)
            };
            let (name, got) = (self.name, args.len());
            return Err(Failure::Count(format!("wrong number of args for {name}: want {want} got {got}")));
        }
        match args.first() {
            Some(first) if header && self.plain_in_header => Ok(first.clone()),
            _ => (self.call)(args, limit),
        }
    }
}

/// The function called `name`.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

macro_rules! function {
    ($name:literal, $least:literal .., $call:expr) => {
        Function { name: $name, least: $least, most: None, plain_in_header: false, call: $call }
    };
    ($name:literal, $least:literal ..= $most:literal, $call:expr) => {
        Function { name: $name, least: $least, most: Some($most), plain_in_header: false, call: $call }
    };
    ($name:literal, $count:literal, header, $call:expr) => {
        Function { name: $name, least: $count, most: Some($count), plain_in_header: true, call: $call }
    };
    ($name:literal, $count:literal, $call:expr) => {
        Function { name: $name, least: $count, most: Some($count), plain_in_header: false, call: $call }
    };
}

static FUNCTIONS: &[Function] = &[
    // The evaluator stops `and` and `or` at the first argument that settles them and never calls these.
    function!("and", 1.., |args, _| Ok(args.last().map_or_else(Val::null, Val::clone))),
    function!("or", 1.., |args, _| Ok(args.last().map_or_else(Val::null, Val::clone))),
    function!("not", 1, |args, _| Ok(Val::new(!argument(args, 0).truth()))),
    function!("len", 1, |args, _| len(&argument(args, 0))),
    function!("index", 1.., |args, _| index(args)),
    function!("slice", 1..=3, |args, _| slice(args)),
    function!("print", 0.., |args, limit| print(args, limit)),
    function!("println", 0.., |args, limit| println(args, limit)),
    function!("printf", 1.., |args, limit| printf(args, limit)),
    function!("eq", 2.., |args, _| equal(args)),
    function!("ne", 2, |args, _| { Ok(Val::new(!same(argument(args, 0).get(), argument(args, 1).get())?)) }),
    function!("lt", 2, |args, _| order(args, std::cmp::Ordering::is_lt)),
    function!("le", 2, |args, _| order(args, std::cmp::Ordering::is_le)),
    function!("gt", 2, |args, _| order(args, std::cmp::Ordering::is_gt)),
    function!("ge", 2, |args, _| order(args, std::cmp::Ordering::is_ge)),
    function!("json", 1, header, |args, _| json(&argument(args, 0))),
    function!("upper", 1, header, |args, _| Ok(Val::new(string(args, 0)?.to_uppercase()))),
    function!("lower", 1, header, |args, _| Ok(Val::new(string(args, 0)?.to_lowercase()))),
    function!("title", 1, header, |args, _| Ok(Val::new(title(&string(args, 0)?)))),
    function!("truncate", 2, header, |args, _| truncate(args)),
    function!("join", 2, header, |args, limit| join(args, limit)),
    function!("split", 2, header, |args, limit| split(args, limit)),
    function!("pad", 3, |args, limit| pad(args, limit)),
];

fn argument<'a>(args: &[Val<'a>], at: usize) -> Val<'a> {
    args.get(at).map_or_else(Val::null, Val::clone)
}

fn string(args: &[Val<'_>], at: usize) -> Result<String, Failure> {
    match argument(args, at).get() {
        Value::String(text) => Ok(text.clone()),
        other => Err(Failure::Type { at, want: "string", got: kind(other) }),
    }
}

fn whole(args: &[Val<'_>], at: usize) -> Result<i64, Failure> {
    match argument(args, at).get() {
        Value::Number(number) => integer(number).and_then(|n| i64::try_from(n).ok()),
        _ => None,
    }
    .ok_or_else(|| Failure::Type { at, want: "int", got: kind(argument(args, at).get()) })
}

fn failed<'a>(message: impl Into<String>) -> Made<'a> {
    Err(Failure::Called(message.into()))
}

fn bounded<'a>(text: String, limit: usize) -> Made<'a> {
    if text.len() > limit {
        return failed(super::TOO_LONG);
    }
    Ok(Val::new(text))
}

fn len<'a>(value: &Val<'_>) -> Made<'a> {
    let len = match value.get() {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        Value::Null => return failed("len of nil pointer"),
        other => return failed(format!("len of type {}", kind(other))),
    };
    Ok(Val::new(len))
}

fn index<'a>(args: &[Val<'a>]) -> Made<'a> {
    let mut item = argument(args, 0);
    for at in 1..args.len() {
        let key = argument(args, at);
        item = match (item.get(), key.get()) {
            (Value::Null, _) => return failed("index of untyped nil"),
            (Value::Object(map), Value::String(name)) => {
                // Labels and options: the zero value of Go's map of strings, not `<no value>`.
                let missing = if map.values().all(Value::is_string) { Val::new("") } else { Val::null() };
                item.child(|v| v.get(name.as_str())).unwrap_or(missing)
            }
            (Value::Object(_), other) => {
                return failed(format!("value has type {}; should be string", kind(other)));
            }
            (Value::Array(items), Value::Number(_)) => {
                let position = position(args, at, items.len(), false)?;
                item.child(|v| v.get(position)).unwrap_or_else(Val::null)
            }
            (Value::String(text), Value::Number(_)) => {
                let position = position(args, at, text.len(), false)?;
                Val::new(text.as_bytes().get(position).copied())
            }
            (Value::Array(_) | Value::String(_), other) => {
                return failed(format!("cannot index slice/array with type {}", kind(other)));
            }
            (other, _) => return failed(format!("can't index item of type {}", kind(other))),
        };
    }
    Ok(item)
}

fn position(args: &[Val<'_>], at: usize, len: usize, end: bool) -> Result<usize, Failure> {
    let position = whole(args, at)?;
    match usize::try_from(position) {
        Ok(found) if found < len || (end && found == len) => Ok(found),
        _ => Err(Failure::Called(format!("index out of range: {position}"))),
    }
}

fn slice<'a>(args: &[Val<'a>]) -> Made<'a> {
    let item = argument(args, 0);
    let len = match item.get() {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Null => return failed("slice of untyped nil"),
        other => return failed(format!("can't slice item of type {}", kind(other))),
    };
    let from = if args.len() > 1 { position(args, 1, len, true)? } else { 0 };
    let to = if args.len() > 2 { position(args, 2, len, true)? } else { len };
    if from > to {
        return failed(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match item.get() {
        Value::String(text) => match text.get(from..to) {
            Some(part) => Val::new(part),
            None => return failed("slice cuts a character in two"),
        },
        Value::Array(items) => Val::new(items.get(from..to).unwrap_or_default().to_vec()),
        _ => Val::null(),
    })
}

fn print<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let mut out = String::new();
    let mut after_string = true;
    for (at, arg) in args.iter().enumerate() {
        let is_string = arg.get().is_string();
        if at > 0 && !is_string && !after_string {
            out.push(' ');
        }
        after_string = is_string;
        super::value::write(arg.get(), &mut out);
        if out.len() > limit {
            break;
        }
    }
    bounded(out, limit)
}

fn println<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let mut out = String::new();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        super::value::write(arg.get(), &mut out);
        if out.len() > limit {
            break;
        }
    }
    out.push('\n');
    bounded(out, limit)
}

fn printf<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let format = string(args, 0)?;
    let values: Vec<&Value> = args.iter().skip(1).map(Val::get).collect();
    bounded(sprintf(&format, &values, limit).map_err(Failure::Called)?, limit)
}

fn equal<'a>(args: &[Val<'_>]) -> Made<'a> {
    let first = argument(args, 0);
    for other in args.iter().skip(1) {
        if same(first.get(), other.get())? {
            return Ok(Val::new(true));
        }
    }
    Ok(Val::new(false))
}

fn same(left: &Value, right: &Value) -> Result<bool, Failure> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(left.is_null() && right.is_null()),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::String(a), Value::String(b)) => Ok(a == b),
        (Value::Number(a), Value::Number(b)) => Ok(match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        }),
        (Value::Array(_) | Value::Object(_), Value::Array(_) | Value::Object(_)) => {
            Err(Failure::Called(format!("non-comparable type {}", kind(left))))
        }
        _ => Err(Failure::Called("incompatible types for comparison".to_owned())),
    }
}

fn order<'a>(args: &[Val<'_>], wanted: fn(std::cmp::Ordering) -> bool) -> Made<'a> {
    let (left, right) = (argument(args, 0), argument(args, 1));
    let ordering = match (left.get(), right.get()) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal),
        },
        (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => {
            return failed("invalid type for comparison");
        }
        _ => return failed("incompatible types for comparison"),
    };
    Ok(Val::new(wanted(ordering)))
}

fn json<'a>(value: &Val<'_>) -> Made<'a> {
    match serde_json::to_string(value.get()) {
        Ok(text) => Ok(Val::new(text)),
        Err(error) => failed(error.to_string()),
    }
}

/// Go's `strings.Title`: every word's first letter.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = if c.is_ascii() { c == '_' || c.is_ascii_alphanumeric() } else { !c.is_whitespace() };
    }
    out
}

fn truncate<'a>(args: &[Val<'_>]) -> Made<'a> {
    let source = string(args, 0)?;
    match usize::try_from(whole(args, 1)?) {
        Ok(len) => Ok(Val::new(source.chars().take(len).collect::<String>())),
        Err(_) => failed("the length to truncate to is negative"),
    }
}

fn join<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let list = argument(args, 0);
    let between = string(args, 1)?;
    let items: Vec<String> = match list.get() {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(text).collect(),
        Value::Object(map) => sorted(map).into_iter().map(|(_, v)| text(v)).collect(),
        other => {
            return Err(Failure::Type { at: 0, want: "[]string", got: kind(other) });
        }
    };
    if items.len().saturating_mul(between.len()) > limit {
        return failed(super::TOO_LONG);
    }
    bounded(items.join(&between), limit)
}

fn split<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let (source, between) = (string(args, 0)?, string(args, 1)?);
    // Every piece costs more than its text.
    if source.len().saturating_mul(size_of::<Value>()) > limit {
        return failed(super::TOO_LONG);
    }
    let pieces: Vec<Value> = if between.is_empty() {
        source.chars().map(|c| Value::from(c.to_string())).collect()
    } else {
        source.split(&between).map(Value::from).collect()
    };
    Ok(Val::new(pieces))
}

fn pad<'a>(args: &[Val<'_>], limit: usize) -> Made<'a> {
    let source = string(args, 0)?;
    if source.is_empty() {
        return Ok(Val::new(source));
    }
    let (before, after) = (whole(args, 1)?, whole(args, 2)?);
    let (Ok(before), Ok(after)) = (usize::try_from(before), usize::try_from(after)) else {
        return failed("the number of blanks is negative");
    };
    if before.saturating_add(after) > limit {
        return failed(super::TOO_LONG);
    }
    Ok(Val::new(format!("{}{source}{}", " ".repeat(before), " ".repeat(after))))
}
