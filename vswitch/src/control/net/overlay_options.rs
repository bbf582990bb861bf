//! The overlay driver's options: their names, and how their values are read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vxlan::Vni;

use super::error::NetError;
use super::options;

/// The VXLAN network identifier: 1 to 16777215 (RFC 7348, section 5); of the first subnets one each, in their
/// order and separated by commas.
pub const VNI: &str = "vni";
/// The same for all subnets: Docker's option.
pub const VNIS: &str = "com.docker.network.driver.overlay.vxlanid_list";
/// The other hosts, by address and separated by commas: the network needs no store then.
pub const PEERS: &str = "peers";
/// Frames teach behind which peer a station is; on unless it says otherwise.
pub const LEARNING: &str = "learning";
/// Tunnels over IPsec.
pub const ENCRYPTED: &str = "encrypted";

/// Most peers that can be given by hand.
pub const MAX_PEERS: usize = 1024;

/// A network whose peers were given by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Its number.
    pub vni: Vni,
    /// The other hosts, each once.
    pub peers: Vec<IpAddr>,
    /// Frames teach where stations are.
    pub learning: bool,
}

fn refused(key: &str, value: &str, why: impl Into<String>) -> NetError {
    NetError::OptionValue { key: key.into(), value: value.into(), why: why.into() }
}

fn parse_vni(key: &str, value: &str) -> Result<Vni, NetError> {
    value
        .trim()
        .parse::<u32>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(Vni::new)
        .ok_or_else(|| refused(key, value, "a VNI is a number from 1 to 16777215"))
}

fn parse_peers(value: &str) -> Result<Vec<IpAddr>, NetError> {
    let mut peers = Vec::new();
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let peer = word.parse::<IpAddr>().ok().map(|peer| peer.to_canonical());
        let peer = peer.filter(|peer| match peer {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
        });
        let peer = peer.ok_or_else(|| refused(PEERS, value, format!("{word:?} is no address of a host")))?;
        if !peers.contains(&peer) {
            peers.push(peer);
        }
        if peers.len() > MAX_PEERS {
            return Err(refused(PEERS, value, format!("{MAX_PEERS} peers are the most a network has")));
        }
    }
    if peers.is_empty() {
        return Err(refused(PEERS, value, "at least one address is needed"));
    }
    Ok(peers)
}

/// What the options say of a network by hand; `None` if they name no peers.
///
/// # Errors
/// [`NetError::OptionValue`], [`NetError::NoVni`].
pub fn by_hand(options: &BTreeMap<String, String>) -> Result<Option<ByHand>, NetError> {
    let Some(peers) = options.get(PEERS) else { return Ok(None) };
    let peers = parse_peers(peers)?;
    let vni = match vnis(options)?[..] {
        [] => return Err(NetError::NoVni),
        [one] => one,
        _ => return Err(NetError::SubnetsByHand),
    };
    let learning = match options.get(LEARNING) {
        Some(value) => parse_flag(LEARNING, value)?,
        None => true,
    };
    Ok(Some(ByHand { vni, peers, learning }))
}

/// The numbers that were asked for, of the first subnets; none twice.
///
/// # Errors
/// [`NetError::OptionValue`].
pub fn vnis(options: &BTreeMap<String, String>) -> Result<Vec<Vni>, NetError> {
    let (key, list) = match (options.get(VNI), options.get(VNIS)) {
        (None, None) => return Ok(Vec::new()),
        (Some(list), None) => (VNI, list),
        (None, Some(list)) => (VNIS, list),
        (Some(_), Some(list)) => {
            return Err(refused(VNIS, list, format!("-o {VNI}= says it too: give one of them")));
        }
    };
    let mut vnis = Vec::new();
    for word in list.split(',') {
        let vni = parse_vni(key, word)?;
        if vnis.contains(&vni) {
            return Err(refused(key, word, "each subnet has a VNI of its own"));
        }
        vnis.push(vni);
    }
    Ok(vnis)
}

/// Without a value: yes.
fn parse_flag(key: &str, value: &str) -> Result<bool, NetError> {
    if value.is_empty() {
        return Ok(true);
    }
    options::parse_bool(value)
        .ok_or_else(|| refused(key, value, format!("strconv.ParseBool: parsing {value:?}: invalid syntax")))
}

/// Refuses what cannot be read, and what is not there yet.
pub(super) fn check(options: &BTreeMap<String, String>) -> Result<(), NetError> {
    if let Some(value) = options.get(ENCRYPTED)
        && parse_flag(ENCRYPTED, value)?
    {
        return Err(NetError::Encrypted);
    }
    if let Some(value) = options.get(options::MTU) {
        options::parse_mtu(value)?;
    }
    vnis(options)?;
    if let Some(value) = options.get(LEARNING) {
        parse_flag(LEARNING, value)?;
        if !options.contains_key(PEERS) {
            return Err(NetError::LearningWithoutPeers);
        }
    }
    by_hand(options).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn peers_by_hand_are_read_each_once_and_learning_is_on() {
        let options = of(&[(VNI, "42"), (PEERS, "192.0.2.2, 2001:db8::3,192.0.2.2,::ffff:192.0.2.2")]);
        let hand = by_hand(&options).unwrap().unwrap();
        let peers: Vec<String> = hand.peers.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["192.0.2.2", "2001:db8::3"]);
        assert_eq!((hand.vni.get(), hand.learning), (42, true));
        let quiet = of(&[(VNI, "42"), (PEERS, "192.0.2.2"), (LEARNING, "false")]);
        assert!(!by_hand(&quiet).unwrap().unwrap().learning);
        assert_eq!(by_hand(&of(&[(VNI, "42")])), Ok(None));
    }

    #[test]
    fn numbers_are_asked_for_one_by_one_or_as_a_list() {
        let numbers = |pairs: &[(&str, &str)]| -> Vec<u32> {
            vnis(&of(pairs)).unwrap().iter().map(|vni| vni.get()).collect()
        };
        assert!(numbers(&[]).is_empty());
        assert_eq!(numbers(&[(VNI, "42")]), [42]);
        assert_eq!(numbers(&[(VNIS, "256, 300")]), [256, 300]);
        assert_eq!(numbers(&[(VNI, "300,256")]), [300, 256]);
        let hand = by_hand(&of(&[(VNIS, "300"), (PEERS, "192.0.2.2")])).unwrap().unwrap();
        assert_eq!(hand.vni.get(), 300);
        let more = by_hand(&of(&[(VNI, "300,256"), (PEERS, "192.0.2.2")]));
        assert!(matches!(more, Err(NetError::SubnetsByHand)), "none is passed over");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for (options, reason) in [
            (of(&[(VNI, "0"), (PEERS, "192.0.2.2")]), "a VNI is a number from 1 to 16777215"),
            (of(&[(VNI, "16777216")]), "a VNI is a number from 1 to 16777215"),
            (of(&[(VNI, "x")]), "a VNI is a number from 1 to 16777215"),
            (of(&[(VNI, "1,")]), "a VNI is a number from 1 to 16777215"),
            (of(&[(VNI, "1,1")]), "each subnet has a VNI of its own"),
            (of(&[(VNI, "1"), (PEERS, "")]), "at least one address is needed"),
            (of(&[(VNI, "1"), (PEERS, "host")]), "\"host\" is no address of a host"),
            (of(&[(VNI, "1"), (PEERS, "224.0.0.1")]), "\"224.0.0.1\" is no address of a host"),
            (of(&[(VNI, "1"), (PEERS, "0.0.0.0")]), "\"0.0.0.0\" is no address of a host"),
            (of(&[(VNI, "1"), (PEERS, "192.0.2.1"), (LEARNING, "maybe")]), "invalid syntax"),
            (of(&[(PEERS, "192.0.2.1")]), "-o vni="),
            (of(&[(VNIS, "1,x")]), "a VNI is a number from 1 to 16777215"),
            (of(&[(VNIS, "7,7")]), "each subnet has a VNI of its own"),
            (of(&[(VNIS, "7"), (VNI, "7")]), "give one of them"),
            (of(&[(LEARNING, "true")]), "-o peers="),
            (of(&[(ENCRYPTED, "")]), "cannot be encrypted"),
            (of(&[(ENCRYPTED, "true")]), "cannot be encrypted"),
        ] {
            let sentence = check(&options).unwrap_err().to_string();
            assert!(sentence.contains(reason), "{options:?}: {sentence}");
        }
        assert_eq!(check(&of(&[(ENCRYPTED, "false"), ("anything", "goes")])), Ok(()));
    }
}
