//! Words of an expression, each the longest there is at its place, as in pcap-filter(7).

use std::net::Ipv6Addr;

use super::error::{FilterError, Problem};
use super::names::{self, Keyword};
use crate::MacAddr;

/// Where a word stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) offset: usize,
    pub(super) len: usize,
}

impl Span {
    pub(super) fn text(self, source: &str) -> &str {
        source.get(self.offset..self.offset + self.len).unwrap_or_default()
    }

    pub(super) fn error(self, source: &str, problem: Problem) -> FilterError {
        FilterError { offset: self.offset, word: self.text(source).to_owned(), problem }
    }
}

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    Keyword(Keyword),
    Number(u32),
    /// Two to four dotted parts, not yet looked at.
    Dotted(&'a str),
    Ipv6(Ipv6Addr),
    Mac(MacAddr),
    /// Any other word; `escaped` by a backslash it is never a keyword.
    Name(&'a str),
    Symbol(Symbol),
}

/// Operators and brackets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Symbol {
    And,
    Or,
    Not,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    Colon,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

/// Longest first, so that `<<` is not two `<`.
const SYMBOLS: [(&str, Symbol); 25] = [
    ("&&", Symbol::And),
    ("||", Symbol::Or),
    ("<<", Symbol::ShiftLeft),
    (">>", Symbol::ShiftRight),
    ("<=", Symbol::LessEqual),
    (">=", Symbol::GreaterEqual),
    ("==", Symbol::Equal),
    ("!=", Symbol::NotEqual),
    ("!", Symbol::Not),
    ("(", Symbol::OpenParen),
    (")", Symbol::CloseParen),
    ("[", Symbol::OpenBracket),
    ("]", Symbol::CloseBracket),
    (":", Symbol::Colon),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("=", Symbol::Equal),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("*", Symbol::Times),
    ("/", Symbol::Divide),
    ("%", Symbol::Modulo),
    ("&", Symbol::BitAnd),
    ("|", Symbol::BitOr),
    ("^", Symbol::BitXor),
];

/// The longest text of an IPv6 address, with an IPv4 address at its end.
const LONGEST_ADDRESS: usize = 45;

/// Cuts `source` into words.
pub(super) fn lex(source: &str) -> Result<Vec<(Token<'_>, Span)>, FilterError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(rest) = source.get(offset..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with([' ', '\t', '\r', '\n']) {
            offset += 1;
            continue;
        }
        let (token, len) =
            word(rest).map_err(|(problem, len)| Span { offset, len }.error(source, problem))?;
        tokens.push((token, Span { offset, len }));
        offset += len;
    }
    Ok(tokens)
}

type Word<'a> = Result<(Token<'a>, usize), (Problem, usize)>;

/// The word at the front of `rest`, and its length.
fn word(rest: &str) -> Word<'_> {
    let plain = plain_len(rest);
    if let Some((address, len)) = ipv6(rest)
        && len > plain
    {
        return Ok((Token::Ipv6(address), len));
    }
    if let Some((mac, len)) = mac(rest)
        && len >= plain
    {
        return Ok((Token::Mac(mac), len));
    }
    if plain > 0 {
        let text = rest.get(..plain).unwrap_or_default();
        return classify(text).map(|token| (token, plain)).map_err(|problem| (problem, plain));
    }
    if let Some(escaped) = rest.strip_prefix('\\') {
        let len = escaped.find([' ', '!', '(', ')', '\n', '\t']).unwrap_or(escaped.len());
        let name = escaped.get(..len).unwrap_or_default();
        return if name.is_empty() {
            Err((Problem::Expected("a name right after the backslash"), 1))
        } else {
            Ok((Token::Name(name), len + 1))
        };
    }
    SYMBOLS
        .iter()
        .find(|(text, _)| rest.starts_with(text))
        .map(|&(text, symbol)| (Token::Symbol(symbol), text.len()))
        .ok_or_else(|| (Problem::Character, rest.chars().next().map_or(0, char::len_utf8)))
}

/// Bytes of the plain word at the front: it starts with a letter or digit and may have dots,
/// dashes and underscores inside, of which only dots may end it.
fn plain_len(rest: &str) -> usize {
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return 0;
    }
    let run =
        run(rest, rest.len(), |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    run.trim_end_matches(['-', '_']).len()
}

/// The bytes at the front that are `inside`, ASCII all, at most `limit` of them.
fn run(rest: &str, limit: usize, inside: impl Fn(u8) -> bool) -> &str {
    let len = rest.bytes().take(limit).take_while(|&byte| inside(byte)).count();
    rest.get(..len).unwrap_or_default()
}

fn ipv6(rest: &str) -> Option<(Ipv6Addr, usize)> {
    let run = run(rest, LONGEST_ADDRESS, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
    if !run.contains(':') {
        return None;
    }
    (2..=run.len()).rev().find_map(|len| Some((run.get(..len)?.parse().ok()?, len)))
}

/// Six bytes joined by `:`, `-` or `.`, three groups of four digits joined by dots, or twelve
/// digits.
fn mac(rest: &str) -> Option<(MacAddr, usize)> {
    let run =
        run(rest, LONGEST_ADDRESS, |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-' | b'.'));
    let digits = |text: &str, from: usize, to: usize| {
        (from..=to).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    for separator in [':', '-', '.'] {
        let mut bytes = [0u8; 6];
        let (mut len, mut parts) = (0, run.split(separator));
        let complete = bytes.iter_mut().enumerate().all(|(i, byte)| {
            let Some(part) = parts.next() else { return false };
            // The last byte may be followed by more of the same word.
            let part = if i == 5 { part.get(..part.len().min(2)).unwrap_or_default() } else { part };
            len += part.len() + usize::from(i > 0);
            digits(part, 1, 2) && u8::from_str_radix(part, 16).map(|value| *byte = value).is_ok()
        });
        if complete {
            return Some((MacAddr(bytes), len));
        }
    }
    let grouped = run.get(..14).filter(|text| text.split('.').all(|group| digits(group, 4, 4)));
    let bare = run.get(..12).filter(|text| digits(text, 12, 12));
    let text = grouped.or(bare)?;
    let value = u64::from_str_radix(&text.replace('.', ""), 16).ok()?;
    Some((MacAddr::from_u64(value), text.len()))
}

fn classify(text: &str) -> Result<Token<'_>, Problem> {
    if let Some(symbol) = names::junction(text) {
        return Ok(Token::Symbol(symbol));
    }
    if let Some(keyword) = names::keyword(text) {
        return Ok(Token::Keyword(keyword));
    }
    if let Some(value) = names::constant(text) {
        return Ok(Token::Number(value));
    }
    if is_number(text) {
        return number(text).map(Token::Number).ok_or(Problem::Number);
    }
    let parts = text.split('.').count();
    if (2..=4).contains(&parts) && text.split('.').all(is_number) {
        return Ok(Token::Dotted(text));
    }
    Ok(Token::Name(text))
}

fn is_number(text: &str) -> bool {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Decimal, `0x` hexadecimal or `0` octal.
fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).ok();
    }
    match text.strip_prefix('0') {
        Some("") => Some(0),
        Some(octal) => u32::from_str_radix(octal, 8).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(source: &str) -> Vec<Token<'_>> {
        lex(source).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn the_longest_word_wins() {
        assert_eq!(tokens("tcp-syn"), [Token::Number(2)]);
        assert_eq!(tokens("8000-8080"), [Token::Name("8000-8080")]);
        assert_eq!(tokens("fe80::1"), [Token::Ipv6("fe80::1".parse().unwrap())]);
        assert_eq!(tokens("::"), [Token::Ipv6(Ipv6Addr::UNSPECIFIED)]);
        assert_eq!(tokens("10.1"), [Token::Dotted("10.1")]);
        let mac = Token::Mac(MacAddr([2, 0x42, 0xac, 0x11, 0, 2]));
        for text in
            ["2:42:ac:11:0:2", "02-42-ac-11-00-02", "0242.ac11.0002", "0242ac110002", "2.42.ac.11.0.2"]
        {
            assert_eq!(tokens(text), [mac], "{text}");
        }
    }

    #[test]
    fn an_access_is_not_an_address() {
        let number = Token::Number;
        let [open, colon, close] =
            [Symbol::OpenBracket, Symbol::Colon, Symbol::CloseBracket].map(Token::Symbol);
        assert_eq!(tokens("ip[2:2]")[1..], [open, number(2), colon, number(2), close]);
        assert_eq!(tokens("tcp[tcpflags:1]")[1..], [open, number(13), colon, number(1), close]);
    }

    #[test]
    fn numbers_have_three_bases_and_32_bits() {
        assert_eq!(tokens("10 0x1F 010 0"), [10, 31, 8, 0].map(Token::Number));
        for text in ["08", "4294967296", "0x100000000"] {
            assert_eq!(lex(text).unwrap_err().problem, Problem::Number, "{text}");
        }
    }

    #[test]
    fn a_stray_character_is_named_with_its_place() {
        let error = lex("tcp ä").unwrap_err();
        assert_eq!((error.offset, error.word.as_str()), (4, "ä"));
    }
}
