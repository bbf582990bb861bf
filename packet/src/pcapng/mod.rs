//! Captures in the pcapng format (draft-ietf-opsawg-pcapng), written and read without any I/O.
//!
//! Writing appends whole blocks to a `Vec<u8>`, always little endian and always with nanosecond
//! time stamps. Reading takes bytes as they come, in either byte order, and gives blocks back.

mod block;
mod options;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use block::{Block, Direction, Interface, Packet, Section, Statistics};
pub use read::{MAX_BLOCK_LEN, MAX_INTERFACES, PcapngError, Reader};
pub use write::{write_interface, write_packet, write_section, write_statistics};

/// LINKTYPE_ETHERNET of the link type registry (draft-ietf-opsawg-pcaplinktype).
pub const LINKTYPE_ETHERNET: u16 = 1;

/// Block type and option code numbers of draft-ietf-opsawg-pcapng, sections 3.5 and 4.
mod code {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const OBSOLETE_PACKET: u32 = 2;
    pub(super) const SIMPLE_PACKET: u32 = 3;
    pub(super) const STATISTICS: u32 = 5;
    pub(super) const ENHANCED_PACKET: u32 = 6;

    pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
    pub(super) const VERSION: (u16, u16) = (1, 0);

    pub(super) const OPT_END: u16 = 0;
    pub(super) const OPT_COMMENT: u16 = 1;
    pub(super) const SHB_HARDWARE: u16 = 2;
    pub(super) const SHB_OS: u16 = 3;
    pub(super) const SHB_USERAPPL: u16 = 4;
    pub(super) const IF_NAME: u16 = 2;
    pub(super) const IF_DESCRIPTION: u16 = 3;
    pub(super) const IF_TSRESOL: u16 = 9;
    pub(super) const IF_FILTER: u16 = 11;
    pub(super) const IF_TSOFFSET: u16 = 14;
    pub(super) const EPB_FLAGS: u16 = 2;
    pub(super) const ISB_IFRECV: u16 = 4;
    pub(super) const ISB_IFDROP: u16 = 5;
}
