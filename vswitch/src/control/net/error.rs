//! What the network model refuses, in the words of Docker Engine 20.10 where it has some.

use std::net::IpAddr;

use ipnet::IpNet;

/// The kind of a refusal, from which the API takes its status code.
///
/// Docker 20.10 leaves some refusals of bad input without a class and so answers 500; later
/// versions answer 400 to them, and so does this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request makes no sense: 400.
    Invalid,
    /// It makes sense and is not allowed: 403.
    Forbidden,
    /// Something it needs is not there: 404.
    NotFound,
    /// Somebody has it already: 409.
    Conflict,
}

/// Why a network cannot be as asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// There is no body.
    #[error("got EOF while reading request body")]
    EmptyBody,
    /// The body is not the JSON of a request.
    #[error("{0}")]
    Body(String),
    /// The name is empty or has other characters than names may have.
    #[error("invalid name: {0}")]
    Name(String),
    /// The name is that of a network that is always there.
    #[error("operation is not permitted on predefined {0} network")]
    Predefined(String),
    /// A network of the name exists.
    #[error("network with name {0} already exists")]
    NameTaken(String),
    /// No driver of the name, for networks or for addresses.
    #[error("plugin {0:?} not found")]
    NoDriver(String),
    /// The driver's only network exists from the start.
    #[error("only one instance of \"{0}\" network is allowed")]
    OnlyOne(&'static str),
    /// A scope the driver has no store for.
    #[error("datastore for scope {0:?} is not initialized")]
    Scope(String),
    /// A driver whose networks span hosts was asked for a local one.
    #[error("cannot downgrade network scope for {0} networks")]
    ScopeDowngrade(&'static str),
    /// There is no swarm.
    #[error("cannot create a swarm scoped network when swarm is not active")]
    ScopeSwarm,
    /// An ingress network on a local driver.
    #[error("Ingress network can only be global scope network")]
    Ingress,
    /// A configuration-only network with what only real ones have.
    #[error(
        "configuration network can only contain network specific fields. Network operator fields like \
         [ ingress | internal | attachable | scope ] are not supported."
    )]
    ConfigOnlyFields,
    /// A configuration-only network from another.
    #[error("a configuration network cannot depend on another configuration network")]
    ConfigOnlyFrom,
    /// A network from a configuration, with a configuration of its own.
    #[error(
        "user specified configurations are not supported if the network depends on a configuration network"
    )]
    ConfigFromFields,
    /// A network from a configuration, with driver options of its own.
    #[error("network driver options are not supported if the network depends on a configuration network")]
    ConfigFromOptions,
    /// There is no configuration-only network of the name.
    #[error("configuration network {0:?} does not exist")]
    NoConfig(String),
    /// Not a subnet.
    #[error("Invalid subnet {0} : invalid CIDR address: {0}")]
    Subnet(String),
    /// Addresses that no host has: loopback (RFC 1122, RFC 4291) and multicast.
    #[error("Invalid subnet {0} : loopback and multicast addresses are not for hosts of a network")]
    SubnetOfNoHosts(IpNet),
    /// Not a range of addresses.
    #[error(
        "failed to parse pool request for address space {space:?} pool \"{subnet}\" subpool {range:?}: \
         Invalid Address SubPool"
    )]
    IpRange {
        /// Docker's word for the scope.
        space: &'static str,
        /// The subnet.
        subnet: IpNet,
        /// What was given.
        range: String,
    },
    /// The range is larger than the subnet.
    #[error("invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}")]
    IpRangeBigger {
        /// The range.
        range: IpNet,
        /// The subnet.
        subnet: IpNet,
    },
    /// The range is elsewhere.
    #[error("invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range")]
    IpRangeOutside {
        /// The range.
        range: IpNet,
        /// The subnet.
        subnet: IpNet,
    },
    /// Not an address.
    #[error("invalid gateway address {0} in Ipam configuration")]
    Gateway(String),
    /// The gateway cannot be had.
    #[error("failed to allocate gateway ({given}): {error}")]
    GatewayAddress {
        /// What was given; empty if nothing was.
        given: String,
        /// Why.
        error: PoolError,
    },
    /// Not an address.
    #[error("non parsable secondary ip address ({key}:{value}) passed for network {network}")]
    Aux {
        /// Its name.
        key: String,
        /// What was given.
        value: String,
        /// The network.
        network: String,
    },
    /// The auxiliary address is not in the subnet.
    #[error("auxiliary address: ({key}:{address}) must belong to the master pool: {subnet}")]
    AuxOutside {
        /// Its name.
        key: String,
        /// The address.
        address: IpAddr,
        /// The subnet.
        subnet: IpNet,
    },
    /// The auxiliary address cannot be had.
    #[error("failed to allocate secondary ip address ({key}:{address}): {error}")]
    AuxAddress {
        /// Its name.
        key: String,
        /// The address.
        address: IpAddr,
        /// Why.
        error: PoolError,
    },
    /// The subnet overlaps one that is in use.
    #[error("Pool overlaps with other one on this address space")]
    PoolOverlap,
    /// Every default pool is in use, or there is none (IPv6).
    #[error(
        "could not find an available, non-overlapping IPv{0} address pool among the defaults to assign to the network"
    )]
    NoPool(u8),
    /// 0.0.0.0/0, or addresses of the driver `null`.
    #[error("ipv4 pool is empty")]
    EmptyPool,
    /// The driver has one subnet a network and IP version.
    #[error("{0} driver doesn't support multiple subnets")]
    MultipleSubnets(&'static str),
    /// More than a network can have.
    #[error("a network has at most {0} subnets of each IP version")]
    TooManySubnets(usize),
    /// Without a store nobody says which station has an address in another subnet.
    #[error(
        "a network whose peers are given by hand has one subnet: make one network for each, or use a store \
         (vswitch daemon --store)"
    )]
    SubnetsByHand,
    /// An overlay's containers are each in one IPv4 subnet, and in the IPv6 subnet that goes with it.
    #[error("with --ipv6 an overlay network has as many IPv6 subnets as IPv4 subnets, in the same order")]
    UnpairedSubnets,
    /// Fewer numbers than subnets.
    #[error("insufficient vnis({0}) passed to overlay")]
    TooFewVnis(usize),
    /// An option whose value cannot be read.
    #[error("failed to parse {key} value: {value} ({why})")]
    OptionValue {
        /// The option.
        key: String,
        /// What was given.
        value: String,
        /// Why, in the words of Go's strconv.
        why: String,
    },
    /// An option that may not be set.
    #[error("option {0} belongs to the predefined bridge network")]
    OptionReserved(&'static str),
    /// Too small or too large.
    #[error("invalid MTU number: {0}")]
    Mtu(i64),
    /// Too small for IPv6 (RFC 8200, section 5).
    #[error("invalid MTU number: {0}: a network with IPv6 needs at least 1280")]
    MtuForIpv6(u32),
    /// An interface cannot have the name.
    #[error(
        "invalid {what} {name:?}: at most {max} characters, none of them a slash, a colon or white space"
    )]
    InterfaceName {
        /// Which name.
        what: &'static str,
        /// What was given.
        name: String,
        /// Longest name in bytes.
        max: usize,
    },
    /// Peers by hand, and no number.
    #[error("an overlay network with peers needs the number they know it by: give -o vni=NUMBER")]
    NoVni,
    /// Neither a store nor peers.
    #[error(
        "an overlay network needs a store that all hosts share (vswitch daemon --store), or its peers by hand: \
         -o vni=NUMBER -o peers=ADDRESS,ADDRESS"
    )]
    NoPeers,
    /// Learning is for networks by hand; others are told where stations are.
    #[error("learning is for networks whose peers are given by hand: add -o peers=ADDRESS,ADDRESS")]
    LearningWithoutPeers,
    /// Not there yet.
    #[error(
        "overlay networks cannot be encrypted yet: leave out the option encrypted, or protect the hosts' own network"
    )]
    Encrypted,
    /// Another network has the number.
    #[error("VNI {0} belongs to network {1}")]
    VniInUse(vxlan::Vni, String),
    /// Two bridges with one name.
    #[error(
        "cannot create network {id} ({bridge}): conflicts with network {other} ({bridge}): networks have same bridge name"
    )]
    BridgeName {
        /// The new network.
        id: String,
        /// The bridge.
        bridge: String,
        /// The network that has it.
        other: String,
    },
    /// An endpoint's address was asked for and is not one of the network's.
    #[error("Invalid address {0}: It does not belong to any of this network's subnets")]
    AddressOutside(IpAddr),
    /// An endpoint's address was asked for and is somebody else's.
    #[error("{}", PoolError::Taken)]
    AddressTaken,
    /// An endpoint's Ethernet address was asked for and is that of a gateway, or of the router behind them.
    #[error("the MAC address {0} is that of a gateway of network {1}: give the container another one")]
    MacOfGateway(packet::MacAddr, String),
    /// No address is left for an endpoint.
    #[error("no available IPv{version} addresses on this network's address pools: {name} ({id})")]
    NoAddress {
        /// 4 or 6.
        version: u8,
        /// The network.
        name: String,
        /// The network.
        id: String,
    },
    /// A filter that the list does not have.
    #[error("Invalid filter '{0}'")]
    Filter(String),
    /// A filter's value that makes no sense.
    #[error("{0}")]
    FilterValue(String),
}

impl NetError {
    /// The kind of this refusal.
    pub fn class(&self) -> Class {
        match self {
            Self::Predefined(_)
            | Self::OnlyOne(_)
            | Self::ScopeDowngrade(_)
            | Self::ScopeSwarm
            | Self::Ingress
            | Self::ConfigOnlyFields
            | Self::ConfigOnlyFrom
            | Self::ConfigFromFields
            | Self::ConfigFromOptions
            | Self::AuxOutside { .. }
            | Self::PoolOverlap
            | Self::MultipleSubnets(_)
            | Self::TooManySubnets(_)
            | Self::SubnetsByHand
            | Self::UnpairedSubnets
            | Self::Encrypted
            | Self::VniInUse(..)
            | Self::BridgeName { .. }
            | Self::OptionReserved(_)
            | Self::MacOfGateway(..)
            | Self::AddressTaken => Class::Forbidden,
            Self::NoDriver(_) | Self::NoConfig(_) | Self::NoPool(_) => Class::NotFound,
            Self::NameTaken(_) | Self::NoAddress { .. } => Class::Conflict,
            _ => Class::Invalid,
        }
    }
}

/// Why a pool does not give an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Every address that may be given has an owner.
    #[error("No available addresses on this pool")]
    Exhausted,
    /// Somebody has the address, or nobody may: a subnet's first address (network address, RFC 4632;
    /// subnet-router anycast, RFC 4291 section 2.6.1) and IPv4's last one (broadcast, RFC 919).
    #[error("Address already in use")]
    Taken,
    /// The address is not in the subnet.
    #[error("Requested address is out of range")]
    Outside,
}
