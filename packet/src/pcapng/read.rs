//! A reader that is fed bytes and gives blocks, and believes no length.

use super::block::{Block, Direction, Interface, Packet, Section, Statistics};
use super::code;
use super::options::{Body, Endian};

/// The longest block that is read: 16 MiB, as in Wireshark.
pub const MAX_BLOCK_LEN: u32 = 16 << 20;

/// The most interfaces of one section.
pub const MAX_INTERFACES: usize = 1 << 16;

/// The shortest block: type, length, length.
const MIN_BLOCK_LEN: u32 = 12;

/// Why bytes are not a capture. The reader stops there for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PcapngError {
    /// The first block is not a Section Header Block.
    #[error("not a pcapng capture: it starts with block type {0:#010x} instead of a section header")]
    NotPcapng(u32),
    /// The byte-order magic of a section is neither way round.
    #[error("pcapng section with byte-order magic {0:#010x}")]
    ByteOrder(u32),
    /// A major version other than 1.
    #[error("pcapng version {0}.{1} is not known, only 1.x")]
    Version(u16, u16),
    /// A block length that is no multiple of 4, too small or above [`MAX_BLOCK_LEN`].
    #[error("pcapng block of type {kind:#x} with impossible length {len}")]
    BlockLength {
        /// The block type.
        kind: u32,
        /// Its length field.
        len: u32,
    },
    /// The lengths before and after a block differ.
    #[error("pcapng block of type {kind:#x} is {len} bytes long at its start and {trailer} at its end")]
    TrailerMismatch {
        /// The block type.
        kind: u32,
        /// The length in front.
        len: u32,
        /// The length behind.
        trailer: u32,
    },
    /// A field, an option or the packet's data reaches past the end of its block.
    #[error("pcapng block of type {kind:#x} ends inside a field")]
    TruncatedBody {
        /// The block type.
        kind: u32,
    },
    /// An option whose value has a fixed size has another.
    #[error("option {code} of a pcapng block of type {kind:#x} has {len} bytes")]
    OptionLength {
        /// The block type.
        kind: u32,
        /// The option code.
        code: u16,
        /// Bytes of its value.
        len: usize,
    },
    /// `if_tsresol` finer than 64 bits can hold.
    #[error("pcapng time stamp resolution {0:#04x} is out of range")]
    Resolution(u8),
    /// A packet of an interface that was not described.
    #[error("pcapng interface {0} was not described")]
    NoInterface(u32),
    /// More than [`MAX_INTERFACES`].
    #[error("more than {MAX_INTERFACES} interfaces in a pcapng section")]
    TooManyInterfaces,
}

/// How an interface counts time, and where it cuts.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Ticks in a second.
    per_second: u64,
    /// Seconds to add.
    offset: i64,
    snaplen: u32,
}

impl Clock {
    fn nanoseconds(self, ticks: u64) -> u64 {
        let scaled = u128::from(ticks) * 1_000_000_000 / u128::from(self.per_second.max(1));
        let offset = i128::from(self.offset) * 1_000_000_000;
        let total = i128::try_from(scaled).unwrap_or(i128::MAX).saturating_add(offset);
        u64::try_from(total.max(0)).unwrap_or(u64::MAX)
    }
}

/// A streaming reader: [`Reader::feed`] bytes in pieces of any size, take blocks with
/// [`Reader::next_block`] until it gives `None`.
#[derive(Debug, Default)]
pub struct Reader {
    buf: Vec<u8>,
    /// Bytes at the front of `buf` that were given out.
    used: usize,
    endian: Option<Endian>,
    clocks: Vec<Clock>,
}

impl Reader {
    /// A reader before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the capture.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.drain(..self.used);
        self.used = 0;
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes fed and not yet given out; at the end of a capture more than 0 means it was cut.
    pub fn pending(&self) -> usize {
        self.buf.len() - self.used
    }

    /// The next complete block, `None` until more bytes are fed.
    ///
    /// # Errors
    /// [`PcapngError`], the same one at every further call.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, PcapngError> {
        let Self { buf, used, endian, clocks } = self;
        let rest = buf.get(*used..).unwrap_or_default();
        let Some((kind, section_endian, len)) = frame_block(rest, *endian)? else {
            return Ok(None);
        };
        let Some(block) = rest.get(..len as usize) else {
            return Ok(None);
        };
        let (Some(body), Some(trailer)) = (block.get(8..block.len() - 4), block.last_chunk::<4>()) else {
            return Err(PcapngError::BlockLength { kind, len });
        };
        let trailer = section_endian.u32(*trailer);
        if trailer != len {
            return Err(PcapngError::TrailerMismatch { kind, len, trailer });
        }
        let parsed = parse(kind, Body::new(body, section_endian, kind), clocks)?;
        *endian = Some(section_endian);
        *used += block.len();
        Ok(Some(parsed))
    }
}

/// Type, byte order and total length of the block at the front of `rest`, if that much is there.
fn frame_block(rest: &[u8], endian: Option<Endian>) -> Result<Option<(u32, Endian, u32)>, PcapngError> {
    let Some((kind_bytes, after)) = rest.split_first_chunk::<4>() else {
        return Ok(None);
    };
    // The section header's type reads the same in both byte orders.
    let is_section = u32::from_le_bytes(*kind_bytes) == code::SECTION;
    let endian = match endian {
        _ if is_section => {
            let Some(magic) = after.get(4..).and_then(|magic| magic.first_chunk::<4>()) else {
                return Ok(None);
            };
            match u32::from_le_bytes(*magic) {
                code::BYTE_ORDER_MAGIC => Endian::Little,
                magic if magic.swap_bytes() == code::BYTE_ORDER_MAGIC => Endian::Big,
                magic => return Err(PcapngError::ByteOrder(magic)),
            }
        }
        None => return Err(PcapngError::NotPcapng(u32::from_le_bytes(*kind_bytes))),
        Some(endian) => endian,
    };
    let Some(len_bytes) = after.first_chunk::<4>() else {
        return Ok(None);
    };
    let kind = endian.u32(*kind_bytes);
    let len = endian.u32(*len_bytes);
    if !(MIN_BLOCK_LEN..=MAX_BLOCK_LEN).contains(&len) || !len.is_multiple_of(4) {
        return Err(PcapngError::BlockLength { kind, len });
    }
    Ok(Some((kind, endian, len)))
}

fn parse<'a>(kind: u32, body: Body<'a>, clocks: &mut Vec<Clock>) -> Result<Block<'a>, PcapngError> {
    match kind {
        code::SECTION => {
            let section = parse_section(body)?;
            clocks.clear();
            Ok(Block::Section(section))
        }
        code::INTERFACE => {
            if clocks.len() == MAX_INTERFACES {
                return Err(PcapngError::TooManyInterfaces);
            }
            let (interface, clock) = parse_interface(body)?;
            clocks.push(clock);
            Ok(Block::Interface(interface))
        }
        code::ENHANCED_PACKET => parse_packet(body, clocks, false).map(Block::Packet),
        code::OBSOLETE_PACKET => parse_packet(body, clocks, true).map(Block::Packet),
        code::SIMPLE_PACKET => parse_simple(body, clocks).map(Block::Packet),
        code::STATISTICS => parse_statistics(body, clocks).map(Block::Statistics),
        kind => Ok(Block::Other { kind }),
    }
}

fn parse_section(mut body: Body<'_>) -> Result<Section<'_>, PcapngError> {
    body.take(4)?;
    let (major, minor) = (body.u16()?, body.u16()?);
    if major != code::VERSION.0 {
        return Err(PcapngError::Version(major, minor));
    }
    body.take(8)?;
    let mut section = Section::default();
    while let Some(option) = body.option()? {
        match option.code {
            code::SHB_HARDWARE => section.hardware = Some(option.text()),
            code::SHB_OS => section.os = Some(option.text()),
            code::SHB_USERAPPL => section.application = Some(option.text()),
            _ => {}
        }
    }
    Ok(section)
}

fn parse_interface(mut body: Body<'_>) -> Result<(Interface<'_>, Clock), PcapngError> {
    let link_type = body.u16()?;
    body.take(2)?;
    let snaplen = body.u32()?;
    let mut interface = Interface { link_type, snaplen, name: None, description: None, filter: None };
    let mut clock = Clock { per_second: 1_000_000, offset: 0, snaplen };
    while let Some(option) = body.option()? {
        match option.code {
            code::IF_NAME => interface.name = Some(option.text()),
            code::IF_DESCRIPTION => interface.description = Some(option.text()),
            code::IF_FILTER => interface.filter = option.text().strip_prefix('\0'),
            code::IF_TSRESOL => clock.per_second = ticks_per_second(option.u8()?)?,
            code::IF_TSOFFSET => clock.offset = option.u64()?.cast_signed(),
            _ => {}
        }
    }
    Ok((interface, clock))
}

/// `if_tsresol`: a negative power of 10, or of 2 where the top bit is set.
fn ticks_per_second(resolution: u8) -> Result<u64, PcapngError> {
    let exponent = u32::from(resolution & 0x7f);
    let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(exponent).ok_or(PcapngError::Resolution(resolution))
}

fn clock(clocks: &[Clock], interface: u32) -> Result<Clock, PcapngError> {
    clocks.get(interface as usize).copied().ok_or(PcapngError::NoInterface(interface))
}

/// Enhanced Packet Block, or the obsolete one: its interface has 16 bits, then a drop count.
fn parse_packet<'a>(mut body: Body<'a>, clocks: &[Clock], obsolete: bool) -> Result<Packet<'a>, PcapngError> {
    let interface = if obsolete {
        let interface = body.u16()?;
        body.take(2)?;
        u32::from(interface)
    } else {
        body.u32()?
    };
    let clock = clock(clocks, interface)?;
    let timestamp = clock.nanoseconds(body.timestamp()?);
    let captured = body.u32()?;
    let original_len = body.u32()?.max(captured);
    let data = body.take_padded(captured as usize)?;
    let mut packet =
        Packet { interface, timestamp, data, original_len, direction: Direction::Unknown, comment: None };
    while let Some(option) = body.option()? {
        match option.code {
            code::OPT_COMMENT if packet.comment.is_none() => packet.comment = Some(option.text()),
            code::EPB_FLAGS => {
                packet.direction = match option.u32()? & 3 {
                    1 => Direction::Inbound,
                    2 => Direction::Outbound,
                    _ => Direction::Unknown,
                }
            }
            _ => {}
        }
    }
    Ok(packet)
}

/// Simple Packet Block: the first interface, no time, cut at the interface's snaplen.
fn parse_simple<'a>(mut body: Body<'a>, clocks: &[Clock]) -> Result<Packet<'a>, PcapngError> {
    let clock = clock(clocks, 0)?;
    let original_len = body.u32()?;
    let captured = if clock.snaplen == 0 { original_len } else { original_len.min(clock.snaplen) };
    let data = body.take(captured as usize)?;
    Ok(Packet {
        interface: 0,
        timestamp: 0,
        data,
        original_len,
        direction: Direction::Unknown,
        comment: None,
    })
}

fn parse_statistics(mut body: Body<'_>, clocks: &[Clock]) -> Result<Statistics, PcapngError> {
    let interface = body.u32()?;
    let clock = clock(clocks, interface)?;
    let timestamp = clock.nanoseconds(body.timestamp()?);
    let mut statistics = Statistics { interface, timestamp, received: None, dropped: None };
    while let Some(option) = body.option()? {
        match option.code {
            code::ISB_IFRECV => statistics.received = Some(option.u64()?),
            code::ISB_IFDROP => statistics.dropped = Some(option.u64()?),
            _ => {}
        }
    }
    Ok(statistics)
}
