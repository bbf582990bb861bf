//! Two TCP/IP hosts in memory on one network: the whole way of a conversation without a kernel.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use packet::{MacAddr, Offload};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use vswitch::dataplane::memory::{MemoryHost, memory_port};
use vswitch::dataplane::{BridgeConfig, PortConfig, Receive, Switch, SwitchConfig};

const BYTES: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_mins(1);

struct Wire(MemoryHost);

struct Rx(Vec<u8>);

struct Tx<'a>(&'a MemoryHost);

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
        let (bytes, _) = self.0.try_recv()?;
        Some((Rx(bytes), Tx(&self.0)))
    }

    fn transmit(&mut self, _: Clock) -> Option<Tx<'_>> {
        Some(Tx(&self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Host {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    tcp: smoltcp::iface::SocketHandle,
}

impl Host {
    fn new(wire: MemoryHost, n: u8) -> Self {
        let mut wire = Wire(wire);
        let mac = HardwareAddress::Ethernet(EthernetAddress(MacAddr([2, 0, 0, 0, 0, n]).0));
        let mut interface = Interface::new(Config::new(mac), &mut wire, Clock::now());
        interface.update_ip_addrs(|all| all.push(IpCidr::new(IpAddress::v4(10, 0, 0, n), 24)).unwrap());
        let buffer = || tcp::SocketBuffer::new(vec![0; 64 * 1024]);
        let mut sockets = SocketSet::new(Vec::new());
        let tcp = sockets.add(tcp::Socket::new(buffer(), buffer()));
        Self { wire, interface, sockets, tcp }
    }

    fn poll(&mut self) {
        self.interface.poll(Clock::now(), &mut self.wire, &mut self.sockets);
    }

    fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.tcp)
    }
}

fn byte(n: usize) -> u8 {
    (n.wrapping_mul(2_654_435_761) >> 7) as u8
}

#[test]
fn a_tcp_transfer_crosses_the_switch_unchanged() {
    let switch = Switch::new(&SwitchConfig::default(), &(Arc::new(|_| {}) as _)).unwrap();
    let bridge = switch.add_bridge(&BridgeConfig::default());
    let mut hosts = [1, 2].map(|n| {
        let (host, tx, rx) = memory_port(256).unwrap();
        let config =
            PortConfig { owner: format!("host{n}"), interface: "eth0".into(), mtu: 1500, trusted: false };
        let rx: Box<dyn Receive> = Box::new(rx);
        switch.add_port(&bridge, config, Box::new(tx), vec![rx]).unwrap();
        Host::new(host, n)
    });
    let [client, server] = &mut hosts;
    server.tcp().listen(80).unwrap();
    let context = client.interface.context();
    let socket = client.sockets.get_mut::<tcp::Socket<'_>>(client.tcp);
    socket.connect(context, (IpAddress::v4(10, 0, 0, 2), 80), 40_000).unwrap();

    let (mut sent, mut received) = (0, 0);
    let start = Instant::now();
    while received < BYTES {
        assert!(start.elapsed() < DEADLINE, "{received} of {BYTES} bytes came through");
        client.poll();
        server.poll();
        while sent < BYTES && client.tcp().can_send() {
            let piece: Vec<u8> = (sent..BYTES.min(sent + 4096)).map(byte).collect();
            sent += client.tcp().send_slice(&piece).unwrap();
        }
        while server.tcp().can_recv() {
            let right = server.tcp().recv(|data| {
                let right = data.iter().enumerate().all(|(i, b)| *b == byte(received + i));
                received += data.len();
                (data.len(), right)
            });
            assert!(right.unwrap(), "bytes before {received} differ from what was sent");
        }
    }
    assert_eq!(bridge.fdb().len(), 2);
}
