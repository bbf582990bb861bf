//! Splits a template into text and the words inside its `{{ }}` actions.
//!
//! The words and their error sentences are those of Go's `text/template`, since that is what people who write a
//! `--format` have seen before.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text outside of an action, already trimmed.
    Text,
    /// `{{` or `{{- `.
    Open,
    /// `}}` or ` -}}`.
    Close,
    /// Blanks inside an action; they part operands.
    Space,
    /// `.Name`, with its dot.
    Field,
    /// `$` or `$name`.
    Variable,
    /// A function's name.
    Name,
    /// `if`, `range`, `end` and their like.
    Keyword,
    /// `true` or `false`.
    Bool,
    /// `nil`.
    Nil,
    /// A number.
    Number,
    /// `'x'`.
    Char,
    /// `"..."`, still quoted.
    Quoted,
    /// A string in back quotes, still quoted.
    Raw,
    /// `=`.
    Assign,
    /// `:=`.
    Declare,
    /// `|`.
    Pipe,
    /// `(`.
    LeftParen,
    /// `)`.
    RightParen,
    /// `.` alone.
    Dot,
    /// Any other printable character.
    Symbol,
    /// The template cannot be read past here; the text says why.
    Error,
    /// The end of the template.
    End,
}

/// A piece of the template.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// Its first byte in the template.
    pub(super) pos: usize,
    /// Its text, or the error's sentence.
    pub(super) text: String,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
const KEYWORDS: [&str; 10] =
    ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

/// The template's tokens, always ending in [`Kind::End`] or [`Kind::Error`].
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { source, pos: 0, parens: 0, tokens: Vec::new() };
    if let Err((pos, text)) = lexer.run() {
        lexer.tokens.push(Token { kind: Kind::Error, pos, text });
    } else {
        lexer.push(Kind::End, source.len(), "");
    }
    lexer.tokens
}

/// A lexical error: where and why.
type Failure = (usize, String);

struct Lexer<'a> {
    source: &'a str,
    pos: usize,
    parens: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn push(&mut self, kind: Kind, pos: usize, text: &str) {
        self.tokens.push(Token { kind, pos, text: text.to_owned() });
    }

    fn rest(&self) -> &str {
        self.source.get(self.pos..).unwrap_or_default()
    }

    fn fail<T>(&self, text: impl Into<String>) -> Result<T, Failure> {
        Err((self.pos, text.into()))
    }

    /// Emits the `len` bytes at the cursor.
    fn take(&mut self, kind: Kind, len: usize) {
        let text = self.rest().get(..len).unwrap_or_default().to_owned();
        self.tokens.push(Token { kind, pos: self.pos, text });
        self.pos += len;
    }

    fn run(&mut self) -> Result<(), Failure> {
        let mut trim_left = false;
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let end = open.unwrap_or(rest.len());
            let mut text = rest.get(..end).unwrap_or_default();
            let after = rest.get(end..).unwrap_or_default();
            let trim_right = trims_after_open(after);
            if trim_left {
                text = text.trim_start_matches(BLANKS);
            }
            if trim_right {
                text = text.trim_end_matches(BLANKS);
            }
            if !text.is_empty() {
                let text = text.to_owned();
                self.push(Kind::Text, self.pos, &text);
            }
            self.pos += end;
            if open.is_none() {
                return Ok(());
            }
            let opening = if trim_right { 4 } else { 2 };
            trim_left = if self.rest().get(opening..).is_some_and(|r| r.starts_with("/*")) {
                self.pos += opening;
                self.comment()?
            } else {
                // The `-` and its blank belong to the delimiter.
                self.push(Kind::Open, self.pos, "{{");
                self.pos += opening.min(self.rest().len());
                self.parens = 0;
                self.action()?
            };
        }
    }

    /// Skips a comment; says whether the text after it loses its leading blanks.
    fn comment(&mut self) -> Result<bool, Failure> {
        let Some(end) = self.rest().find("*/") else {
            return self.fail("unclosed comment");
        };
        self.pos += end + 2;
        if self.rest().starts_with("}}") {
            self.pos += 2;
            Ok(false)
        } else if closes_trimming(self.rest()) {
            self.pos += 4;
            Ok(true)
        } else {
            self.fail("comment ends before closing delimiter")
        }
    }

    /// Reads up to the closing delimiter; says whether it trims.
    fn action(&mut self) -> Result<bool, Failure> {
        loop {
            let rest = self.rest();
            let trimming = closes_trimming(rest);
            if trimming || rest.starts_with("}}") {
                if self.parens > 0 {
                    return self.fail("unclosed left paren");
                }
                self.push(Kind::Close, self.pos, "}}");
                self.pos += if trimming { 4 } else { 2 };
                return Ok(trimming);
            }
            let Some(c) = rest.chars().next() else {
                return self.fail("unclosed action");
            };
            match c {
                _ if BLANKS.contains(&c) => self.space(),
                '=' => self.take(Kind::Assign, 1),
                ':' if rest.starts_with(":=") => self.take(Kind::Declare, 2),
                ':' => return self.fail("expected :="),
                '|' => self.take(Kind::Pipe, 1),
                '"' => self.quoted('"', "unterminated quoted string", Kind::Quoted)?,
                '\'' => self.quoted('\'', "unterminated character constant", Kind::Char)?,
                '`' => self.raw()?,
                '$' => self.word(Kind::Variable)?,
                '.' if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                    self.word(Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                '(' => {
                    self.parens += 1;
                    self.take(Kind::LeftParen, 1);
                }
                ')' => {
                    if self.parens == 0 {
                        return self.fail("unexpected right paren");
                    }
                    self.parens -= 1;
                    self.take(Kind::RightParen, 1);
                }
                _ if c == '_' || c.is_alphanumeric() => self.word(Kind::Name)?,
                _ if c.is_ascii_graphic() => self.take(Kind::Symbol, 1),
                _ => {
                    return self.fail(format!("unrecognized character in action: {}", unicode(c)));
                }
            }
        }
    }

    fn space(&mut self) {
        let rest = self.rest();
        let mut len = rest.len() - rest.trim_start_matches(BLANKS).len();
        // The blank right before `-}}` belongs to the delimiter.
        if rest.get(len.saturating_sub(1)..).is_some_and(closes_trimming) {
            len -= 1;
        }
        if len > 0 {
            self.take(Kind::Space, len);
        }
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Result<(), Failure> {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => {
                    self.take(kind, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(unterminated)
    }

    fn raw(&mut self) -> Result<(), Failure> {
        match self.rest().get(1..).and_then(|r| r.find('`')) {
            Some(end) => {
                self.take(Kind::Raw, end + 2);
                Ok(())
            }
            None => self.fail("unterminated raw quoted string"),
        }
    }

    /// A field, a variable, or a bare word: all end where letters and digits do.
    fn word(&mut self, kind: Kind) -> Result<(), Failure> {
        let prefix = usize::from(kind != Kind::Name);
        let rest = self.rest();
        let tail = rest.get(prefix..).unwrap_or_default();
        let len = tail.len() - tail.trim_start_matches(|c: char| c == '_' || c.is_alphanumeric()).len();
        let after = tail.get(len..).unwrap_or_default();
        let ends = after.is_empty()
            || after.starts_with("}}")
            || after
                .starts_with(|c: char| BLANKS.contains(&c) || ['.', ',', '|', ':', ')', '('].contains(&c));
        if !ends {
            let c = after.chars().next().unwrap_or_default();
            return Err((self.pos, format!("bad character {}", unicode(c))));
        }
        let word = tail.get(..len).unwrap_or_default();
        let kind = match (kind, word) {
            (Kind::Field, "") => Kind::Dot,
            (Kind::Name, "true" | "false") => Kind::Bool,
            (Kind::Name, "nil") => Kind::Nil,
            (Kind::Name, word) if KEYWORDS.contains(&word) => Kind::Keyword,
            (kind, _) => kind,
        };
        self.take(kind, prefix + len);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Failure> {
        let rest = self.rest();
        let hex = rest.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
        let mut previous = ' ';
        let mut len = 0;
        for (at, c) in rest.char_indices() {
            let sign = matches!(c, '+' | '-')
                && (at == 0 || (!hex && matches!(previous, 'e' | 'E')) || matches!(previous, 'p' | 'P'));
            if !(sign || c == '.' || c == '_' || c.is_alphanumeric()) {
                break;
            }
            previous = c;
            len = at + c.len_utf8();
        }
        let text = rest.get(..len).unwrap_or_default();
        if super::literal::number(text).is_none() {
            return Err((self.pos, format!("bad number syntax: {text:?}")));
        }
        self.take(Kind::Number, len);
        Ok(())
    }
}

/// `{{- ` followed by a blank.
fn trims_after_open(text: &str) -> bool {
    text.strip_prefix("{{-").is_some_and(|rest| rest.starts_with(BLANKS))
}

/// A blank followed by `-}}`.
fn closes_trimming(text: &str) -> bool {
    text.strip_prefix(BLANKS).is_some_and(|rest| rest.starts_with("-}}"))
}

/// Go's `%#U`.
fn unicode(c: char) -> String {
    if c.is_control() { format!("U+{:04X}", u32::from(c)) } else { format!("U+{:04X} '{c}'", u32::from(c)) }
}
