//! `bridge`.

use clap::Subcommand;

use super::Format;

/// `bridge`.
#[derive(Debug, clap::Args)]
pub struct Bridge {
    /// What to do.
    #[command(subcommand)]
    pub command: BridgeCommand,
}

/// What `bridge` does.
#[derive(Debug, Subcommand)]
pub enum BridgeCommand {
    /// List bridges and their ports
    Show {
        /// The networks [default: all]
        #[arg(value_name = "NETWORK")]
        networks: Vec<String>,
        /// How.
        #[command(flatten)]
        format: Format,
    },
    /// Print a network's forwarding table
    Fdb {
        /// The network [default: all]
        network: Option<String>,
        /// How.
        #[command(flatten)]
        format: Format,
    },
    /// Forget what a network has learned
    Flush {
        /// The network
        network: String,
    },
    /// Set how long a silent station is remembered
    Setageing {
        /// The network
        network: String,
        /// Seconds
        seconds: u32,
    },
    /// Let a port's frames go back out of it, or not
    Hairpin {
        /// The port, as `bridge show` names it, or its container
        port: String,
        /// Whether
        #[arg(action = clap::ArgAction::Set, value_parser = on_off())]
        state: bool,
    },
    /// Pin a station to a port, or take it out of the table
    Static {
        /// The network
        network: String,
        /// The station's address
        mac: String,
        /// The port, or `none`
        port: String,
        /// The VLAN in which it is heard
        #[arg(long, default_value_t = 0)]
        vlan: u16,
    },
    /// Limit the frames a second with which a port makes everybody busy; 0 lifts the limit
    Storm {
        /// The port
        port: String,
        /// Broadcast and multicast
        #[arg(long, value_name = "FRAMES")]
        broadcast: Option<u32>,
        /// For addresses the table does not know
        #[arg(long, value_name = "FRAMES")]
        unknown_unicast: Option<u32>,
    },
    /// Set a port up or down
    Port {
        /// The port
        port: String,
        /// `up` or `down`
        #[arg(action = clap::ArgAction::Set, value_parser = up_down())]
        state: bool,
    },
}

fn on_off() -> impl clap::builder::TypedValueParser<Value = bool> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["on", "off"]).map(|text| text == "on")
}

fn up_down() -> impl clap::builder::TypedValueParser<Value = bool> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["up", "down"]).map(|text| text == "up")
}
