//! A network namespace that is no container: `ip netns` as root, a user namespace's otherwise.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::command::{Output, run};
use crate::wait::eventually;
use crate::{is_root, leak};

static NEXT: AtomicU32 = AtomicU32::new(0);

enum Kept {
    /// By a mount under /run/netns.
    Named(String),
    /// By a process.
    Held(Child),
}

/// A network namespace that goes when this value goes.
pub struct Netns {
    kept: Option<Kept>,
    path: PathBuf,
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Netns {
    /// Makes one as this user can: with `ip netns` as root, else together with a user namespace.
    pub fn new() -> Self {
        if is_root() { Self::named() } else { Self::held() }
    }

    /// Makes one with `ip netns add`.
    ///
    /// # Panics
    /// When that fails.
    pub fn named() -> Self {
        let name = format!("vst-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name])).ok();
        let path = Path::new("/run/netns").join(&name);
        Self { kept: Some(Kept::Named(name)), path }
    }

    /// Makes one that lasts as long as a process in it, with a user namespace for those not root.
    ///
    /// # Panics
    /// When that fails.
    pub fn held() -> Self {
        let mut unshare = Command::new("unshare");
        if !is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        // It ends with the thread that runs the test, should that not get so far as to end it.
        let sleep = ["setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"];
        unshare.args(["--net", "--"]).args(sleep);
        Self::by(unshare)
    }

    /// Makes one that whoever has rights in `other` has rights in too, so that both can be joined.
    ///
    /// # Panics
    /// When that fails.
    pub fn beside(other: &Self) -> Self {
        let Some(pid) = other.pid().filter(|_| !is_root()) else { return Self::new() };
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--target={pid}")).args(["--user", "--preserve-credentials", "--"]);
        let sleep = ["setpriv", "--pdeathsig", "KILL", "--", "sleep", "infinity"];
        nsenter.args(["unshare", "--net", "--"]).args(sleep);
        Self::by(nsenter)
    }

    /// By a command that ends up as `sleep` in a namespace of its own.
    fn by(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        let own = leak::netns_inode(std::process::id().cast_signed());
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} cannot be started: {e}"));
        let pid = child.id().cast_signed();
        eventually("a process in a network namespace of its own", || {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            (name.trim() == "sleep" && leak::netns_inode(pid) != own).then_some(())
        });
        Self { kept: Some(Kept::Held(child)), path: PathBuf::from(format!("/proc/{pid}/ns/net")) }
    }

    /// What `ip` calls it: a name, or the number of a process in it.
    pub fn reference(&self) -> String {
        match &self.kept {
            Some(Kept::Named(name)) => name.clone(),
            _ => self.pid().unwrap_or_default().to_string(),
        }
    }

    /// The file that stands for it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process that holds it, if one does.
    pub fn pid(&self) -> Option<i32> {
        match &self.kept {
            Some(Kept::Held(child)) => Some(child.id().cast_signed()),
            _ => None,
        }
    }

    /// A command inside.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        match &self.kept {
            Some(Kept::Held(child)) if !is_root() => {
                command.arg(format!("--target={}", child.id())).args([
                    "--user",
                    "--net",
                    "--preserve-credentials",
                ]);
            }
            _ => {
                command.arg(format!("--net={}", self.path.display()));
            }
        }
        command.arg("--").arg(program).args(arguments);
        command
    }

    /// Runs a command inside.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        run(&mut self.command(program, arguments))
    }

    /// Deletes it now.
    pub fn delete(&mut self) {
        match self.kept.take() {
            Some(Kept::Named(name)) => drop(run(Command::new("ip").args(["netns", "delete", &name]))),
            Some(Kept::Held(mut child)) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            None => {}
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        self.delete();
    }
}
