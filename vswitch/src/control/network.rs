//! Networks: a subnet, its addresses, and the bridge that switches its frames.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::ipam::{IpamError, Pool};
use crate::dataplane::Bridge;

/// What is kept of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// The address that is the way out.
    pub gateway: Ipv4Addr,
    /// Longest IP packet in bytes.
    pub mtu: u32,
    /// Seconds after which the forwarding table forgets a silent station.
    pub ageing: u32,
    /// The name `bridge show` gives its bridge.
    pub bridge_name: String,
}

impl NetworkRecord {
    /// The network that is there from the start, with Docker's addresses.
    pub fn default_bridge(id: String, created: u64) -> Self {
        Self {
            id,
            name: "bridge".into(),
            created,
            subnet: Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16),
            gateway: Ipv4Addr::new(172, 17, 0, 1),
            mtu: 1500,
            ageing: crate::dataplane::fdb::DEFAULT_AGEING,
            bridge_name: "docker0".into(),
        }
    }
}

/// A network at work.
pub struct Network {
    /// What is kept of it.
    pub record: NetworkRecord,
    /// Its addresses.
    pub pool: Pool,
    /// Its switching.
    pub bridge: Arc<Bridge>,
}

impl Network {
    /// A network without endpoints; its gateway has its address.
    ///
    /// # Errors
    /// When the gateway is not an address of the subnet.
    pub fn new(record: NetworkRecord, bridge: Arc<Bridge>) -> Result<Self, IpamError> {
        let mut pool = Pool::new(record.subnet);
        pool.claim(record.gateway)?;
        bridge.fdb().set_ageing(record.ageing);
        Ok(Self { record, pool, bridge })
    }
}
