//! What a flow needs of its outside.

use std::io::{IoSlice, IoSliceMut};

use rustix::io;

/// What a look into the receive queue found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peeked {
    /// So many bytes.
    Data(usize),
    /// Nothing there yet.
    Nothing,
    /// There is something, but it is not seen before what lies in front of it is discarded.
    Blocked,
    /// The other side has closed its half, and everything before that was seen.
    End,
}

/// The far end of a connection, which never blocks. Its receive queue is the flow's only buffer:
/// bytes are looked at as often as need be, and discarded once the container has them.
pub trait Outside {
    /// Sends what it takes of `data`, at once.
    ///
    /// # Errors
    /// `AGAIN` if it takes nothing now; anything else ends the connection.
    fn send(&mut self, data: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Copies what lies `offset` bytes behind the first that was not discarded.
    ///
    /// # Errors
    /// What ended the connection.
    fn peek(&mut self, offset: u32, into: &mut [IoSliceMut<'_>]) -> io::Result<Peeked>;

    /// Drops the first `len` bytes; returns how many it did drop.
    ///
    /// # Errors
    /// What ended the connection.
    fn discard(&mut self, len: usize) -> io::Result<usize>;

    /// Nothing more will be sent.
    ///
    /// # Errors
    /// What ended the connection.
    fn finish(&mut self) -> io::Result<()>;
}
