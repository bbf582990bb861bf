//! Making networks and removing them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use tokio::time::{Instant, sleep, timeout_at};
use vxlan::Vni;

use super::schema::{Epoch, Key, SharedNetwork, Value, decode, encode};
use super::{Cluster, ClusterError, bounded_by};
use crate::control::kv::{Change, Condition, Entry, Outcome, PATIENCE};
use crate::control::net::subnets::overlap;
use crate::control::net::{NetError, NetworkRecord};

/// The first VXLAN network identifier that is given, as in Docker.
const FIRST_VNI: u32 = 256;

/// Gives a network its numbers, and sees that nothing of it is another's.
fn complete(record: NetworkRecord, others: &[SharedNetwork]) -> Result<SharedNetwork, ClusterError> {
    for other in others {
        if other.record.id == record.id {
            return Err(ClusterError::NotOurs(format!("a network with the id {} exists", record.id)));
        }
        if other.record.name == record.name {
            return Err(NetError::NameTaken(record.name).into());
        }
        let mut both = other.record.active().flat_map(|a| record.active().map(move |b| (a.subnet, b.subnet)));
        if both.any(|(a, b)| overlap(a, b)) {
            return Err(NetError::PoolOverlap.into());
        }
    }
    let taken: BTreeMap<u32, &str> =
        others.iter().flat_map(|o| o.vnis.values().map(|vni| (*vni, o.record.name.as_str()))).collect();
    let subnets = record.active().map(|config| config.subnet).filter(|net| matches!(net, IpNet::V4(_)));
    let wanted = record.vnis();
    for vni in &wanted {
        if let Some(owner) = taken.get(&vni.get()) {
            return Err(NetError::VniInUse(*vni, (*owner).to_owned()).into());
        }
    }
    let asked: BTreeSet<u32> = wanted.iter().map(|vni| vni.get()).collect();
    let mut free =
        (FIRST_VNI..=Vni::MAX.get()).filter(|vni| !taken.contains_key(vni) && !asked.contains(vni));
    let mut vnis = BTreeMap::new();
    for (number, subnet) in subnets.enumerate() {
        let vni = wanted.get(number).map(|vni| vni.get()).or_else(|| free.next());
        vnis.insert(subnet, vni.ok_or_else(|| ClusterError::NotOurs("every VNI is in use".into()))?);
    }
    Ok(SharedNetwork { record, vnis })
}

impl Cluster {
    /// Makes a network. Its id, name, subnets and VNIs are those of no other network of the cluster: no
    /// two networks are made without one maker seeing the other's.
    ///
    /// `plan` gets the networks as they are in the store, and is asked again when others were faster.
    ///
    /// # Errors
    /// [`ClusterError`], within 5 s. If the store did not answer in time, it may have heard.
    pub async fn create_network(
        &self,
        mut plan: impl FnMut(&[SharedNetwork]) -> Result<NetworkRecord, NetError> + Send,
    ) -> Result<SharedNetwork, ClusterError> {
        let end = Instant::now() + PATIENCE;
        let work = async {
            self.ready_by(end).await?;
            loop {
                if let Some(network) = self.try_to_create(&mut plan, end).await? {
                    return Ok(network);
                }
                let pause = self.inner.state.lock().dice.about(Duration::from_millis(50));
                sleep(pause).await;
            }
        };
        timeout_at(end + Duration::from_millis(100), work)
            .await
            .unwrap_or(Err(ClusterError::Contended(PATIENCE.as_secs())))
    }

    /// `None` when another was faster.
    async fn try_to_create(
        &self,
        plan: &mut (impl FnMut(&[SharedNetwork]) -> Result<NetworkRecord, NetError> + Send),
        end: Instant,
    ) -> Result<Option<SharedNetwork>, ClusterError> {
        let inner = self.inner.as_ref();
        let (session, epoch, networks) = {
            let state = inner.state.lock();
            (state.session_holds()?.1, state.keys.text(&Key::Epoch), state.keys.networks())
        };
        // In this order: whoever makes a network after the epoch was read changes it.
        let seen = bounded_by(end, inner.kv.list(&epoch)).await?.entries;
        let seen = seen.iter().find(|entry| entry.key == epoch).map(|entry| entry.version);
        let listed = bounded_by(end, inner.kv.list(&networks)).await?.entries;
        let others = self.read_networks(&listed);
        let network = complete(plan(&others)?, &others)?;
        let value = encode(&network);
        let key = Key::Network(network.id().to_owned());
        // What others could not read is not written.
        decode(&key, &value).map_err(ClusterError::NotOurs)?;
        let text = inner.state.lock().keys.text(&key);
        let when = [
            session,
            Condition::Absent(text.clone()),
            match seen {
                Some(version) => Condition::Version(epoch.clone(), version),
                None => Condition::Absent(epoch.clone()),
            },
        ];
        let now_last = encode(&Epoch { network: network.id().to_owned() });
        let then = [
            Change::Put { key: epoch, value: now_last, lease: None },
            Change::Put { key: text.clone(), value: value.clone(), lease: None },
        ];
        let now = inner.now();
        match bounded_by(end, inner.kv.commit(&when, &then)).await? {
            Outcome::Done(version) => {
                let entry = Entry { key: text, value, version, created: version };
                inner.turn().learn(&[entry], now);
                Ok(Some(network))
            }
            Outcome::Refused(found) => {
                inner.turn().learn(&found, now);
                // Carried out before, and the answer was lost.
                let own = found.iter().any(|entry| entry.key == text && entry.value == value);
                Ok(own.then_some(network))
            }
        }
    }

    /// What was listed; of a network that somebody has spoiled, what it was.
    fn read_networks(&self, listed: &[Entry]) -> Vec<SharedNetwork> {
        let state = self.inner.state.lock();
        let read = listed.iter().filter_map(|entry| {
            let key = state.keys.read(&entry.key)?;
            match (decode(&key, &entry.value), &key) {
                (Ok(Value::Network(network)), _) => Some(network.as_ref().clone()),
                (Err(_), Key::Network(id)) => state.picture.network(id).map(|known| known.as_ref().clone()),
                _ => None,
            }
        });
        read.collect()
    }

    /// Removes a network that nobody is on. One that is gone already is removed.
    ///
    /// # Errors
    /// [`ClusterError::HasEndpoints`] of any node; what the store says, within 5 s.
    pub async fn remove_network(&self, id: &str) -> Result<(), ClusterError> {
        let inner = self.inner.as_ref();
        let end = Instant::now() + PATIENCE;
        self.ready_by(end).await?;
        let (network, endpoints) = {
            let state = inner.state.lock();
            if let Some(found) = state.newer {
                return Err(ClusterError::NewerSchema { found });
            }
            (state.keys.text(&Key::Network(id.into())), state.keys.endpoints_of(id))
        };
        let when = [Condition::Present(network.clone()), Condition::NoneBelow(endpoints)];
        let then = [Change::Delete(network.clone())];
        let outcome = bounded_by(end, inner.kv.commit(&when, &then)).await?;
        let now = inner.now();
        match outcome {
            Outcome::Done(revision) => {
                let mut turn = inner.turn();
                let mut changed = Vec::new();
                turn.picture.erased(Key::Network(id.into()), revision, &mut changed);
                turn.absorb(changed, now);
                Ok(())
            }
            Outcome::Refused(found) => {
                inner.turn().learn(&found, now);
                if !found.iter().any(|entry| entry.key == network) {
                    return Ok(());
                }
                let state = inner.state.lock();
                let name = state.picture.network(id).map_or_else(|| id.to_owned(), |n| n.record.name.clone());
                Err(ClusterError::HasEndpoints { name, id: id.into() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::network;
    use super::*;

    /// A network with these subnets and numbers asked for, and the numbers it gets.
    fn given(
        subnets: &[&str],
        options: &[(&str, &str)],
        others: &[SharedNetwork],
    ) -> Result<Vec<u32>, String> {
        let configs = subnets.iter().flat_map(|subnet| network(7, "new", subnet).record.ipam.config);
        let mut record = network(7, "new", "10.9.0.0/24").record;
        record.ipam.config = configs.collect();
        record.options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let shared = complete(record, others).map_err(|error| error.to_string())?;
        decode(&Key::Network(shared.id().to_owned()), &encode(&shared))?;
        Ok(subnets.iter().filter_map(|subnet| shared.vnis.get(&subnet.parse().ok()?).copied()).collect())
    }

    #[test]
    fn each_subnet_gets_the_first_free_number_in_the_order_of_the_request() {
        let (a, b) = ("10.2.0.0/24", "10.1.0.0/24");
        let taken = |vni| SharedNetwork {
            vnis: [("10.0.0.0/24".parse().unwrap(), vni)].into(),
            ..network(1, "old", "10.0.0.0/24")
        };
        assert_eq!(given(&[a, b], &[], &[]), Ok(vec![256, 257]));
        assert_eq!(given(&[a, b], &[], &[taken(257)]), Ok(vec![256, 258]));
        assert_eq!(given(&[a, b], &[("vni", "256")], &[]), Ok(vec![256, 257]));
        assert_eq!(given(&[a, b], &[("vni", "900")], &[]), Ok(vec![900, 256]));
        assert_eq!(given(&[a, b], &[("vni", "900,42")], &[]), Ok(vec![900, 42]));
        let list = "com.docker.network.driver.overlay.vxlanid_list";
        assert_eq!(given(&[a, b], &[(list, "300,299")], &[]), Ok(vec![300, 299]));
        let refused = given(&[a, b], &[(list, "300,299")], &[taken(299)]).unwrap_err();
        assert!(refused.contains("299") && refused.contains("old"), "{refused}");
    }
}
