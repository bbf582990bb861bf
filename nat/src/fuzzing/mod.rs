//! Bodies of the fuzz targets, so that tests run them too. Not part of the public interface.

mod conn;
mod engine;
mod fragments;
#[cfg(test)]
mod tests;

pub use conn::conn;
pub use engine::{PORT, PUBLISHED, control, engine, host};
pub use fragments::fragments;

/// The input, read from its front; what is behind its end is zero.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Mostly a number near zero, sometimes any.
    fn near(&mut self) -> i32 {
        match self.byte() {
            byte @ 0..=199 => i32::from(byte.cast_signed() / 8),
            200..=239 => i32::from(self.word().cast_signed()),
            _ => i32::from(self.word().cast_signed()) << 16 | i32::from(self.word()),
        }
    }
}
