//! `info`, `version`, `completion`.

use clap::CommandFactory;
use serde_json::{Value, json};

use crate::args::{Args, Completion, Format};
use crate::client::Client;
use crate::error::Outcome;
use crate::format;

/// One object, not a list of one.
fn object(value: &Value, format: &str) -> Outcome {
    if format == "json" {
        println!("{value}");
    } else {
        print!("{}", format::inspect(std::slice::from_ref(value), Some(format))?);
    }
    Ok(0)
}

/// Shows the daemon's state.
///
/// # Errors
/// The daemon's own sentence.
pub fn info(client: &Client, args: &Format) -> Outcome {
    let info = client.get("/info")?;
    if let Some(format) = &args.format {
        return object(&info, format);
    }
    let v = &info["Vswitch"];
    println!("Containers: {}", info["Containers"]);
    println!(" Running: {}", info["ContainersRunning"]);
    println!(" Stopped: {}", info["ContainersStopped"]);
    println!("Networks: {}", v["Networks"]);
    println!("Ports: {}", v["Ports"]);
    println!("Workers: {}", v["Workers"]);
    println!(" io_uring: {}", v["IoUring"].as_str().unwrap_or_default());
    for (label, value) in [
        ("Server Version", &info["ServerVersion"]),
        ("Kernel Version", &info["KernelVersion"]),
        ("Architecture", &info["Architecture"]),
        ("Name", &info["Name"]),
        ("Data Directory", &v["DataDir"]),
    ] {
        println!("{label}: {}", value.as_str().unwrap_or_default());
    }
    println!("Socket: {}", client.socket().display());
    let store = &v["Store"];
    if let Some(node) = store["Node"].as_str() {
        println!("Node: {node}");
        println!(" Joined: {}", store["Joined"]);
        println!(" Nodes: {}", store["Nodes"]);
        if let Some(why) = store["Trouble"].as_str() {
            println!(" Store: {why}, for {} s", store["TroubleSeconds"]);
        }
    }
    println!("CPUs: {}", info["NCPU"]);
    println!("Process: {}", v["Pid"]);
    Ok(0)
}

/// Shows the versions of both sides.
///
/// # Errors
/// When the format makes no sense.
pub fn version(client: &Client, args: &Format) -> Outcome {
    let own = vswitch::control::wire::version();
    let server = client.get("/version").ok();
    if let Some(format) = &args.format {
        return object(&json!({"Client": own, "Server": server}), format);
    }
    let print = |title: &str, v: &Value| {
        let text = |key: &str| v[key].as_str().unwrap_or_default().to_owned();
        println!("{title}:");
        println!(" Version:     {}", text("Version"));
        println!(" API version: {}", text("ApiVersion"));
        println!(" OS/Arch:     {}/{}", text("Os"), text("Arch"));
    };
    print("Client", &own);
    match server {
        Some(server) => print("Server", &server),
        None => println!("Server: none listens on {}", client.socket().display()),
    }
    Ok(0)
}

/// Prints a completion script.
///
/// # Errors
/// Never.
pub fn completion(args: &Completion) -> Outcome {
    clap_complete::generate(args.shell, &mut Args::command(), "vswitch", &mut std::io::stdout());
    Ok(0)
}
