//! What commands print: tables, JSON, templates, and the words for times and sizes.

mod escape;
mod natural;
pub mod output;
pub mod ports;
pub mod table;
pub mod template;
pub use vswitch::control::units;

pub use escape::escape;
pub use natural::natural;
pub use output::{Column, Listing, Output, inspect};
pub use template::{Template, TemplateError};

/// Labels as a list shows them, in order: `a=b,tier=web`.
pub fn labels(labels: &serde_json::Value) -> String {
    let labels = labels.as_object().into_iter().flatten();
    let mut all: Vec<String> =
        labels.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default())).collect();
    all.sort();
    all.join(",")
}
