//! A daemon of a test's own: its process and its directory. What it is asked is in `client`.

mod client;

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::wait::{DEADLINE, child_end, eventually, kill_and_wait};
use crate::{Netns, is_root, leak};

/// A directory with a socket and a data directory, and mostly a daemon that serves them.
pub struct Daemon {
    dir: TempDir,
    arguments: Vec<String>,
    /// A command in front of the daemon's.
    wrapper: Vec<String>,
    netns: Option<Arc<Netns>>,
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

    /// Starts one with more arguments in another network namespace, which is its host then.
    pub fn start_in(netns: &Arc<Netns>, arguments: &[&str]) -> Self {
        let mut daemon = Self::not_started();
        daemon.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        daemon.netns = Some(netns.clone());
        daemon.start_again();
        daemon
    }

    /// Starts one with more arguments by a command that becomes it.
    pub fn start_wrapped(wrapper: &[String], arguments: &[&str]) -> Self {
        let mut daemon = Self::not_started();
        daemon.arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        daemon.wrap(wrapper);
        daemon.start_again();
        daemon
    }

    /// Only the directory, for daemons that do not start and those that `run` starts.
    ///
    /// # Panics
    /// When no directory can be made.
    pub fn not_started() -> Self {
        let dir = tempfile::Builder::new().prefix("vst-").tempdir().expect("a temporary directory");
        Self { dir, arguments: Vec::new(), wrapper: Vec::new(), netns: None, process: None }
    }

    /// Starts one on a host of its own: with no interface but `lo`, and with this resolv.conf. Both
    /// can be changed, see [`host_etc`](Self::host_etc) and [`on_host`](Self::on_host).
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_on_own_host(resolv_conf: &str) -> Self {
        let mut daemon = Self::not_started();
        daemon.wrapper = daemon.own_host(resolv_conf);
        daemon.start_again();
        daemon
    }

    /// The command in front of a daemon's that gives it a host of its own.
    ///
    /// # Panics
    /// When its files cannot be made.
    pub fn own_host(&self, resolv_conf: &str) -> Vec<String> {
        std::fs::create_dir(self.host_etc()).expect("a directory");
        std::fs::write(self.host_etc().join("resolv.conf"), resolv_conf).expect("a file");
        let etc = self.host_etc().display().to_string();
        let script = format!("ip link set lo up && mount --bind {etc} /etc && exec \"$@\"");
        let user: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
        let shell = ["--net", "--mount", "--propagation=slave", "--", "sh", "-c", &script, "sh"];
        [&["unshare"], user, &shell].concat().into_iter().map(str::to_owned).collect()
    }

    /// From now on the daemon is started by this command, which becomes it.
    pub fn wrap(&mut self, wrapper: &[String]) {
        self.wrapper = wrapper.to_vec();
    }

    /// What is /etc for a daemon with a host of its own.
    pub fn host_etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    /// A command on the daemon's own host.
    pub fn on_host(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid()));
        if !is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--net", "--", program]).args(arguments).env(leak::MARK, self.mark());
        command
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
        let command = match &self.netns {
            None => command,
            Some(netns) => within(&command, |program, arguments| netns.command(program, arguments)),
        };
        let Some((program, arguments)) = self.wrapper.split_first() else { return command };
        within(&command, |inner, inner_arguments| {
            let mut wrapped = Command::new(program);
            wrapped.args(arguments).arg(inner).args(inner_arguments);
            wrapped
        })
    }

    /// Starts the daemon, on what an earlier one may have left.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn start_again(&mut self) {
        assert!(self.try_start(), "the daemon ended early: {}", self.log());
    }

    /// The same of one that may end at once; whether it answers.
    ///
    /// # Panics
    /// When it does neither.
    pub fn try_start(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.dir.path().join("daemon.log"));
        let log = log.expect("a log file");
        let mut command = self.daemon_command();
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("one more descriptor")).stderr(log);
        let mut child = command.spawn().expect("a daemon");
        let socket = self.socket();
        let answers = eventually("the daemon to answer on its socket", || {
            if let Ok(Some(_)) = child.try_wait() {
                return Some(false);
            }
            UnixStream::connect(&socket).ok().map(|_| true)
        });
        self.process = Some(child);
        answers
    }

    /// What the daemon has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }

    /// Whether the daemon has ended.
    pub fn is_dead(&mut self) -> bool {
        self.process.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
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

    /// Ends the daemons that commands have started because they found none.
    #[track_caller]
    pub fn end_started_daemons(&self) {
        for process in self.leftovers() {
            if process.command.contains(" daemon ") {
                // Its environment goes before its lock and its socket do.
                kill_and_wait(process.pid);
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
        self.until_nothing_is_left_but(&[]);
    }

    /// The same but for the processes with these numbers.
    ///
    /// # Panics
    /// When something else goes on.
    #[track_caller]
    pub fn until_nothing_is_left_but(&self, expected: &[i32]) {
        let end = std::time::Instant::now() + DEADLINE / 4;
        loop {
            let mut left = self.leftovers();
            left.retain(|process| !expected.contains(&process.pid));
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

/// The same command started by another, with its environment.
fn within(command: &Command, start: impl FnOnce(&str, &[&str]) -> Command) -> Command {
    let program = command.get_program().to_str().expect("a path of text");
    let arguments: Vec<&str> = command.get_args().map(|a| a.to_str().expect("text")).collect();
    let mut outer = start(program, &arguments);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
