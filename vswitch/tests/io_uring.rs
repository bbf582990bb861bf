//! Frames that are written many at a time: with an io_uring, without, and where the kernel refuses one.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use packet::offload::VNET_HEADER_LEN;
use packet::{Frame, Offload};
use vswitch::dataplane::tap::tap_port;
use vswitch::dataplane::{
    Bridge, BridgeConfig, DropReason, IoUring, Port, PortConfig, Receive, Received, Switch, SwitchConfig,
    Transmit,
};
use vswitch::sys::tun::create_tap;
use vswitch::sys::uring::RingError;

/// How long what must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that is written to as a TAP is: one frame a `write(2)`, the header in front.
struct Wire(UnixDatagram);

impl Transmit for Wire {
    fn send(&self, _: usize, frame: &mut Frame, _: &mut Frame) -> Result<(), DropReason> {
        let bytes = frame.with_vnet().ok_or(DropReason::Malformed)?;
        nix::unistd::write(&self.0, bytes).map(drop).map_err(|errno| match errno {
            Errno::EAGAIN => DropReason::QueueFull,
            _ => DropReason::Refused,
        })
    }

    fn descriptor(&self, _: usize, _: Offload) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

/// Gives its frames in one batch, when they are let go.
struct Burst {
    go: Arc<EventFd>,
    frames: VecDeque<Vec<u8>>,
}

impl Receive for Burst {
    fn fd(&self) -> BorrowedFd<'_> {
        self.go.as_fd()
    }

    fn recv(&mut self, frame: &mut Frame) -> Received {
        let Some(bytes) = self.frames.pop_front() else {
            let _ = self.go.read();
            return Received::Empty;
        };
        frame.copy_from(&bytes, Offload::NONE).map_or_else(Received::Bad, |()| Received::Frame)
    }
}

struct Net {
    switch: Switch,
    bridge: Arc<Bridge>,
}

impl Net {
    fn new(io_uring: bool) -> Self {
        let config = SwitchConfig { workers: 1, io_uring, ..SwitchConfig::default() };
        let switch = Switch::new(&config, &(Arc::new(|_| {}) as _)).unwrap();
        let bridge = switch.add_bridge(&BridgeConfig::default());
        Self { switch, bridge }
    }

    fn port(&self, frames: Vec<Vec<u8>>) -> (UnixDatagram, Arc<Port>, Arc<EventFd>) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(PATIENCE)).unwrap();
        let go = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).unwrap());
        let queue: Box<dyn Receive> = Box::new(Burst { go: go.clone(), frames: frames.into() });
        let config =
            PortConfig { owner: "host".into(), interface: "eth0".into(), mtu: 65_535, trusted: false };
        let port = self.switch.add_port(&self.bridge, config, Box::new(Wire(ours)), vec![queue]).unwrap();
        (theirs, port, go)
    }
}

/// A frame of `len` bytes whose first byte after the header is `tag`.
fn frame(tag: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; 6];
    bytes.extend([2, 0, 0, 0, 0, 1, 0x88, 0xb5, tag]);
    bytes.resize(len, 0);
    bytes
}

/// The next frame that arrives; panics when none does.
fn next(from: &UnixDatagram) -> Vec<u8> {
    let mut buf = vec![0; 70_000];
    let n = from.recv(&mut buf).unwrap();
    buf[VNET_HEADER_LEN..n].to_vec()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// Forbids the calling thread `io_uring_setup(2)`, as the profiles of container runtimes do.
fn forbid_io_uring() {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut program = [
        op(LOAD_NUMBER, 0, 0),
        op(EQUAL, 1, libc::SYS_io_uring_setup as u32),
        op(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        op(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter outlives the calls; both are for this thread only.
    let forbidden = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(forbidden, "{}", std::io::Error::last_os_error());
}

#[test]
fn what_is_off_or_refused_is_said() {
    assert_eq!(Net::new(false).switch.io_uring(), IoUring::Off);
    // Here the kernel may do either.
    assert!(matches!(Net::new(true).switch.io_uring(), IoUring::InUse | IoUring::Refused(_)));
    let refused = std::thread::spawn(|| {
        forbid_io_uring();
        Net::new(true).switch.io_uring()
    });
    let refused = refused.join().unwrap();
    assert_eq!(refused, IoUring::Refused(RingError::Refused(Errno::EPERM)));
    assert!(refused.to_string().contains("EPERM"), "{refused}");
}

/// The test's content with rings, without, and with rings refused.
fn in_every_mode(test: impl Fn(&Net) + Sync) {
    test(&Net::new(true));
    test(&Net::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            forbid_io_uring();
            test(&Net::new(true));
        });
    });
}

#[test]
fn frames_of_any_length_keep_their_order() {
    in_every_mode(|net| {
        let lengths = [60, 60, 60, 60, 1500, 60, 5000, 2036, 2037, 60, 60, 60, 60, 60, 30_000, 60, 60];
        let frames: Vec<_> = lengths.iter().enumerate().map(|(n, len)| frame(n as u8, *len)).collect();
        let ((a, _, _), (b, to, _)) = (net.port(vec![]), net.port(vec![]));
        // No socket holds so many by default; what is missing would be missed.
        for chunk in frames.chunks(6) {
            let (_, from, go) = net.port(chunk.to_vec());
            go.write(1).unwrap();
            for expected in chunk {
                assert_eq!(next(&a), *expected);
                assert_eq!(next(&b), *expected);
            }
            net.switch.remove_port(&net.bridge, &from);
        }
        let stats = to.counters().snapshot();
        assert_eq!(stats.tx_frames, frames.len() as u64);
        assert_eq!(stats.tx_bytes, lengths.iter().sum::<usize>() as u64);
        assert!(stats.tx_drops.values().all(|n| *n == 0), "{:?}", stats.tx_drops);
    });
}

#[test]
fn a_full_interface_drops_and_counts_and_holds_nobody_up() {
    in_every_mode(|net| {
        let frames: Vec<_> = (0..64).map(|n| frame(n, 60)).collect();
        let ((full, port, _), (_, _, go)) = (net.port(vec![]), net.port(frames));
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut room = 0;
        while ours.send(&[0; 72]).is_ok() {
            room += 1;
        }
        drop(theirs);
        go.write(1).unwrap();
        let dropped = || port.counters().snapshot().tx_drops.get("queue_full").copied().unwrap_or(0);
        let room = room.min(64);
        until("every frame is counted", || port.counters().snapshot().tx_frames + dropped() == 64);
        assert_eq!(dropped(), 64 - room);
        for n in 0..room {
            assert_eq!(next(&full), frame(n as u8, 60));
        }
        assert!(port.is_up());
    });
}

#[test]
fn one_that_refuses_takes_nothing_from_the_others() {
    in_every_mode(|net| {
        let frames: Vec<_> = (0..9).map(|n| frame(n, 60)).collect();
        let ((a, _, _), (gone, to_gone, _), (b, _, _)) =
            (net.port(vec![]), net.port(vec![]), net.port(vec![]));
        let (_, _, go) = net.port(frames.clone());
        drop(gone);
        go.write(1).unwrap();
        for expected in &frames {
            assert_eq!(next(&a), *expected);
            assert_eq!(next(&b), *expected);
        }
        until("every frame is counted", || to_gone.counters().snapshot().tx_drops.values().sum::<u64>() == 9);
        assert_eq!(to_gone.counters().snapshot().tx_frames, 0);
    });
}

#[test]
fn what_the_port_forbids_is_not_written() {
    in_every_mode(|net| {
        let frames: Vec<_> = (0..9).map(|n| frame(n, if n % 2 == 0 { 60 } else { 600 })).collect();
        let ((a, narrow, _), (b, _, _), (_, _, go)) =
            (net.port(vec![]), net.port(vec![]), net.port(frames.clone()));
        narrow.set_mtu(500);
        go.write(1).unwrap();
        for expected in frames.iter().step_by(2) {
            assert_eq!(next(&a), *expected);
        }
        for expected in &frames {
            assert_eq!(next(&b), *expected);
        }
        let stats = narrow.counters().snapshot();
        assert_eq!(stats.tx_drops.get("too_big"), Some(&4));
    });
}

/// Runs a test of this file in user and network namespaces of its own.
fn in_namespace(test: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "--"]).arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", test, "--ignored", "--nocapture"]);
    let out = unshare.output().expect("unshare, of util-linux");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

#[test]
fn a_tap_that_is_down_or_gone_says_so() {
    in_namespace("taps");
}

#[test]
#[ignore = "needs a namespace of its own: a_tap_that_is_down_or_gone_says_so runs it in one"]
fn taps() {
    in_every_mode(|net| {
        let mode = net.switch.io_uring();
        let tap = create_tap("tap0", 1).unwrap();
        let (transmit, queues) = tap_port(tap.queues, tap.offloads).unwrap();
        let queues = queues.into_iter().map(|queue| Box::new(queue) as Box<dyn Receive>).collect();
        let config = PortConfig { owner: "host".into(), interface: "eth0".into(), mtu: 1500, trusted: false };
        let port = net.switch.add_port(&net.bridge, config, Box::new(transmit), queues).unwrap();
        // Beside the port's own, so that the interface stays while queues are forgotten.
        let burst = || {
            let (_end, from, go) = net.port((0..20).map(|n| frame(n, 60)).collect());
            go.write(1).unwrap();
            until("every frame has come in", || from.counters().snapshot().rx_frames == 20);
            // All workers have ended the batch after this.
            net.switch.remove_port(&net.bridge, &from);
            port.counters().snapshot()
        };
        let drops = |reason, n| BTreeMap::from([(reason, n)]);
        let down = burst();
        assert_eq!((down.tx_frames, down.tx_drops), (0, drops("link_down", 20)));
        assert!(!port.is_up());

        ip("link set tap0 up");
        let up = burst();
        assert_eq!((up.tx_frames, up.tx_drops), (20, drops("link_down", 20)));
        assert!(port.is_up());

        ip("link delete tap0");
        until("the worker sees it", || port.is_gone());
        let gone = burst();
        assert_eq!((gone.tx_frames, gone.tx_drops.get("gone")), (20, Some(&20)));
        // Kernels before 6.4 cannot; what is refused or off stays so.
        assert!(net.switch.io_uring() == mode || net.switch.io_uring() == IoUring::Unsupported);
    });
}
