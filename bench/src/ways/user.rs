//! A namespace of an ordinary user, and programs run as that user.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing as _, Result};
use crate::netns::Netns;
use crate::process::{Process, command, wait_for};

/// The id of a user and of a group that own nothing.
const NOBODY: u32 = 65_534;

const START: Duration = Duration::from_secs(15);

/// A command run as an ordinary user.
pub(super) fn as_user<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Command {
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let mut command = command("setpriv", [&user, &group, "--clear-groups", "--"]);
    command.args(words);
    command
}

/// A network namespace in a user namespace of an ordinary user, held by a process of theirs.
pub(super) fn namespace(name: &str) -> Result<(Netns, Process)> {
    let words = ["unshare", "--user", "--map-root-user", "--net", "sleep", "infinity"];
    let mut holder = Process::spawn(as_user(words), None)?;
    let comm = format!("/proc/{}/comm", holder.id());
    wait_for("a user namespace", START, || {
        holder.check()?;
        Ok(std::fs::read_to_string(&comm).is_ok_and(|comm| comm.trim() == "sleep").then_some(()))
    })?;
    Ok((Netns::of_process(name, holder.id())?, holder))
}

/// Gives a directory to that user.
pub(super) fn hand_over(directory: &Path) -> Result<()> {
    std::os::unix::fs::chown(directory, Some(NOBODY), Some(NOBODY))
        .doing(|| format!("give {} to another user", directory.display()))
}
