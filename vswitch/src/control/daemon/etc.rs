//! A container's own files under /etc: hosts, resolv.conf, hostname (hosts(5), resolv.conf(5)).

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Books, Daemon};
use crate::control::error::ControlError;
use crate::control::id;
use crate::control::record::{Container, Endpoint, HostAddress, Mode};
use crate::control::request::EndpointRequest;
use crate::sandbox::helper::NAME_SERVICE;

/// Name of the file that stands for /etc/hosts.
pub(super) const HOSTS: &str = "hosts";
/// Name of the file that stands for /etc/resolv.conf.
pub(super) const RESOLV_CONF: &str = "resolv.conf";
/// Name of the file that stands for /etc/hostname.
pub(super) const HOSTNAME: &str = "hostname";

/// The lines of every hosts file, as Docker writes them.
const LOCAL_HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
ff00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// Whether a text can be one field of a file under /etc: white space ends one, `#` begins a comment.
pub(super) fn is_field(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#')
}

/// Whether a link's two names can be fields of the hosts file, and parts of a variable's name.
pub(super) fn is_link(word: &str) -> bool {
    let (name, alias) = link(word);
    is_field(name) && is_field(alias) && !alias.contains('=')
}

/// The host's name in every container that has a way out, unless it was given another meaning.
const HOST_NAME: &str = "host.docker.internal";

/// `NAME:ADDRESS` of `--add-host`, or `NAME:host-gateway`.
pub(super) fn extra_host(word: &str) -> Result<(String, HostAddress), ControlError> {
    let bad = || ControlError::Invalid(format!("bad format for add-host: \"{word}\""));
    let (name, address) = word.split_once(':').ok_or_else(bad)?;
    if !is_field(name) {
        return Err(bad());
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    let address = bare
        .parse()
        .map_err(|_| ControlError::Invalid(format!("invalid IP address in add-host: \"{address}\"")))?;
    Ok((name.to_owned(), address))
}

/// Makes a container's directory with the files that are its own.
pub(super) fn write_all(
    dir: &Path,
    record: &Container,
    hosts: Option<&str>,
    resolv: Option<&str>,
) -> std::io::Result<()> {
    crate::control::paths::make_private(dir).map_err(std::io::Error::other)?;
    if let Some(hosts) = hosts {
        write(&dir.join(HOSTS), hosts)?;
    }
    if let Some(resolv) = resolv {
        write(&dir.join(RESOLV_CONF), resolv)?;
    }
    // Who joins another container has that one's files.
    if matches!(record.mode, Mode::Networks | Mode::None) {
        write(&dir.join(HOSTNAME), &format!("{}\n", record.hostname))?;
    }
    Ok(())
}

/// Writes in place: the file may be mounted, and a mount is of an inode. For everybody to read, as
/// files under /etc are; the directory is its owner's alone.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().create(true).write(true).truncate(false).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

impl Daemon {
    /// Writes a container's files anew, after its addresses or names have changed.
    pub(super) fn rewrite_files(&self, id: &str) {
        let (hosts, resolv) = {
            let books = self.books.lock();
            let Ok(live) = books.live(id) else { return };
            // With a name service of its own it has the same server wherever it is.
            let resolv = if live.record.has_name_service() { None } else { books.resolv_conf(&live.record) };
            (books.hosts_file(&live.record), resolv)
        };
        for (name, text) in [(HOSTS, hosts), (RESOLV_CONF, resolv)] {
            if let Some(text) = text
                && let Err(error) = write(&self.dir(id).join(name), &text)
            {
                tracing::warn!("{name} of container {} cannot be written: {error}", id::short(id));
            }
        }
    }
}

impl Books {
    /// A container's resolv.conf; `None` where the host's serves.
    pub(super) fn resolv_conf(&self, record: &Container) -> Option<String> {
        let dns = &record.dns;
        let custom = !(dns.servers.is_empty() && dns.search.is_empty() && dns.options.is_empty());
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        // Each line of a word has all its values.
        let lines = |word: &str| -> Vec<Vec<String>> {
            let of = host.lines().map(|line| line.split_ascii_whitespace().map(str::to_owned).collect());
            of.filter(|line: &Vec<String>| line.first().is_some_and(|first| first == word))
                .map(|line| line.into_iter().skip(1).collect())
                .collect()
        };
        let servers: Vec<String> = match record.mode {
            Mode::Container(_) => return None,
            Mode::Host | Mode::None if !custom => return None,
            Mode::Networks if record.has_name_service() => vec![NAME_SERVICE.ip().to_string()],
            Mode::Networks => self.gateways_of(record),
            _ if dns.servers.is_empty() => lines("nameserver").concat(),
            _ => dns.servers.iter().map(IpAddr::to_string).collect(),
        };
        let search = match dns.search.as_slice() {
            // The last such line is the one that counts (resolv.conf(5)).
            [] => lines("search").pop().unwrap_or_default(),
            own => own.to_vec(),
        };
        let mut options =
            if dns.options.is_empty() { lines("options").concat() } else { dns.options.clone() };
        if record.mode == Mode::Networks && !dns.options.iter().any(|o| o.starts_with("ndots:")) {
            // The host's value is about the host's search domains; names here have no dot.
            options.retain(|o| !o.starts_with("ndots:"));
            options.push("ndots:0".into());
        }
        let mut text = String::new();
        for server in servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !search.is_empty() && search != ["."] {
            let _ = writeln!(text, "search {}", search.join(" "));
        }
        if !options.is_empty() {
            let _ = writeln!(text, "options {}", options.join(" "));
        }
        Some(text)
    }

    /// The addresses of its networks' gateways, as many as a resolver asks (resolv.conf(5)).
    fn gateways_of(&self, record: &Container) -> Vec<String> {
        let addresses = record.interfaces().filter_map(|endpoint| {
            let network = &self.networks.get(&endpoint.network_id)?.record;
            network.config_of(endpoint.v4?.addr().into())?.gateway
        });
        addresses.take(3).map(|a| a.to_string()).collect()
    }

    /// A container's hosts file; `None` where another's serves.
    pub(super) fn hosts_file(&self, record: &Container) -> Option<String> {
        let mut text = match record.mode {
            Mode::Container(_) => return None,
            Mode::Host if record.dns.hosts.is_empty() => return None,
            Mode::Host => std::fs::read_to_string("/etc/hosts").unwrap_or_default(),
            Mode::Networks | Mode::None => LOCAL_HOSTS.to_owned(),
        };
        if !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
        let host = match record.mode {
            Mode::Host => Some(Ipv4Addr::LOCALHOST.into()),
            _ => record.way_out().and_then(|endpoint| endpoint.gateways().first().copied()),
        };
        let own =
            record.mode == Mode::Networks && !record.dns.hosts.iter().any(|(name, _)| name == HOST_NAME);
        if let Some(host) = host.filter(|_| own) {
            let _ = writeln!(text, "{host}\t{HOST_NAME}");
        }
        for (name, address) in &record.dns.hosts {
            let address = match address {
                HostAddress::Ip(address) => Some(*address),
                HostAddress::Gateway => host,
            };
            if let Some(address) = address {
                let _ = writeln!(text, "{address}\t{name}");
            }
        }
        for (alias, target) in self.links(record) {
            let Some(on_it) = target.endpoint_on(&self.default_network_id()) else { continue };
            for address in on_it.addresses() {
                let _ = writeln!(text, "{address}\t{alias} {} {}", target.hostname, target.name);
            }
        }
        let own = match &record.domainname {
            Some(domain) => format!("{}.{domain} {}", record.hostname, record.hostname),
            None => record.hostname.clone(),
        };
        for address in record.endpoints.iter().filter(|e| !e.gateway_only).flat_map(Endpoint::addresses) {
            let _ = writeln!(text, "{address}\t{own}");
        }
        Some(text)
    }

    fn default_network_id(&self) -> String {
        self.network_names.get("bridge").cloned().unwrap_or_default()
    }

    /// The links of a container on the default network, which are what its users have for names:
    /// alias and target.
    pub(super) fn links<'a>(&'a self, record: &'a Container) -> Vec<(&'a str, &'a Container)> {
        let id = self.default_network_id();
        let Some(endpoint) = record.endpoint_on(&id) else { return Vec::new() };
        let pairs = endpoint.wished.links.iter().filter_map(|word| {
            let (name, alias) = link(word);
            let target = self.resolve(name).ok().and_then(|id| self.containers.get(&id))?;
            Some((alias, &target.record))
        });
        pairs.collect()
    }

    /// The variables by which a command finds what it is linked to.
    ///
    /// # Errors
    /// With Docker's sentences where a link's target is not there.
    pub(super) fn link_variables(
        &self,
        record: &Container,
        networks: &[EndpointRequest],
    ) -> Result<Vec<(String, String)>, ControlError> {
        let mut variables = Vec::new();
        for request in networks {
            let is_default = self.resolve_network(&request.network).ok() == Some(self.default_network_id());
            for word in &request.links {
                if !is_link(word) {
                    return Err(ControlError::Invalid(format!("invalid link format: {word}")));
                }
                let (name, alias) = link(word);
                if !is_default {
                    // There a link is one more name, for whatever has the target's name by then.
                    continue;
                }
                let target = self.resolve(name).and_then(|id| self.live(&id)).map_err(|_| {
                    ControlError::Invalid(format!(
                        "could not get container for {name}: No such container: {name}"
                    ))
                })?;
                if !target.record.is_running() {
                    return Err(ControlError::Invalid(format!(
                        "Cannot link to a non running container: /{} AS /{}/{alias}",
                        target.record.name, record.name
                    )));
                }
                let Some(endpoint) = target.record.endpoint_on(&self.default_network_id()) else {
                    return Err(ControlError::Invalid(format!(
                        "Cannot link to /{}, as it does not belong to the default network",
                        target.record.name
                    )));
                };
                if let Some(net) = endpoint.v4 {
                    variables.extend(of_link(alias, &record.name, net.addr().into(), &target.record));
                }
            }
        }
        Ok(variables)
    }
}

/// `NAME[:ALIAS]`, and Docker's stored form `/NAME:/THIS/ALIAS`.
pub(super) fn link(word: &str) -> (&str, &str) {
    let (name, alias) = word.split_once(':').unwrap_or((word, word));
    let name = name.trim_start_matches('/');
    (name, alias.rsplit('/').next().unwrap_or(alias))
}

fn of_link(alias: &str, own_name: &str, address: IpAddr, target: &Container) -> Vec<(String, String)> {
    let prefix = alias.replace('-', "_").to_ascii_uppercase();
    let mut variables = vec![(format!("{prefix}_NAME"), format!("/{own_name}/{alias}"))];
    for (n, port) in target.exposed.iter().enumerate() {
        let text = port.to_string();
        let protocol = text.rsplit('/').next().unwrap_or_default();
        let whole = format!("{protocol}://{address}:{}", port.port);
        if n == 0 {
            variables.push((format!("{prefix}_PORT"), whole.clone()));
        }
        let one = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_ascii_uppercase());
        variables.push((format!("{one}_ADDR"), address.to_string()));
        variables.push((format!("{one}_PORT"), port.port.to_string()));
        variables.push((format!("{one}_PROTO"), protocol.to_owned()));
        variables.push((one, whole));
    }
    for (name, value) in &target.env {
        if !matches!(name.as_str(), "HOME" | "PATH") {
            variables.push((format!("{prefix}_ENV_{name}"), value.clone()));
        }
    }
    variables
}
