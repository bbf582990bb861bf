//! Builds a template's tree, with Go's rules and Go's sentences for what breaks them.

use std::collections::HashMap;

use super::ast::{Branch, Command, Expr, ExprKind, Node, Pipe};
use super::lexer::{Kind, Token, tokens};
use super::{TemplateError, funcs, line_of, literal};

/// How deep bodies, `else if`s and parentheses may nest: far beyond any sane template, and far within a stack.
const MAX_DEPTH: usize = 100;

/// A parsed template: its body and those it defines.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The body.
    pub(super) body: Vec<Node>,
    /// `{{define}}` and `{{block}}`.
    pub(super) defined: HashMap<String, Vec<Node>>,
}

/// Parses `source`.
pub(super) fn parse(source: &str) -> Result<Parsed, TemplateError> {
    let mut parser = Parser {
        source,
        tokens: tokens(source),
        at: 0,
        depth: 0,
        loops: 0,
        variables: vec!["$".to_owned()],
        defined: HashMap::new(),
    };
    let mut body = Vec::new();
    loop {
        match parser.item(&mut body, true)? {
            Item::Node => {}
            Item::Done => break,
            Item::Else => return parser.fail("unexpected {{else}}"),
            Item::End => return parser.fail("unexpected {{end}}"),
        }
    }
    Ok(Parsed { body, defined: parser.defined })
}

/// What was read next in a body.
#[derive(PartialEq)]
enum Item {
    /// Something that belongs to it.
    Node,
    /// `{{else`, up to what follows the word.
    Else,
    /// `{{end}}`.
    End,
    /// The template's end.
    Done,
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    loops: usize,
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
}

impl Parser<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        let pos = self.tokens.get(self.at.saturating_sub(1)).map_or(0, |t| t.pos);
        Err(TemplateError::Parse { line: line_of(self.source, pos), message: message.into() })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T, TemplateError> {
        match token.kind {
            Kind::Error => self.fail(token.text.clone()),
            Kind::End => self.fail(format!("unexpected EOF in {context}")),
            Kind::Keyword | Kind::Dot | Kind::Nil => {
                self.fail(format!("unexpected <{}> in {context}", token.text))
            }
            _ if token.text.len() > 10 => {
                let start: String = token.text.chars().take(10).collect();
                self.fail(format!("unexpected {start:?}... in {context}"))
            }
            _ => self.fail(format!("unexpected {:?} in {context}", token.text)),
        }
    }

    fn peek(&self) -> Kind {
        self.tokens.get(self.at).map_or(Kind::End, |t| t.kind)
    }

    fn next(&mut self) -> Token {
        let token = self.tokens.get(self.at).cloned().unwrap_or(Token {
            kind: Kind::End,
            pos: self.source.len(),
            text: String::new(),
        });
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek() == Kind::Space {
            self.at += 1;
        }
    }

    fn next_word(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn expect_close(&mut self, context: &str) -> Result<(), TemplateError> {
        let token = self.next_word();
        if token.kind == Kind::Close {
            return Ok(());
        }
        self.unexpected(&token, context)
    }

    fn nested<T>(
        &mut self,
        body: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth >= MAX_DEPTH {
            return self.fail(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    /// Reads one text or action into `body`.
    fn item(&mut self, body: &mut Vec<Node>, top: bool) -> Result<Item, TemplateError> {
        let token = self.next();
        match token.kind {
            Kind::Text => body.push(Node::Text(token.text)),
            Kind::Open => return self.action(body, top),
            Kind::End => return Ok(Item::Done),
            _ => return self.unexpected(&token, "input"),
        }
        Ok(Item::Node)
    }

    fn action(&mut self, body: &mut Vec<Node>, top: bool) -> Result<Item, TemplateError> {
        self.skip_space();
        if self.peek() != Kind::Keyword {
            body.push(Node::Action(self.pipeline("command", Kind::Close)?));
            return Ok(Item::Node);
        }
        let token = self.next();
        match token.text.as_str() {
            "end" => {
                self.expect_close("end")?;
                return Ok(Item::End);
            }
            "else" => return Ok(Item::Else),
            "if" | "with" | "range" => body.push(self.branch(&token.text)?),
            word @ ("break" | "continue") => {
                if self.loops == 0 {
                    return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                self.expect_close(&format!("{{{{{word}}}}}"))?;
                body.push(if word == "break" { Node::Break } else { Node::Continue });
            }
            "template" => {
                let (pos, name) = self.name("template clause")?;
                self.skip_space();
                let pipe = if self.peek() == Kind::Close {
                    self.at += 1;
                    None
                } else {
                    Some(self.pipeline("template clause", Kind::Close)?)
                };
                body.push(Node::Call { pos, name, pipe });
            }
            "block" => {
                let (pos, name) = self.name("block clause")?;
                let pipe = Some(self.pipeline("block clause", Kind::Close)?);
                self.definition(name.clone())?;
                body.push(Node::Call { pos, name, pipe });
            }
            "define" if top => {
                let (_, name) = self.name("define clause")?;
                self.expect_close("define clause")?;
                self.definition(name)?;
            }
            _ => return self.unexpected(&token, "command"),
        }
        Ok(Item::Node)
    }

    fn name(&mut self, context: &str) -> Result<(usize, String), TemplateError> {
        let token = self.next_word();
        if !matches!(token.kind, Kind::Quoted | Kind::Raw) {
            return self.unexpected(&token, context);
        }
        match literal::string(&token.text) {
            Some(name) => Ok((token.pos, name)),
            None => self.fail("invalid syntax"),
        }
    }

    /// The body of a `define` or `block`, which sees no variables but `$`.
    fn definition(&mut self, name: String) -> Result<(), TemplateError> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.nested(Self::list)?;
        if end == Item::Else {
            return self.fail("unexpected {{else}} in define clause");
        }
        self.variables = variables;
        self.loops = loops;
        if self.defined.contains_key(&name) {
            return self.fail(format!("multiple definition of template {name:?}"));
        }
        self.defined.insert(name, body);
        Ok(())
    }

    /// A body up to its `{{end}}` or `{{else`.
    fn list(&mut self) -> Result<(Vec<Node>, Item), TemplateError> {
        let mut body = Vec::new();
        loop {
            match self.item(&mut body, false)? {
                Item::Node => {}
                Item::Done => return self.fail("unexpected EOF"),
                end => return Ok((body, end)),
            }
        }
    }

    fn branch(&mut self, word: &str) -> Result<Node, TemplateError> {
        self.nested(|parser| parser.branch_inner(word))
    }

    fn branch_inner(&mut self, word: &str) -> Result<Node, TemplateError> {
        let scope = self.variables.len();
        let pipe = self.pipeline(word, Kind::Close)?;
        let inside = usize::from(word == "range");
        self.loops += inside;
        let (body, mut end) = self.list()?;
        self.loops -= inside;
        let mut otherwise = Vec::new();
        if end == Item::Else {
            self.skip_space();
            let chained = self
                .tokens
                .get(self.at)
                .filter(|t| t.kind == Kind::Keyword && t.text == word && word != "range");
            if chained.is_some() {
                // `{{else if}}` shares its `{{end}}` with the one it belongs to.
                self.at += 1;
                otherwise.push(self.branch(word)?);
                end = Item::End;
            } else {
                self.expect_close(if word == "range" { "input" } else { "else" })?;
                (otherwise, end) = self.list()?;
            }
        }
        if end != Item::End {
            return self.fail("expected end; found {{else}}");
        }
        self.variables.truncate(scope);
        let branch = Branch { pipe, body, otherwise };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, TemplateError> {
        self.skip_space();
        let pos = self.tokens.get(self.at).map_or(self.source.len(), |t| t.pos);
        let (names, assign) = self.declaration(context)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Name
                | Kind::Nil
                | Kind::Number
                | Kind::Quoted
                | Kind::Raw
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at -= 1;
                    commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (at, command) in commands.iter().enumerate().skip(1) {
            if matches!(
                command.head.kind,
                ExprKind::Bool(_) | ExprKind::Dot | ExprKind::Nil | ExprKind::Number(..) | ExprKind::Text(..)
            ) {
                return self.fail(format!("non executable command in pipeline stage {}", at + 1));
            }
        }
        // A variable is known after the pipeline that sets it, not in it.
        if !assign {
            self.variables.extend(names.iter().cloned());
        }
        Ok(Pipe { pos, names, assign, commands })
    }

    /// `$x :=`, `$x =`, and for `range` `$k, $v :=`.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let start = self.at;
        let mut names = Vec::new();
        loop {
            let token = self.next_word();
            if token.kind != Kind::Variable {
                break;
            }
            names.push(token.text);
            let sign = self.next_word();
            match sign.kind {
                Kind::Assign | Kind::Declare => {
                    let assign = sign.kind == Kind::Assign;
                    if let Some(name) = names.iter().find(|n| assign && !self.variables.contains(n)) {
                        return self.fail(format!("undefined variable {name:?}"));
                    }
                    return Ok((names, assign));
                }
                Kind::Symbol if sign.text == "," => {
                    if context != "range" || names.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    self.skip_space();
                    if !matches!(self.peek(), Kind::Variable | Kind::Close | Kind::RightParen) {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        self.skip_space();
        let pos = self.tokens.get(self.at).map_or(self.source.len(), |t| t.pos);
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            operands.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::Close | Kind::RightParen => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        let mut operands = operands.into_iter();
        let Some(head) = operands.next() else {
            return self.fail("empty command");
        };
        Ok(Command { pos, head, args: operands.collect() })
    }

    /// A term and the fields that follow it without a blank.
    fn operand(&mut self) -> Result<Option<Expr>, TemplateError> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek() != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.tokens.get(self.at).map_or(term.pos, |t| t.pos);
        let mut names = Vec::new();
        while self.peek() == Kind::Field {
            names.push(field_name(&self.next().text));
        }
        let kind = match term.kind {
            ExprKind::Field(mut first) => {
                first.append(&mut names);
                ExprKind::Field(first)
            }
            ExprKind::Variable(variable, _) => ExprKind::Variable(variable, names),
            ExprKind::Bool(_) | ExprKind::Dot | ExprKind::Nil | ExprKind::Number(..) | ExprKind::Text(..) => {
                return self.fail(format!("unexpected . after term {:?}", term.to_string()));
            }
            _ => ExprKind::Chain(Box::new(term), names),
        };
        Ok(Some(Expr { pos, kind }))
    }

    fn term(&mut self) -> Result<Option<Expr>, TemplateError> {
        let token = self.next_word();
        let kind = match token.kind {
            Kind::Dot => ExprKind::Dot,
            Kind::Nil => ExprKind::Nil,
            Kind::Bool => ExprKind::Bool(token.text == "true"),
            Kind::Field => ExprKind::Field(vec![field_name(&token.text)]),
            Kind::Variable if self.variables.contains(&token.text) => {
                ExprKind::Variable(token.text, Vec::new())
            }
            Kind::Variable => return self.fail(format!("undefined variable {:?}", token.text)),
            Kind::Name => match funcs::find(&token.text) {
                Some(function) => ExprKind::Function(function),
                None => return self.fail(format!("function {:?} not defined", token.text)),
            },
            Kind::Number => match literal::number(&token.text) {
                Some(number) => ExprKind::Number(number, token.text),
                None => return self.fail(format!("bad number syntax: {:?}", token.text)),
            },
            Kind::Char => match literal::character(&token.text) {
                Some(number) => ExprKind::Number(number, token.text),
                None => return self.fail(format!("malformed character constant: {}", token.text)),
            },
            Kind::Quoted | Kind::Raw => match literal::string(&token.text) {
                Some(value) => ExprKind::Text(value, token.text),
                None => return self.fail("invalid syntax"),
            },
            Kind::LeftParen => {
                ExprKind::Pipe(self.nested(|p| p.pipeline("parenthesized pipeline", Kind::RightParen))?)
            }
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Expr { pos: token.pos, kind }))
    }
}

fn field_name(text: &str) -> String {
    text.trim_start_matches('.').to_owned()
}
