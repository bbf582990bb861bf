//! Words to an expression, by the grammar of pcap-filter(7).

use super::MAX_DEPTH;
use super::arithmetic;
use super::ast::{Expr, Junction, Primitive, Protocol, Side, Step};
use super::error::{FilterError, Problem};
use super::lex::{Span, Symbol, Token};
use super::names::Keyword;
use super::program::Cmp;
use super::value::{Kind, Qualifiers};

/// A parser that stands before one of the words.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    pub(super) source: &'a str,
    tokens: &'a [(Token<'a>, Span)],
    at: usize,
    depth: usize,
}

/// An expression, and the qualifiers that a value after it takes over.
type Parsed = (Expr, Option<Qualifiers>);

impl<'a> Parser<'a> {
    pub(super) fn new(source: &'a str, tokens: &'a [(Token<'a>, Span)]) -> Self {
        Self { source, tokens, at: 0, depth: 0 }
    }

    /// The whole text, `None` where it has no words.
    pub(super) fn whole(mut self) -> Result<Option<Expr>, FilterError> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let (expr, _) = self.chain(None)?;
        match self.peek() {
            None => Ok(Some(expr)),
            Some(Token::Symbol(Symbol::CloseParen)) => self.fail(Problem::Parentheses),
            Some(_) => self.fail(Problem::Junction),
        }
    }

    /// Operands joined by `and` and `or`. A value without qualifiers takes those of the operand
    /// before it, the first one those of `context`.
    fn chain(&mut self, context: Option<Qualifiers>) -> Result<Parsed, FilterError> {
        let (first, mut last) = self.operand(context)?;
        let mut rest = Vec::new();
        while let Some(junction) = self.junction() {
            let (expr, qualifiers) = self.operand(last)?;
            rest.push((junction, expr));
            last = qualifiers;
        }
        let expr = if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) };
        Ok((expr, last))
    }

    fn junction(&mut self) -> Option<Junction> {
        let junction = match self.peek() {
            Some(Token::Symbol(Symbol::And)) => Junction::And,
            Some(Token::Symbol(Symbol::Or)) => Junction::Or,
            _ => return None,
        };
        self.at += 1;
        Some(junction)
    }

    fn operand(&mut self, context: Option<Qualifiers>) -> Result<Parsed, FilterError> {
        if self.eat(Symbol::Not) {
            return self.nested(|parser| {
                let (expr, qualifiers) = parser.operand(context)?;
                Ok((Expr::Not(Box::new(expr)), qualifiers))
            });
        }
        let span = self.span();
        if let Some(relation) = self.relation()? {
            return Ok((Expr::Primitive(relation, span), None));
        }
        if self.eat(Symbol::OpenParen) {
            return self.nested(|parser| {
                let (expr, _) = parser.chain(context)?;
                parser.close(Symbol::CloseParen, Problem::Parentheses)?;
                // Parentheses hide the qualifiers inside of them.
                Ok((expr, context))
            });
        }
        match self.peek() {
            Some(Token::Keyword(keyword)) => self.keyword(keyword, span),
            Some(Token::Symbol(_)) | None => {
                self.fail(Problem::Expected("a primitive, as host 172.17.0.2 or tcp port 80,"))
            }
            Some(token) => match context {
                Some(qualifiers) => Ok((self.value(qualifiers)?, context)),
                None if matches!(token, Token::Name(_)) => self.fail(Problem::UnknownWord),
                None => self.fail(Problem::Unqualified),
            },
        }
    }

    /// `arithmetic relation arithmetic`, where one begins here.
    fn relation(&mut self) -> Result<Option<Primitive>, FilterError> {
        let from = self.at;
        // Only these make sure that no other kind of primitive was meant.
        let sure = match self.peek() {
            Some(Token::Symbol(Symbol::Minus) | Token::Keyword(Keyword::Len)) => true,
            Some(Token::Keyword(Keyword::Protocol(_))) => {
                if !matches!(self.peek_at(1), Some(Token::Symbol(Symbol::OpenBracket))) {
                    return Ok(None);
                }
                true
            }
            Some(Token::Number(_) | Token::Symbol(Symbol::OpenParen)) => false,
            _ => return Ok(None),
        };
        let mut left = Vec::new();
        match arithmetic::parse(self, &mut left) {
            Err(error) if sure => return Err(error),
            Err(
                error @ FilterError {
                    problem: Problem::TooDeep | Problem::DivisionByZero | Problem::Shift,
                    ..
                },
            ) => return Err(error),
            Err(_) => {
                self.at = from;
                return Ok(None);
            }
            Ok(()) => {}
        }
        let Some((cmp, negated)) = self.comparison() else {
            // A lone number is a value; anything computed must be compared.
            if !sure && !left.iter().any(|step| !matches!(step, Step::Number(_))) {
                self.at = from;
                return Ok(None);
            }
            return self.fail(Problem::Expected("a comparison, one of = == != < <= > >=,"));
        };
        let mut right = Vec::new();
        arithmetic::parse(self, &mut right)?;
        Ok(Some(Primitive::Relation { left, cmp, negated, right }))
    }

    fn comparison(&mut self) -> Option<(Cmp, bool)> {
        let Some(Token::Symbol(symbol)) = self.peek() else { return None };
        let comparison = match symbol {
            Symbol::Equal => (Cmp::Equal, false),
            Symbol::NotEqual => (Cmp::Equal, true),
            Symbol::Greater => (Cmp::Greater, false),
            Symbol::LessEqual => (Cmp::Greater, true),
            Symbol::GreaterEqual => (Cmp::GreaterEqual, false),
            Symbol::Less => (Cmp::GreaterEqual, true),
            _ => return None,
        };
        self.at += 1;
        Some(comparison)
    }

    /// A primitive that begins with a keyword.
    fn keyword(&mut self, keyword: Keyword, span: Span) -> Result<Parsed, FilterError> {
        let primitive = match keyword {
            Keyword::Protocol(protocol) => {
                self.at += 1;
                return self.qualified(Some(protocol), span);
            }
            Keyword::Broadcast
            | Keyword::Multicast
            | Keyword::Proto
            | Keyword::Src
            | Keyword::Dst
            | Keyword::Host
            | Keyword::Net
            | Keyword::Port
            | Keyword::PortRange => return self.qualified(None, span),
            Keyword::Less | Keyword::Greater => {
                self.at += 1;
                let bound = self.number("a number of bytes")?;
                // `less` is no more than, `greater` no less than.
                let (cmp, negated) = match keyword {
                    Keyword::Less => (Cmp::Greater, true),
                    _ => (Cmp::GreaterEqual, false),
                };
                Primitive::Relation { left: vec![Step::Len], cmp, negated, right: vec![Step::Number(bound)] }
            }
            Keyword::Vlan => {
                self.at += 1;
                Primitive::Vlan(self.optional_number(0xfff)?)
            }
            Keyword::Mpls => {
                self.at += 1;
                Primitive::Mpls(self.optional_number(0xf_ffff)?)
            }
            Keyword::Pppoed => {
                self.at += 1;
                Primitive::Pppoed
            }
            Keyword::Unsupported(why) => return self.fail(Problem::Unsupported(why)),
            Keyword::Len | Keyword::Mask => {
                return self.fail(Problem::Expected("a primitive, as host 172.17.0.2 or tcp port 80,"));
            }
        };
        Ok((Expr::Primitive(primitive, span), None))
    }

    /// What may follow a protocol: nothing, broadcast, multicast, or qualifiers and a value.
    fn qualified(&mut self, protocol: Option<Protocol>, span: Span) -> Result<Parsed, FilterError> {
        let side = self.side()?;
        let kind = match self.peek() {
            Some(Token::Keyword(keyword)) => match keyword {
                Keyword::Host => Some(Kind::Host),
                Keyword::Net => Some(Kind::Net),
                Keyword::Port => Some(Kind::Port),
                Keyword::PortRange => Some(Kind::PortRange),
                Keyword::Proto if side.is_none() => Some(Kind::Proto),
                Keyword::Broadcast | Keyword::Multicast if side.is_none() => {
                    let primitive = self.group_address(keyword, protocol)?;
                    return Ok((Expr::Primitive(primitive, span), None));
                }
                Keyword::Unsupported(why) => return self.fail(Problem::Unsupported(why)),
                _ => None,
            },
            _ => None,
        };
        if kind.is_some() {
            self.at += 1;
        } else if side.is_none() {
            return self.protocol_alone(protocol, span);
        }
        let qualifiers =
            Qualifiers { protocol, side: side.unwrap_or_default(), kind: kind.unwrap_or(Kind::Default) };
        let expr = self.value(qualifiers)?;
        Ok((expr, Some(qualifiers)))
    }

    fn protocol_alone(&mut self, protocol: Option<Protocol>, span: Span) -> Result<Parsed, FilterError> {
        match (protocol, self.peek()) {
            (_, Some(Token::Dotted(_) | Token::Ipv6(_) | Token::Mac(_))) => {
                self.fail(Problem::Expected("host, net, src or dst before an address"))
            }
            (_, Some(Token::Number(_) | Token::Name(_))) => {
                self.fail(Problem::Expected("host, net, port, portrange or proto before a value"))
            }
            (None | Some(Protocol::Ether), _) => {
                self.fail(Problem::Expected("host, src, dst, proto, broadcast, multicast or [offset]"))
            }
            (Some(protocol), _) => Ok((Expr::Primitive(Primitive::Protocol(protocol), span), None)),
        }
    }

    fn group_address(
        &mut self,
        keyword: Keyword,
        protocol: Option<Protocol>,
    ) -> Result<Primitive, FilterError> {
        let hint = "write ether broadcast, ether multicast, ip multicast or ip6 multicast";
        match (keyword, protocol) {
            (Keyword::Broadcast, None | Some(Protocol::Ether)) => {
                self.at += 1;
                Ok(Primitive::Broadcast)
            }
            (Keyword::Multicast, None | Some(Protocol::Ether | Protocol::Ip | Protocol::Ip6)) => {
                self.at += 1;
                Ok(Primitive::Multicast(protocol))
            }
            (Keyword::Broadcast, Some(Protocol::Ip)) => self.fail(Problem::Unsupported(
                "the mask of the network is not known here: write dst host and its broadcast address",
            )),
            (_, protocol) => self.fail(Problem::Qualifier {
                qualifier: protocol.map_or("", Protocol::name),
                value: "a group address",
                hint,
            }),
        }
    }

    /// `src`, `dst`, or both joined by `or` or `and`.
    fn side(&mut self) -> Result<Option<Side>, FilterError> {
        let (side, other) = match self.peek() {
            Some(Token::Keyword(Keyword::Src)) => (Side::Source, Keyword::Dst),
            Some(Token::Keyword(Keyword::Dst)) => (Side::Destination, Keyword::Src),
            _ => return Ok(None),
        };
        self.at += 1;
        let joined = match self.peek() {
            Some(Token::Symbol(Symbol::Or)) => Side::Either,
            Some(Token::Symbol(Symbol::And)) => Side::Both,
            _ => return Ok(Some(side)),
        };
        if self.peek_at(1) != Some(Token::Keyword(other)) {
            self.at += 1;
            return self.fail(Problem::Expected("src or dst, whichever was not named yet,"));
        }
        self.at += 2;
        Ok(Some(joined))
    }

    /// The value behind qualifiers: `not` and parentheses may stand around it.
    fn value(&mut self, qualifiers: Qualifiers) -> Result<Expr, FilterError> {
        if self.eat(Symbol::Not) {
            return self.nested(|parser| Ok(Expr::Not(Box::new(parser.value(qualifiers)?))));
        }
        if self.eat(Symbol::OpenParen) {
            return self.nested(|parser| {
                let first = parser.value(qualifiers)?;
                let mut rest = Vec::new();
                while let Some(junction) = parser.junction() {
                    rest.push((junction, parser.value(qualifiers)?));
                }
                parser.close(Symbol::CloseParen, Problem::Parentheses)?;
                Ok(if rest.is_empty() { first } else { Expr::Chain(Box::new(first), rest) })
            });
        }
        let span = self.span();
        let primitive = qualifiers.primitive(self)?;
        Ok(Expr::Primitive(primitive, span))
    }

    fn optional_number(&mut self, max: u32) -> Result<Option<u32>, FilterError> {
        let rest = self.tokens.get(self.at..).unwrap_or_default();
        let parens = rest.iter().take_while(|(token, _)| *token == Token::Symbol(Symbol::OpenParen)).count();
        let Some(Token::Number(number)) = self.peek_at(parens) else { return Ok(None) };
        // What follows may also be a relation in parentheses: (1 + ip[2] > 5).
        if parens > 0 && self.peek_at(parens + 1) != Some(Token::Symbol(Symbol::CloseParen)) {
            return Ok(None);
        }
        self.at += parens;
        if number > max {
            return self.fail(Problem::AtMost(max));
        }
        self.at += 1;
        for _ in 0..parens {
            self.close(Symbol::CloseParen, Problem::Parentheses)?;
        }
        Ok(Some(number))
    }

    pub(super) fn number(&mut self, what: &'static str) -> Result<u32, FilterError> {
        match self.peek() {
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(number)
            }
            _ => self.fail(Problem::Expected(what)),
        }
    }

    /// Runs `inner` one level deeper.
    pub(super) fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        if self.depth == MAX_DEPTH {
            return self.fail(Problem::TooDeep);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    pub(super) fn close(&mut self, symbol: Symbol, problem: Problem) -> Result<(), FilterError> {
        if self.eat(symbol) { Ok(()) } else { self.fail(problem) }
    }

    pub(super) fn eat(&mut self, symbol: Symbol) -> bool {
        let found = self.peek() == Some(Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).map(|&(token, _)| token)
    }

    /// The next word with its place; goes past it.
    pub(super) fn next(&mut self) -> Option<(Token<'a>, Span)> {
        let word = self.tokens.get(self.at).copied();
        self.at += usize::from(word.is_some());
        word
    }

    /// Where the next word stands.
    pub(super) fn span(&self) -> Span {
        let end = Span { offset: self.source.len(), len: 0 };
        self.tokens.get(self.at).map_or(end, |&(_, span)| span)
    }

    /// An error at the next word.
    pub(super) fn fail<T>(&self, problem: Problem) -> Result<T, FilterError> {
        Err(self.span().error(self.source, problem))
    }
}
