//! A frame in memory, and everything that can be said about it without any I/O.
//!
//! The ground floor of the switch: [`Frame`] is a reused buffer with headroom, [`Offload`] is
//! what the virtio-net header says of it, and the other modules read, check, cut, join and
//! record frames. Nothing here opens a file, a socket or a thread.

pub mod checksum;
pub mod coalesce;
pub mod describe;
pub mod filter;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod mac;
pub mod offload;
pub mod pcapng;
pub mod segment;
pub mod wire;

pub use coalesce::Coalescer;
pub use describe::describe;
pub use filter::{Filter, FilterError};
pub use frame::{Frame, FrameError};
pub use mac::MacAddr;
pub use offload::{Checksum, Gso, GsoKind, Offload, OffloadError};
pub use segment::{SegmentError, Segmenter, segment};
