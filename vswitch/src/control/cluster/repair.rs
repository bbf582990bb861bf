//! What is to be done at the store so that it agrees with what this node holds, and so that nothing
//! is held by the dead: one transaction at a time.

use std::time::Duration;

use super::picture::Item;
use super::schema::{Key, NameClaim, SharedEndpoint, Value, encode};
use super::state::{Absence, Claim, State, is_in};
use crate::control::kv::{Change, Condition, Outcome};

/// Most keys that one transaction gives back. Each is a condition, a change and a read, and etcd
/// takes 128 of a kind unless told otherwise.
const MOST_KEYS: usize = 60;

/// A transaction, and what it is for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) when: Vec<Condition>,
    pub(super) then: Vec<Change>,
    pub(super) purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// An endpoint that is held is put as it is to be.
    Endpoint(String),
    /// So is a name.
    Name(String),
    /// Keys of this node that nobody holds any more are removed.
    Release,
    /// Keys of a dead node are removed.
    Reap(String),
}

/// How a key that is to be this node's stands.
enum Found {
    /// As it is to be.
    Right,
    /// Free, or this node's to write over.
    Mine(Condition),
    /// Somebody else's.
    Other(String),
}

/// What must hold, and what is then put.
type Put = (Vec<Condition>, Vec<Change>);

impl State {
    fn unless_changed(&self, key: &Key) -> Condition {
        let text = self.keys.text(key);
        match self.picture.version_of(key) {
            Some(version) => Condition::Version(text, version),
            None => Condition::Absent(text),
        }
    }

    fn put(&self, key: &Key, value: Vec<u8>) -> Change {
        Change::Put { key: self.keys.text(key), value, lease: None }
    }

    /// The next thing to do, if there is any.
    pub(super) fn plan(&mut self, now: Duration) -> Option<Plan> {
        let (_, session) = self.session_holds().ok()?;
        self.put_endpoint(&session, now)
            .or_else(|| self.put_name(&session, now))
            .or_else(|| self.release(&session))
            .or_else(|| self.reap(now))
    }

    fn put_endpoint(&mut self, session: &Condition, now: Duration) -> Option<Plan> {
        let held: Vec<String> = self.claims.keys().cloned().collect();
        for id in held {
            let Some(Claim::Held { endpoint, .. }) = self.claims.get(&id) else { continue };
            let endpoint = endpoint.clone();
            match self.endpoint_to_put(&endpoint) {
                Ok(None) => {}
                Ok(Some(put)) => {
                    let Some((mut when, then)) = self.damper.permitted(put, now) else { continue };
                    when.insert(0, session.clone());
                    return Some(Plan { when, then, purpose: Purpose::Endpoint(id) });
                }
                Err(why) => self.lose(&id, why),
            }
        }
        None
    }

    fn endpoint_to_put(&self, endpoint: &SharedEndpoint) -> Result<Option<Put>, String> {
        let key = Key::Endpoint(endpoint.network.clone(), endpoint.ipv4.addr());
        let (mut when, mut then) = (Vec::new(), Vec::new());
        match self.found_at(&key, |value| matches!(value, Value::Endpoint(e) if **e == *endpoint)) {
            Found::Right => {}
            Found::Mine(condition) => {
                // Nobody could read it, and so it would be put for ever.
                endpoint.check().map_err(|why| format!("the store cannot hold it: {why}"))?;
                when.push(condition);
                then.push(self.put(&key, encode(endpoint)));
            }
            Found::Other(node) => {
                return Err(format!("its address {} is held by node {node} now", endpoint.ipv4.addr()));
            }
        }
        let second = Value::Second(endpoint.second());
        for address in endpoint.seconds() {
            let key = Key::Second(endpoint.network.clone(), address);
            match self.found_at(&key, |value| *value == second) {
                Found::Right => {}
                // Of this node, but of another endpoint.
                Found::Mine(_) if self.is_of_other_claim(&key, endpoint) => {
                    return Err(format!("its address {address} is another endpoint's"));
                }
                Found::Mine(condition) => {
                    when.push(condition);
                    then.push(self.put(&key, encode(&endpoint.second())));
                }
                Found::Other(node) => {
                    return Err(format!("its address {address} is held by node {node} now"));
                }
            }
        }
        if then.is_empty() {
            return Ok(None);
        }
        let network = Key::Network(endpoint.network.clone());
        if self.picture.get(&network).is_none() {
            return if is_in(&self.picture, endpoint) {
                // Somebody removed the network's key by hand. There is nothing to put it on.
                Ok(None)
            } else {
                Err("its network was removed".into())
            };
        }
        when.push(Condition::Present(self.keys.text(&network)));
        Ok(Some((when, then)))
    }

    /// The store has an endpoint as it is to be.
    pub(super) fn is_settled(&self, endpoint: &SharedEndpoint) -> bool {
        matches!(self.endpoint_to_put(endpoint), Ok(None))
    }

    fn is_of_other_claim(&self, key: &Key, endpoint: &SharedEndpoint) -> bool {
        let of = self.picture.get(key).and_then(Item::readable);
        matches!(of, Some(Value::Second(s)) if s.endpoint != endpoint.id && self.claims.contains_key(&s.endpoint))
    }

    fn found_at(&self, key: &Key, right: impl Fn(&Value) -> bool) -> Found {
        let Some(item) = self.picture.get(key) else {
            return Found::Mine(Condition::Absent(self.keys.text(key)));
        };
        match item.readable() {
            Some(value) if right(value) => Found::Right,
            Some(value) if value.node() != Some(&self.config.node) => {
                Found::Other(value.node().unwrap_or("?").to_owned())
            }
            // Spoiled, and not for certain this node's: another may have claimed it before.
            None if item.owner() != Some(self.config.node.as_str()) => {
                Found::Other(item.owner().unwrap_or("?").to_owned())
            }
            // Its own of an earlier time, or spoiled.
            _ => Found::Mine(Condition::Version(self.keys.text(key), item.version)),
        }
    }

    fn put_name(&mut self, session: &Condition, now: Duration) -> Option<Plan> {
        let names: Vec<(String, String)> = self
            .names
            .iter()
            .filter(|(_, hold)| hold.held)
            .map(|(name, hold)| (name.clone(), hold.container.clone()))
            .collect();
        for (name, container) in names {
            let claim = NameClaim { container, node: self.config.node.clone() };
            let key = Key::Container(name.clone());
            match self.found_at(&key, |value| matches!(value, Value::Container(c) if *c == claim)) {
                Found::Right => {}
                Found::Mine(condition) => {
                    let put = (vec![condition], vec![self.put(&key, encode(&claim))]);
                    let Some((mut when, then)) = self.damper.permitted(put, now) else { continue };
                    when.insert(0, session.clone());
                    return Some(Plan { when, then, purpose: Purpose::Name(name) });
                }
                Found::Other(node) => self.lose_name(&name, node),
            }
        }
        None
    }

    /// A key of this node that nobody here holds, or asks for at this moment.
    fn is_orphan(&self, key: &Key) -> bool {
        let value = self.picture.get(key).and_then(Item::readable);
        match (key, value) {
            (Key::Endpoint(network, address), Some(Value::Endpoint(found))) => {
                match self.claims.get(&found.id) {
                    Some(Claim::Pending(..)) => false,
                    Some(Claim::Held { endpoint, .. }) => {
                        endpoint.network != *network || endpoint.ipv4.addr() != *address
                    }
                    None => true,
                }
            }
            (Key::Second(network, address), Some(Value::Second(found))) => {
                match self.claims.get(&found.endpoint) {
                    Some(Claim::Pending(..)) => false,
                    Some(Claim::Held { endpoint, .. }) => {
                        endpoint.network != *network || !endpoint.seconds().contains(address)
                    }
                    None => true,
                }
            }
            (Key::Container(name), Some(Value::Container(found))) => self
                .names
                .get(name)
                .is_none_or(|hold| hold.pending == 0 && (!hold.held || hold.container != found.container)),
            // Spoiled: it is an orphan if nobody here wants what the key stands for.
            (Key::Endpoint(network, address), None) => {
                !self.wanted(|endpoint| endpoint.network == *network && endpoint.ipv4.addr() == *address)
            }
            (Key::Second(network, address), None) => {
                !self.wanted(|endpoint| endpoint.network == *network && endpoint.seconds().contains(address))
            }
            (Key::Container(name), None) => !self.names.contains_key(name),
            _ => false,
        }
    }

    fn wanted(&self, is_it: impl Fn(&SharedEndpoint) -> bool) -> bool {
        self.claims.values().any(|claim| match claim {
            Claim::Pending(_, Some(endpoint)) | Claim::Held { endpoint, .. } => is_it(endpoint),
            Claim::Pending(_, None) => false,
        })
    }

    fn release(&self, session: &Condition) -> Option<Plan> {
        let orphans = self.picture.of_node(&self.config.node).filter(|key| self.is_orphan(key));
        self.removal(vec![session.clone()], orphans.take(MOST_KEYS), Purpose::Release)
    }

    /// What is left of an endpoint that this node holds no longer.
    pub(super) fn release_of(&self, network: &str, endpoint: &SharedEndpoint) -> Option<Plan> {
        let (_, session) = self.session_holds().ok()?;
        let seconds = endpoint.seconds();
        let ours = self.picture.of_node(&self.config.node).filter(|key| match key {
            Key::Endpoint(of, address) => of == network && *address == endpoint.ipv4.addr(),
            Key::Second(of, address) => of == network && seconds.contains(address),
            _ => false,
        });
        let ours = ours.filter(|key| self.is_orphan(key));
        self.removal(vec![session], ours, Purpose::Release)
    }

    /// What is left of a name that this node holds no longer.
    pub(super) fn release_of_name(&self, name: &str) -> Option<Plan> {
        let (_, session) = self.session_holds().ok()?;
        let key = Key::Container(name.into());
        let ours = self.picture.of_node(&self.config.node).filter(|of| **of == key && self.is_orphan(of));
        self.removal(vec![session], ours, Purpose::Release)
    }

    fn removal<'a>(
        &self,
        mut when: Vec<Condition>,
        keys: impl Iterator<Item = &'a Key>,
        purpose: Purpose,
    ) -> Option<Plan> {
        let mut then = Vec::new();
        for key in keys {
            when.push(self.unless_changed(key));
            then.push(Change::Delete(self.keys.text(key)));
        }
        (!then.is_empty()).then_some(Plan { when, then, purpose })
    }

    /// Notes which nodes are not there, and when that can be acted upon.
    fn note_absences(&mut self, now: Duration) {
        if self.noted == Some(self.picture.people) {
            return;
        }
        self.noted = Some(self.picture.people);
        let holders = self.picture.holders();
        self.absences.retain(|node, _| holders.contains(node));
        for node in holders {
            let there = self.picture.get(&Key::Node(node.clone())).is_some();
            if there || node == self.config.node {
                self.absences.remove(&node);
                continue;
            }
            let member = self.picture.version_of(&Key::Member(node.clone()));
            if self.absences.get(&node).is_some_and(|absence| absence.member == member) {
                continue;
            }
            // Not all at once: the first one does it for all.
            let grace = self.config.grace;
            let spread = u64::try_from((grace / 8).as_millis()).unwrap_or(u64::MAX);
            let due = now + grace + Duration::from_millis(self.dice.below(spread));
            self.absences.insert(node, Absence { member, due });
        }
    }

    /// Gives back what a dead node held. The transaction finds that the node has not come back since its
    /// absence was noted: its key is not there, and among the members it is what it was.
    fn reap(&mut self, now: Duration) -> Option<Plan> {
        self.note_absences(now);
        // What was not seen is not counted against the absent: that is settled once all is seen again.
        #[cfg(not(test))]
        let blind = self.blind_since.is_some();
        #[cfg(test)]
        let blind = self.blind_since.is_some() && !self.reaps_blind;
        if blind {
            return None;
        }
        let mut due = self.absences.iter().filter(|(_, absence)| absence.due <= now);
        due.find_map(|(node, absence)| self.reap_of(node, absence))
    }

    fn reap_of(&self, node: &str, absence: &Absence) -> Option<Plan> {
        let member = Key::Member(node.into());
        let is_back = Condition::Absent(self.keys.text(&Key::Node(node.into())));
        let since = match absence.member {
            Some(version) => Condition::Version(self.keys.text(&member), version),
            None => Condition::Absent(self.keys.text(&member)),
        };
        let keys = self.picture.of_node(node).take(MOST_KEYS);
        let purpose = Purpose::Reap(node.into());
        let when = vec![is_back, since];
        self.removal(when.clone(), keys, purpose.clone()).or_else(|| {
            absence.member?;
            let then = vec![Change::Delete(self.keys.text(&member))];
            Some(Plan { when, then, purpose })
        })
    }

    /// When the next absence can be acted upon, or something be put again.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let absences = self.absences.values().map(|absence| absence.due).filter(|due| *due > now).min();
        absences.into_iter().chain(self.damper.next_due(now)).min()
    }

    /// What became of a plan. `true` if the picture is any wiser, so that the next plan is another one.
    pub(super) fn carried_out(&mut self, plan: &Plan, outcome: &Outcome, now: Duration) -> bool {
        match outcome {
            Outcome::Done(revision) => {
                self.wrote(plan, *revision, now);
                match &plan.purpose {
                    Purpose::Endpoint(_) | Purpose::Name(_) => {
                        self.counters.repaired += 1;
                        self.damper.made(&plan.then, now);
                    }
                    Purpose::Release => {}
                    Purpose::Reap(node) => {
                        self.counters.reaped += plan.then.len() as u64;
                        tracing::info!("{} keys of the dead node {node} were given back", plan.then.len());
                    }
                }
                true
            }
            Outcome::Refused(found) => {
                self.learn(found, now);
                self.plan_again(plan)
            }
        }
    }

    /// The plan would not be made again.
    fn plan_again(&self, plan: &Plan) -> bool {
        let stale = |condition: &Condition| match condition {
            Condition::Version(key, version) => {
                self.keys.read(key).is_some_and(|key| self.picture.version_of(&key) != Some(*version))
            }
            Condition::Absent(key) => self.keys.read(key).is_some_and(|key| self.picture.get(&key).is_some()),
            _ => false,
        };
        plan.when.iter().any(stale)
    }

    /// Takes over what a transaction has changed.
    pub(super) fn wrote(&mut self, plan: &Plan, revision: u64, now: Duration) {
        let mut changed = Vec::new();
        for change in &plan.then {
            match change {
                Change::Put { key, value, .. } => {
                    // What the picture has may have come, and gone, since the plan was made.
                    let made = plan.when.contains(&Condition::Absent(key.clone()));
                    let Some(key) = self.keys.read(key) else { continue };
                    // The condition was that the key was absent, or as it was known.
                    let known = self.picture.get(&key).filter(|_| !made);
                    let created = known.map_or(revision, Item::created);
                    self.picture.wrote(key, (revision, created), value, &mut changed);
                }
                Change::Delete(key) => {
                    let Some(key) = self.keys.read(key) else { continue };
                    self.picture.erased(key, revision, &mut changed);
                }
            }
        }
        self.absorb(changed, now);
        for claim in self.claims.values_mut() {
            if let Claim::Held { endpoint, confirmed } = claim {
                *confirmed = is_in(&self.picture, endpoint);
            }
        }
    }
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
