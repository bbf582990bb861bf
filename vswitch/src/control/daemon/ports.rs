//! Publishing a container's ports on the host.

use std::net::{IpAddr, SocketAddr};

use nat::engine::{ListenError, Listener, Publisher, UdpListener};

use super::{Daemon, short};
use crate::control::error::ControlError;
use crate::control::publish::{self, Binding, Wish};
use crate::control::record::{Container, ExposedPort, Protocol};
use crate::outside::Outside;

/// A port of the host that is held.
pub(super) enum Held {
    Tcp(Listener),
    Udp(UdpListener),
}

/// Ports of the host that are listened at, and lead nowhere yet.
pub(super) type Listeners = Vec<(Binding, Held)>;

impl Daemon {
    /// Takes the ports a container is to be reached at.
    ///
    /// # Errors
    /// With Docker's sentence where one is taken; none is held then.
    pub(super) fn take_ports(&self, record: &Container) -> Result<Listeners, ControlError> {
        let mut listeners = Listeners::new();
        if record.published.is_empty() {
            return Ok(listeners);
        }
        let Some(endpoint) = record.way_out() else { return Ok(listeners) };
        if self.outside.is_none() {
            return Err(ControlError::Failed(
                "ports cannot be published: there is no way out of networks".into(),
            ));
        }
        let default = {
            let books = self.books.lock();
            books.network(&endpoint.network_id)?.record.host_binding()
        };
        for wish in &record.published {
            self.take(wish, default, &mut listeners).map_err(|error| {
                ControlError::Failed(format!(
                    "driver failed programming external connectivity on endpoint {} ({}): {error}",
                    record.name, endpoint.id
                ))
            })?;
        }
        Ok(listeners)
    }

    /// All addresses of a wish on one port.
    fn take(&self, wish: &Wish, default: IpAddr, listeners: &mut Listeners) -> Result<(), ListenError> {
        let addresses = publish::addresses(wish, default);
        let Some(first) = addresses.first().copied() else { return Ok(()) };
        let mut free = self.free_ports.lock();
        let candidates: Vec<u16> = match wish.host {
            Some((first, last)) => (first..=last).collect(),
            None => free.candidates(first, wish.port.protocol).collect(),
        };
        let mut refusal = None;
        for host in candidates {
            match listen(wish.port, &addresses, host) {
                Ok(taken) => {
                    if wish.host.is_none() {
                        free.given(first, wish.port.protocol, host);
                    }
                    listeners.extend(taken);
                    return Ok(());
                }
                Err(error @ ListenError::Taken(_)) => refusal = refusal.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Takes the ports of the host again that an earlier daemon had for a container.
    pub(super) fn retake_ports(record: &Container) -> Listeners {
        let again = |binding: &Binding| match listen(binding.port, &[binding.address], binding.host) {
            Ok(mut taken) => taken.pop(),
            Err(error) => {
                tracing::warn!("container {}: {error}", short(&record.id));
                None
            }
        };
        record.bindings.iter().filter_map(again).collect()
    }

    /// Lets the ports lead to a container, through the endpoint that is its way out.
    pub(super) fn open_ports(&self, id: &str, listeners: Listeners) {
        if listeners.is_empty() {
            return;
        }
        let inside = {
            let books = self.books.lock();
            books.live(id).ok().and_then(|live| {
                let way_out = live.record.way_out()?;
                live.ports.iter().find(|plugged| plugged.endpoint == way_out.id)?.inside
            })
        };
        let Some(inside) = inside else { return };
        super::off_the_runtime(|| {
            Outside::with_engine(&self.switch, inside, move |engine, id| {
                for (binding, listener) in listeners {
                    let to = Publisher { inside: id, port: binding.port.port };
                    let published = match listener {
                        Held::Tcp(listener) => engine.publish(listener, to).map(drop),
                        Held::Udp(listener) => engine.publish_udp(listener, to).map(drop),
                    };
                    if let Err(error) = published {
                        tracing::warn!("port {} of the host cannot be watched: {error}", binding.host);
                    }
                }
            })
        });
    }

    /// Publishes a container's ports through its present way out, after that has changed.
    pub(super) fn republish(&self, id: &str) {
        let Ok(view) = self.view(id) else { return };
        let record = view.record;
        drop(view.ports);
        if record.published.is_empty() || record.way_out().is_none() {
            return;
        }
        let listeners = if record.bindings.is_empty() {
            super::off_the_runtime(|| self.take_ports(&record)).unwrap_or_else(|error| {
                tracing::warn!("container {}: {error}", short(id));
                Listeners::new()
            })
        } else {
            Self::retake_ports(&record)
        };
        let bindings: Vec<Binding> = listeners.iter().map(|(binding, _)| *binding).collect();
        if bindings != record.bindings && self.commit(id, |record| record.bindings = bindings).is_err() {
            return;
        }
        self.open_ports(id, listeners);
    }
}

/// Listens at one port of several addresses, or at none. A host without IPv6 does without.
fn listen(port: ExposedPort, addresses: &[IpAddr], host: u16) -> Result<Listeners, ListenError> {
    let mut taken = Listeners::new();
    for address in addresses {
        let at = SocketAddr::new(*address, host);
        let listener = match port.protocol {
            Protocol::Tcp => Listener::new(at).map(Held::Tcp),
            Protocol::Udp => UdpListener::new(at).map(Held::Udp),
        };
        match listener {
            Ok(listener) => taken.push((Binding { port, address: *address, host }, listener)),
            Err(ListenError::Address(_) | ListenError::Other(..))
                if address.is_ipv6() && !taken.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}
