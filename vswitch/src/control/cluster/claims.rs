//! Claims of addresses and names: the choice, the transaction, and what its outcome means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use packet::MacAddr;

use super::repair::{Plan, Purpose};
use super::schema::{Key, NameClaim, Second, SharedEndpoint, Value, decode, encode};
use super::state::{Claim, NameHold, State};
use super::{ClusterError, EndpointWish, contention};
use crate::control::kv::{Change, Condition, Entry, Outcome};
use crate::control::net::{IpamConfig, NetError, NetworkRecord, Pool, PoolError};

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It is made.
    Held(Arc<SharedEndpoint>),
    /// Another was faster: the address is taken, since this revision.
    Collided(u64),
    /// It is to be tried again, for another reason.
    Again,
}

impl State {
    fn holds_address(&self, network: &str) -> impl Iterator<Item = Ipv4Addr> {
        self.claims.values().filter_map(move |claim| match claim {
            Claim::Pending(_, Some(endpoint)) | Claim::Held { endpoint, .. } => {
                (endpoint.network == network).then(|| endpoint.ipv4.addr())
            }
            Claim::Pending(_, None) => None,
        })
    }

    /// The address that is tried next: the lowest free one, or one of the lowest where many try.
    fn choose_v4(
        &mut self,
        network: &NetworkRecord,
        wish: &EndpointWish,
        level: u32,
    ) -> Result<Ipv4Net, ClusterError> {
        let mut pools = Vec::new();
        for segment in network.segments() {
            // Who asks for an IPv6 address says by it which IPv4 subnet goes with it.
            let v6 = |address: Ipv6Addr| segment.iter().any(|c| c.subnet.contains(&IpAddr::from(address)));
            let Some(config) = segment.first().filter(|c| c.is_v4() && wish.ipv6.is_none_or(v6)) else {
                continue;
            };
            let mut pool = config.pool().map_err(|error| network.refused(4, None, error))?;
            for (address, _) in self.picture.addresses(&network.id) {
                let _ = pool.claim(address.into());
            }
            for address in self.holds_address(&network.id) {
                let _ = pool.claim(address.into());
            }
            pools.push(pool);
        }
        // A wished IPv6 address that is in no subnet is what is refused, not want of IPv4 ones.
        if let Some(wanted) = wish.ipv6.map(IpAddr::from)
            && network.config_of(wanted).is_none()
        {
            return Err(network.refused(6, Some(wanted), PoolError::Outside).into());
        }
        let window = contention::window(level, self.picture.nodes().count());
        loop {
            // Within the first subnet that has room: which one it is decides more than the address.
            let free = pools.iter().map(Pool::free).find(|free| *free > 0).unwrap_or(0);
            let free = u64::try_from(free).unwrap_or(u64::MAX);
            let mut skip = u128::from(self.dice.below(window.min(free)));
            let chosen = pools.iter_mut().find_map(|pool| {
                let here = pool.free();
                if skip < here {
                    return Some((pool.allocate_after(skip), pool.subnet().prefix_len()));
                }
                skip -= here;
                None
            });
            let Some((Ok(IpAddr::V4(address)), prefix)) = chosen else {
                return Err(network.refused(4, None, PoolError::Exhausted).into());
            };
            // The Ethernet address that comes with it may have been asked for by value.
            let mac = Second::Mac(MacAddr::from_ipv4(address));
            if wish.mac.is_none() && self.picture.get(&Key::Second(network.id.clone(), mac)).is_some() {
                continue;
            }
            let full = |_| network.refused(4, None, PoolError::Exhausted).into();
            return Ipv4Net::new(address, prefix).map_err(full);
        }
    }

    /// The address that was asked for.
    fn wished_v4(&self, network: &NetworkRecord, wanted: Ipv4Addr) -> Result<Ipv4Net, ClusterError> {
        let refused = |error| ClusterError::from(network.refused(4, Some(wanted.into()), error));
        let config = network.active().find(|config| config.subnet.contains(&IpAddr::from(wanted)));
        let config = config.ok_or_else(|| refused(PoolError::Outside))?;
        let mut pool = config.pool().map_err(refused)?;
        pool.claim(wanted.into()).map_err(refused)?;
        if self.picture.get(&Key::Endpoint(network.id.clone(), wanted)).is_some()
            || self.holds_address(&network.id).any(|held| held == wanted)
        {
            return Err(refused(PoolError::Taken));
        }
        Ipv4Net::new(wanted, config.subnet.prefix_len()).map_err(|_| refused(PoolError::Outside))
    }

    fn choose_v6(
        &self,
        network: &NetworkRecord,
        wanted: Option<Ipv6Addr>,
        ipv4: Ipv4Addr,
        mac: MacAddr,
    ) -> Result<Option<Ipv6Net>, ClusterError> {
        let wanted = wanted.map(IpAddr::from);
        let refused = |error| ClusterError::from(network.refused(6, wanted, error));
        let has = |segment: &Vec<&IpamConfig>| segment.iter().any(|c| c.subnet.contains(&IpAddr::from(ipv4)));
        let segment = network.segments().into_iter().find(has).unwrap_or_default();
        let Some(config) = segment.into_iter().find(|config| !config.is_v4()) else {
            return if wanted.is_some() { Err(refused(PoolError::Outside)) } else { Ok(None) };
        };
        let mut pool: Pool = config.pool().map_err(refused)?;
        for taken in self.picture.seconds(&network.id) {
            if let Second::V6(address) = taken {
                let _ = pool.claim(address.into());
            }
        }
        let address = match wanted {
            Some(wanted) => pool.claim(wanted).map(|()| wanted).map_err(refused)?,
            None => pool.allocate_for(mac).map_err(refused)?,
        };
        match IpNet::new(address, config.subnet.prefix_len()) {
            Ok(IpNet::V6(net)) => Ok(Some(net)),
            _ => Err(refused(PoolError::Outside)),
        }
    }

    fn candidate(&mut self, wish: &EndpointWish, level: u32) -> Result<SharedEndpoint, ClusterError> {
        let network = self.picture.network(&wish.network).cloned();
        let network = network.ok_or_else(|| ClusterError::NoNetwork(wish.network.clone()))?;
        wish.mac.map_or(Ok(()), |mac| network.record.check_mac(mac))?;
        let ipv4 = match wish.ipv4 {
            Some(wanted) => self.wished_v4(&network.record, wanted)?,
            None => self.choose_v4(&network.record, wish, level)?,
        };
        let mac = wish.mac.unwrap_or_else(|| MacAddr::from_ipv4(ipv4.addr()));
        let endpoint = SharedEndpoint {
            id: wish.id.clone(),
            network: wish.network.clone(),
            ipv4,
            ipv6: self.choose_v6(&network.record, wish.ipv6, ipv4.addr(), mac)?,
            mac: mac.to_string(),
            container: wish.container.clone(),
            name: wish.name.clone(),
            aliases: wish.aliases.clone(),
            node: self.config.node.clone(),
            vtep: self.config.vtep,
        };
        endpoint.check().map_err(ClusterError::Unfit)?;
        Ok(endpoint)
    }

    /// The transaction that claims an endpoint which is pending; `level` is that of [`contention`].
    pub(super) fn plan_claim(&mut self, id: &str, level: u32) -> Result<Plan, ClusterError> {
        let (_, session) = self.session_holds()?;
        let Some(Claim::Pending(wish, tried)) = self.claims.get_mut(id) else {
            return Err(ClusterError::NotHeld(id.into()));
        };
        *tried = None;
        let wish = wish.clone();
        let endpoint = self.candidate(&wish, level)?;
        let text = |key: Key| self.keys.text(&key);
        let key = text(Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr()));
        let mut when = vec![
            session,
            Condition::Present(text(Key::Network(endpoint.network.clone()))),
            Condition::Absent(key.clone()),
        ];
        let mut then = vec![Change::Put { key, value: encode(&endpoint), lease: None }];
        for address in endpoint.seconds() {
            let key = text(Key::Second(endpoint.network.clone(), address));
            when.push(Condition::Absent(key.clone()));
            then.push(Change::Put { key, value: encode(&endpoint.second()), lease: None });
        }
        if !wish.name.is_empty() {
            self.claim_of_name(&wish.name, &wish.container, &mut when, &mut then)?;
        }
        if let Some(Claim::Pending(_, tried)) = self.claims.get_mut(id) {
            *tried = Some(endpoint.into());
        }
        Ok(Plan { when, then, purpose: Purpose::Endpoint(id.into()) })
    }

    /// The transaction that claims a name.
    pub(super) fn plan_name(&self, name: &str, container: &str) -> Result<Plan, ClusterError> {
        let (_, session) = self.session_holds()?;
        let (mut when, mut then) = (vec![session], Vec::new());
        self.claim_of_name(name, container, &mut when, &mut then)?;
        Ok(Plan { when, then, purpose: Purpose::Name(name.into()) })
    }

    fn claim_of_name(
        &self,
        name: &str,
        container: &str,
        when: &mut Vec<Condition>,
        then: &mut Vec<Change>,
    ) -> Result<(), ClusterError> {
        if self.names.get(name).is_some_and(|hold| hold.held && hold.container == container) {
            return Ok(());
        }
        let key = Key::Container(name.into());
        let text = self.keys.text(&key);
        let claim = NameClaim { container: container.into(), node: self.config.node.clone() };
        let value = encode(&claim);
        decode(&key, &value).map_err(ClusterError::Unfit)?;
        match self.picture.get(&key).map(|item| (item.version, &item.value)) {
            None => {
                when.push(Condition::Absent(text.clone()));
                then.push(Change::Put { key: text, value, lease: None });
                Ok(())
            }
            // Of an attempt whose answer was lost.
            Some((version, Ok(Value::Container(found)))) if *found == claim => {
                when.push(Condition::Version(text, version));
                Ok(())
            }
            Some((_, Ok(Value::Container(found)))) => Err(ClusterError::NameInUse {
                name: name.into(),
                container: found.container.clone(),
                node: found.node.clone(),
            }),
            Some((_, there)) => Err(ClusterError::Unreadable {
                key: text,
                why: there.as_ref().err().cloned().unwrap_or_default(),
            }),
        }
    }

    /// Whether the conditions of this session were met.
    fn in_session(&self, found: &[Entry]) -> bool {
        let own = self.keys.text(&self.own_key());
        let seen = found.iter().find(|entry| entry.key == own).map(|entry| entry.version);
        seen.is_some() && seen == self.session.map(|session| session.version)
    }

    /// What became of a claim.
    pub(super) fn claim_outcome(
        &mut self,
        id: &str,
        plan: &Plan,
        outcome: &Outcome,
        now: Duration,
    ) -> Result<Claimed, ClusterError> {
        let Some(Claim::Pending(wish, Some(tried))) = self.claims.get(id) else {
            return Err(ClusterError::NotHeld(id.into()));
        };
        let (wish, tried) = (wish.clone(), tried.clone());
        match outcome {
            Outcome::Done(revision) => {
                self.claims.insert(id.into(), Claim::Held { endpoint: tried.clone(), confirmed: false });
                self.hold_name(&wish.name, &wish.container);
                self.wrote(plan, *revision, now);
                Ok(Claimed::Held(tried))
            }
            Outcome::Refused(found) => {
                if !self.in_session(found) {
                    return Ok(Claimed::Again);
                }
                self.learn(found, now);
                let at = |key: &Key| {
                    let text = self.keys.text(key);
                    found.iter().find(|e| e.key == text).map(|e| decode(key, &e.value))
                };
                let network = Key::Network(tried.network.clone());
                if at(&network).is_none() {
                    return Err(ClusterError::NoNetwork(tried.network.clone()));
                }
                let key = Key::Endpoint(tried.network.clone(), tried.ipv4.addr());
                match at(&key) {
                    // The transaction was carried out before: its answer was lost.
                    Some(Ok(Value::Endpoint(there))) if *there == *tried => {
                        self.claims
                            .insert(id.into(), Claim::Held { endpoint: tried.clone(), confirmed: true });
                        self.hold_name(&wish.name, &wish.container);
                        return Ok(Claimed::Held(tried));
                    }
                    Some(_) if wish.ipv4.is_some() => return Err(NetError::AddressTaken.into()),
                    _ => {}
                }
                for second in tried.seconds() {
                    let wished = match second {
                        Second::Mac(_) => wish.mac.is_some() || wish.ipv4.is_some(),
                        Second::V6(_) => wish.ipv6.is_some(),
                    };
                    let key = Key::Second(tried.network.clone(), second);
                    match at(&key) {
                        Some(Ok(Value::Second(there))) if wished => {
                            return Err(ClusterError::SecondInUse {
                                address: second.to_string(),
                                ipv4: there.ipv4,
                                node: there.node,
                            });
                        }
                        Some(Err(why)) if wished => {
                            return Err(ClusterError::Unreadable { key: self.keys.text(&key), why });
                        }
                        _ => {}
                    }
                }
                let seconds = tried.seconds().into_iter();
                let wanted = seconds.map(|second| Key::Second(tried.network.clone(), second)).chain([key]);
                let wanted: Vec<String> = wanted.map(|key| self.keys.text(&key)).collect();
                let taken = found.iter().filter(|entry| wanted.contains(&entry.key));
                let Some(since) = taken.map(|entry| entry.version).max() else {
                    return Ok(Claimed::Again);
                };
                self.counters.collisions += 1;
                Ok(Claimed::Collided(since))
            }
        }
    }

    /// Changes endpoints that are held, all or none.
    pub(super) fn amend(
        &mut self,
        mut change: impl FnMut(&mut SharedEndpoint) -> bool,
    ) -> Result<(), ClusterError> {
        let mut changed = Vec::new();
        for (id, claim) in &self.claims {
            let Claim::Held { endpoint, confirmed } = claim else { continue };
            let mut other = endpoint.as_ref().clone();
            if change(&mut other) {
                other.check().map_err(ClusterError::Unfit)?;
                changed.push((id.clone(), Claim::Held { endpoint: other.into(), confirmed: *confirmed }));
            }
        }
        self.claims.extend(changed);
        Ok(())
    }

    fn hold_name(&mut self, name: &str, container: &str) {
        if name.is_empty() {
            return;
        }
        let fresh = NameHold { container: container.into(), held: true, pending: 0 };
        self.names.entry(name.into()).or_insert(fresh).held = true;
    }

    /// What became of a claim of a name.
    pub(super) fn name_outcome(
        &mut self,
        name: &str,
        container: &str,
        plan: &Plan,
        outcome: &Outcome,
        now: Duration,
    ) -> bool {
        match outcome {
            Outcome::Done(revision) => {
                self.hold_name(name, container);
                self.wrote(plan, *revision, now);
                true
            }
            Outcome::Refused(found) => {
                // Whose it is shows in the picture now.
                if self.in_session(found) {
                    self.learn(found, now);
                }
                false
            }
        }
    }

    /// A claim of a name begins.
    pub(super) fn begin_name(&mut self, name: &str, container: &str) -> Result<(), ClusterError> {
        if name.is_empty() {
            return Ok(());
        }
        let fresh = NameHold { container: container.into(), held: false, pending: 0 };
        let hold = self.names.entry(name.into()).or_insert(fresh);
        if hold.container != container {
            return Err(ClusterError::NameInUse {
                name: name.into(),
                container: hold.container.clone(),
                node: self.config.node.clone(),
            });
        }
        hold.pending += 1;
        Ok(())
    }

    /// It has ended, well or not.
    pub(super) fn end_name(&mut self, name: &str) {
        if let Some(hold) = self.names.get_mut(name) {
            hold.pending = hold.pending.saturating_sub(1);
            if hold.pending == 0 && !hold.held {
                self.names.remove(name);
            }
        }
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
