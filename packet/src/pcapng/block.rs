//! What the blocks say, the same for writing and for reading.

/// Section Header Block: what wrote the capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Section<'a> {
    /// `shb_hardware`: the machine.
    pub hardware: Option<&'a str>,
    /// `shb_os`: the operating system.
    pub os: Option<&'a str>,
    /// `shb_userappl`: the program and its version.
    pub application: Option<&'a str>,
}

/// Interface Description Block. Packets name it by its place among those of the section, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface<'a> {
    /// The link type; [`super::LINKTYPE_ETHERNET`] for every port of a switch.
    pub link_type: u16,
    /// Most bytes kept of a packet; 0 is no limit. libpcap reads a section only if all its
    /// interfaces have the same.
    pub snaplen: u32,
    /// `if_name`.
    pub name: Option<&'a str>,
    /// `if_description`.
    pub description: Option<&'a str>,
    /// `if_filter` as text: the filter the packets passed.
    pub filter: Option<&'a str>,
}

impl<'a> Interface<'a> {
    /// An Ethernet interface of that name that keeps whole frames.
    pub const fn ethernet(name: &'a str) -> Self {
        Self {
            link_type: super::LINKTYPE_ETHERNET,
            snaplen: 0,
            name: Some(name),
            description: None,
            filter: None,
        }
    }
}

/// The way a packet went, seen from the interface (bits 0 and 1 of `epb_flags`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Direction {
    /// The capture does not say.
    #[default]
    Unknown,
    /// Received by the interface.
    Inbound,
    /// Sent by the interface.
    Outbound,
}

/// One captured packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Which interface of the section, from 0.
    pub interface: u32,
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub timestamp: u64,
    /// The bytes that were kept.
    pub data: &'a [u8],
    /// Bytes the packet had before it was cut, at least `data.len()`.
    pub original_len: u32,
    /// The way it went.
    pub direction: Direction,
    /// `opt_comment`, for instance why it was dropped.
    pub comment: Option<&'a str>,
}

/// Interface Statistics Block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Which interface of the section, from 0.
    pub interface: u32,
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub timestamp: u64,
    /// `isb_ifrecv`: packets the interface saw.
    pub received: Option<u64>,
    /// `isb_ifdrop`: packets the capture lost for want of room.
    pub dropped: Option<u64>,
}

/// One block of a capture, as [`super::Reader::next_block`] gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Block<'a> {
    /// A new section: interfaces are numbered from 0 again.
    Section(Section<'a>),
    /// The next interface of the section.
    Interface(Interface<'a>),
    /// An enhanced, simple or (obsolete) packet block.
    Packet(Packet<'a>),
    /// Counters of an interface.
    Statistics(Statistics),
    /// A well-formed block of another type, its body not looked at.
    Other {
        /// The block type.
        kind: u32,
    },
}
