//! The buffer a frame lives in: one allocation for its whole life, used again for every frame.

use crate::offload::{Offload, OffloadError, VNET_HEADER_LEN};

/// Bytes kept free before a received frame: the virtio-net header, and room for the outer
/// Ethernet, IPv6, UDP and VXLAN headers of a tunnel (14 + 40 + 8 + 8).
pub const HEADROOM: usize = 128;

/// The longest frame a buffer of [`Frame::new`] holds: a 65,535-byte IP packet behind an Ethernet
/// header with two VLAN tags.
pub const MAX_FRAME: usize = 65_535 + 14 + 8;

/// Bytes of the shortest thing that is a frame at all: an Ethernet header.
pub const MIN_FRAME: usize = 14;

/// Why bytes could not become a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than an Ethernet header.
    #[error("{0} bytes are too few for an Ethernet frame")]
    Truncated(usize),
    /// More bytes than the buffer holds.
    #[error("{0} bytes are more than the buffer holds")]
    Oversized(usize),
    /// The virtio-net header contradicts the frame.
    #[error(transparent)]
    Offload(#[from] OffloadError),
}

/// One Ethernet frame with headroom in front and its offload metadata beside it.
pub struct Frame {
    buf: Box<[u8]>,
    start: usize,
    end: usize,
    offload: Offload,
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("len", &self.len())
            .field("offload", &self.offload)
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// An empty buffer for frames of up to [`MAX_FRAME`] bytes.
    pub fn new() -> Self {
        Self::with_capacity(MAX_FRAME)
    }

    /// An empty buffer for frames of up to `capacity` bytes, headroom not counted.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            buf: vec![0; HEADROOM + capacity].into_boxed_slice(),
            start: HEADROOM,
            end: HEADROOM,
            offload: Offload::NONE,
        }
    }

    /// The frame's bytes, from the destination address on.
    pub fn bytes(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The frame's bytes, to change in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..self.end]
    }

    /// Bytes in the frame.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// No frame has been put in yet.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that [`Frame::prepend`] can still give.
    pub fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes that can still be appended.
    pub fn tailroom(&self) -> usize {
        self.buf.len() - self.end
    }

    /// What is still to be done to this frame.
    pub fn offload(&self) -> Offload {
        self.offload
    }

    /// Replaces the offload metadata; the caller answers for its truth.
    pub fn set_offload(&mut self, offload: Offload) {
        self.offload = offload;
    }

    /// Empties the buffer and gives the headroom back.
    pub fn clear(&mut self) {
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.offload = Offload::NONE;
    }

    /// Replaces the content by a copy of `bytes`.
    ///
    /// # Errors
    /// [`FrameError::Oversized`] if they do not fit.
    pub fn copy_from(&mut self, bytes: &[u8], offload: Offload) -> Result<(), FrameError> {
        self.clear();
        let end = self.start + bytes.len();
        self.buf.get_mut(self.start..end).ok_or(FrameError::Oversized(bytes.len()))?.copy_from_slice(bytes);
        self.end = end;
        self.offload = offload;
        Ok(())
    }

    /// Appends a copy of `bytes`.
    ///
    /// # Errors
    /// [`FrameError::Oversized`] if they do not fit; nothing is changed then.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        let end = self.end + bytes.len();
        self.buf
            .get_mut(self.end..end)
            .ok_or(FrameError::Oversized(end - self.start))?
            .copy_from_slice(bytes);
        self.end = end;
        Ok(())
    }

    /// Takes `n` bytes of headroom into the frame and returns the frame, the new bytes first and
    /// with whatever was there. `None` without enough headroom.
    pub fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        Some(&mut self.buf[self.start..self.end])
    }

    /// Cuts `n` bytes off the front; more than there are empties the frame.
    pub fn trim_front(&mut self, n: usize) {
        self.start = self.end.min(self.start.saturating_add(n));
    }

    /// Shortens the frame to `len` bytes; longer than it is changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Where a read with a virtio-net header in front puts its bytes: header first, the frame
    /// then lies at the usual headroom. Follow with [`Frame::commit_vnet`].
    pub fn vnet_area(&mut self) -> &mut [u8] {
        self.clear();
        &mut self.buf[HEADROOM - VNET_HEADER_LEN..]
    }

    /// Accepts `n` bytes that were read into [`Frame::vnet_area`].
    ///
    /// # Errors
    /// [`FrameError`] says what is wrong with them; the buffer is empty then.
    pub fn commit_vnet(&mut self, n: usize) -> Result<(), FrameError> {
        self.clear();
        let len = n.checked_sub(VNET_HEADER_LEN).ok_or(FrameError::Truncated(n))?;
        self.check_len(len)?;
        self.offload = Offload::parse(&self.buf[HEADROOM - VNET_HEADER_LEN..HEADROOM], len)?;
        self.end = self.start + len;
        Ok(())
    }

    /// Where a read of a bare frame puts its bytes. Follow with [`Frame::commit_plain`].
    pub fn plain_area(&mut self) -> &mut [u8] {
        self.clear();
        &mut self.buf[HEADROOM..]
    }

    /// Accepts `n` bytes that were read into [`Frame::plain_area`].
    ///
    /// # Errors
    /// [`FrameError`] says what is wrong with them; the buffer is empty then.
    pub fn commit_plain(&mut self, n: usize) -> Result<(), FrameError> {
        self.clear();
        self.check_len(n)?;
        self.end = self.start + n;
        Ok(())
    }

    /// The frame with its virtio-net header written into the headroom in front: what a TAP with
    /// `IFF_VNET_HDR` takes in one write. `None` only where headroom was taken by tunnels.
    pub fn with_vnet(&mut self) -> Option<&[u8]> {
        let from = self.start.checked_sub(VNET_HEADER_LEN)?;
        self.buf[from..self.start].copy_from_slice(&self.offload.to_bytes());
        Some(&self.buf[from..self.end])
    }

    fn check_len(&self, len: usize) -> Result<(), FrameError> {
        if len < MIN_FRAME {
            Err(FrameError::Truncated(len))
        } else if self.start + len > self.buf.len() {
            Err(FrameError::Oversized(len))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_with_a_header_comes_back_as_it_went() {
        let mut frame = Frame::new();
        let area = frame.vnet_area();
        area[..12].copy_from_slice(&Offload::NONE.to_bytes());
        area[12..72].fill(7);
        frame.commit_vnet(72).unwrap();
        assert_eq!(frame.bytes(), [7; 60]);
        let out = frame.with_vnet().unwrap();
        assert_eq!(out.len(), 72);
        assert_eq!(out[..12], Offload::NONE.to_bytes());
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let mut frame = Frame::with_capacity(100);
        assert_eq!(frame.commit_vnet(11), Err(FrameError::Truncated(11)));
        assert_eq!(frame.commit_vnet(25), Err(FrameError::Truncated(13)));
        assert_eq!(frame.commit_plain(101), Err(FrameError::Oversized(101)));
        assert_eq!(frame.copy_from(&[0; 101], Offload::NONE), Err(FrameError::Oversized(101)));
        assert!(frame.is_empty());
        assert!(frame.prepend(HEADROOM + 1).is_none());
    }

    #[test]
    fn headroom_is_taken_and_given_back() {
        let mut frame = Frame::with_capacity(100);
        frame.copy_from(&[1; 20], Offload::NONE).unwrap();
        frame.prepend(50).unwrap()[..50].fill(2);
        assert_eq!(frame.len(), 70);
        frame.trim_front(50);
        assert_eq!(frame.bytes(), [1; 20]);
        frame.truncate(5);
        assert_eq!(frame.len(), 5);
        frame.trim_front(9);
        assert!(frame.is_empty());
    }
}
