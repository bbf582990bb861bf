//! A TCP/IP host in memory.

use std::time::{Duration, Instant};

use packet::{MacAddr, Offload};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{AnySocket, icmp, udp};
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use vswitch::dataplane::memory::MemoryHost;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

pub struct Wire {
    host: MemoryHost,
    /// A frame that was waited for.
    next: Option<Vec<u8>>,
}

pub struct Rx(Vec<u8>);

pub struct Tx<'a>(&'a MemoryHost);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        // A full queue drops, as any network may.
        self.0.send(&frame, Offload::NONE);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Clock) -> Option<(Rx, Tx<'_>)> {
        let bytes = self.next.take().or_else(|| Some(self.host.try_recv()?.0))?;
        Some((Rx(bytes), Tx(&self.host)))
    }

    fn transmit(&mut self, _: Clock) -> Option<Tx<'_>> {
        Some(Tx(&self.host))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub struct Host {
    wire: Wire,
    pub interface: Interface,
    sockets: SocketSet<'static>,
}

impl Host {
    pub fn new(host: MemoryHost, mac: MacAddr) -> Self {
        let mut wire = Wire { host, next: None };
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        let interface = Interface::new(config, &mut wire, Clock::now());
        Self { wire, interface, sockets: SocketSet::new(Vec::new()) }
    }

    pub fn with_address(host: MemoryHost, mac: MacAddr, address: IpCidr) -> Self {
        let mut host = Self::new(host, mac);
        host.interface.update_ip_addrs(|all| all.push(address).unwrap());
        host
    }

    pub fn add(&mut self, socket: impl AnySocket<'static>) -> SocketHandle {
        self.sockets.add(socket)
    }

    pub fn get<S: AnySocket<'static>>(&mut self, handle: SocketHandle) -> &mut S {
        self.sockets.get_mut(handle)
    }

    /// A TCP connection to be.
    pub fn connect(&mut self, to: (smoltcp::wire::IpAddress, u16), from: u16) -> SocketHandle {
        use smoltcp::socket::tcp;
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let handle = self.add(tcp::Socket::new(buffer(), buffer()));
        let context = self.interface.context();
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(context, to, from).unwrap();
        handle
    }

    /// A socket for echo messages.
    pub fn pinger(&mut self) -> SocketHandle {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 8192]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(0x77)).unwrap();
        self.add(socket)
    }

    /// A UDP socket.
    pub fn udp(&mut self, port: u16) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 64 * 1024]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).unwrap();
        self.add(socket)
    }

    /// Runs the host until `done` finds what it looks for.
    pub fn until<R>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<R>) -> R {
        let start = Instant::now();
        loop {
            self.interface.poll(Clock::now(), &mut self.wire, &mut self.sockets);
            if let Some(found) = done(self) {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "no {what}");
            let wait = self.interface.poll_delay(Clock::now(), &self.sockets);
            let wait = wait.map_or(100, |d| d.total_millis().min(100)) as u16;
            if wait > 0 {
                self.wire.next = self.wire.host.recv(wait).map(|(bytes, _)| bytes);
            }
        }
    }
}
