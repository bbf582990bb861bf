//! Capture filters in the syntax of pcap-filter(7), compiled once and matched without allocation.
//!
//! A filter matches the frames that the same expression matches in libpcap 1.10 on a capture file
//! of link type Ethernet. Tests compare the two frame by frame; that covers VLAN tags, which are
//! looked for in the frame, and cut frames: a test of bytes that were not captured rejects the
//! frame, even under `not`.
//!
//! On purpose it differs from libpcap in this:
//! - Names of hosts, networks and MAC addresses are not looked up. Services and protocols come
//!   from a small list of this crate and not from the machine.
//! - After `proto` a name needs no backslash: `ip proto tcp`.
//! - Parentheses after `and` or `or` may mix bare values with other primitives:
//!   `host a and (b or port 80)`; a value in parentheses may come first in others.
//! - `proto[..]` checks for its protocol wherever it stands in an expression; libpcap forgets the
//!   check on the right of an arithmetic operator.
//! - `%` binds as `*` does, and `^` between `|` and `&`; libpcap gives them no precedence.
//! - A constant negative offset reaches in front of the header, as in `ip[-2:2]`; libpcap does so
//!   only with its optimizer.
//! - A constant divisor is refused only if it is 0, and a constant shift only above 31; libpcap
//!   looks at the first number of a parenthesis.
//!
//! Not supported, each with an error that says what to write: `gateway`, `protochain`,
//! `ip broadcast`, `inbound`, `outbound`, `ifindex`, `llc`, `pppoes`, `geneve`, `byte`, the
//! IS-IS PDU keywords, and everything of 802.11, ATM, SS7 and the logs of packet filters.

mod arithmetic;
mod ast;
mod compile;
mod error;
mod layers;
mod lex;
mod names;
mod parse;
mod program;
#[cfg(test)]
mod tests;
mod value;

pub use error::{FilterError, Problem};

use program::Insn;

/// Bytes of the longest expression.
pub const MAX_TEXT: usize = 16 * 1024;
/// Levels of parentheses, `not`, signs and indices inside each other.
pub const MAX_DEPTH: usize = 64;
/// Instructions of the longest program.
pub const MAX_INSTRUCTIONS: usize = 16 * 1024;
/// Intermediate values of one arithmetic expression.
pub const MAX_STACK: usize = 16;

/// A compiled filter on Ethernet frames.
#[derive(Clone, Debug)]
pub struct Filter {
    program: Vec<Insn>,
}

impl Filter {
    /// Compiles an expression; an empty one matches every frame.
    ///
    /// # Errors
    /// [`FilterError`] says what is wrong, at which word, and what to write.
    pub fn compile(expression: &str) -> Result<Self, FilterError> {
        if expression.len() > MAX_TEXT {
            return Err(lex::Span { offset: MAX_TEXT, len: 0 }.error(expression, Problem::TooLong));
        }
        let tokens = lex::lex(expression)?;
        let program = match parse::Parser::new(expression, &tokens).whole()? {
            Some(expr) => compile::compile(expression, &expr)?,
            None => Vec::new(),
        };
        Ok(Self { program })
    }

    /// Whether the filter accepts a frame of which the bytes `frame` were captured and that had
    /// `wire_len` bytes. `wire_len` is what `len`, `less` and `greater` compare. Allocates nothing.
    pub fn matches(&self, frame: &[u8], wire_len: usize) -> bool {
        self.program.is_empty() || program::run(&self.program, frame, wire_len).unwrap_or(false)
    }
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::compile(s)
    }
}
