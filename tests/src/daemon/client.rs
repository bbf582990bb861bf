//! What a test asks its daemon: by the command, by the API, by `docker`.

use std::process::Command;

use serde_json::Value;

use super::{Container, Daemon};
use crate::command::{Background, Output, run, run_with_input};
use crate::wait::eventually;
use crate::{bins, http, leak};

impl Daemon {
    /// The `vswitch` command, talking to this daemon.
    pub fn vswitch(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(bins::path("vswitch"));
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command.env(leak::MARK, self.mark()).env_remove("VSWITCH_HOST");
        // Should a command find no daemon and start one.
        command.env("VSWITCH_DATA_DIR", self.data_dir());
        command
    }

    /// Runs `vswitch`.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.vswitch(arguments))
    }

    /// Runs `vswitch` without naming a daemon.
    #[track_caller]
    pub fn run_inner(&self, arguments: &[&str]) -> Output {
        run(Command::new(bins::path("vswitch")).args(arguments).env(leak::MARK, self.mark()))
    }

    /// Runs `vswitch` with something to read.
    #[track_caller]
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        run_with_input(&mut self.vswitch(arguments), input)
    }

    /// Runs `vswitch`, which must succeed; what it printed, without white space around it.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok().trim().to_owned()
    }

    /// Starts `vswitch` in the background.
    #[track_caller]
    pub fn background(&self, arguments: &[&str]) -> Background {
        Background::start(&mut self.vswitch(arguments))
    }

    /// Starts a container that does nothing.
    #[track_caller]
    pub fn sleeper(&self, name: &str) -> Container {
        let id = self.ok(&["run", "-d", "--name", name, "--", "sleep", "infinity"]);
        let container = self.container(name);
        assert_eq!(id, container.id, "`run -d` prints the id");
        container
    }

    /// As [`sleeper`](Self::sleeper), with the address that is soon to be the lowest free one.
    ///
    /// For containers whose end nobody waited for: theirs is free a moment after `ps` no longer
    /// has them.
    #[track_caller]
    pub fn sleeper_at(&self, name: &str, ip: &str) -> Container {
        eventually(&format!("{ip} to be free"), || {
            let container = self.sleeper(name);
            if container.ip == ip {
                return Some(container);
            }
            self.ok(&["rm", "-f", name]);
            None
        })
    }

    /// What `inspect` says of a container.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Value {
        let text = self.ok(&["inspect", name]);
        let mut all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
        all[0].take()
    }

    /// What `network inspect` says of a network.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn network(&self, name: &str) -> Value {
        let text = self.ok(&["network", "inspect", name]);
        let mut all: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
        all[0].take()
    }

    /// What `inspect` says of a container's place on a network.
    ///
    /// # Panics
    /// When there is no such container; the value is null where it is not on the network.
    #[track_caller]
    pub fn endpoint(&self, container: &str, network: &str) -> Value {
        self.inspect(container)["NetworkSettings"]["Networks"][network].take()
    }

    /// A container's address on a network.
    ///
    /// # Panics
    /// When it is not on it.
    #[track_caller]
    pub fn ip(&self, container: &str, network: &str) -> String {
        let endpoint = self.endpoint(container, network);
        let ip = endpoint["IPAddress"].as_str().filter(|ip| !ip.is_empty());
        ip.unwrap_or_else(|| panic!("{container} is not on {network}: {endpoint}")).to_owned()
    }

    /// A container's whole id.
    #[track_caller]
    pub fn container_id(&self, name: &str) -> String {
        self.inspect(name)["Id"].as_str().unwrap_or_default().to_owned()
    }

    /// A container's first process, as the host numbers it.
    #[track_caller]
    pub fn container_pid(&self, name: &str) -> i32 {
        let pid = self.inspect(name)["State"]["Pid"].as_i64().and_then(|pid| pid.try_into().ok());
        pid.filter(|pid| *pid > 1).unwrap_or_else(|| panic!("{name} does not run"))
    }

    /// Starts a container that does nothing, with more arguments before its command.
    #[track_caller]
    pub fn sleeper_with(&self, name: &str, arguments: &[&str]) {
        self.ok(&[&["run", "-d", "--name", name], arguments, &["--", "sleep", "infinity"]].concat());
    }

    /// Asks the daemon's API.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: &Value) -> http::Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        http::ask(&self.socket(), method, path, &body)
    }

    /// The `docker` command, talking to this daemon.
    pub fn docker_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(arguments).env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        // Nothing of the user's own configuration.
        command.env("DOCKER_CONFIG", self.dir.path().join("docker"));
        for own in
            ["DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"]
        {
            command.env_remove(own);
        }
        command.env(leak::MARK, self.mark());
        command
    }

    /// Runs `docker`.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Output {
        run(&mut self.docker_command(arguments))
    }

    /// Runs `docker`, which must succeed; what it printed, without white space around it.
    #[track_caller]
    pub fn docker_ok(&self, arguments: &[&str]) -> String {
        self.docker(arguments).ok().trim().to_owned()
    }

    /// A container by its name.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn container(&self, name: &str) -> Container {
        let all = self.inspect(name);
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text in {all:#}")).to_owned();
        let network = &all["NetworkSettings"]["Networks"]["bridge"];
        Container {
            name: name.to_owned(),
            id: text(&all["Id"]),
            ip: text(&network["IPAddress"]),
            mac: text(&network["MacAddress"]),
            pid: all["State"]["Pid"].as_i64().and_then(|pid| pid.try_into().ok()).unwrap_or(0),
        }
    }

    /// Runs a command in a container.
    #[track_caller]
    pub fn exec(&self, name: &str, command: &[&str]) -> Output {
        run(&mut self.exec_command(name, command))
    }

    /// A command in a container, to be started.
    pub fn exec_command(&self, name: &str, command: &[&str]) -> Command {
        let mut all = vec!["exec", name, "--"];
        all.extend(command);
        self.vswitch(&all)
    }

    /// Runs one of the workspace's own programs in a container.
    #[track_caller]
    pub fn exec_own(&self, name: &str, program: &str, arguments: &[&str]) -> Output {
        let path = bins::path(program);
        let mut all = vec![path.to_str().expect("a path of text")];
        all.extend(arguments);
        self.exec(name, &all)
    }

    /// Pings from a container; what `ping` says if all came back.
    #[track_caller]
    pub fn ping(&self, from: &str, to: &str) -> String {
        self.exec(from, &["ping", "-c", "2", "-i", "0.2", "-W", "10", to]).ok()
    }

    /// The names `ps` prints, of the running containers or of all.
    #[track_caller]
    pub fn names(&self, all: bool) -> Vec<String> {
        let mut arguments = vec!["ps", "--format", "{{.Names}}"];
        if all {
            arguments.push("-a");
        }
        let mut names: Vec<String> = self.ok(&arguments).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Waits until a container has ended, and is gone if it was to be removed.
    #[track_caller]
    pub fn until_not_running(&self, name: &str) {
        eventually("the container to end", || (!self.names(false).iter().any(|n| n == name)).then_some(()));
    }

    /// Waits until a container is no longer known.
    #[track_caller]
    pub fn until_gone(&self, name: &str) {
        eventually("the container to be gone", || {
            (!self.names(true).iter().any(|n| n == name)).then_some(())
        });
    }
}
