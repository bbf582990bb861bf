//! What a template says, after parsing. `Display` gives a piece back as error messages name it.

use std::fmt;

use serde_json::Number;

use super::funcs::Function;

/// A piece of a template's body.
#[derive(Debug)]
pub(super) enum Node {
    /// Text to copy.
    Text(String),
    /// `{{pipeline}}`.
    Action(Pipe),
    /// `{{if}}`.
    If(Branch),
    /// `{{range}}`.
    Range(Branch),
    /// `{{with}}`.
    With(Branch),
    /// `{{template "name" pipeline}}`.
    Call {
        /// Where the name stands.
        pos: usize,
        /// The template it names.
        name: String,
        /// Its dot.
        pipe: Option<Pipe>,
    },
    /// `{{break}}`.
    Break,
    /// `{{continue}}`.
    Continue,
}

/// `{{if}}`, `{{range}}` and `{{with}}` look the same.
#[derive(Debug)]
pub(super) struct Branch {
    /// What is tested or walked over.
    pub(super) pipe: Pipe,
    /// What is done with it.
    pub(super) body: Vec<Node>,
    /// What is done without it.
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each given the one before it as its last argument.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Where it begins.
    pub(super) pos: usize,
    /// The variables it sets.
    pub(super) names: Vec<String>,
    /// `=` rather than `:=`.
    pub(super) assign: bool,
    /// At least one.
    pub(super) commands: Vec<Command>,
}

/// A value, or a function and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    /// Where it begins.
    pub(super) pos: usize,
    /// The value or the function.
    pub(super) head: Expr,
    /// The arguments.
    pub(super) args: Vec<Expr>,
}

/// An operand.
#[derive(Debug)]
pub(super) struct Expr {
    /// Where Go says it is: for a chain of fields that is its second.
    pub(super) pos: usize,
    /// What it is.
    pub(super) kind: ExprKind,
}

/// The kinds of operand.
#[derive(Debug)]
pub(super) enum ExprKind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A number and how it was written.
    Number(Number, String),
    /// A string and how it was written.
    Text(String, String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable(String, Vec<String>),
    /// `(pipeline).A.B`
    Chain(Box<Expr>, Vec<String>),
    /// A function's name.
    Function(&'static Function),
    /// `(pipeline)`
    Pipe(Pipe),
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dotted =
            |f: &mut fmt::Formatter<'_>, names: &[String]| names.iter().try_for_each(|n| write!(f, ".{n}"));
        match &self.kind {
            ExprKind::Dot => f.write_str("."),
            ExprKind::Nil => f.write_str("nil"),
            ExprKind::Bool(value) => write!(f, "{value}"),
            ExprKind::Number(_, text) | ExprKind::Text(_, text) => f.write_str(text),
            ExprKind::Field(names) => dotted(f, names),
            ExprKind::Variable(name, names) => {
                f.write_str(name)?;
                dotted(f, names)
            }
            ExprKind::Chain(inner, names) => {
                write!(f, "{inner}")?;
                dotted(f, names)
            }
            ExprKind::Function(function) => f.write_str(function.name),
            ExprKind::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.head)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.names.is_empty() {
            write!(f, "{} {} ", self.names.join(", "), if self.assign { "=" } else { ":=" })?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}
