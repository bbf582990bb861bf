//! The `vswitch` command: thin, talks to the daemon's API.

pub mod args;
pub mod client;
pub mod cmds;
pub mod endpoint;
pub mod error;
pub mod format;
pub mod start;
pub mod stdout;
pub mod time;

use std::ffi::OsString;

use clap::Parser;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use vswitch::sandbox::{channel::Channel, helper, init, shim};

use args::{Args, Command};
use error::{Failure, Outcome};

/// Runs the command line; the value is the exit status.
pub fn main(argv: Vec<OsString>) -> u8 {
    // Whoever started this may hold signals back for itself; here they are to be heard.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let _ = vswitch::sys::children::notice();
    let status = match inner(&argv) {
        Some(status) => status,
        None => outer(argv, None),
    };
    // The shell's convention for what does not fit in eight bits.
    u8::try_from(status & 0xff).unwrap_or(1)
}

/// The commands by which this program starts itself again; they are none of the user's business
/// and must be quick.
fn inner(argv: &[OsString]) -> Option<i32> {
    let [_, name, fd, rest @ ..] = argv else { return None };
    let name = name.to_str().filter(|name| name.starts_with("inner-"))?;
    if name == "inner-demo" {
        return Some(cmds::demo::act::main(&argv[2..]));
    }
    let channel = fd.to_str()?.parse().ok().and_then(|n| Channel::inherited(n).ok())?;
    Some(match name {
        "inner-helper" => helper::main(&channel).map_or(125, |()| 0),
        "inner-init" => init::main(&channel).unwrap_or(125),
        "inner-shim" => shim::main(channel).unwrap_or(125),
        "inner-daemon" => {
            // Out of the terminal's session, so that it outlives it.
            let _ = nix::unistd::setsid();
            let argv = argv.iter().take(1).chain(rest).cloned().collect();
            outer(argv, Some(&channel))
        }
        _ => return None,
    })
}

fn outer(argv: Vec<OsString>, starter: Option<&Channel>) -> i32 {
    let args = match Args::try_parse_from(argv) {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return e.exit_code();
        }
    };
    match run(args, starter) {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("vswitch: {failure}");
            failure.code
        }
    }
}

fn run(args: Args, starter: Option<&Channel>) -> Outcome {
    let host = args.host;
    let client = || -> Result<client::Client, Failure> {
        client::Client::new(vswitch::control::paths::socket(host.as_deref())?)
    };
    match args.command {
        Command::Daemon(a) => cmds::daemon::run(host.as_deref(), &a, starter),
        Command::Run(a) => cmds::run::run(&client().map_err(|e| e.with_code(125))?, a),
        Command::Attach(a) => cmds::attach::attach(&client()?, a),
        Command::Detach(a) => cmds::attach::detach(&client()?, &a),
        Command::Exec(a) => cmds::exec::run(client().map_err(|e| e.with_code(125))?, &a),
        Command::Stop(a) => cmds::container::stop(&client()?, &a),
        Command::Kill(a) => cmds::container::kill(&client()?, &a),
        Command::Rm(a) => cmds::container::rm(&client()?, &a),
        Command::Wait(a) => cmds::container::wait(&client()?, &a),
        Command::Logs(a) => cmds::container::logs(&client()?, &a),
        Command::Ps(a) => cmds::ps::ps(&client()?, &a),
        Command::Inspect(a) => cmds::inspect::run(&client()?, &a),
        Command::Rename(a) => cmds::container::rename(&client()?, &a),
        Command::Port(a) => cmds::port::run(&client()?, &a),
        Command::Events(a) => cmds::events::run(&client()?, &a),
        Command::Network(a) => cmds::network::run(&client()?, a),
        Command::Bridge(a) => cmds::bridge::run(&client()?, a),
        Command::Capture(a) => cmds::capture::run(&client()?, &a),
        Command::Nat(a) => cmds::nat::run(&client()?, &a),
        Command::Stats(a) => cmds::stats::run(&client()?, &a),
        Command::Info(a) => cmds::about::info(&client()?, &a),
        Command::Version(a) => cmds::about::version(&client()?, &a),
        Command::Completion(a) => cmds::about::completion(&a),
        Command::Demo => cmds::demo::run(),
    }
}
