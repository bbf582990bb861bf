//! `network create`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use crate::args::{Ipam, NetworkCreate};
use crate::client::Client;
use crate::error::{Failure, Outcome};
use crate::format::escape;
use crate::stdout;

/// Makes a network and prints its id.
///
/// # Errors
/// The daemon's own sentence, or why the subnets do not fit what belongs to them.
pub(super) fn run(client: &Client, args: &NetworkCreate) -> Outcome {
    let reply = client.post("/networks/create", &request(args)?)?;
    if let Some(warning) = reply["Warning"].as_str().filter(|w| !w.is_empty()) {
        eprintln!("WARNING: {}", escape(warning));
    }
    stdout::put(&format!("{}\n", reply["Id"].as_str().unwrap_or_default()))?;
    Ok(0)
}

fn object(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

/// The body of `POST /networks/create`.
fn request(args: &NetworkCreate) -> Result<Value, Failure> {
    Ok(json!({
        "Name": args.name,
        "CheckDuplicate": true,
        "Driver": args.driver,
        "Scope": args.scope,
        "EnableIPv6": args.ipv6,
        "IPAM": {
            "Driver": args.ipam.ipam_driver,
            "Options": object(&args.ipam.ipam_opt),
            "Config": config(&args.ipam)?,
        },
        "Internal": args.internal,
        "Attachable": args.attachable,
        "Ingress": args.ingress,
        "ConfigOnly": args.config_only,
        "ConfigFrom": args.config_from.as_ref().map(|network| json!({"Network": network})),
        "Options": object(&args.opt),
        "Labels": object(&args.label),
    }))
}

/// A subnet and what was said of it.
struct Subnet<'a> {
    text: &'a str,
    range: Option<&'a str>,
    gateway: Option<&'a str>,
    auxiliary: Map<String, Value>,
}

/// Gives every range, gateway and auxiliary address to the subnet that it lies in.
fn config(ipam: &Ipam) -> Result<Vec<Value>, Failure> {
    if ipam.subnet.len() < ipam.ip_range.len() || ipam.subnet.len() < ipam.gateway.len() {
        return Err(Failure::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut subnets: Vec<Subnet<'_>> = Vec::new();
    for text in &ipam.subnet {
        for other in &subnets {
            if contains(text, other.text)? || contains(other.text, text)? {
                return Err(Failure::new("multiple overlapping subnet configuration is not supported"));
            }
        }
        subnets.push(Subnet { text, range: None, gateway: None, auxiliary: Map::new() });
    }
    for range in &ipam.ip_range {
        let subnet = matching(&mut subnets, "range", range)?;
        if let Some(first) = subnet.range.replace(range) {
            return Err(Failure::new(format!(
                "cannot configure multiple ranges ({range}, {first}) on the same subnet ({})",
                subnet.text
            )));
        }
    }
    for gateway in &ipam.gateway {
        let subnet = matching(&mut subnets, "gateway", gateway)?;
        if let Some(first) = subnet.gateway.replace(gateway) {
            return Err(Failure::new(format!(
                "cannot configure multiple gateways ({gateway}, {first}) for the same subnet ({})",
                subnet.text
            )));
        }
    }
    for (name, address) in &ipam.aux_address {
        let subnet = matching(&mut subnets, "aux-address", address)?;
        subnet.auxiliary.insert(name.clone(), json!(address));
    }
    Ok(subnets.into_iter().map(Subnet::into_json).collect())
}

impl Subnet<'_> {
    fn into_json(self) -> Value {
        let mut config = Map::new();
        config.insert("Subnet".into(), json!(self.text));
        if let Some(range) = self.range {
            config.insert("IPRange".into(), json!(range));
        }
        if let Some(gateway) = self.gateway {
            config.insert("Gateway".into(), json!(gateway));
        }
        if !self.auxiliary.is_empty() {
            config.insert("AuxiliaryAddresses".into(), Value::Object(self.auxiliary));
        }
        Value::Object(config)
    }
}

/// The subnet that `text`, an address or a subnet, lies in.
fn matching<'a, 'b>(
    subnets: &'a mut [Subnet<'b>],
    what: &str,
    text: &str,
) -> Result<&'a mut Subnet<'b>, Failure> {
    for subnet in subnets {
        if contains(subnet.text, text)? {
            return Ok(subnet);
        }
    }
    Err(Failure::new(format!("no matching subnet for {what} {text}")))
}

/// Whether an address, or the first one of a subnet, lies in `subnet`. What is no address lies nowhere.
fn contains(subnet: &str, text: &str) -> Result<bool, Failure> {
    let net: IpNet = subnet
        .parse()
        .map_err(|_| Failure::new(format!("Invalid subnet {subnet} : invalid CIDR address: {subnet}")))?;
    if !text.contains('/') {
        return Ok(text.parse::<IpAddr>().is_ok_and(|address| net.contains(&address)));
    }
    let other: IpNet = text
        .parse()
        .map_err(|_| Failure::new(format!("Invalid cidr {text} : invalid CIDR address: {text}")))?;
    Ok(net.contains(&other.addr()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command, NetworkCommand};

    fn asked(flags: &str) -> Result<Value, String> {
        let words = ["vswitch", "network", "create"].into_iter().chain(flags.split_whitespace());
        let args = Args::try_parse_from(words).map_err(|e| e.to_string())?;
        match args.command {
            Command::Network(crate::args::Network { command: NetworkCommand::Create(args) }) => {
                request(&args).map_err(|f| f.to_string())
            }
            other => Err(format!("{other:?}")),
        }
    }

    fn refused(flags: &str) -> String {
        asked(flags).expect_err(flags)
    }

    #[test]
    fn a_name_alone_asks_for_dockers_defaults() {
        assert_eq!(
            asked("my"),
            Ok(json!({
                "Name": "my", "CheckDuplicate": true, "Driver": "bridge", "Scope": "", "EnableIPv6": false,
                "IPAM": {"Driver": "default", "Options": {}, "Config": []},
                "Internal": false, "Attachable": false, "Ingress": false, "ConfigOnly": false,
                "ConfigFrom": null, "Options": {}, "Labels": {},
            }))
        );
    }

    #[test]
    fn every_flag_has_its_place() {
        let body = asked(
            "-d overlay -o com.docker.network.driver.mtu=1400 --opt flag --label tier=web --label empty --internal \
             --ipv6 --attachable --ingress --scope global --config-only --config-from base --ipam-driver other \
             --ipam-opt k=v my",
        )
        .unwrap();
        assert_eq!(
            body,
            json!({
                "Name": "my", "CheckDuplicate": true, "Driver": "overlay", "Scope": "global", "EnableIPv6": true,
                "IPAM": {"Driver": "other", "Options": {"k": "v"}, "Config": []},
                "Internal": true, "Attachable": true, "Ingress": true, "ConfigOnly": true,
                "ConfigFrom": {"Network": "base"},
                "Options": {"com.docker.network.driver.mtu": "1400", "flag": ""},
                "Labels": {"tier": "web", "empty": ""},
            })
        );
    }

    #[test]
    fn what_belongs_to_a_subnet_is_put_there() {
        let body = asked(
            "--subnet 10.1.0.0/16,fd00::/64 --subnet 10.2.0.0/16 --gateway fd00::1 --gateway 10.2.0.254 \
             --ip-range 10.1.5.0/24 --aux-address a=10.1.0.9 --aux-address b=10.1.0.10 --aux-address c=fd00::9 my",
        )
        .unwrap();
        assert_eq!(
            body["IPAM"]["Config"],
            json!([
                {
                    "Subnet": "10.1.0.0/16", "IPRange": "10.1.5.0/24",
                    "AuxiliaryAddresses": {"a": "10.1.0.9", "b": "10.1.0.10"},
                },
                {"Subnet": "fd00::/64", "Gateway": "fd00::1", "AuxiliaryAddresses": {"c": "fd00::9"}},
                {"Subnet": "10.2.0.0/16", "Gateway": "10.2.0.254"},
            ])
        );
    }

    #[test]
    fn what_belongs_to_no_subnet_is_refused() {
        for (flags, sentence) in [
            ("--gateway 10.0.0.1 my", "every ip-range or gateway must have a corresponding subnet"),
            ("--ip-range 10.0.0.0/24 my", "every ip-range or gateway must have a corresponding subnet"),
            ("--subnet 10.0.0.0/8 --gateway 11.0.0.1 my", "no matching subnet for gateway 11.0.0.1"),
            ("--subnet 10.0.0.0/8 --gateway ten my", "no matching subnet for gateway ten"),
            ("--subnet 10.0.0.0/8 --ip-range 11.0.0.0/24 my", "no matching subnet for range 11.0.0.0/24"),
            (
                "--subnet 10.0.0.0/8 --aux-address a=11.0.0.1 my",
                "no matching subnet for aux-address 11.0.0.1",
            ),
            ("--aux-address a=11.0.0.1 my", "no matching subnet for aux-address 11.0.0.1"),
            (
                "--subnet 10.0.0.0/8 --subnet 10.1.0.0/16 my",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet fd00::/64 --ip-range 10.9.0.0/16 --ip-range 10.8.0.0/16 my",
                "cannot configure multiple ranges (10.8.0.0/16, 10.9.0.0/16) on the same subnet (10.0.0.0/8)",
            ),
            (
                "--subnet 10.0.0.0/8 --subnet fd00::/64 --gateway 10.0.0.1 --gateway 10.0.0.2 my",
                "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/8)",
            ),
            ("--subnet ten --gateway 10.0.0.1 my", "Invalid subnet ten : invalid CIDR address: ten"),
            (
                "--subnet 10.0.0.0/8 --ip-range 10.0.0.0/99 my",
                "Invalid cidr 10.0.0.0/99 : invalid CIDR address: 10.0.0.0/99",
            ),
        ] {
            assert_eq!(refused(flags), sentence);
        }
        // One that stands alone is the daemon's to judge.
        assert_eq!(asked("--subnet ten my").unwrap()["IPAM"]["Config"], json!([{"Subnet": "ten"}]));
    }

    #[test]
    fn a_label_has_a_name() {
        assert!(refused("--label =x my").contains("invalid label '=x': empty name"));
    }
}
