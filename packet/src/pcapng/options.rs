//! Fields and options of a block body, in the byte order of its section.

use super::code;
use super::read::PcapngError;

/// The byte order of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// A cursor over a block's body.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    rest: &'a [u8],
    endian: Endian,
    /// The block's type, for errors.
    kind: u32,
}

impl<'a> Body<'a> {
    pub(super) fn new(rest: &'a [u8], endian: Endian, kind: u32) -> Self {
        Self { rest, endian, kind }
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], PcapngError> {
        let (taken, rest) =
            self.rest.split_at_checked(n).ok_or(PcapngError::TruncatedBody { kind: self.kind })?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `n` bytes and the padding that brings them to a multiple of 4.
    pub(super) fn take_padded(&mut self, n: usize) -> Result<&'a [u8], PcapngError> {
        let taken = self.take(n)?;
        // Some writers leave the padding of the last option out; what follows is then nothing.
        let padding = (n.wrapping_neg() % 4).min(self.rest.len());
        self.take(padding)?;
        Ok(taken)
    }

    pub(super) fn u16(&mut self) -> Result<u16, PcapngError> {
        self.array().map(|bytes| self.endian.u16(bytes))
    }

    pub(super) fn u32(&mut self) -> Result<u32, PcapngError> {
        self.array().map(|bytes| self.endian.u32(bytes))
    }

    /// Two 32-bit halves, high first in either byte order.
    pub(super) fn timestamp(&mut self) -> Result<u64, PcapngError> {
        let high = self.u32()?;
        let low = self.u32()?;
        Ok(u64::from(high) << 32 | u64::from(low))
    }

    /// The next option, `None` at the end.
    pub(super) fn option(&mut self) -> Result<Option<Opt<'a>>, PcapngError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let code = self.u16()?;
        let len = self.u16()?;
        if code == code::OPT_END {
            self.rest = &[];
            return Ok(None);
        }
        let value = self.take_padded(usize::from(len))?;
        Ok(Some(Opt { code, value, endian: self.endian, kind: self.kind }))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PcapngError> {
        let kind = self.kind;
        self.take(N)?.try_into().map_err(|_| PcapngError::TruncatedBody { kind })
    }
}

/// One option of a block.
pub(super) struct Opt<'a> {
    pub(super) code: u16,
    pub(super) value: &'a [u8],
    endian: Endian,
    kind: u32,
}

impl<'a> Opt<'a> {
    /// The value as text, cut where it stops being UTF-8.
    pub(super) fn text(&self) -> &'a str {
        self.value.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    pub(super) fn u8(&self) -> Result<u8, PcapngError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&self) -> Result<u32, PcapngError> {
        self.array().map(|bytes| self.endian.u32(bytes))
    }

    pub(super) fn u64(&self) -> Result<u64, PcapngError> {
        self.array().map(|bytes| self.endian.u64(bytes))
    }

    fn array<const N: usize>(&self) -> Result<[u8; N], PcapngError> {
        self.value.try_into().map_err(|_| PcapngError::OptionLength {
            kind: self.kind,
            code: self.code,
            len: self.value.len(),
        })
    }
}
