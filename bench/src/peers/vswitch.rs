//! This switch: `vswitch daemon` on a socket and data directory of its own, and `vswitch attach` for every namespace.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::{Peer, Switch};
use crate::error::{Error, Result};
use crate::netns::Netns;
use crate::options::Options;
use crate::process::{Process, output, wait_for};

const START: Duration = Duration::from_secs(15);

/// Which `vswitch` to run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    program: PathBuf,
    daemon_arguments: Vec<String>,
}

impl Command {
    /// The program next to this one unless the options name another, with the options' arguments for the daemon.
    pub(crate) fn from_options(options: &Options) -> Self {
        let beside = || {
            let own = std::env::current_exe().unwrap_or_default();
            own.with_file_name("vswitch")
        };
        let program = options.vswitch.clone().unwrap_or_else(beside);
        Self { program, daemon_arguments: words(&options.vswitch_args) }
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// This switch, perhaps in another build or with other arguments.
pub(crate) struct Vswitch {
    name: String,
    command: Command,
}

impl Vswitch {
    /// This switch under `name`.
    pub(crate) fn new(name: &str, command: Command) -> Self {
        Self { name: name.to_owned(), command }
    }

    /// A variant as on the command line: `NAME=[PROGRAM] [ARGUMENT...]`, a program being what holds a slash and starts
    /// with none of the letters of an option.
    pub(crate) fn variant(text: &str, base: &Command) -> Result<Self> {
        let parts = text.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains([' ', '-']));
        let Some((name, rest)) = parts else {
            return Err(Error::sentence(format!(
                "`--variant {text}` must read NAME=[PROGRAM] [ARGUMENT...], for example --variant 'two=--workers 2'"
            )));
        };
        let mut daemon_arguments = words(rest);
        let mut program = base.program.clone();
        if daemon_arguments.first().is_some_and(|word| word.contains('/') && !word.starts_with('-')) {
            program = daemon_arguments.remove(0).into();
        }
        Ok(Self::new(&format!("vswitch:{name}"), Command { program, daemon_arguments }))
    }
}

impl Peer for Vswitch {
    fn name(&self) -> &str {
        &self.name
    }

    fn description(&self) -> String {
        let version =
            output(crate::process::command(&self.command.program.to_string_lossy(), ["--version"]), None);
        let version = version.unwrap_or_default();
        let arguments = self.command.daemon_arguments.join(" ");
        format!("this switch {} {arguments}", version.lines().next().unwrap_or_default()).trim().to_owned()
    }

    fn lacks(&self) -> Option<String> {
        let program = &self.command.program;
        (!program.is_file()).then(|| {
            format!(
                "there is no {}: build it with `cargo build --release -p cli`, or name another with --vswitch PATH",
                program.display()
            )
        })
    }

    fn start(&self, directory: &Path, tag: &str) -> Result<Box<dyn Switch>> {
        Ok(Box::new(self.start_in(None, directory, tag, &[])?))
    }
}

impl Vswitch {
    /// Starts it with its outside in `netns`, or here, and with more arguments.
    pub(crate) fn start_in(
        &self,
        netns: Option<&Netns>,
        directory: &Path,
        tag: &str,
        more: &[&str],
    ) -> Result<Running> {
        let socket = directory.join("vswitch.sock");
        let host = format!("unix://{}", socket.display());
        let mut daemon = std::process::Command::new(&self.command.program);
        daemon.stdin(Stdio::null());
        daemon.args(["--host", &host, "daemon", "--data-dir"]).arg(directory.join("data"));
        daemon.args(&self.command.daemon_arguments).args(more);
        let mut daemon = Process::spawn(daemon, netns)?;
        wait_for("the daemon to answer on its socket", START, || {
            daemon.check()?;
            Ok(UnixStream::connect(&socket).is_ok().then_some(()))
        })?;
        let program = self.command.program.clone();
        Ok(Running { daemon, program, host, tag: tag.to_owned(), ports: 0 })
    }
}

/// A daemon.
pub(crate) struct Running {
    daemon: Process,
    program: PathBuf,
    host: String,
    tag: String,
    ports: usize,
}

impl Switch for Running {
    fn attach(&mut self, netns: &Netns) -> Result<()> {
        let name = format!("{}-{}", self.tag, self.ports);
        self.ports += 1;
        self.ask(&["attach", "--netns", &netns.path().to_string_lossy(), "--name", &name]).map(drop)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.daemon.id()]
    }

    fn check(&mut self) -> Result<()> {
        self.daemon.check()
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut client = std::process::Command::new(&self.program);
        client.args(["--host", &self.host]).args(arguments);
        output(client, None)
    }

    fn learned(&self) -> Result<Option<usize>> {
        let table = self.ask(&["bridge", "fdb", "--format", "json"])?;
        Ok(Some(table.lines().filter(|line| !line.trim().is_empty()).count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_names_arguments_or_another_build() {
        let base =
            Command { program: "/base".into(), daemon_arguments: vec!["--workers".into(), "1".into()] };
        let two = Vswitch::variant("two=--workers 2", &base).map(|peer| (peer.name, peer.command));
        let command =
            Command { program: "/base".into(), daemon_arguments: vec!["--workers".into(), "2".into()] };
        assert_eq!(two.ok(), Some(("vswitch:two".to_owned(), command)));
        let old = Vswitch::variant("old=/tmp/vswitch", &base).map(|peer| peer.command);
        assert_eq!(old.ok(), Some(Command { program: "/tmp/vswitch".into(), daemon_arguments: Vec::new() }));
        assert!(Vswitch::variant("no name", &base).is_err());
    }
}
