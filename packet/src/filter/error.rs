//! What is wrong with a filter expression, and where.

use super::{MAX_DEPTH, MAX_INSTRUCTIONS, MAX_STACK, MAX_TEXT};

/// Why an expression is no filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("filter, at \"{word}\" (character {}): {problem}", .offset + 1)]
pub struct FilterError {
    /// Bytes of the expression before the word.
    pub offset: usize,
    /// The word, empty at the end of the expression.
    pub word: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a word, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The expression has too many bytes.
    #[error("the expression is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// Parentheses, `not`, signs or indices inside each other.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More tests than a program may have.
    #[error(
        "the expression compiles to more than {MAX_INSTRUCTIONS} instructions: test a net instead of many hosts"
    )]
    TooManyInstructions,
    /// An arithmetic expression that needs too many intermediate values at once.
    #[error("the arithmetic needs more than {MAX_STACK} intermediate values at once")]
    StackTooDeep,
    /// A character no word starts with.
    #[error("this character has no meaning in a filter")]
    Character,
    /// Digits that are no number of 32 bits.
    #[error("not a number of 32 bits: write decimal, 0x and hexadecimal, or 0 and octal digits")]
    Number,
    /// Something else had to stand here.
    #[error("expected {0} here")]
    Expected(&'static str),
    /// A value to which no earlier qualifier applies.
    #[error("say what this is: write host, net, port, portrange or proto in front of it")]
    Unqualified,
    /// A word that means nothing.
    #[error("unknown word: a filter is made of words such as host, net, port, tcp, vlan, and, or, not")]
    UnknownWord,
    /// A host or network by name.
    #[error("names of hosts and networks are not looked up: write the address")]
    Name,
    /// Not an IPv4 address.
    #[error("not an IPv4 address: write four numbers from 0 to 255, as 172.17.0.2")]
    Ipv4,
    /// A port that is neither a number nor a known service.
    #[error("unknown port: write a number from 0 to 65535 or a name such as http, https, domain, ssh")]
    Port,
    /// Two ports after `port`.
    #[error("this is a range of ports: write portrange in front of it")]
    RangeAsPort,
    /// Not two ports.
    #[error("not a range of ports: write the first and the last joined by -, as 8000-8080")]
    PortRange,
    /// A service that the transport asked for does not have.
    #[error("this service does not use {0}: write its port number")]
    Transport(&'static str),
    /// A protocol that is neither a number nor a known name.
    #[error("unknown protocol: write its number or a name such as \\tcp, \\udp, \\icmp, \\ip, \\arp")]
    Protocol,
    /// Address bits outside of the mask.
    #[error("the address has bits outside of its mask: write {0}")]
    NonNetworkBits(String),
    /// A prefix longer than an address.
    #[error("a prefix has at most {0} bits")]
    PrefixLength(u32),
    /// A mask on something that is not a net.
    #[error("only a net has a mask: write net in front of it")]
    MaskNeedsNet,
    /// A MAC address without `ether`.
    #[error("this is a MAC address: write ether host, ether src or ether dst in front of it")]
    MacNeedsEther,
    /// `ether` with something else than a MAC address.
    #[error("not a MAC address: write six hexadecimal bytes, as 02:42:ac:11:00:02")]
    EtherNeedsMac,
    /// A qualifier in front of a value of another kind.
    #[error("\"{qualifier}\" does not go with {value}: {hint}")]
    Qualifier {
        /// The qualifier.
        qualifier: &'static str,
        /// What it stands in front of.
        value: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// `proto[..]` of a size other than 1, 2 or 4.
    #[error("an access has 1, 2 or 4 bytes: write as tcp[4:4]")]
    AccessSize,
    /// `proto[..]` of a protocol whose header has no known place.
    #[error(
        "the bytes of this protocol cannot be accessed: count from ether, ip, ip6, arp, tcp, udp, icmp or icmp6"
    )]
    NoAccess,
    /// Division by a constant 0.
    #[error("division by zero")]
    DivisionByZero,
    /// A shift by a constant above 31.
    #[error("a number of 32 bits is shifted by at most 31")]
    Shift,
    /// A VLAN identifier, label or other number that has not enough bits.
    #[error("this number is at most {0}")]
    AtMost(u32),
    /// Behind `mpls` only IP can be told apart.
    #[error("after mpls only ip and ip6, and what they carry, can be tested")]
    AfterMpls,
    /// A `)` too many, or one missing.
    #[error("parentheses do not match")]
    Parentheses,
    /// Two primitives with nothing between them.
    #[error("write and, or, && or || in front of it")]
    Junction,
    /// A part of pcap-filter(7) that makes no sense here or is not there.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}
