//! What epoll events and timers carry to say whose they are.

/// Whose an event or a timer is. Every protocol has its own kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The engine's timer descriptor.
    Clock = 0,
    /// A TCP flow.
    Tcp = 1,
    /// A published TCP port.
    TcpListener = 2,
    /// The socket of a UDP mapping, published or not.
    Udp = 3,
    /// A UDP session.
    UdpSession = 4,
    /// The socket of an echo's identifier.
    Echo = 5,
    /// An echo session.
    EchoSession = 6,
    /// The raw socket of IPv4, index 0, or IPv6, index 1.
    Raw = 7,
    /// Packets of which fragments are missing.
    Fragments = 8,
}

/// A kind, and which of that kind: an index with a generation, so that an event for what is gone
/// does not meet what has its place now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// The low 24 bits count.
    pub(crate) generation: u32,
    pub(crate) index: u32,
}

impl Token {
    /// The token as epoll and the timing wheel keep it.
    pub(crate) const fn pack(self) -> u64 {
        ((self.kind as u64) << 56) | (((self.generation & 0xff_ffff) as u64) << 32) | self.index as u64
    }

    /// The inverse of [`Token::pack`].
    pub(crate) const fn unpack(word: u64) -> Option<Self> {
        let kind = match word >> 56 {
            0 => Kind::Clock,
            1 => Kind::Tcp,
            2 => Kind::TcpListener,
            3 => Kind::Udp,
            4 => Kind::UdpSession,
            5 => Kind::Echo,
            6 => Kind::EchoSession,
            7 => Kind::Raw,
            8 => Kind::Fragments,
            _ => return None,
        };
        Some(Self { kind, generation: (word >> 32) as u32 & 0xff_ffff, index: word as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        let tcp = [Kind::Clock, Kind::Tcp, Kind::TcpListener];
        let others = [Kind::Udp, Kind::UdpSession, Kind::Echo, Kind::EchoSession, Kind::Raw, Kind::Fragments];
        for kind in tcp.into_iter().chain(others) {
            let token = Token { kind, generation: 0xff_fffe, index: u32::MAX - 1 };
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
