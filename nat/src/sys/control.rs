//! Control messages of `sendmsg` and `recvmsg` (cmsg(3)), written and read as plain bytes.

/// Bytes of `struct cmsghdr`: a length, a level and a type.
const HEADER: usize = size_of::<libc::cmsghdr>();
/// Where the level stands in it.
const LEVEL: usize = size_of::<usize>();

/// The next multiple of what control messages are aligned to.
const fn align(len: usize) -> usize {
    len.next_multiple_of(size_of::<usize>())
}

/// Room for `N` bytes of control messages.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Control<N> {
    pub(super) const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Appends a message; one that finds no room is left out.
    pub(super) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let (total, from) = (HEADER + data.len(), self.len);
        let Some(room) = self.bytes.get_mut(from..from + align(total)) else { return };
        let (header, body) = room.split_at_mut(HEADER);
        let (len, level_and_kind) = header.split_at_mut(LEVEL);
        len.copy_from_slice(&total.to_ne_bytes());
        for (to, word) in level_and_kind.chunks_exact_mut(4).zip([level, kind]) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        for (to, byte) in body.iter_mut().zip(data) {
            *to = *byte;
        }
        self.len += align(total);
    }

    pub(super) const fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    /// Bytes of all messages.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The first `len` bytes were written from elsewhere.
    pub(super) fn messages(&self, len: usize) -> Messages<'_> {
        Messages { rest: self.bytes.get(..len.min(N)).unwrap_or(&[]) }
    }
}

/// The messages in what a socket has filled in, as level, type and data. Ends at the first that
/// is not whole.
#[derive(Debug)]
pub(super) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = (i32, i32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from_ne_bytes(*self.rest.first_chunk()?);
        let level = i32::from_ne_bytes(*self.rest.get(LEVEL..)?.first_chunk()?);
        let kind = i32::from_ne_bytes(*self.rest.get(LEVEL + 4..)?.first_chunk()?);
        let data = self.rest.get(HEADER..len)?;
        self.rest = self.rest.get(align(len)..).unwrap_or(&[]);
        Some((level, kind, data))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_come_back_as_they_went(
            messages in prop::collection::vec((any::<i32>(), any::<i32>(), prop::collection::vec(any::<u8>(), 0..20)), 0..4),
        ) {
            let mut control = Control::<192>::EMPTY;
            for (level, kind, data) in &messages {
                control.push(*level, *kind, data);
            }
            let read: Vec<_> = control.messages(control.len()).map(|(l, k, d)| (l, k, d.to_vec())).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut control = Control::<64>::EMPTY;
            control.bytes[..bytes.len()].copy_from_slice(&bytes);
            prop_assert!(control.messages(bytes.len()).count() <= 4);
        }
    }

    #[test]
    fn what_finds_no_room_is_left_out() {
        let mut control = Control::<32>::EMPTY;
        control.push(1, 2, &[3; 4]);
        control.push(4, 5, &[6; 4]);
        assert_eq!(control.messages(32).count(), 1);
    }
}
