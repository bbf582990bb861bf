//! The words a filter knows: keywords, named constants, services and protocols.

use super::ast::{Protocol, Protocol as P};
use super::lex::Symbol;

/// Words with a meaning of their own. `len` and the like are words; `and`, `or`, `not` are symbols.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keyword {
    Protocol(Protocol),
    Src,
    Dst,
    Host,
    Net,
    Mask,
    Port,
    PortRange,
    Proto,
    Broadcast,
    Multicast,
    Less,
    Greater,
    Len,
    Vlan,
    Mpls,
    Pppoed,
    /// Known to pcap-filter(7) and not here; the text says why or what to write.
    Unsupported(&'static str),
}

pub(super) fn junction(text: &str) -> Option<Symbol> {
    Some(match text {
        "and" => Symbol::And,
        "or" => Symbol::Or,
        "not" => Symbol::Not,
        _ => return None,
    })
}

pub(super) fn keyword(text: &str) -> Option<Keyword> {
    Some(match text {
        "src" => Keyword::Src,
        "dst" => Keyword::Dst,
        "host" => Keyword::Host,
        "net" => Keyword::Net,
        "mask" => Keyword::Mask,
        "port" => Keyword::Port,
        "portrange" => Keyword::PortRange,
        "proto" => Keyword::Proto,
        "broadcast" => Keyword::Broadcast,
        "multicast" => Keyword::Multicast,
        "less" => Keyword::Less,
        "greater" => Keyword::Greater,
        "len" | "length" => Keyword::Len,
        "vlan" => Keyword::Vlan,
        "mpls" => Keyword::Mpls,
        "pppoed" => Keyword::Pppoed,
        "protochain" => Keyword::Unsupported("header chains are not followed: write proto"),
        "gateway" => {
            Keyword::Unsupported("names are not looked up: write ether host MAC and not host ADDRESS")
        }
        "inbound" | "outbound" => Keyword::Unsupported("a filter sees the frame, not the way it goes"),
        "ifindex" | "on" | "ifname" => {
            Keyword::Unsupported("a filter sees the frame, not the port: choose the port when capturing")
        }
        "pppoes" | "geneve" | "vxlan" => {
            Keyword::Unsupported("this encapsulation is not opened: test its bytes, as udp[8:4]")
        }
        "llc" => Keyword::Unsupported("write ether proto with the service access point, as ether proto 0x42"),
        "byte" => Keyword::Unsupported("write ether[N] and a comparison"),
        "type" | "subtype" | "dir" | "direction" | "addr1" | "address1" | "addr2" | "address2" | "addr3"
        | "address3" | "addr4" | "address4" | "ra" | "ta" | "radio" => {
            Keyword::Unsupported("this belongs to 802.11, the switch carries Ethernet")
        }
        "rset" | "ruleset" | "rnr" | "rulenum" | "srnr" | "subrulenum" | "reason" | "action" => {
            Keyword::Unsupported("this belongs to the log of a packet filter")
        }
        "lane" | "metac" | "bcc" | "oam" | "oamf4" | "oamf4ec" | "oamf4sc" | "sc" | "ilmic" | "vpi"
        | "vci" | "connectmsg" | "metaconnect" | "fisu" | "lssu" | "lsu" | "msu" | "hfisu" | "hlssu"
        | "hmsu" | "sio" | "opc" | "dpc" | "sls" | "hsio" | "hopc" | "hdpc" | "hsls" => {
            Keyword::Unsupported("this belongs to ATM or SS7, the switch carries Ethernet")
        }
        "l1" | "l2" | "iih" | "lsp" | "snp" | "csnp" | "psnp" => {
            Keyword::Unsupported("write isis proto with the number of the PDU type")
        }
        _ => return protocol(text).map(Keyword::Protocol),
    })
}

fn protocol(text: &str) -> Option<Protocol> {
    Some(match text {
        "ether" | "link" | "ppp" | "slip" | "fddi" | "tr" | "wlan" => P::Ether,
        "ip" => P::Ip,
        "ip6" => P::Ip6,
        "arp" => P::Arp,
        "rarp" => P::Rarp,
        "tcp" => P::Tcp,
        "udp" => P::Udp,
        "sctp" => P::Sctp,
        "icmp" => P::Icmp,
        "icmp6" => P::Icmp6,
        "igmp" => P::Igmp,
        "igrp" => P::Igrp,
        "pim" => P::Pim,
        "vrrp" => P::Vrrp,
        "carp" => P::Carp,
        "ah" => P::Ah,
        "esp" => P::Esp,
        "atalk" => P::Atalk,
        "aarp" => P::Aarp,
        "decnet" => P::Decnet,
        "lat" => P::Lat,
        "sca" => P::Sca,
        "moprc" => P::Moprc,
        "mopdl" => P::Mopdl,
        "iso" => P::Iso,
        "esis" | "es-is" => P::Esis,
        "isis" | "is-is" => P::Isis,
        "clnp" => P::Clnp,
        "stp" => P::Stp,
        "ipx" => P::Ipx,
        "netbeui" => P::Netbeui,
        _ => return None,
    })
}

/// Names of offsets, message types and flags.
pub(super) fn constant(text: &str) -> Option<u32> {
    Some(match text {
        "icmptype" | "icmp6type" | "icmp-echoreply" => 0,
        "icmpcode" | "icmp6code" | "icmp6-destinationunreach" | "tcp-fin" => 1,
        "icmp6-packettoobig" | "tcp-syn" => 2,
        "icmp-unreach" | "icmp6-timeexceeded" => 3,
        "icmp-sourcequench" | "icmp6-parameterproblem" | "tcp-rst" => 4,
        "icmp-redirect" => 5,
        "icmp-echo" | "tcp-push" => 8,
        "icmp-routeradvert" => 9,
        "icmp-routersolicit" => 10,
        "icmp-timxceed" => 11,
        "icmp-paramprob" => 12,
        "icmp-tstamp" | "tcpflags" => 13,
        "icmp-tstampreply" => 14,
        "icmp-ireq" => 15,
        "icmp-ireqreply" | "tcp-ack" => 16,
        "icmp-maskreq" => 17,
        "icmp-maskreply" => 18,
        "tcp-urg" => 0x20,
        "tcp-ece" => 0x40,
        "icmp6-echo" | "tcp-cwr" => 128,
        "icmp6-echoreply" => 129,
        "icmp6-multicastlistenerquery" => 130,
        "icmp6-multicastlistenerreportv1" => 131,
        "icmp6-multicastlistenerdone" => 132,
        "icmp6-routersolicit" => 133,
        "icmp6-routeradvert" => 134,
        "icmp6-neighborsolicit" => 135,
        "icmp6-neighboradvert" => 136,
        "icmp6-redirect" => 137,
        "icmp6-routerrenum" => 138,
        "icmp6-nodeinformationquery" => 139,
        "icmp6-nodeinformationresponse" => 140,
        "icmp6-ineighbordiscoverysolicit" => 141,
        "icmp6-ineighbordiscoveryadvert" => 142,
        "icmp6-multicastlistenerreportv2" => 143,
        "icmp6-homeagentdiscoveryrequest" => 144,
        "icmp6-homeagentdiscoveryreply" => 145,
        "icmp6-mobileprefixsolicit" => 146,
        "icmp6-mobileprefixadvert" => 147,
        "icmp6-certpathsolicit" => 148,
        "icmp6-certpathadvert" => 149,
        "icmp6-multicastrouteradvert" => 151,
        "icmp6-multicastroutersolicit" => 152,
        "icmp6-multicastrouterterm" => 153,
        _ => return None,
    })
}

/// The transports a service is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Registered {
    Tcp,
    Udp,
    Both,
}

/// Port and transports of a service that is well known on container networks.
pub(super) fn service(name: &str) -> Option<(u16, Registered)> {
    use Registered::{Both, Tcp, Udp};
    Some(match name {
        "echo" => (7, Both),
        "discard" => (9, Both),
        "daytime" => (13, Both),
        "ftp-data" => (20, Tcp),
        "ftp" => (21, Tcp),
        "ssh" => (22, Tcp),
        "telnet" => (23, Tcp),
        "smtp" | "mail" => (25, Tcp),
        "domain" => (53, Both),
        "bootps" => (67, Udp),
        "bootpc" => (68, Udp),
        "tftp" => (69, Udp),
        "http" | "www" => (80, Tcp),
        "kerberos" => (88, Both),
        "pop3" => (110, Tcp),
        "sunrpc" | "portmapper" => (111, Both),
        "ntp" => (123, Udp),
        "netbios-ns" => (137, Udp),
        "netbios-dgm" => (138, Udp),
        "netbios-ssn" => (139, Tcp),
        "imap2" | "imap" => (143, Tcp),
        "snmp" => (161, Both),
        "snmp-trap" | "snmptrap" => (162, Both),
        "bgp" => (179, Tcp),
        "ldap" => (389, Both),
        "https" => (443, Both),
        "microsoft-ds" => (445, Tcp),
        "isakmp" => (500, Udp),
        "syslog" => (514, Udp),
        "dhcpv6-client" => (546, Udp),
        "dhcpv6-server" => (547, Udp),
        "submission" => (587, Tcp),
        "ldaps" => (636, Both),
        "domain-s" => (853, Both),
        "imaps" => (993, Tcp),
        "pop3s" => (995, Tcp),
        "nfs" => (2049, Both),
        "mysql" => (3306, Tcp),
        "postgresql" | "postgres" => (5432, Tcp),
        "mdns" => (5353, Udp),
        "sip" => (5060, Both),
        _ => return None,
    })
}

/// Number of a protocol over IP, as in the assigned Internet protocol numbers.
pub(super) fn ip_protocol(name: &str) -> Option<u32> {
    Some(match name {
        "icmp" => 1,
        "igmp" => 2,
        "ipencap" => 4,
        "tcp" => 6,
        "igp" => 9,
        "udp" => 17,
        "ipv6" => 41,
        "ipv6-route" => 43,
        "ipv6-frag" => 44,
        "gre" => 47,
        "esp" | "ipsec-esp" => 50,
        "ah" | "ipsec-ah" => 51,
        "ipv6-icmp" => 58,
        "ipv6-nonxt" => 59,
        "ipv6-opts" => 60,
        "ospf" => 89,
        "pim" => 103,
        "vrrp" => 112,
        "l2tp" => 115,
        "sctp" => 132,
        "udplite" => 136,
        _ => return None,
    })
}

/// Ethertype, or service access point of 802.2, of a protocol over Ethernet.
pub(super) fn ether_protocol(name: &str) -> Option<u32> {
    Some(match name {
        "loopback" => 0x9000,
        "ip" => P::IP,
        "ip6" => P::IP6,
        "arp" => 0x0806,
        "rarp" => 0x8035,
        "aarp" => P::AARP,
        "atalk" => P::ATALK,
        "decnet" => 0x6003,
        "lat" => 0x6004,
        "sca" => 0x6007,
        "mopdl" => 0x6001,
        "moprc" => 0x6002,
        "iso" => P::SAP_ISO,
        "stp" => P::SAP_STP,
        "ipx" => P::SAP_IPX,
        "netbeui" => P::SAP_NETBEUI,
        _ => return None,
    })
}

/// Network layer protocol identifier of an OSI protocol.
pub(super) fn iso_protocol(name: &str) -> Option<u32> {
    Some(match name {
        "clnp" => 0x81,
        "esis" => 0x82,
        "isis" => 0x83,
        _ => return None,
    })
}
