//! `demo`: a switch of its own, three containers, and what happened.

pub mod act;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::unistd::Pid;
use vswitch::sandbox::channel::spawn_self;

use crate::error::{Failure, Outcome};
use crate::start::Readiness;

const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// Frames the demonstration shows.
const FRAMES: &str = "12";

struct Demo {
    program: PathBuf,
    host: String,
    daemon: Child,
    /// Removed with the demonstration.
    _dir: tempfile::TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The daemon ends its containers first.
        let _ = kill(Pid::from_raw(self.daemon.id() as i32), Signal::SIGTERM);
        let _ = self.daemon.wait();
    }
}

/// Runs the demonstration. Nothing is left of it, also when it is interrupted.
///
/// # Errors
/// What did not work, in a sentence.
pub fn run() -> Outcome {
    // Ctrl-C ends the step that runs; the demonstration sees that and cleans up.
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None);
    let demo = Demo::start()?;
    demo.show()?;
    Ok(0)
}

impl Demo {
    fn start() -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("vswitch-demo-").tempdir()?;
        let host = format!("unix://{}", dir.path().join("vswitch.sock").display());
        let log = std::fs::File::create(dir.path().join("daemon.log"))?;
        let (daemon, channel) = spawn_self("inner-daemon", |command| {
            command
                .args(["-H", &host, "daemon", "--idle-exit", "5", "--data-dir"])
                .arg(dir.path().join("data"));
            command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        })?;
        let demo = Self { program: std::env::current_exe()?, host, daemon, _dir: dir };
        match channel.recv() {
            Ok((Readiness::Ready, _)) => Ok(demo),
            Ok((Readiness::Failed(message), _)) => Err(Failure::new(message)),
            Err(e) => Err(Failure::new(format!("the demonstration's switch did not start: {e}"))),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-H", &self.host]).args(words).stdin(Stdio::null());
        command
    }

    fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let Output { status, stdout, stderr } = self.command(words).output()?;
        if !status.success() {
            let why = String::from_utf8_lossy(&stderr);
            return Err(Failure::new(format!("`vswitch {}`: {}", words.join(" "), why.trim())));
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }

    /// An act of this program within a container.
    fn inside<'a>(&'a self, container: &'a str, act: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["exec", container, "--", path(&self.program), "inner-demo"];
        words.extend(act);
        words
    }

    fn address(&self, container: &str) -> Result<String, Failure> {
        let address = self.ask(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", container])?;
        Ok(address.trim().to_owned())
    }

    fn show(&self) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        println!(
            "vswitch {version}: a switch of its own, no bridge, no veth, no iptables, no privileges needed\n"
        );
        let own = std::process::id().to_string();
        for name in NAMES {
            let command =
                ["run", "-d", "--rm", "--name", name, "--", path(&self.program), "inner-demo", "hold", &own];
            self.ask(&command)?;
        }
        println!("$ vswitch ps");
        print!(
            "{}",
            self.ask(&["ps", "--format", "table {{.ID}}\\t{{.Status}}\\t{{.Networks}}\\t{{.Names}}"])?
        );

        let [alice, bob, carol] = [self.address("alice")?, self.address("bob")?, self.address("carol")?];
        let capture = Watch::start(self.command(&["capture", "-c", FRAMES, "arp or icmp"]))?;
        for (from, to, address) in
            [("alice", "bob", &bob), ("bob", "carol", &carol), ("carol", "alice", &alice)]
        {
            println!("\n{from} pings {to}, {address}");
            print!("{}", self.ask(&self.inside(from, &["ping", address]))?);
        }
        println!("\n$ vswitch bridge show");
        print!("{}", self.ask(&["bridge", "show"])?);
        println!("\n$ vswitch bridge fdb");
        print!("{}", self.ask(&["bridge", "fdb"])?);
        println!("\n$ vswitch capture -c {FRAMES} 'arp or icmp'");
        print!("{}", capture.finish()?);

        println!("\na second of TCP from alice to bob, at the default MTU of 1500");
        self.transfer(&bob)?;
        println!("\n$ vswitch stats");
        print!("{}", self.ask(&["stats"])?);
        println!("\nThat was all; nothing is left of it. By hand: vswitch run --name web -d -- COMMAND");
        Ok(())
    }

    fn transfer(&self, bob: &str) -> Result<(), Failure> {
        let mut server = self.command(&self.inside("bob", &["serve"])).stdout(Stdio::piped()).spawn()?;
        let mut lines = server.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let mut line = || lines.next().transpose().ok().flatten();
        if line().as_deref() != Some("listening") {
            let _ = server.wait();
            return Err(Failure::new("the TCP server did not start"));
        }
        let sent = self.ask(&self.inside("alice", &["send", bob, "1"]));
        if sent.is_err() {
            let _ = server.kill();
        }
        let result = line();
        let _ = server.wait();
        sent?;
        let result = result.unwrap_or_default();
        let mut words = result.split_whitespace();
        let bytes: f64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(0.0);
        let seconds: f64 = words.next().and_then(|w| w.parse().ok()).unwrap_or(1.0);
        println!("{:.1} Gb/s ({:.2} GB in {seconds:.2} s)", bytes * 8.0 / seconds / 1e9, bytes / 1e9);
        Ok(())
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap_or("vswitch")
}

/// A capture that runs beside the demonstration.
struct Watch(Child);

impl Watch {
    /// Returns when it captures.
    fn start(mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut first = String::new();
        if let Some(stderr) = child.stderr.as_mut() {
            // A byte at a time, so that what follows stays in the pipe.
            let mut byte = [0];
            while stderr.read(&mut byte)? == 1 && byte != [b'\n'] {
                first.push(char::from(byte[0]));
            }
        }
        if first.contains("capturing") {
            return Ok(Self(child));
        }
        let _ = child.wait();
        Err(Failure::new(first))
    }

    fn finish(self) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.0.wait_with_output()?.stdout).into_owned())
    }
}
