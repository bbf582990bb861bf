//! A daemon of a test's own.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::command::{Background, Output, run, run_with_input};
use crate::netns::Netns;
use crate::wait::{DEADLINE, child_end, eventually};
use crate::{bins, leak};

/// A directory with a socket and a data directory, and mostly a daemon that serves them.
pub struct Daemon {
    dir: TempDir,
    arguments: Vec<String>,
    /// The network namespace it runs in, if not the test's own.
    netns: Option<PathBuf>,
    process: Option<Child>,
}

/// A container as `inspect` shows it.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its id, all 64 digits.
    pub id: String,
    /// Its address on the default network.
    pub ip: String,
    /// Its hardware address there.
    pub mac: String,
    /// Its first process, as the host numbers it.
    pub pid: i32,
}

impl Default for Daemon {
    fn default() -> Self {
        Self::start()
    }
}

impl Daemon {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with more arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let mut daemon = Self::not_started();
        daemon.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        daemon.start_again();
        daemon
    }

    /// Starts one in a network namespace, which is a host to it. As root only.
    pub fn start_on(host: &Netns, arguments: &[&str]) -> Self {
        let mut daemon = Self::not_started();
        daemon.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        daemon.netns = Some(host.path().to_owned());
        daemon.start_again();
        daemon
    }

    /// Only the directory, for daemons that do not start and those that `run` starts.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn not_started() -> Self {
        let dir = tempfile::Builder::new().prefix("vst-").tempdir().expect("a temporary directory");
        Self { dir, arguments: Vec::new(), netns: None, process: None }
    }

    /// The test's directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("vswitch.sock")
    }

    /// The daemon's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// What the processes of this test are known by.
    pub fn mark(&self) -> String {
        self.dir.path().to_string_lossy().into_owned()
    }

    /// The daemon's process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> i32 {
        self.process.as_ref().expect("a running daemon").id().cast_signed()
    }

    /// The command that would start this daemon.
    pub fn daemon_command(&self) -> Command {
        let mut command = self.vswitch(&["daemon", "--data-dir"]);
        command.arg(self.data_dir()).args(&self.arguments);
        let Some(netns) = &self.netns else { return command };
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net={}", netns.display())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Starts the daemon, on what an earlier one may have left.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("daemon.log"));
        let log = log.expect("a log file");
        let mut command = self.daemon_command();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one more descriptor")).stderr(log);
        let mut child = command.spawn().expect("a daemon");
        let socket = self.socket();
        eventually("the daemon to answer on its socket", || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the daemon ended early, {status}: {}", self.log());
            }
            UnixStream::connect(&socket).ok()
        });
        self.process = Some(child);
    }

    /// What the daemon has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }

    /// Kills the daemon as nothing should be killed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks the daemon to end with SIGTERM.
    ///
    /// # Panics
    /// When it does not end, does not succeed, or leaves its socket or its containers.
    pub fn terminate(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        let Some(status) = child_end(&mut child, DEADLINE) else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the daemon goes on after SIGTERM: {}", self.log());
        };
        assert!(status.success(), "after SIGTERM the daemon ended with {status}: {}", self.log());
        assert!(!self.socket().exists(), "the daemon has left its socket behind");
    }

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

    /// Ends the daemons that commands have started because they found none.
    #[track_caller]
    pub fn end_started_daemons(&self) {
        for process in self.leftovers() {
            if process.command.contains(" daemon ") {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
                eventually("a daemon to end", || {
                    (!self.leftovers().iter().any(|other| other.pid == process.pid)).then_some(())
                });
            }
        }
    }

    /// Processes that this test started and that still run, but for the daemon.
    pub fn leftovers(&self) -> Vec<leak::Marked> {
        let daemon = self.process.as_ref().map(|child| child.id().cast_signed());
        let mut all = leak::processes_marked(&self.mark());
        all.retain(|process| Some(process.pid) != daemon);
        all
    }

    /// Waits until nothing that this test started runs any more, but for the daemon.
    ///
    /// # Panics
    /// When something goes on.
    #[track_caller]
    pub fn until_nothing_is_left(&self) {
        let end = std::time::Instant::now() + DEADLINE / 4;
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(std::time::Instant::now() < end, "left running: {left:#?}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon of {} said:\n{}", self.mark(), self.log());
            self.kill();
            for process in self.leftovers() {
                let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
            }
            return;
        }
        self.terminate();
        self.until_nothing_is_left();
        let mounts = leak::mounts_below(self.dir.path());
        assert!(mounts.is_empty(), "left mounted: {mounts:#?}");
    }
}
