//! `daemon`.

use std::sync::Arc;
use std::time::Duration;

use vswitch::control::daemon::{HostSide, Sharing, TunnelConfig};
use vswitch::control::kv::StoreAddress;
use vswitch::control::kv::etcd::{Credentials, Etcd, Tls};
use vswitch::control::serve::{self, Config};
use vswitch::control::{node, paths};
use vswitch::dataplane::SwitchConfig;
use vswitch::sandbox::channel::Channel;

use crate::args::{Daemon, IoUring};
use crate::error::{Failure, Outcome};
use crate::start::{Readiness, report};

/// Runs the daemon to its end.
///
/// # Errors
/// Why it could not start.
pub fn run(host: Option<&str>, args: &Daemon, starter: Option<&Channel>) -> Outcome {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let result = (|| {
        let mut switch = SwitchConfig::default();
        if let Some(workers) = args.workers {
            switch.workers = workers.into();
        }
        switch.busy_poll = Duration::from_micros(args.busy_poll.into());
        switch.io_uring = args.io_uring == IoUring::Auto;
        let sharing = args.store.as_ref().map(|store| sharing(args, store)).transpose()?;
        let members = args.store.as_ref().map(|store| store.members.as_slice());
        // One address in all: who is known by it also sends from it.
        let advertise = args.advertise.or_else(|| node::address(members?));
        let config = Config {
            sharing,
            socket: paths::socket(host)?,
            data_dir: paths::data_dir(args.data_dir.as_deref())?,
            switch,
            idle_exit: args.idle_exit.map(Duration::from_secs),
            live_restore: args.live_restore,
            host: HostSide { interface: args.host_interface, map_loopback: args.map_host_loopback },
            congestion: args.tcp_congestion.as_deref().map(Into::into),
            tunnels: TunnelConfig { advertise, port: args.vxlan_port },
        };
        serve::run(&config, || report(starter, &Readiness::Ready)).map_err(|e| Failure::new(e.to_string()))
    })();
    if let Err(failure) = &result {
        report(starter, &Readiness::Failed(failure.message.clone()));
    }
    result.map(|()| 0)
}

fn sharing(args: &Daemon, store: &StoreAddress) -> Result<Sharing, Failure> {
    let credentials = match (&args.store_user, &args.store_password_file) {
        (Some(user), Some(file)) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| Failure::new(format!("{} cannot be read: {e}", file.display())))?;
            let password = text.lines().next().unwrap_or_default().to_owned();
            Some(Credentials { user: user.clone(), password })
        }
        _ => None,
    };
    let etcd = Etcd::new(store, tls(args, store)?, credentials).map_err(|e| Failure::new(e.to_string()))?;
    Ok(Sharing {
        kv: Arc::new(etcd),
        prefix: args.store_prefix.clone(),
        node: args.node.clone().unwrap_or_else(node::name),
    })
}

fn tls(args: &Daemon, store: &StoreAddress) -> Result<Option<Tls>, Failure> {
    let identity = args.store_cert.as_deref().zip(args.store_key.as_deref());
    match (&args.store_ca, store.tls) {
        (Some(authorities), true) => {
            let tls = Tls::load(authorities, identity).map_err(|e| Failure::new(e.to_string()))?;
            Ok(Some(tls))
        }
        (None, true) => Err(Failure::new(
            "a store behind TLS needs --store-ca: the file with the authority that signed its certificate",
        )),
        (Some(_), false) => {
            Err(Failure::new("--store-ca is for a store behind TLS: give etcds:// as its address"))
        }
        (None, false) => Ok(None),
    }
}
