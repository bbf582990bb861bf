//! An engine between frames made by hand and the loopback of this machine. Needs no privilege.

mod bad_input;
mod connection;
mod events;
mod sequences;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, TcpListener},
};

use packet::{
    Frame, MacAddr, Offload,
    checksum::complete_partial,
    wire::{Headers, TcpPacket, ipproto, tcp::flags},
};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    Engine, Inside, InsideId, SendError,
    build::{self, Link, Route},
};
use crate::{
    config::{Config, InsideConfig},
    tcp::{Header, Segment, Seq},
};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0x42, 10, 0, 2, 1]);
const CONTAINER_MAC: MacAddr = MacAddr([2, 0x42, 10, 0, 2, 2]);
const MTU: u16 = 1500;

/// What the container gets.
#[derive(Default)]
struct Container {
    frames: VecDeque<(Vec<u8>, Offload)>,
    /// Its queue takes nothing.
    full: bool,
}

impl Inside for Container {
    fn send(&mut self, _: InsideId, frame: &mut Frame) -> Result<(), SendError> {
        if self.full {
            return Err(SendError::Full);
        }
        self.frames.push_back((frame.bytes().to_vec(), frame.offload()));
        Ok(())
    }
}

/// An engine with one container, for which the gateway's address is the host's loopback.
struct Bench {
    engine: Engine,
    id: InsideId,
    container: Container,
    frame: Frame,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut engine = Engine::new(config).unwrap();
        let mut inside = InsideConfig::new(GATEWAY_MAC);
        inside.addresses = vec![CONTAINER.into()];
        inside.gateway_v4 = Some(GATEWAY);
        inside.subnets = vec!["10.0.2.0/24".parse().unwrap()];
        inside.host_addresses = vec![(GATEWAY.into(), Ipv4Addr::LOCALHOST.into())];
        inside.mtu = MTU;
        let id = engine.add_inside(inside);
        Self { engine, id, container: Container::default(), frame: Frame::new() }
    }

    /// The container sends `frame`.
    fn take(&mut self, frame: &Frame) {
        self.frame.copy_from(frame.bytes(), frame.offload()).unwrap();
        self.engine.from_inside(self.id, &mut self.frame, &mut self.container);
        self.engine.flush(&mut self.container);
    }

    /// The container sends `bytes`.
    fn take_bytes(&mut self, bytes: &[u8]) {
        let mut frame = Frame::with_capacity(2000);
        frame.copy_from(bytes, Offload::NONE).unwrap();
        self.take(&frame);
    }

    /// Waits until something happens outside, and lets the engine see it.
    fn turn(&mut self) {
        poll(&mut [PollFd::from_borrowed_fd(self.engine.fd(), PollFlags::IN)], None).unwrap();
        self.engine.turn(&mut self.container);
    }

    /// The next frame for the container, waiting for it.
    fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some((bytes, offload)) = self.container.frames.pop_front() {
                let mut frame = Frame::new();
                frame.copy_from(&bytes, offload).unwrap();
                complete_partial(&mut frame).unwrap();
                return frame.bytes().to_vec();
            }
            self.turn();
        }
    }

    /// The next frame for the container, which must be TCP: its header and data.
    fn next_segment(&mut self) -> (Segment, Vec<u8>) {
        let bytes = self.next();
        let ip = Headers::parse(&bytes).unwrap().ip.unwrap();
        assert_eq!(ip.protocol, ipproto::TCP);
        let segment = &bytes[ip.l4..ip.end];
        let data = TcpPacket::new_checked(segment).unwrap().payload().to_vec();
        (Segment::parse(segment).unwrap(), data)
    }

    /// Nothing is there for the container.
    fn assert_silent(&self) {
        assert!(self.container.frames.is_empty());
    }

    fn count(&self, reason: crate::counters::Reason) -> u64 {
        self.engine.counters().get(reason)
    }
}

/// A segment of the container from its `port` to `to`, with a complete checksum.
fn segment(port: u16, to: (IpAddr, u16), header: &Header, data: &[u8]) -> Frame {
    let link = Link { gateway: CONTAINER_MAC, container: GATEWAY_MAC };
    let route = Route { source: CONTAINER.into(), destination: to.0 };
    let mut frame = Frame::new();
    let at = build::headers_len(false) + header.header_len() - 20;
    frame.plain_area()[at..at + data.len()].copy_from_slice(data);
    build::tcp_segment(&mut frame, link, route, (port, to.1), header, data.len(), u16::MAX).unwrap();
    complete_partial(&mut frame).unwrap();
    frame.set_offload(Offload::NONE);
    frame
}

/// A server on the loopback, and where the container finds it.
fn server() -> (TcpListener, (IpAddr, u16)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, (GATEWAY.into(), port))
}

const fn syn(seq: u32) -> Header {
    Header::plain(Seq(seq), Seq(0), flags::SYN, 64_000)
}
