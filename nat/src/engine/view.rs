//! What people are shown of an engine.

use std::{net::SocketAddr, time::Duration};

use super::InsideId;
use crate::flow::{Endpoint, Protocol};

/// Who opened a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The container.
    Outbound,
    /// Someone outside, through a published port.
    Published,
}

/// A flow at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowInfo {
    /// Its protocol.
    pub protocol: Protocol,
    /// The container.
    pub inside: InsideId,
    /// Who opened it.
    pub direction: Direction,
    /// The container's end.
    pub local: Endpoint,
    /// The container's end as the world sees it.
    pub outside: Option<SocketAddr>,
    /// The far end as the container sees it.
    pub remote: Endpoint,
    /// How far it is, in one word.
    pub state: &'static str,
    /// Since it began.
    pub age: Duration,
    /// Since anything was heard of it.
    pub idle: Duration,
    /// Bytes of data from the container.
    pub bytes_out: u64,
    /// Bytes of data to the container.
    pub bytes_in: u64,
    /// Frames from the container, a super-frame as one.
    pub packets_out: u64,
    /// Frames to the container, a super-frame as one.
    pub packets_in: u64,
}

/// The ends of a flow as the world knows them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sides {
    /// The container's end. Its address is unspecified while the host's routes alone know it.
    pub outside: SocketAddr,
    /// The far end; of an echo with port 0.
    pub remote: SocketAddr,
}

/// What a container uses at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InsideInfo {
    /// Flows.
    pub flows: usize,
    /// TCP connections that are not established.
    pub half_open: usize,
    /// Bytes kept since sockets took no more, or since something before them is missing.
    pub backlog: usize,
}
