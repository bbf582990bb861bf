//! TCP through an engine, between kernels: a container behind a TAP, the world behind a veth.
#![allow(clippy::unwrap_used, clippy::large_stack_arrays, reason = "tests")]

#[path = "../lab/mod.rs"]
mod lab;

mod closing;
mod limits;
mod opening;
mod published;
mod transfer;

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use nat::config::Config;

use self::lab::{Impairment, Lab, Netns};

/// A lab with a good path.
fn lab() -> Lab {
    Lab::new(1500, Config::default(), Impairment::default())
}

fn listen(netns: &Netns, address: IpAddr) -> TcpListener {
    netns.within(|| TcpListener::bind((address, 0)).expect("a port"))
}

fn connect(netns: &Netns, to: SocketAddr) -> std::io::Result<TcpStream> {
    netns.within(|| TcpStream::connect_timeout(&to, Duration::from_mins(1)))
}

/// A connection from the container to the world: its two ends.
fn pair(lab: &Lab, v6: bool) -> (TcpStream, TcpStream) {
    let listener = listen(&lab.world, lab::world(v6));
    let inside = connect(&lab.container, listener.local_addr().unwrap()).expect("a connection");
    let (outside, _) = listener.accept().expect("a connection");
    (inside, outside)
}
