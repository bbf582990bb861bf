//! The `filters` of Docker's lists: a JSON object of sets, `{"label":{"a=b":true}}`, or of lists in
//! the older form, `{"label":["a=b"]}`. The same for networks, containers and events.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;

use super::error::NetError;

/// Largest compiled pattern in bytes, and four times that for all patterns of a request. A larger one
/// matches nothing, as one that is no pattern.
const PATTERN_SIZE: usize = 256 * 1024;

/// A set of values; one that is `false` is asked for by nobody, yet there.
type Set = BTreeMap<String, bool>;

#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    Set(Set),
    List(Vec<String>),
    Nothing(()),
}

/// What a list is to be narrowed down to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    fields: BTreeMap<String, Set>,
}

impl Filters {
    /// Reads the query parameter; an empty one filters nothing.
    ///
    /// # Errors
    /// [`NetError::FilterValue`] where it is neither form.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let fields: BTreeMap<String, Values> =
            serde_json::from_str(text).map_err(|e| NetError::FilterValue(format!("invalid filters: {e}")))?;
        let set = |values| match values {
            Values::Set(set) => set,
            Values::List(list) => list.into_iter().map(|value| (value, true)).collect(),
            Values::Nothing(()) => Set::new(),
        };
        Ok(Self { fields: fields.into_iter().map(|(key, values)| (key, set(values))).collect() })
    }

    /// Refuses every filter that is not one of those.
    ///
    /// # Errors
    /// [`NetError::Filter`].
    pub fn validate(&self, accepted: &[&str]) -> Result<(), NetError> {
        match self.fields.keys().find(|key| !accepted.contains(&key.as_str())) {
            Some(other) => Err(NetError::Filter(other.clone())),
            None => Ok(()),
        }
    }

    /// Nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// There is a filter of this key.
    pub fn contains(&self, key: &str) -> bool {
        self.fields.contains_key(key)
    }

    /// The values of a key, sorted.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.fields.get(key).into_iter().flat_map(|set| set.keys().map(String::as_str))
    }

    /// The only value of a key, if it has any.
    ///
    /// # Errors
    /// [`NetError::FilterValue`] with `refusal` where there are several.
    pub fn single(&self, key: &str, refusal: &str) -> Result<Option<&str>, NetError> {
        let mut values = self.values(key);
        let first = values.next();
        if values.next().is_some() { Err(NetError::FilterValue(refusal.into())) } else { Ok(first) }
    }

    /// One of the key's values is `text`, or there is none.
    pub fn exact(&self, key: &str, text: &str) -> bool {
        self.fields.get(key).is_none_or(|set| set.is_empty() || set.get(text).copied().unwrap_or(false))
    }

    /// `text` is one of the key's values or begins with one, or there is none.
    pub fn prefix(&self, key: &str, text: &str) -> bool {
        self.exact(key, text) || self.values(key).any(|value| text.starts_with(value))
    }

    /// Every one of the key's values, `NAME` or `NAME=VALUE`, is among the labels, or there is none.
    pub fn labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|has| has == value),
            None => labels.contains_key(wanted),
        })
    }

    /// The key's values as patterns.
    pub fn matcher(&self, key: &str) -> Matcher {
        // A request has room for thousands of patterns, each of which says a{9999}.
        let limit = PATTERN_SIZE.min(4 * PATTERN_SIZE / self.values(key).count().max(1));
        let pattern = |value| RegexBuilder::new(value).size_limit(limit).build().ok();
        Matcher {
            exact: self.fields.get(key).cloned().unwrap_or_default(),
            patterns: self.values(key).filter_map(pattern).collect(),
        }
    }
}

/// Regular expressions of which one must be found in a text, or the text itself.
pub struct Matcher {
    exact: Set,
    patterns: Vec<Regex>,
}

impl Matcher {
    /// The text is one of the values, or a pattern is found in it, or there is no value.
    pub fn matches(&self, text: &str) -> bool {
        self.exact.is_empty()
            || self.exact.get(text).copied().unwrap_or(false)
            || self.patterns.iter().any(|pattern| pattern.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::control::net::Class;

    fn filters(text: &str) -> Filters {
        Filters::parse(text).unwrap()
    }

    #[test]
    fn both_forms_say_the_same() {
        let sets = filters(r#"{"driver":{"bridge":true},"label":{"a":true,"b=c":true}}"#);
        assert_eq!(sets, filters(r#"{"driver":["bridge"],"label":["b=c","a"]}"#));
        assert_eq!(sets.values("label").collect::<Vec<_>>(), ["a", "b=c"]);
        assert!(filters("").is_empty() && filters("{}").is_empty() && !sets.is_empty());
    }

    #[test]
    fn what_is_neither_form_is_refused() {
        for text in
            ["[]", "bridge", "{\"driver\":\"bridge\"}", "{\"driver\":{\"bridge\":1}}", "{", "null", "3"]
        {
            let error = Filters::parse(text).unwrap_err();
            assert_eq!(error.class(), Class::Invalid, "{text}");
            assert!(error.to_string().starts_with("invalid filters: "), "{text}: {error}");
        }
    }

    #[test]
    fn a_filter_the_list_does_not_have_is_refused() {
        let error = filters(r#"{"driver":["a"],"x":["b"]}"#).validate(&["driver"]).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.class()), ("Invalid filter 'x'", Class::Invalid));
        assert!(filters(r#"{"driver":["a"]}"#).validate(&["driver", "x"]).is_ok());
    }

    #[test]
    fn without_a_value_everything_matches() {
        for text in ["", r#"{"name":{}}"#, r#"{"name":[]}"#, r#"{"name":null}"#] {
            let f = filters(text);
            assert!(
                f.exact("name", "x") && f.prefix("name", "x") && f.matcher("name").matches("x"),
                "{text}"
            );
            assert!(f.labels("name", &BTreeMap::new()), "{text}");
        }
    }

    #[test]
    fn a_value_matches_as_a_whole_as_a_beginning_or_as_a_pattern() {
        let f = filters(r#"{"name":["web"]}"#);
        assert!(f.exact("name", "web") && !f.exact("name", "web1"));
        assert!(f.prefix("name", "web1") && !f.prefix("name", "my-web"));
        let m = f.matcher("name");
        assert!(m.matches("web") && m.matches("my-web1") && !m.matches("wab"));
        let m = filters(r#"{"name":["^w.b$","(","a+b"]}"#).matcher("name");
        assert!(m.matches("wxb") && !m.matches("wxbx"));
        assert!(m.matches("("), "no pattern, yet the very text");
        assert!(m.matches("a+b") && m.matches("xaab"));
    }

    #[test]
    fn a_hundred_names_are_still_patterns() {
        let names: Vec<String> = (0..100).map(|n| format!("^w.b-{n}$")).collect();
        let m = filters(&serde_json::json!({"name": names}).to_string()).matcher("name");
        assert!(m.matches("wxb-99") && !m.matches("wxb-100"));
    }

    #[test]
    fn a_value_that_is_false_is_not_asked_for() {
        assert!(!filters(r#"{"driver":{"bridge":false}}"#).exact("driver", "bridge"));
        assert!(filters(r#"{"driver":{"bridge":false,"host":true}}"#).exact("driver", "host"));
    }

    #[test]
    fn all_labels_must_be_there() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        for (text, there) in [
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=1"]}"#, true),
            (r#"{"label":["a=2"]}"#, false),
            (r#"{"label":["a=1","b"]}"#, true),
            (r#"{"label":["a=1","c"]}"#, false),
            (r#"{"label":["b="]}"#, true),
        ] {
            assert_eq!(filters(text).labels("label", &labels), there, "{text}");
        }
        assert!(!filters(r#"{"label":["a"]}"#).labels("label", &BTreeMap::new()));
    }

    #[test]
    fn several_values_where_one_makes_sense_are_refused() {
        let f = filters(r#"{"until":["1h"],"dangling":["true","false"]}"#);
        assert_eq!(f.single("until", "too many"), Ok(Some("1h")));
        assert_eq!(f.single("none", "too many"), Ok(None));
        assert_eq!(f.single("dangling", "too many").unwrap_err().to_string(), "too many");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"[{}\[\]":,a-c0-9truefalsn\\ ]{0,60}"#) {
            let _ = Filters::parse(&text);
        }

        #[test]
        fn no_pattern_makes_it_panic(pattern: String, text: String) {
            let f = Filters { fields: BTreeMap::from([("name".into(), Set::from([(pattern, true)]))]) };
            f.matcher("name").matches(&text);
        }
    }
}
