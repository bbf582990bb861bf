//! `daemon`.

use std::time::Duration;

use vswitch::control::daemon::{HostSide, TunnelConfig};
use vswitch::control::paths;
use vswitch::control::serve::{self, Config};
use vswitch::dataplane::SwitchConfig;
use vswitch::sandbox::channel::Channel;

use crate::args::Daemon;
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
        let config = Config {
            socket: paths::socket(host)?,
            data_dir: paths::data_dir(args.data_dir.as_deref())?,
            switch,
            idle_exit: args.idle_exit.map(Duration::from_secs),
            live_restore: args.live_restore,
            host: HostSide { interface: args.host_interface, map_loopback: args.map_host_loopback },
            tunnels: TunnelConfig { advertise: args.advertise, port: args.vxlan_port },
        };
        serve::run(&config, || report(starter, &Readiness::Ready)).map_err(|e| Failure::new(e.to_string()))
    })();
    if let Err(failure) = &result {
        report(starter, &Readiness::Failed(failure.message.clone()));
    }
    result.map(|()| 0)
}
