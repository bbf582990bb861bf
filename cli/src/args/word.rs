//! Words of the command line that have a form of their own, and Docker's sentences for those that have not.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// `KEY=VALUE` of `--filter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What is looked at, in lower case.
    pub key: String,
    /// What it has to be.
    pub value: String,
}

/// Filters as the API takes them, in JSON; `None` without any.
///
/// ```
/// use cli::args::{filter, filters};
/// let all = [filter("label=a").unwrap(), filter("label=b=c").unwrap()];
/// assert_eq!(filters(&all).unwrap(), r#"{"label":{"a":true,"b=c":true}}"#);
/// ```
pub fn filters(all: &[Filter]) -> Option<String> {
    let mut keys = Map::new();
    for Filter { key, value } in all {
        if let Value::Object(values) = keys.entry(key.clone()).or_insert_with(|| json!({})) {
            values.insert(value.clone(), Value::Bool(true));
        }
    }
    (!keys.is_empty()).then(|| Value::Object(keys).to_string())
}

/// A filter.
///
/// # Errors
/// Docker's sentence.
pub fn filter(word: &str) -> Result<Filter, &'static str> {
    let (key, value) = word.split_once('=').ok_or("bad format of filter (expected name=value)")?;
    Ok(Filter { key: key.trim().to_lowercase(), value: value.trim().to_owned() })
}

/// `KEY[=VALUE]` of `--label`.
///
/// # Errors
/// When it has no key.
pub fn label(word: &str) -> Result<(String, String), String> {
    let (key, value) = pair(word);
    if key.is_empty() {
        return Err(format!("invalid label '{word}': empty name"));
    }
    Ok((key, value))
}

/// `KEY[=VALUE]`, in two.
pub fn pair(word: &str) -> (String, String) {
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    (key.to_owned(), value.to_owned())
}

/// `KEY=VALUE` of `--driver-opt`.
///
/// # Errors
/// Docker's sentence.
pub fn driver_opt(word: &str) -> Result<(String, String), &'static str> {
    match word.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_lowercase(), value.trim().to_owned()))
        }
        _ => Err("invalid key/value pair format in driver options"),
    }
}

/// `KEY[=VALUE]` of `--env`. A key alone takes the value that it has here; where it has none it stays alone.
///
/// # Errors
/// When it has no key.
pub fn variable(word: &str) -> Result<String, String> {
    match word.split_once('=') {
        Some(("", _)) => Err(format!("invalid environment variable: {word}")),
        Some(_) => Ok(word.to_owned()),
        None if word.is_empty() => Err(format!("invalid environment variable: {word}")),
        None => Ok(std::env::var(word).map_or_else(|_| word.to_owned(), |value| format!("{word}={value}"))),
    }
}

/// `NAME[:ALIAS]` of `--link`.
///
/// # Errors
/// Docker's sentence.
pub fn link(word: &str) -> Result<String, String> {
    let mut parts = word.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (None | Some(""), None, _) => Err("empty string specified for links".into()),
        (Some("") | None, ..) | (_, Some(""), _) | (.., Some(_)) => {
            Err(format!("bad format for links: {word}"))
        }
        _ => Ok(word.to_owned()),
    }
}

/// An address of `--dns`.
///
/// # Errors
/// Docker's sentence.
pub fn server(word: &str) -> Result<IpAddr, String> {
    word.trim().parse().map_err(|_| format!("{word} is not an ip address"))
}

/// An Ethernet address.
///
/// # Errors
/// Docker's sentence.
pub fn mac(word: &str) -> Result<String, String> {
    let mac: Result<packet::MacAddr, _> = word.trim().parse();
    mac.map(|mac| mac.to_string()).map_err(|_| format!("{word} is not a valid mac address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_go_as_docker_sends_them() {
        let all: Vec<Filter> =
            ["type=network", " Label = a=b ", "type=container"].iter().map(|w| filter(w).unwrap()).collect();
        assert_eq!(
            filters(&all).unwrap(),
            r#"{"type":{"network":true,"container":true},"label":{"a=b":true}}"#
        );
        assert_eq!(filters(&[]), None);
        assert_eq!(filter("web"), Err("bad format of filter (expected name=value)"));
    }

    #[test]
    fn labels_and_options_are_pairs() {
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("empty"), Ok(("empty".into(), String::new())));
        assert_eq!(label("=b"), Err("invalid label '=b': empty name".into()));
        assert_eq!(driver_opt("Key=Value"), Ok(("key".into(), "Value".into())));
        assert_eq!(driver_opt("key"), Err("invalid key/value pair format in driver options"));
        assert_eq!(driver_opt("=v"), Err("invalid key/value pair format in driver options"));
    }

    #[test]
    fn a_variable_without_a_value_takes_the_callers() {
        assert_eq!(variable("A=b=c"), Ok("A=b=c".into()));
        assert_eq!(variable("A="), Ok("A=".into()));
        assert_eq!(variable("CARGO_PKG_NAME"), Ok("CARGO_PKG_NAME=cli".into()));
        assert_eq!(variable("NOBODY_SETS_THIS"), Ok("NOBODY_SETS_THIS".into()));
        assert_eq!(variable("=b"), Err("invalid environment variable: =b".into()));
    }

    #[test]
    fn a_link_has_a_name_and_perhaps_an_alias() {
        assert_eq!(link("db"), Ok("db".into()));
        assert_eq!(link("db:store"), Ok("db:store".into()));
        for bad in ["a:b:c", ":b", "a:", ":"] {
            assert_eq!(link(bad), Err(format!("bad format for links: {bad}")));
        }
        assert_eq!(link(""), Err("empty string specified for links".into()));
    }

    #[test]
    fn addresses_are_told_from_other_words() {
        assert_eq!(server("9.9.9.9").map(|a| a.to_string()), Ok("9.9.9.9".into()));
        assert_eq!(server("fd00::1").map(|a| a.to_string()), Ok("fd00::1".into()));
        assert_eq!(server("quad9"), Err("quad9 is not an ip address".into()));
        assert_eq!(mac("02-42-AC-11-00-02"), Ok("02:42:ac:11:00:02".into()));
        assert_eq!(mac("foo"), Err("foo is not a valid mac address".into()));
    }
}
