//! Arithmetic on numbers, lengths and bytes of the frame, parsed into postfix order.

use super::ast::{Arithmetic, Binary, Step};
use super::error::{FilterError, Problem};
use super::lex::{Symbol, Token};
use super::names::Keyword;
use super::parse::Parser;
use super::program::Width;

/// Appends what is parsed to `out`.
pub(super) fn parse(parser: &mut Parser<'_>, out: &mut Arithmetic) -> Result<(), FilterError> {
    binary(parser, out, 0)
}

/// Operators that bind tighter than `floor`, by precedence climbing. As in C, apart from `%`,
/// which pcap-filter(7) gives no place.
fn binary(parser: &mut Parser<'_>, out: &mut Arithmetic, floor: u8) -> Result<(), FilterError> {
    unary(parser, out)?;
    while let Some((operation, precedence)) = operator(parser).filter(|&(_, precedence)| precedence > floor) {
        parser.next();
        let span = parser.span();
        let from = out.len();
        parser.nested(|parser| binary(parser, out, precedence))?;
        if let Some(&[Step::Number(constant)]) = out.get(from..) {
            let problem = match operation {
                Binary::Divide | Binary::Modulo if constant == 0 => Some(Problem::DivisionByZero),
                Binary::ShiftLeft | Binary::ShiftRight if constant > 31 => Some(Problem::Shift),
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(span.error(parser.source, problem));
            }
        }
        out.push(Step::Binary(operation));
    }
    Ok(())
}

fn operator(parser: &Parser<'_>) -> Option<(Binary, u8)> {
    let Some(Token::Symbol(symbol)) = parser.peek() else { return None };
    Some(match symbol {
        Symbol::BitOr => (Binary::Or, 1),
        Symbol::BitXor => (Binary::Xor, 2),
        Symbol::BitAnd => (Binary::And, 3),
        Symbol::ShiftLeft => (Binary::ShiftLeft, 4),
        Symbol::ShiftRight => (Binary::ShiftRight, 4),
        Symbol::Plus => (Binary::Add, 5),
        Symbol::Minus => (Binary::Subtract, 5),
        Symbol::Times => (Binary::Multiply, 6),
        Symbol::Divide => (Binary::Divide, 6),
        Symbol::Modulo => (Binary::Modulo, 6),
        _ => return None,
    })
}

fn unary(parser: &mut Parser<'_>, out: &mut Arithmetic) -> Result<(), FilterError> {
    match parser.peek() {
        Some(Token::Number(number)) => {
            parser.next();
            out.push(Step::Number(number));
            Ok(())
        }
        Some(Token::Keyword(Keyword::Len)) => {
            parser.next();
            out.push(Step::Len);
            Ok(())
        }
        Some(Token::Symbol(Symbol::Minus)) => {
            parser.next();
            parser.nested(|parser| unary(parser, out))?;
            out.push(Step::Negate);
            Ok(())
        }
        Some(Token::Symbol(Symbol::OpenParen)) => {
            parser.next();
            parser.nested(|parser| binary(parser, out, 0))?;
            parser.close(Symbol::CloseParen, Problem::Parentheses)
        }
        Some(Token::Keyword(Keyword::Protocol(protocol))) => {
            let at = parser.span();
            parser.next();
            parser.close(Symbol::OpenBracket, Problem::Expected("[ and an offset, as tcp[13],"))?;
            parser.nested(|parser| binary(parser, out, 0))?;
            let width = if parser.eat(Symbol::Colon) { width(parser)? } else { Width::One };
            parser.close(Symbol::CloseBracket, Problem::Expected("] or : and a size"))?;
            out.push(Step::Load { protocol, width, at });
            Ok(())
        }
        _ => parser.fail(Problem::Expected("a number, len or an access such as tcp[13]")),
    }
}

fn width(parser: &mut Parser<'_>) -> Result<Width, FilterError> {
    let span = parser.span();
    match parser.number("1, 2 or 4")? {
        1 => Ok(Width::One),
        2 => Ok(Width::Two),
        4 => Ok(Width::Four),
        _ => Err(span.error(parser.source, Problem::AccessSize)),
    }
}
