//! What is asked of a container, as far as that alone can be checked.

use std::collections::BTreeSet;

use super::create::identity;
use super::etc::is_field;
use super::{QUEUES, now};
use crate::control::error::ControlError;
use crate::control::expose;
use crate::control::publish::{self, Wish};
use crate::control::record::{Container, Dns, ExposedPort, Mode, Origin, Status};
use crate::control::request::CreateRequest;
use crate::sandbox::spec::Target;

/// Ports that can be exposed and published by one request: twice all there are.
const MOST_PORTS: usize = 2 * 2 * 65_535;

fn too_many_ports() -> ControlError {
    ControlError::Invalid(format!("more than {MOST_PORTS} ports: no container has so many"))
}

/// A record of what was asked for, as far as that alone can be checked.
pub(super) fn draft(
    id: &str,
    dir: &std::path::Path,
    request: CreateRequest,
) -> Result<Container, ControlError> {
    let origin = match request.attach {
        Some(Target::Pid(..=0)) => {
            return Err(ControlError::Invalid("a process has a number above 0".into()));
        }
        Some(Target::Netns(path)) if !path.is_absolute() => {
            return Err(ControlError::Invalid(format!(
                "{} says nothing here: give the whole path of the namespace",
                path.display()
            )));
        }
        Some(target) => Origin::Attach { netns: identity(&target), target },
        None => {
            Origin::Run { command: request.command, log: request.detached.then(|| dir.join("output.log")) }
        }
    };
    let mut exposed = BTreeSet::new();
    let mut left = MOST_PORTS;
    let mut bounded = |count: usize| {
        left = left.checked_sub(count).ok_or_else(too_many_ports)?;
        Ok::<_, ControlError>(())
    };
    for word in &request.expose {
        let ports = expose::parse(word)?;
        bounded(ports.len())?;
        exposed.extend(ports);
    }
    let mut published = Vec::new();
    for word in &request.publish {
        let wishes = publish::parse(word)?;
        bounded(wishes.len())?;
        published.extend(wishes);
    }
    exposed.extend(published.iter().map(|wish| wish.port));
    if request.publish_all {
        let already: BTreeSet<ExposedPort> = published.iter().map(|wish| wish.port).collect();
        let rest = exposed.iter().filter(|port| !already.contains(port));
        published.extend(rest.map(|port| Wish { port: *port, address: None, host: None }));
    }
    let hosts: Result<Vec<_>, ControlError> =
        request.extra_hosts.iter().map(|word| super::etc::extra_host(word)).collect();
    // Without a value: as the caller has it, which here is not at all.
    let env =
        request.env.iter().filter_map(|word| Some((word, word.split_once('=')?))).map(|(word, pair)| {
            let (name, value) = pair;
            if name.is_empty() || word.contains('\0') {
                return Err(ControlError::Invalid(format!("invalid environment variable: {word}")));
            }
            Ok((name.to_owned(), value.to_owned()))
        });
    if let Some(domain) = &request.domainname
        && (domain.len() > 64 || !(domain.is_empty() || is_field(domain)))
    {
        return Err(ControlError::Invalid(format!("\"{domain}\" cannot be a domain name")));
    }
    for word in request.dns_search.iter().chain(&request.dns_options) {
        if !is_field(word) {
            return Err(ControlError::Invalid(format!("{word:?} is not a valid domain or resolver option")));
        }
    }
    Ok(Container {
        id: id.to_owned(),
        name: String::new(),
        created: now(),
        origin,
        auto_remove: request.auto_remove,
        hostname: String::new(),
        domainname: request.domainname,
        labels: request.labels,
        env: env.collect::<Result<_, _>>()?,
        status: Status::Created,
        mode: Mode::Networks,
        endpoints: Vec::new(),
        queues: request.queues.unwrap_or(QUEUES).clamp(1, 16),
        dns: Dns {
            servers: request.dns,
            search: request.dns_search,
            options: request.dns_options,
            hosts: hosts?,
        },
        exposed,
        published,
        bindings: Vec::new(),
    })
}
