//! `attach` and `detach`.

use std::path::{Path, PathBuf};

use vswitch::control::request::{CreateReply, CreateRequest};
use vswitch::sandbox::spec::{ShimSpec, Target};

use super::run::{begin, create, launch, request};
use crate::args::{Attach, Detach};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};

/// A path as it is, a bare name as `ip netns` keeps it.
fn netns_path(path: &Path) -> Result<PathBuf, Failure> {
    let bare = path.components().count() == 1 && !path.exists();
    let full = if bare { Path::new("/run/netns").join(path) } else { path.to_owned() };
    let missing = || {
        Failure::new(format!(
            "there is no network namespace at {}: `ip netns list` shows those that are",
            full.display()
        ))
    };
    let (Some(dir), Some(name)) = (full.parent(), full.file_name()) else { return Ok(full) };
    // Not the whole path: what a link in /proc/PID/ns says is no path. But its directory, for the
    // helper has another /proc/self and another working directory.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let resolved = dir.canonicalize().map_err(|_| missing())?.join(name);
    if resolved.exists() { Ok(resolved) } else { Err(missing()) }
}

/// Makes a container of an existing namespace.
///
/// # Errors
/// Why it could not be; nothing is left of it then.
pub fn attach(client: &Client, args: Attach) -> Outcome {
    let target = match (args.pid, args.netns) {
        (Some(pid), _) if pid > 0 => Target::Pid(pid),
        (Some(pid), _) => return Err(Failure::usage(format!("{pid} is no process id"))),
        (None, Some(path)) => Target::Netns(netns_path(&path)?),
        (None, None) => return Err(Failure::usage("give --pid or --netns")),
    };
    let request = CreateRequest {
        name: Some(args.name),
        attach: Some(target),
        detached: true,
        auto_remove: true,
        ..request(args.network, None)?
    };
    let shim = begin(true).map_err(|f| f.with_code(1))?;
    let CreateReply { id, dir, sandbox, ports, name_service, .. } = create(client, &request)?;
    let spec = ShimSpec { id, dir, sandbox, ports, name_service, detached: true };
    launch(client, shim, &spec).map_err(|f| f.with_code(1))?;
    println!("{}", spec.id);
    Ok(0)
}

/// Gives a namespace back.
///
/// # Errors
/// When it was not attached.
pub fn detach(client: &Client, args: &Detach) -> Outcome {
    client.post(&format!("/vswitch/containers/{}/detach", quote(&args.name)), &())?;
    println!("{}", args.name);
    Ok(0)
}
