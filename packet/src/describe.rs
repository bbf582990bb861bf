//! One readable line for a frame.

use std::fmt::Write as _;

use crate::{MacAddr, Offload};

/// A line that says what `frame` is, much as `tcpdump -e -n` does, without a line end.
/// On a super-frame the sizes of its segments follow.
pub fn describe(frame: &[u8], offload: Offload) -> String {
    let mut line = String::new();
    let Some((header, _)) = frame.split_first_chunk::<14>() else {
        return format!("truncated, {} bytes", frame.len());
    };
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ..] = *header;
    let (to, from) = (MacAddr([d0, d1, d2, d3, d4, d5]), MacAddr([s0, s1, s2, s3, s4, s5]));
    let _ = write!(line, "{from} > {to}, {} bytes", frame.len());
    if let Some(gso) = offload.gso {
        let _ = write!(line, " (gso {})", gso.size);
    }
    line
}
