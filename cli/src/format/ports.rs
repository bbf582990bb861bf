//! A container's ports in words, as `ps` and `port` print them.

use std::cmp::Ordering;

use serde_json::Value;

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Port {
    private: u64,
    /// Address and port on the host, where it is published.
    public: Option<(String, u64)>,
    protocol: String,
}

/// Ports that follow each other, under one address and protocol.
struct Range {
    ip: Option<String>,
    protocol: String,
    first: u64,
    last: u64,
}

impl Range {
    fn holds(&self, ip: Option<&str>, protocol: &str) -> bool {
        self.ip.as_deref() == ip && self.protocol == protocol
    }

    fn text(&self) -> String {
        let ports = if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        };
        let protocol = &self.protocol;
        match &self.ip {
            Some(ip) => format!("{}->{ports}/{protocol}", on_host(ip, &ports)),
            None => format!("{ports}/{protocol}"),
        }
    }
}

/// PORTS of `ps`, from `Ports` of `GET /containers/json`: `0.0.0.0:8080->80/tcp, 33060/tcp`. Neighbours that are
/// published under their own number, or not at all, become a range; a port published under another number stands
/// alone, at the end.
///
/// ```
/// let ports = serde_json::json!([
///     {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
///     {"PrivatePort": 7000, "Type": "tcp"},
///     {"PrivatePort": 7001, "Type": "tcp"},
/// ]);
/// assert_eq!(cli::format::ports::summary(&ports), "7000-7001/tcp, 0.0.0.0:8080->80/tcp");
/// ```
pub fn summary(ports: &Value) -> String {
    let mut ports: Vec<Port> = ports.as_array().into_iter().flatten().map(port).collect();
    ports.sort_by(order);
    let (mut done, mut open, mut mapped) = (Vec::new(), Vec::<Range>::new(), Vec::new());
    for Port { private, public, protocol } in ports {
        let ip = match public {
            Some((ip, host)) if host != private => {
                mapped.push(format!("{}->{private}/{protocol}", on_host(&ip, &host.to_string())));
                continue;
            }
            public => public.map(|(ip, _)| ip),
        };
        match open.iter_mut().find(|range| range.holds(ip.as_deref(), &protocol)) {
            Some(range) if private == range.last.saturating_add(1) => range.last = private,
            Some(range) => {
                done.push(range.text());
                (range.first, range.last) = (private, private);
            }
            None => open.push(Range { ip, protocol, first: private, last: private }),
        }
    }
    done.extend(open.iter().map(Range::text));
    done.extend(mapped);
    done.join(", ")
}

fn port(value: &Value) -> Port {
    let ip = value["IP"].as_str().filter(|ip| !ip.is_empty());
    Port {
        private: value["PrivatePort"].as_u64().unwrap_or(0),
        public: ip.map(|ip| (ip.to_owned(), value["PublicPort"].as_u64().unwrap_or(0))),
        protocol: value["Type"].as_str().unwrap_or_default().to_owned(),
    }
}

fn order(a: &Port, b: &Port) -> Ordering {
    let key = |p: &Port| (p.private, p.public.clone(), p.protocol.clone());
    key(a).cmp(&key(b))
}

/// The lines of `port NAME`, from `NetworkSettings.Ports` of `GET /containers/ID/json`: `80/tcp -> 0.0.0.0:8080`,
/// ports in order.
pub fn mappings(ports: &Value) -> Vec<String> {
    let mut all: Vec<(&String, &Value)> = ports.as_object().into_iter().flatten().collect();
    all.sort_by(|(a, _), (b, _)| super::natural(a, b));
    all.into_iter()
        .flat_map(|(port, hosts)| hosts_of(hosts).into_iter().map(move |host| format!("{port} -> {host}")))
        .collect()
}

/// Where one port (`80` or `53/udp`) is published; nothing if it is not.
pub fn published(ports: &Value, port: &str) -> Vec<String> {
    hosts_of(&ports[whole(port)])
}

/// A port with its protocol, TCP where none is named.
pub fn whole(port: &str) -> String {
    match port.split_once('/') {
        Some((port, protocol)) if !protocol.is_empty() => format!("{port}/{}", protocol.to_lowercase()),
        Some((port, _)) => format!("{port}/tcp"),
        None => format!("{port}/tcp"),
    }
}

fn hosts_of(hosts: &Value) -> Vec<String> {
    fn text<'a>(host: &'a Value, key: &str) -> &'a str {
        host[key].as_str().unwrap_or_default()
    }
    let hosts = hosts.as_array().into_iter().flatten();
    hosts.map(|host| on_host(text(host, "HostIp"), text(host, "HostPort"))).collect()
}

/// An address and its ports. As in Docker's command up to 20.10 an IPv6 address has no brackets: `:::8080`.
fn on_host(ip: &str, ports: &str) -> String {
    format!("{ip}:{ports}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapped(ip: &str, host: u16, private: u16) -> Value {
        json!({"IP": ip, "PrivatePort": private, "PublicPort": host, "Type": "tcp"})
    }

    fn exposed(private: u16, protocol: &str) -> Value {
        json!({"PrivatePort": private, "Type": protocol})
    }

    #[test]
    fn nothing_is_nothing() {
        assert_eq!(summary(&json!([])), "");
        assert_eq!(summary(&Value::Null), "");
        assert_eq!(mappings(&json!({})), Vec::<String>::new());
    }

    #[test]
    fn a_published_and_an_exposed_port() {
        let ports = json!([mapped("0.0.0.0", 3306, 3306), mapped("::", 3306, 3306), exposed(33060, "tcp")]);
        assert_eq!(summary(&ports), "0.0.0.0:3306->3306/tcp, :::3306->3306/tcp, 33060/tcp");
        let ports = json!([mapped("0.0.0.0", 8080, 80), exposed(33060, "tcp")]);
        assert_eq!(summary(&ports), "33060/tcp, 0.0.0.0:8080->80/tcp");
    }

    #[test]
    fn neighbours_become_a_range() {
        let ports = json!([
            mapped("0.0.0.0", 7003, 7003),
            mapped("0.0.0.0", 7001, 7001),
            mapped("0.0.0.0", 7000, 7000),
            mapped("127.0.0.1", 7001, 7001),
            exposed(53, "udp"),
            exposed(54, "udp"),
            exposed(54, "tcp"),
        ]);
        assert_eq!(
            summary(&ports),
            "0.0.0.0:7000-7001->7000-7001/tcp, 53-54/udp, 54/tcp, \
             0.0.0.0:7003->7003/tcp, 127.0.0.1:7001->7001/tcp"
        );
    }

    #[test]
    fn ports_under_other_numbers_stand_alone() {
        let ports = json!([mapped("0.0.0.0", 8081, 81), mapped("0.0.0.0", 8080, 80)]);
        assert_eq!(summary(&ports), "0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp");
    }

    #[test]
    fn what_port_prints() {
        let ports = json!({
            "443/tcp": null,
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "9/udp": [{"HostIp": "127.0.0.1", "HostPort": "9"}],
        });
        assert_eq!(mappings(&ports), ["9/udp -> 127.0.0.1:9", "80/tcp -> 0.0.0.0:8080", "80/tcp -> :::8080"]);
        assert_eq!(published(&ports, "80"), ["0.0.0.0:8080", ":::8080"]);
        assert_eq!(published(&ports, "80/"), published(&ports, "80/TCP"));
        assert_eq!(published(&ports, "9/udp"), ["127.0.0.1:9"]);
        for none in ["443", "9", "x", ""] {
            assert!(published(&ports, none).is_empty(), "{none}");
        }
    }
}
