//! `stop`, `kill`, `rm`, `wait`, `logs`, `rename`.

use std::io::Write;

use crate::args::{Kill, Logs, Names, Rename, Rm, Stop};
use crate::client::{Client, quote};
use crate::error::{Failure, Outcome};

/// Does the same for every name; goes on after a failure, and fails in the end.
fn each(names: &Names, mut act: impl FnMut(&str) -> Result<String, Failure>) -> i32 {
    let mut status = 0;
    for name in &names.names {
        match act(name) {
            Ok(line) => println!("{line}"),
            Err(failure) => {
                eprintln!("vswitch: {failure}");
                status = failure.code;
            }
        }
    }
    status
}

/// Ends containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn stop(client: &Client, args: &Stop) -> Outcome {
    Ok(each(&args.which, |name| {
        client.post(&format!("/containers/{}/stop?t={}", quote(name), args.time), &())?;
        Ok(name.to_owned())
    }))
}

/// Signals containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn kill(client: &Client, args: &Kill) -> Outcome {
    Ok(each(&args.which, |name| {
        client.post(&format!("/containers/{}/kill?signal={}", quote(name), quote(&args.signal)), &())?;
        Ok(name.to_owned())
    }))
}

/// Removes containers.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn rm(client: &Client, args: &Rm) -> Outcome {
    Ok(each(&args.which, |name| {
        client.delete(&format!("/containers/{}?force={}", quote(name), u8::from(args.force)))?;
        Ok(name.to_owned())
    }))
}

/// Waits for containers and prints their statuses.
///
/// # Errors
/// Never; failures are printed a line each.
pub fn wait(client: &Client, args: &Names) -> Outcome {
    Ok(each(args, |name| {
        let reply = client.post(&format!("/containers/{}/wait", quote(name)), &())?;
        Ok(reply["StatusCode"].to_string())
    }))
}

/// Prints a container's log.
///
/// # Errors
/// When it has none.
pub fn logs(client: &Client, args: &Logs) -> Outcome {
    let mut stream = client.stream(&format!("/vswitch/containers/{}/logs", quote(&args.name)))?;
    let mut out = std::io::stdout().lock();
    while let Some(piece) = stream.piece()? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    Ok(0)
}

/// Gives a container another name.
///
/// # Errors
/// The daemon's own sentence.
pub fn rename(client: &Client, args: &Rename) -> Outcome {
    let path = format!("/containers/{}/rename?name={}", quote(&args.old), quote(&args.new));
    client.post(&path, &()).map(|_| 0)
}
