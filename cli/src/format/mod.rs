//! What commands print: tables, JSON, templates, and the words for times and sizes.

mod escape;
pub mod output;
pub mod table;
pub mod template;
pub use vswitch::control::units;

pub use escape::escape;
pub use output::{Column, Listing, Output, inspect};
pub use template::{Template, TemplateError};
