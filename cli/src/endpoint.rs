//! What `--network` and the flags around it say, in the words of the API.

use vswitch::control::request::EndpointRequest;

use crate::args::{NetworkFlags, driver_opt, mac};
use crate::error::Failure;

/// One `--network`.
///
/// ```
/// use cli::endpoint::parse;
/// let short = parse("my:ip=10.0.0.9,alias=db,alias=store").unwrap();
/// assert_eq!(short, parse("name=my,ip=10.0.0.9,alias=db,alias=store").unwrap());
/// assert_eq!((short.network.as_str(), short.aliases.len()), ("my", 2));
/// ```
///
/// # Errors
/// With Docker's sentences.
pub fn parse(word: &str) -> Result<EndpointRequest, String> {
    if word.trim().is_empty() {
        return Err("no name set for network".into());
    }
    if let Some(container) = word.strip_prefix("container:") {
        return match container {
            "" => Err("invalid container format container:<name|id>".into()),
            _ => Ok(EndpointRequest::to(word)),
        };
    }
    let mut endpoint = EndpointRequest::default();
    // An option's value may have a colon, a network's name none.
    let options = match (word.find(':'), word.find('=')) {
        (None, None) => return Ok(EndpointRequest::to(word)),
        (Some(colon), equals) if equals.is_none_or(|equals| colon < equals) => {
            word[..colon].clone_into(&mut endpoint.network);
            &word[colon + 1..]
        }
        _ => word,
    };
    let long = endpoint.network.is_empty();
    for field in fields(options) {
        let (key, value) = field.split_once('=').ok_or_else(|| format!("invalid field {field}"))?;
        let key = key.trim().to_lowercase();
        let value = value.trim();
        match key.as_str() {
            "name" if long => value.clone_into(&mut endpoint.network),
            "alias" => endpoint.aliases.push(value.to_owned()),
            "ip" => endpoint.ip = Some(value.parse().map_err(|_| format!("invalid IPv4 address: {value}"))?),
            "ip6" => {
                endpoint.ip6 = Some(value.parse().map_err(|_| format!("invalid IPv6 address: {value}"))?);
            }
            "mac" | "mac-address" => endpoint.mac_address = Some(mac(value)?),
            "driver-opt" => {
                let (key, value) = driver_opt(value)?;
                endpoint.driver_opts.insert(key, value);
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if endpoint.network.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok(endpoint)
}

/// Fields parted by commas (RFC 4180): one in quotes may have commas in it.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    fields
}

fn is_container(network: &str) -> bool {
    network.starts_with("container:")
}

/// A network that somebody made.
fn is_user_defined(network: &str) -> bool {
    !matches!(network, "default" | "bridge" | "host" | "none") && !is_container(network)
}

/// What a container is to be on: every `--network`, the first with the wishes of the flags beside it. Empty for the
/// default network.
///
/// # Errors
/// With Docker's sentences, where flags contradict each other.
pub fn requests(flags: &NetworkFlags, hostname: Option<&str>) -> Result<Vec<EndpointRequest>, Failure> {
    let mut all = flags.network.clone();
    let wishes = flags.ip.is_some()
        || flags.ip6.is_some()
        || flags.mac_address.is_some()
        || !flags.network_alias.is_empty()
        || !flags.link.is_empty();
    if all.is_empty() && wishes {
        all.push(EndpointRequest::to("default"));
    }
    if let Some(first) = all.first_mut() {
        wish(first, flags)?;
    }
    fit_together(&all)?;
    for endpoint in &all {
        if !is_user_defined(&endpoint.network) && !endpoint.aliases.is_empty() {
            return Err(Failure::new("network-scoped aliases are only supported for user-defined networks"));
        }
        fit_mode(endpoint, flags, hostname)?;
    }
    Ok(all)
}

/// Gives the first network what the flags wish for.
fn wish(first: &mut EndpointRequest, flags: &NetworkFlags) -> Result<(), Failure> {
    let twice = |flag: &str, own: &str| {
        Err(Failure::new(format!("conflicting options: cannot specify both {flag} and per-network {own}")))
    };
    if !flags.network_alias.is_empty() {
        if !first.aliases.is_empty() {
            return twice("--network-alias", "alias");
        }
        first.aliases.clone_from(&flags.network_alias);
    }
    if flags.ip.is_some() && first.ip.is_some() {
        return twice("--ip", "IPv4 address");
    }
    if flags.ip6.is_some() && first.ip6.is_some() {
        return twice("--ip6", "IPv6 address");
    }
    if flags.mac_address.is_some() && first.mac_address.is_some() {
        return twice("--mac-address", "MAC address");
    }
    first.ip = first.ip.or(flags.ip);
    first.ip6 = first.ip6.or(flags.ip6);
    if let Some(word) = &flags.mac_address {
        first.mac_address = Some(mac(word).map_err(Failure::new)?);
    }
    first.links.clone_from(&flags.link);
    Ok(())
}

fn fit_together(all: &[EndpointRequest]) -> Result<(), Failure> {
    for (at, endpoint) in all.iter().enumerate() {
        let network = &endpoint.network;
        if all.iter().take(at).any(|earlier| earlier.network == *network) {
            return Err(Failure::new(format!("network \"{network}\" is specified multiple times")));
        }
    }
    let own = all.iter().filter(|e| is_user_defined(&e.network)).count();
    if own > 0 && own < all.len() {
        return Err(Failure::new(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ));
    }
    if all.len() > 1 {
        if all.iter().any(|e| e.network == "host" || is_container(&e.network)) {
            return Err(Failure::new(
                "container sharing network namespace with another container or host cannot be connected to any other network",
            ));
        }
        if all.iter().any(|e| e.network == "none") {
            return Err(Failure::new(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
    }
    Ok(())
}

/// What cannot be had in the namespace of another container, or of the host.
fn fit_mode(endpoint: &EndpointRequest, flags: &NetworkFlags, hostname: Option<&str>) -> Result<(), Failure> {
    let mode = endpoint.network.as_str();
    let (host, container) = (mode == "host", is_container(mode));
    let published = flags.publish_all || !flags.publish.is_empty();
    let conflicts = [
        (container && hostname.is_some(), "hostname and the network mode"),
        (
            container && !endpoint.links.is_empty(),
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (container && !flags.dns.is_empty(), "dns and the network mode"),
        (container && !flags.add_host.is_empty(), "custom host-to-IP mapping and the network mode"),
        ((container || host) && endpoint.mac_address.is_some(), "mac-address and the network mode"),
        (container && published, "port publishing and the container type network mode"),
        (container && !flags.expose.is_empty(), "port exposing and the container type network mode"),
        (
            host && !endpoint.links.is_empty(),
            "host type networking can't be used with links. This would result in undefined behavior",
        ),
    ];
    match conflicts.iter().find(|(there, _)| *there) {
        Some((_, what)) => Err(Failure::new(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
