//! docs/openapi.yaml.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use crate::schema::Schemas;

/// The whole file.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
});

/// One method on one path.
#[derive(Debug)]
pub struct Operation {
    pub method: String,
    pub path: String,
    pub id: &'static str,
    /// Names and schemas of what the query may have.
    pub query: Vec<(&'static str, &'static Value)>,
    pub body: Option<Body>,
    /// By status, the content by its type.
    pub answers: BTreeMap<u16, BTreeMap<&'static str, &'static Value>>,
}

/// What an operation takes.
#[derive(Debug)]
pub struct Body {
    pub schema: &'static Value,
    pub example: &'static Value,
}

/// The schemas of the file.
pub fn schemas() -> Schemas<'static> {
    Schemas(&DOCUMENT)
}

fn list(value: Option<&'static Value>) -> impl Iterator<Item = &'static Value> {
    value.and_then(Value::as_array).into_iter().flatten().map(|item| schemas().follow(item))
}

fn content(answer: &'static Value) -> BTreeMap<&'static str, &'static Value> {
    let content = answer.get("content").and_then(Value::as_object);
    content.into_iter().flatten().map(|(kind, content)| (kind.as_str(), &content["schema"])).collect()
}

fn operation(path: &'static str, shared: &'static Value, method: &str, told: &'static Value) -> Operation {
    let parameters: Vec<&Value> =
        list(shared.get("parameters")).chain(list(told.get("parameters"))).collect();
    for name in path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
        let described =
            parameters.iter().any(|p| p["in"] == "path" && p["name"] == name && p["required"] == true);
        assert!(described, "{path}: {name} is not described");
    }
    let query = parameters.iter().filter(|p| p["in"] == "query");
    let body = told.get("requestBody").map(|body| {
        let json = &body["content"]["application/json"];
        Body { schema: &json["schema"], example: &json["example"] }
    });
    let answers = told["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} has no answers"));
    let answers = answers
        .iter()
        .map(|(status, answer)| (status.parse().expect("a status code"), content(schemas().follow(answer))));
    Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        id: told["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no operationId")),
        query: query.map(|p| (p["name"].as_str().expect("a name"), &p["schema"])).collect(),
        body,
        answers: answers.collect(),
    }
}

/// Every operation of the file.
pub static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, told) in item.as_object().expect("operations") {
            if method != "parameters" {
                all.push(operation(path, item, method, told));
            }
        }
    }
    all
});

/// The operation that a request is for; of several the one with fewest braces, as the server chooses.
pub fn find(method: &str, uri: &str) -> &'static Operation {
    let path = uri.split('?').next().unwrap_or_default();
    let fits = |pattern: &str| {
        let (mut a, mut b) = (pattern.split('/'), path.split('/'));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(a), Some(b)) if a == b || (a.starts_with('{') && !b.is_empty()) => {}
                _ => return false,
            }
        }
    };
    let fitting = OPERATIONS.iter().filter(|op| op.method == method && fits(&op.path));
    fitting
        .min_by_key(|op| op.path.matches('{').count())
        .unwrap_or_else(|| panic!("{method} {path} is not described"))
}
