//! JSON Schema (draft 2020-12), as much of it as docs/openapi.yaml uses. What it does not use is
//! refused, so that nothing in the file goes unchecked.

use regex_lite::Regex;
use serde_json::{Map, Value};

/// What only people read.
const NOTES: [&str; 3] = ["description", "default", "example"];

/// Every keyword that is understood.
const KEYWORDS: [&str; 12] = [
    "$ref",
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "description",
];

/// JSON Schema's word for a value's type.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        // The file has no other numbers.
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The schemas of one document.
pub struct Schemas<'a>(pub &'a Value);

impl<'a> Schemas<'a> {
    /// What a schema is when its reference is followed.
    pub fn follow(&self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} is elsewhere"));
        self.follow(self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} is not there")))
    }

    /// The types a schema allows; none is all.
    pub fn types(&self, schema: &'a Value) -> Vec<&'a str> {
        match self.follow(schema).get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Everything about a value that is not as its schema says. A `closed` object has nothing but its
    /// properties, whatever the schema leaves open.
    pub fn check(&self, schema: &'a Value, value: &Value, closed: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        self.visit(schema, value, closed, "", &mut wrong);
        wrong
    }

    fn visit(&self, schema: &'a Value, value: &Value, closed: bool, at: &str, wrong: &mut Vec<String>) {
        let schema = self.follow(schema);
        let types = self.types(schema);
        let is = type_of(value);
        if !(types.is_empty() || types.contains(&is)) {
            wrong.push(format!("{at} is {is}, not {types:?}: {value}"));
            return;
        }
        if let Some(all) = schema.get("enum").and_then(Value::as_array)
            && !all.contains(value)
        {
            wrong.push(format!("{at} is none of {all:?}: {value}"));
        }
        match value {
            Value::String(text) => {
                let pattern = schema.get("pattern").and_then(Value::as_str).map(|p| Regex::new(p).unwrap());
                if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
                    wrong.push(format!("{at} is not {}: {text:?}", schema["pattern"]));
                }
                let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
                if (text.chars().count() as u64) < least {
                    wrong.push(format!("{at} is too short: {text:?}"));
                }
            }
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
                if bound("minimum").is_some_and(|min| number < min)
                    || bound("maximum").is_some_and(|max| number > max)
                {
                    wrong.push(format!("{at} is out of bounds: {number}"));
                }
            }
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (n, item) in items.iter().enumerate() {
                    self.visit(schema, item, closed, &format!("{at}/{n}"), wrong);
                }
            }
            Value::Object(members) => self.visit_object(schema, members, closed, at, wrong),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn visit_object(
        &self,
        schema: &'a Value,
        members: &Map<String, Value>,
        closed: bool,
        at: &str,
        wrong: &mut Vec<String>,
    ) {
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let rest = schema.get("additionalProperties");
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}/{name} is missing"));
            }
        }
        for (name, member) in members {
            let at = format!("{at}/{name}");
            match properties.get(name).or(rest) {
                Some(Value::Bool(true)) => {}
                Some(schema) if schema.is_object() => self.visit(schema, member, closed, &at, wrong),
                None if !closed => {}
                _ => wrong.push(format!("{at} is not described: {member}")),
            }
        }
    }

    /// Everything in a schema that is not understood here.
    pub fn unknown(&self, schema: &Value, at: &str, found: &mut Vec<String>) {
        let Some(keywords) = schema.as_object() else {
            if *schema != Value::Bool(true) {
                found.push(format!("{at} is no schema: {schema}"));
            }
            return;
        };
        for (key, value) in keywords {
            match key.as_str() {
                "properties" => {
                    for (name, schema) in value.as_object().expect("properties") {
                        self.unknown(schema, &format!("{at}/{name}"), found);
                    }
                }
                "items" | "additionalProperties" => self.unknown(value, &format!("{at}/{key}"), found),
                "required" => {
                    for name in value.as_array().expect("required") {
                        if schema["properties"].get(name.as_str().unwrap()).is_none() {
                            found.push(format!("{at} requires {name}, which it does not describe"));
                        }
                    }
                }
                "$ref" => {
                    self.0
                        .pointer(value.as_str().and_then(|r| r.strip_prefix('#')).expect("a reference"))
                        .unwrap_or_else(|| panic!("{at}: {value} is not there"));
                }
                "pattern" => {
                    Regex::new(value.as_str().expect("a pattern")).unwrap_or_else(|e| panic!("{at}: {e}"));
                }
                known if KEYWORDS.contains(&known) || NOTES.contains(&known) => {}
                other => found.push(format!("{at} has {other}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_as_described_is_found() {
        let document = json!({
            "number": {"type": "integer", "minimum": 1, "maximum": 3},
            "whole": {
                "type": "object",
                "required": ["a"],
                "properties": {
                    "a": {"type": ["array", "null"], "items": {"$ref": "#/number"}},
                    "b": {"type": "string", "pattern": "^x", "enum": ["x", "xy", "y"]},
                    "c": {"type": "object", "additionalProperties": {"type": "boolean"}},
                },
            },
        });
        let (schemas, schema) = (Schemas(&document), &document["whole"]);
        for good in
            [json!({"a": null}), json!({"a": [1, 3], "b": "xy", "c": {"z": true}}), json!({"a": [], "z": 1})]
        {
            assert_eq!(schemas.check(schema, &good, false), Vec::<String>::new(), "{good}");
        }
        for bad in [
            json!([]),
            json!({}),
            json!({"a": 1}),
            json!({"a": [0]}),
            json!({"a": [4]}),
            json!({"a": [1.5]}),
            json!({"a": [], "b": "y"}),
            json!({"a": [], "b": "xyz"}),
            json!({"a": [], "c": {"z": 1}}),
        ] {
            assert_eq!(schemas.check(schema, &bad, false).len(), 1, "{bad}");
        }
        assert_eq!(schemas.check(schema, &json!({"a": [], "z": 1}), true), ["/z is not described: 1"]);
    }

    #[test]
    fn what_is_not_understood_is_found() {
        let document = json!({});
        let mut found = Vec::new();
        let schema = json!({"oneOf": [], "properties": {"a": {"format": "x"}}, "required": ["b"]});
        Schemas(&document).unknown(&schema, "", &mut found);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
