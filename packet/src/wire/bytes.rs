//! Reading and writing big-endian fields by offset, never past the end.
//!
//! A read outside gives zero and a write outside does nothing. The views check their lengths
//! first, so that this only ever shows where a setter contradicted the bytes later.

#[inline]
pub(crate) fn array_at<const N: usize>(b: &[u8], at: usize) -> [u8; N] {
    b.get(at..).and_then(|b| b.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[inline]
pub(crate) fn u8_at(b: &[u8], at: usize) -> u8 {
    b.get(at).copied().unwrap_or(0)
}

#[inline]
pub(crate) fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array_at(b, at))
}

#[inline]
pub(crate) fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(b, at))
}

/// The bytes `from..to`, as far as they are there.
#[inline]
pub(crate) fn slice(b: &[u8], from: usize, to: usize) -> &[u8] {
    b.get(from..to.min(b.len())).unwrap_or(&[])
}

/// [`slice()`], to change in place.
#[inline]
pub(crate) fn slice_mut(b: &mut [u8], from: usize, to: usize) -> &mut [u8] {
    let to = to.min(b.len());
    b.get_mut(from..to).unwrap_or(&mut [])
}

#[inline]
pub(crate) fn put<const N: usize>(b: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = b.get_mut(at..).and_then(|b| b.first_chunk_mut::<N>()) {
        *field = value;
    }
}

/// Splits the first option off a list as IPv4 and TCP have it: kind 0 ends the list, kind 1
/// is a single byte, all others count their own two bytes in their length.
pub(super) fn next_option(options: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    match options {
        [] | [0, ..] => None,
        [1, rest @ ..] => Some((1, &[], rest)),
        [kind, len, ..] => {
            let (option, rest) = options.split_at_checked(usize::from(*len))?;
            Some((*kind, option.get(2..)?, rest))
        }
        [_] => None,
    }
}
