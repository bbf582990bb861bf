//! The compiled form: tests that jump only forward, so that every run ends.
//!
//! As in BPF, a load outside of the captured bytes and a division by zero reject the frame,
//! whatever stands around them, a `not` included.

use super::MAX_STACK;
use super::ast::Binary;

/// How a value is compared with another, unsigned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cmp {
    Equal,
    Greater,
    GreaterEqual,
    /// Some bit is set in both.
    AnyBit,
}

impl Cmp {
    fn holds(self, left: u32, right: u32) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Greater => left > right,
            Self::GreaterEqual => left >= right,
            Self::AnyBit => left & right != 0,
        }
    }
}

/// Bytes of a load, big endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    One,
    Two,
    Four,
}

/// From where an offset counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    /// The start of the frame.
    Frame,
    /// The end of the IPv4 header that starts at this offset of the frame.
    AfterIpv4(u32),
}

/// Where control goes: an instruction further on, or an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target(pub(super) u16);

impl Target {
    pub(super) const ACCEPT: Self = Self(u16::MAX);
    pub(super) const REJECT: Self = Self(u16::MAX - 1);
}

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub(super) enum Insn {
    /// Compares a masked field with a constant.
    Test {
        base: Base,
        offset: u32,
        width: Width,
        cmp: Cmp,
        mask: u32,
        value: u32,
        yes: Target,
        no: Target,
    },
    /// Compares the two values on the stack.
    Compare {
        cmp: Cmp,
        yes: Target,
        no: Target,
    },
    Push(u32),
    /// Pushes the length of the frame on the wire.
    PushLen,
    /// Pushes what lies at a constant offset.
    LoadAt {
        base: Base,
        offset: u32,
        width: Width,
    },
    /// Replaces an index by what lies that far behind the offset.
    Load {
        base: Base,
        offset: u32,
        width: Width,
    },
    Binary(Binary),
    Negate,
}

/// Runs the program. `None`: a load outside of the frame, or a division by zero.
pub(super) fn run(program: &[Insn], frame: &[u8], wire_len: usize) -> Option<bool> {
    let mut stack = Stack::default();
    let mut at = 0usize;
    loop {
        let target = match *program.get(at)? {
            Insn::Test { base, offset, width, cmp, mask, value, yes, no } => {
                let field = load(frame, base, 0, offset, width)?;
                if cmp.holds(field & mask, value) { yes } else { no }
            }
            Insn::Compare { cmp, yes, no } => {
                let right = stack.pop()?;
                let left = stack.pop()?;
                if cmp.holds(left, right) { yes } else { no }
            }
            ref step => {
                compute(*step, &mut stack, frame, wire_len)?;
                at += 1;
                continue;
            }
        };
        match target {
            Target::ACCEPT => return Some(true),
            Target::REJECT => return Some(false),
            Target(next) => at = usize::from(next),
        }
    }
}

/// The instructions that only work on the stack.
fn compute(step: Insn, stack: &mut Stack, frame: &[u8], wire_len: usize) -> Option<()> {
    let value = match step {
        Insn::Push(value) => value,
        Insn::PushLen => u32::try_from(wire_len).unwrap_or(u32::MAX),
        Insn::LoadAt { base, offset, width } => load(frame, base, 0, offset, width)?,
        Insn::Load { base, offset, width } => {
            let index = stack.pop()?;
            load(frame, base, index, offset, width)?
        }
        Insn::Negate => stack.pop()?.wrapping_neg(),
        Insn::Binary(operation) => {
            let right = stack.pop()?;
            let left = stack.pop()?;
            apply(operation, left, right)?
        }
        Insn::Test { .. } | Insn::Compare { .. } => return None,
    };
    stack.push(value)
}

/// Arithmetic modulo 2^32; a shift by more than 31 gives 0.
pub(super) fn apply(operation: Binary, left: u32, right: u32) -> Option<u32> {
    Some(match operation {
        Binary::Add => left.wrapping_add(right),
        Binary::Subtract => left.wrapping_sub(right),
        Binary::Multiply => left.wrapping_mul(right),
        Binary::Divide => left.checked_div(right)?,
        Binary::Modulo => left.checked_rem(right)?,
        Binary::And => left & right,
        Binary::Or => left | right,
        Binary::Xor => left ^ right,
        Binary::ShiftLeft => left.checked_shl(right).unwrap_or(0),
        Binary::ShiftRight => left.checked_shr(right).unwrap_or(0),
    })
}

/// What lies `index` behind `offset`. As in BPF the sum wraps at 2^32 only where the length of a
/// header is part of it.
fn load(frame: &[u8], base: Base, index: u32, offset: u32, width: Width) -> Option<u32> {
    let place = match base {
        Base::Frame => (offset as usize).checked_add(index as usize)?,
        Base::AfterIpv4(header) => {
            let header = header as usize;
            let length = u32::from(frame.get(header)? & 0x0f) * 4;
            header.checked_add(index.wrapping_add(offset).wrapping_add(length) as usize)?
        }
    };
    let bytes = frame.get(place..)?;
    Some(match width {
        Width::One => u32::from(*bytes.first()?),
        Width::Two => u32::from(u16::from_be_bytes(*bytes.first_chunk()?)),
        Width::Four => u32::from_be_bytes(*bytes.first_chunk()?),
    })
}

/// Intermediate values; the compiler has checked that they fit.
#[derive(Default)]
struct Stack {
    values: [u32; MAX_STACK],
    len: usize,
}

impl Stack {
    fn push(&mut self, value: u32) -> Option<()> {
        *self.values.get_mut(self.len)? = value;
        self.len += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        self.values.get(self.len).copied()
    }
}
