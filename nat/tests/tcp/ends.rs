//! What most tests begin with.

use std::{
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use nat::config::Config;

use crate::lab::{Impairment, Lab, Netns, world};

/// A lab with a good path.
pub(crate) fn lab() -> Lab {
    Lab::new(1500, Config::default(), Impairment::default())
}

pub(crate) fn listen(netns: &Netns, address: IpAddr) -> TcpListener {
    netns.within(|| TcpListener::bind((address, 0)).expect("a port"))
}

pub(crate) fn connect(netns: &Netns, to: SocketAddr) -> std::io::Result<TcpStream> {
    netns.within(|| TcpStream::connect_timeout(&to, Duration::from_mins(1)))
}

/// A connection from the container to the world: its two ends.
pub(crate) fn pair(lab: &Lab, v6: bool) -> (TcpStream, TcpStream) {
    let listener = listen(&lab.world, world(v6));
    let inside = connect(&lab.container, listener.local_addr().unwrap()).expect("a connection");
    let (outside, _) = listener.accept().expect("a connection");
    (inside, outside)
}
