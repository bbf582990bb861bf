//! A name server of a test's own.

use std::process::Command;

use crate::bins;
use crate::command::Background;
use crate::daemon::Daemon;

/// A name server that knows a few names and tells what it is asked.
pub struct Nameserver {
    process: Background,
    asked: Vec<String>,
    sentinel: u32,
    address: String,
    runner: Vec<String>,
}

impl Nameserver {
    /// Starts one on the own host of a daemon, on an address that need not be there yet. What it
    /// knows are words like `web.example=192.0.2.7`, see the program `nameserver`.
    #[track_caller]
    pub fn start(daemon: &Daemon, address: &str, knows: &[&str]) -> Self {
        if !address.starts_with("127.") {
            let prefix = if address.contains(':') { "128" } else { "32" };
            let net = format!("{address}/{prefix}");
            crate::run(&mut daemon.on_host("ip", &["address", "replace", &net, "dev", "lo", "nodad"])).ok();
        }
        let path = bins::path("nameserver");
        let path = path.to_str().expect("a path of text");
        let mut process = Background::start(&mut daemon.on_host(path, &[&[address], knows].concat()));
        process.line(|line| line == "listening");
        let runner = daemon.on_host(path, &["ask", address]);
        let words = std::iter::once(runner.get_program()).chain(runner.get_args());
        let runner = words.map(|word| word.to_string_lossy().into_owned()).collect();
        Self { process, asked: Vec::new(), sentinel: 0, address: address.to_owned(), runner }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All it was asked until now, oldest first: `udp A web.example`.
    #[track_caller]
    pub fn asked(&mut self) -> &[String] {
        // What it says comes in order: when it tells of this one it has told of all before.
        self.sentinel += 1;
        let name = format!("sentinel-{}.invalid", self.sentinel);
        let (program, arguments) = self.runner.split_first().expect("a command");
        crate::run(Command::new(program).args(arguments).arg(&name)).ok();
        loop {
            let line = self.process.line(|_| true);
            if line.ends_with(&name) {
                return &self.asked;
            }
            self.asked.push(line);
        }
    }
}
