//! Places on networks: an endpoint with its addresses, taken out of what is free.

use std::net::IpAddr;

use ipnet::IpNet;
use packet::MacAddr;

use super::etc::{is_field, is_link};
use super::shared::Claims;
use super::{Books, gateways};
use crate::control::cluster::SharedEndpoint;
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::net::{IpamConfig, NetError, PoolError};
use crate::control::record::{Container, Endpoint, Mode};
use crate::control::request::EndpointRequest;

/// Descriptors that fit in a message with all of a container's queues and its name service.
pub(super) const MAX_QUEUES: usize = 60;

pub(super) fn mac_of(text: &str) -> Result<MacAddr, ControlError> {
    match text.parse::<MacAddr>() {
        Ok(mac) if mac.is_multicast() || mac == MacAddr::ZERO => {
            Err(ControlError::Invalid(format!("{mac} cannot be a station's address")))
        }
        Ok(mac) => Ok(mac),
        Err(e) => Err(ControlError::Invalid(e.to_string())),
    }
}

impl Books {
    pub(super) fn reserve_all(
        &mut self,
        record: &mut Container,
        networks: &[EndpointRequest],
        claims: &Claims,
    ) -> Result<(), ControlError> {
        match record.mode {
            Mode::Container(_) => return Ok(()),
            Mode::Host | Mode::None => {
                let name = if record.mode == Mode::Host { "host" } else { "none" };
                record.endpoints.push(self.bare_endpoint(name)?);
                return Ok(());
            }
            Mode::Networks => {}
        }
        let default = [EndpointRequest { network: "default".into(), ..EndpointRequest::default() }];
        let networks = if networks.is_empty() { &default[..] } else { networks };
        if networks.len() * record.queues > MAX_QUEUES {
            return Err(ControlError::Invalid(format!(
                "{} networks with {} queues each are more than {MAX_QUEUES} queues",
                networks.len(),
                record.queues
            )));
        }
        for request in networks {
            let claimed = self.resolve_network(&request.network).ok();
            let claimed = claimed.and_then(|id| claims.on(&id));
            let endpoint = self.reserve(record, request, claimed)?;
            record.endpoints.push(endpoint);
        }
        self.reserve_way_out(record)
    }

    /// An endpoint on a network that switches nothing: without an interface.
    fn bare_endpoint(&self, name: &str) -> Result<Endpoint, ControlError> {
        Ok(Endpoint {
            id: id::new_id()?,
            network: name.into(),
            network_id: self.resolve_network(name)?,
            wished: EndpointRequest { network: name.into(), ..EndpointRequest::default() },
            interface: String::new(),
            mac: String::new(),
            v4: None,
            v6: None,
            gateway4: None,
            gateway6: None,
            gateway_only: false,
        })
    }

    /// Gives back the addresses of all of a record's endpoints.
    pub(super) fn give_back(&mut self, record: &Container) {
        for endpoint in &record.endpoints {
            if let Some(network) = self.networks.get_mut(&endpoint.network_id) {
                network.release(&endpoint.addresses());
            }
        }
    }

    /// Reserves an endpoint on one more network: the one that was claimed in the store, where the network is
    /// one of all nodes.
    ///
    /// # Errors
    /// With Docker's sentences; nothing is reserved then.
    pub(super) fn reserve(
        &mut self,
        record: &Container,
        request: &EndpointRequest,
        claimed: Option<&SharedEndpoint>,
    ) -> Result<Endpoint, ControlError> {
        let id = self.resolve_network(&request.network)?;
        let network = self.network_mut(&id)?;
        let Some(fabric) = &network.fabric else {
            return Err(ControlError::Forbidden(format!(
                "container cannot be connected to network {}: it switches nothing",
                network.record.name
            )));
        };
        if record.endpoint_on(&id).is_some() {
            return Err(ControlError::Forbidden(format!(
                "endpoint with name {} already exists in network {}",
                record.name, network.record.name
            )));
        }
        let is_default = network.record.is_default_bridge();
        if is_default && (request.ip.is_some() || request.ip6.is_some()) {
            return Err(ControlError::Invalid(
                "user specified IP address is supported on user defined networks only".into(),
            ));
        }
        if is_default && !request.aliases.is_empty() {
            return Err(no_alias());
        }
        for alias in &request.aliases {
            if alias.len() > 253 || !is_field(alias) || alias.contains('/') {
                return Err(ControlError::Invalid(format!("\"{alias}\" cannot be an alias")));
            }
        }
        if let Some(word) = request.links.iter().find(|word| !is_link(word)) {
            return Err(ControlError::Invalid(format!("invalid link format: {word}")));
        }
        let wished_mac = request.mac_address.as_deref().map(mac_of).transpose()?;
        wished_mac.map_or(Ok(()), |mac| fabric.check_mac(&network.record, mac))?;
        let (endpoint_id, (v4, v6, mac)) = match (claimed, &network.shared) {
            (Some(claimed), Some(_)) => {
                (claimed.id.clone(), (Some(claimed.ipv4), claimed.ipv6, mac_of(&claimed.mac)?))
            }
            (None, None) => (id::new_id()?, network.reserve_addresses(request, wished_mac)?),
            // It came or went at this moment.
            _ => return Err(super::no_network(&request.network)),
        };
        let (gateway4, gateway6) = if network.record.has_way_out() {
            gateways(network.record.ipam.config.iter().filter_map(IpamConfig::default_gateway))
        } else {
            (None, None)
        };
        Ok(Endpoint {
            id: endpoint_id,
            network: network.record.name.clone(),
            network_id: id,
            wished: request.clone(),
            interface: record.free_interface(network.record.interface_prefix()),
            mac: mac.to_string(),
            v4,
            v6,
            gateway4: gateway4.filter(|_| v4.is_some()),
            gateway6: gateway6.filter(|_| v6.is_some()),
            gateway_only: false,
        })
    }
}

impl super::Network {
    /// A certain address, or the next one, of the subnets of one IP version; `None` if there are none.
    fn take(
        &mut self,
        wished: Option<IpAddr>,
        v6: bool,
        mac: Option<MacAddr>,
    ) -> Result<Option<IpNet>, PoolError> {
        let mut refusal = wished.map(|_| PoolError::Outside);
        for pool in self.pools.iter_mut().filter(|pool| matches!(pool.subnet(), IpNet::V6(_)) == v6) {
            let taken = match (wished, mac) {
                (Some(address), _) => pool.claim(address).map(|()| address),
                (None, Some(mac)) => pool.allocate_for(mac),
                (None, None) => pool.allocate(),
            };
            match taken {
                Ok(address) => {
                    let net = IpNet::new(address, pool.subnet().prefix_len());
                    return Ok(net.ok());
                }
                Err(PoolError::Outside) => {}
                Err(error) => refusal = Some(error),
            }
        }
        refusal.map_or(Ok(None), Err)
    }

    /// An address of each version that the network has, and the interface's Ethernet address.
    fn reserve_addresses(
        &mut self,
        request: &EndpointRequest,
        wished_mac: Option<MacAddr>,
    ) -> Result<(Option<ipnet::Ipv4Net>, Option<ipnet::Ipv6Net>, MacAddr), NetError> {
        let wished4 = request.ip.map(IpAddr::from);
        let wished6 = request.ip6.map(IpAddr::from);
        let v4 = self.take(wished4, false, None).map_err(|e| self.record.refused(4, wished4, e))?;
        let mac = match (wished_mac, v4) {
            (Some(mac), _) => mac,
            (None, Some(IpNet::V4(net))) => MacAddr::from_ipv4(net.addr()),
            // An address of no subnet, but never twice: the last bytes of the IPv6 address come later.
            (None, _) => MacAddr::from_ipv4(std::net::Ipv4Addr::from(rand_u32())),
        };
        let v6 = match self.take(wished6, true, Some(mac)) {
            Ok(v6) => v6,
            Err(error) => {
                if let Some(net) = v4 {
                    self.release(&[net.addr()]);
                }
                return Err(self.record.refused(6, wished6, error));
            }
        };
        let v4 = if let Some(IpNet::V4(net)) = v4 { Some(net) } else { None };
        let v6 = if let Some(IpNet::V6(net)) = v6 { Some(net) } else { None };
        Ok((v4, v6, mac))
    }
}

fn rand_u32() -> u32 {
    let id = id::new_id().unwrap_or_default();
    id.get(..8).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(1)
}

pub(super) fn no_alias() -> ControlError {
    ControlError::Invalid(
        "network-scoped alias is supported only for containers in user defined networks".into(),
    )
}
