//! Templates of `--format` and `-f`: the part of Go's `text/template` that people pass to Docker, over JSON.
//!
//! Own rather than a crate: `gtmpl` has rested since 2021, and `gotmpl`, the closest to Go, takes an unclosed
//! `{{if}}` or a stray `{{end}}` for the template's end without a word, gives errors no position, and bounds neither
//! an `else if` chain (the stack) nor a string that doubles in a loop (memory).
//!
//! Where JSON knows less than Docker's typed answers, the shape decides: in an object whose names all look like a
//! struct's fields an unknown name is an error, in any other (labels, options, ports) it is `<no value>`.

mod ast;
mod eval;
mod funcs;
mod lexer;
mod literal;
mod parser;
pub(super) mod printf;
mod value;

#[cfg(test)]
mod tests;

use serde_json::Value;

/// Said of a run that would print or make too much.
const TOO_LONG: &str = "the result is too long";

/// Why a template failed, in the sentence Docker prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("template parsing error: template: :{line}: {message}")]
    Parse {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It does not fit the value.
    #[error("template parsing error: template: :{line}:{column}: executing {name:?} at <{at}>: {message}")]
    Run {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 0, as Go counts.
        column: usize,
        /// The `{{define}}`d template it happened in; empty for the template itself.
        name: String,
        /// The piece of template that failed.
        at: String,
        /// What is wrong.
        message: String,
    },
}

/// A template ready to run.
#[derive(Debug)]
pub struct Template {
    source: String,
    parsed: parser::Parsed,
}

impl Template {
    /// Parses a template as `docker inspect -f` takes it: backslashes outside of actions stand for themselves.
    ///
    /// # Errors
    ///
    /// When it is no template, with the line and the reason.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { source: source.to_owned(), parsed: parser::parse(source)? })
    }

    /// Parses a template as `docker ps --format` takes it: blanks around it do not count, and `\t` and `\n` written
    /// as two characters are a tab and a new line.
    ///
    /// # Errors
    ///
    /// When it is no template, with the line and the reason.
    pub fn parse_list(source: &str) -> Result<Self, TemplateError> {
        Self::parse(&source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n"))
    }

    /// Runs it over `data`.
    ///
    /// # Errors
    ///
    /// When `data` lacks a field, a function is given what it cannot take, or the result would be too long.
    pub fn render(&self, data: &Value) -> Result<String, TemplateError> {
        let (out, result) = eval::run(self, data, false);
        result.map(|()| out)
    }

    /// Runs it over a table's headings, an object of field name to heading. An error cuts the heading short, as in
    /// Docker, since the rows will tell it better.
    pub fn render_header(&self, headings: &Value) -> String {
        eval::run(self, headings, true).0
    }
}

/// A value as `{{.}}` prints it inside of another: `[a b]`, `map[a:1]`.
pub fn display(value: &Value) -> String {
    value::text(value)
}

/// The line of a byte, from 1.
fn line_of(source: &str, pos: usize) -> usize {
    source.get(..pos).unwrap_or(source).matches('\n').count() + 1
}
