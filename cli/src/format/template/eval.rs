//! Runs a template over a value.

use serde_json::{Map, Value};

use super::ast::{Branch, Command, Expr, ExprKind, Node, Pipe};
use super::funcs::Failure;
use super::value::{Val, sorted};
use super::{Template, TemplateError};

/// What one run may print and make, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// How often one run may go round its loops.
const MAX_ROUNDS: usize = 1_000_000;
/// How deep bodies, parentheses and `{{template}}` calls may nest.
const MAX_DEPTH: usize = 200;

/// Runs `template` over `data`. With `header`, what the fields hold are a table's headings: a field that is not
/// there has none, and Docker's functions leave headings alone. What was printed before an error is kept.
pub(super) fn run(template: &Template, data: &Value, header: bool) -> (String, Result<(), TemplateError>) {
    let mut state = State {
        template,
        name: "",
        data,
        header,
        variables: vec![("$", Val::Ref(data))],
        out: String::new(),
        bytes: MAX_BYTES,
        rounds: MAX_ROUNDS,
        depth: 0,
    };
    let result = state.walk(&template.parsed.body, &Val::Ref(data));
    (state.out, result.map(|_| ()))
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// Where an error is: a position and the piece of template there.
struct At<'n>(usize, &'n dyn std::fmt::Display);

struct State<'a> {
    template: &'a Template,
    name: &'a str,
    data: &'a Value,
    header: bool,
    variables: Vec<(&'a str, Val<'a>)>,
    out: String,
    bytes: usize,
    rounds: usize,
    depth: usize,
}

type Outcome<T> = Result<T, TemplateError>;

impl<'a> State<'a> {
    fn error(&self, at: &At<'_>, message: impl Into<String>) -> TemplateError {
        let before = self.template.source.get(..at.0).unwrap_or(&self.template.source);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        TemplateError::Run {
            line: super::line_of(&self.template.source, at.0),
            column: before.len() - line_start,
            name: self.name.to_owned(),
            at: at.1.to_string(),
            message: message.into(),
        }
    }

    fn charge(&mut self, bytes: usize, at: &At<'_>) -> Outcome<()> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                Ok(())
            }
            None => Err(self.error(at, super::TOO_LONG)),
        }
    }

    fn nested<T>(&mut self, at: &At<'_>, inner: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(at, "exceeded maximum template depth"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn walk(&mut self, body: &'a [Node], dot: &Val<'a>) -> Outcome<Flow> {
        for node in body {
            match node {
                Node::Text(text) => {
                    self.charge(text.len(), &At(0, text))?;
                    self.out.push_str(text);
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.names.is_empty() {
                        let before = self.out.len();
                        value.print(&mut self.out);
                        self.charge(self.out.len() - before, &At(pipe.pos, pipe))?;
                    }
                }
                Node::If(branch) | Node::With(branch) => {
                    let with = matches!(node, Node::With(_));
                    let at = At(branch.pipe.pos, &branch.pipe);
                    match self.nested(&at, |s| s.choose(branch, dot, with))? {
                        Flow::On => {}
                        flow => return Ok(flow),
                    }
                }
                Node::Range(branch) => {
                    let at = At(branch.pipe.pos, &branch.pipe);
                    match self.nested(&at, |s| s.range(branch, dot))? {
                        Flow::On => {}
                        flow => return Ok(flow),
                    }
                }
                Node::Call { pos, name, pipe } => {
                    let quoted = format!("{{{{template {name:?}}}}}");
                    let at = At(*pos, &quoted);
                    self.nested(&at, |s| s.template(name, pipe.as_ref(), dot, &at))?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn choose(&mut self, branch: &'a Branch, dot: &Val<'a>, with: bool) -> Outcome<Flow> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if !value.truth() {
            self.walk(&branch.otherwise, dot)?
        } else if with {
            self.walk(&branch.body, &value)?
        } else {
            self.walk(&branch.body, dot)?
        };
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Val<'a>) -> Outcome<Flow> {
        let at = At(branch.pipe.pos, &branch.pipe);
        let list = self.commands(&branch.pipe, dot)?;
        let count = match list.get() {
            Value::Null => 0,
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            Value::Number(number) if branch.pipe.names.len() < 2 => match number.as_i64() {
                Some(count) => usize::try_from(count).unwrap_or(0),
                None => return Err(self.error(&at, format!("range can't iterate over {number}"))),
            },
            other => {
                let shown = super::value::text(other);
                return Err(self.error(&at, format!("range can't iterate over {shown}")));
            }
        };
        if count == 0 {
            return self.walk(&branch.otherwise, dot);
        }
        let names: Vec<String> = match list.get() {
            Value::Object(map) => sorted(map).into_iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        };
        for round in 0..count {
            self.rounds = match self.rounds.checked_sub(1) {
                Some(left) => left,
                None => return Err(self.error(&at, format!("more than {MAX_ROUNDS} rounds of range"))),
            };
            let name = names.get(round);
            let item = match (list.get(), name) {
                (Value::Array(_), _) => list.child(|v| v.get(round)),
                (_, Some(name)) => list.child(|v| v.get(name.as_str())),
                _ => Some(Val::new(round)),
            };
            let item = item.unwrap_or_else(Val::null);
            let key = name.map_or_else(|| Val::new(round), |name| Val::new(name.as_str()));
            let scope = self.variables.len();
            match branch.pipe.names.as_slice() {
                [value] => self.set(value, item.clone(), branch.pipe.assign),
                [first, second] => {
                    self.set(first, key, branch.pipe.assign);
                    self.set(second, item.clone(), branch.pipe.assign);
                }
                _ => {}
            }
            let flow = self.walk(&branch.body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn template(&mut self, name: &'a str, pipe: Option<&'a Pipe>, dot: &Val<'a>, at: &At<'_>) -> Outcome<()> {
        let template = self.template;
        let Some(body) = template.parsed.defined.get(name) else {
            return Err(self.error(at, format!("template {name:?} not defined")));
        };
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Val::null(),
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.walk(body, &dot)?;
        self.variables = variables;
        self.name = outer;
        Ok(())
    }

    fn set(&mut self, name: &'a str, value: Val<'a>, assign: bool) {
        let known = self.variables.iter_mut().rev().find(|(n, _)| assign && *n == name);
        match known {
            Some((_, slot)) => *slot = value,
            None => self.variables.push((name, value)),
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Val<'a>) -> Outcome<Val<'a>> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.names {
            self.set(name, value.clone(), pipe.assign);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &'a Pipe, dot: &Val<'a>) -> Outcome<Val<'a>> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or_else(Val::null))
    }

    fn command(&mut self, command: &'a Command, dot: &Val<'a>, piped: Option<Val<'a>>) -> Outcome<Val<'a>> {
        let head = &command.head;
        let at = At(head.pos, head);
        let with_args = piped.is_some() || !command.args.is_empty();
        match &head.kind {
            ExprKind::Function(_) => return self.call(command, dot, piped),
            ExprKind::Field(names) if with_args => {
                return self.method(command, dot.clone(), names, dot, piped);
            }
            ExprKind::Variable(name, names) if with_args && !names.is_empty() => {
                let value = self.variable(name);
                return self.method(command, value, names, dot, piped);
            }
            ExprKind::Chain(inner, names) if with_args => {
                let value = self.operand(inner, dot)?;
                return self.method(command, value, names, dot, piped);
            }
            ExprKind::Nil => return Err(self.error(&at, "nil is not a command")),
            _ if with_args => {
                return Err(self.error(&at, format!("can't give argument to non-function {head}")));
            }
            _ => {}
        }
        self.operand(head, dot)
    }

    fn operand(&mut self, expr: &'a Expr, dot: &Val<'a>) -> Outcome<Val<'a>> {
        let at = At(expr.pos, expr);
        Ok(match &expr.kind {
            ExprKind::Dot => dot.clone(),
            ExprKind::Nil => Val::null(),
            ExprKind::Bool(value) => Val::new(*value),
            ExprKind::Number(number, _) => Val::new(Value::Number(number.clone())),
            ExprKind::Text(text, _) => {
                self.charge(text.len(), &at)?;
                Val::new(text.as_str())
            }
            ExprKind::Field(names) => self.fields(dot.clone(), names, &at)?,
            ExprKind::Variable(name, names) => self.fields(self.variable(name), names, &at)?,
            ExprKind::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(value, names, &at)?
            }
            ExprKind::Function(function) => self.invoke(function, &[], &[], &at)?,
            ExprKind::Pipe(pipe) => self.nested(&at, |s| s.pipe(pipe, dot))?,
        })
    }

    fn variable(&self, name: &str) -> Val<'a> {
        let found = self.variables.iter().rev().find(|(n, _)| *n == name);
        found.map_or_else(Val::null, |(_, value)| value.clone())
    }

    fn fields(&self, mut value: Val<'a>, names: &[String], at: &At<'_>) -> Outcome<Val<'a>> {
        for name in names {
            match self.field(&value, name, at)? {
                Some(found) => value = found,
                // Nothing has no fields, and asking for them gives nothing.
                None => return Ok(Val::null()),
            }
        }
        Ok(value)
    }

    fn field(&self, value: &Val<'a>, name: &str, at: &At<'_>) -> Outcome<Option<Val<'a>>> {
        match value.get() {
            Value::Object(map) => match value.child(|v| v.get(name)) {
                Some(found) => Ok(Some(found)),
                None if self.header => Ok(None),
                // Docker knows structs from maps of labels; JSON does not tell, but their names do.
                None if !std::ptr::eq(value.get(), self.data) && !like_struct(map) => Ok(None),
                None => Err(self.error(at, format!("map has no entry for key {name:?}"))),
            },
            // A heading stands for whatever is in its column, whole or in part.
            Value::String(_) if self.header => Ok(Some(value.clone())),
            Value::Null => Err(self.error(at, format!("nil pointer evaluating interface {{}}.{name}"))),
            _ => Err(self.error(at, format!("can't evaluate field {name} in type interface {{}}"))),
        }
    }

    /// A field with arguments: only Docker's `.Label "name"` takes any.
    fn method(
        &mut self,
        command: &'a Command,
        receiver: Val<'a>,
        names: &'a [String],
        dot: &Val<'a>,
        piped: Option<Val<'a>>,
    ) -> Outcome<Val<'a>> {
        let at = At(command.head.pos, &command.head);
        let name = names.last().map_or("", String::as_str);
        let object =
            self.fields(receiver, names.get(..names.len().saturating_sub(1)).unwrap_or_default(), &at)?;
        let labels = object.child(|v| v.get("Labels"));
        if name != "Label" || !(self.header || labels.is_some()) {
            return Err(self.error(&at, format!("{name} is not a method but has arguments")));
        }
        let mut args = Vec::new();
        for arg in &command.args {
            args.push(self.operand(arg, dot)?);
        }
        args.extend(piped);
        let [key] = args.as_slice() else {
            let got = args.len();
            return Err(self.error(&at, format!("wrong number of args for Label: want 1 got {got}")));
        };
        let key = super::value::text(key.get());
        if self.header {
            let last = key.rsplit('.').next().unwrap_or_default();
            return Ok(Val::new(last.replace(['-', '_'], " ")));
        }
        let labels = labels.unwrap_or_else(Val::null);
        let found = match labels.get() {
            Value::Object(_) => {
                return Ok(labels.child(|v| v.get(key.as_str())).unwrap_or_else(|| Val::new("")));
            }
            Value::String(list) => list
                .split(',')
                .filter_map(|entry| entry.split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned()),
            _ => None,
        };
        Ok(Val::new(found.unwrap_or_default()))
    }

    fn call(&mut self, command: &'a Command, dot: &Val<'a>, piped: Option<Val<'a>>) -> Outcome<Val<'a>> {
        let at = At(command.head.pos, &command.head);
        let ExprKind::Function(function) = &command.head.kind else {
            return Err(self.error(&at, "not a function"));
        };
        if matches!(function.name, "and" | "or") && (piped.is_some() || !command.args.is_empty()) {
            let settled = function.name == "or";
            for (position, arg) in command.args.iter().enumerate() {
                let value = self.operand(arg, dot)?;
                let last = position + 1 == command.args.len() && piped.is_none();
                if last || value.truth() == settled {
                    return Ok(value);
                }
            }
            return Ok(piped.unwrap_or_else(Val::null));
        }
        let mut args = Vec::with_capacity(command.args.len() + 1);
        for arg in &command.args {
            args.push(self.operand(arg, dot)?);
        }
        args.extend(piped);
        self.invoke(function, &args, &command.args, &At(command.pos, command))
    }

    fn invoke(
        &mut self,
        function: &super::funcs::Function,
        args: &[Val<'a>],
        written: &[Expr],
        call: &At<'_>,
    ) -> Outcome<Val<'a>> {
        match function.call(args, self.header, self.bytes) {
            Ok(value) => {
                if let (Val::Own(_), Value::String(text)) = (&value, value.get()) {
                    self.charge(text.len(), call)?;
                } else if let (Val::Own(_), Value::Array(items)) = (&value, value.get()) {
                    self.charge(items.len().saturating_mul(size_of::<Value>()), call)?;
                }
                Ok(value)
            }
            Err(Failure::Count(message)) => Err(self.error(&At(call.0, &function.name), message)),
            Err(Failure::Type { at, want, got }) => {
                let Some(expr) = written.get(at) else {
                    return Err(self.error(call, format!("wrong type for value; expected {want}; got {got}")));
                };
                let message = match expr.kind {
                    ExprKind::Nil => format!("cannot assign nil to {want}"),
                    ExprKind::Bool(_) | ExprKind::Number(..) | ExprKind::Text(..) => {
                        format!("expected {}; found {expr}", if want == "int" { "integer" } else { want })
                    }
                    _ if got == "nil" => format!("invalid value; expected {want}"),
                    _ => format!("wrong type for value; expected {want}; got {got}"),
                };
                Err(self.error(&At(expr.pos, expr), message))
            }
            Err(Failure::Called(message)) => {
                let name = function.name;
                Err(self.error(call, format!("error calling {name}: {message}")))
            }
        }
    }
}

/// Every name of it is one a Go struct could export.
fn like_struct(map: &Map<String, Value>) -> bool {
    !map.is_empty()
        && map.keys().all(|name| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}
