//! What tcpdump says of the same frames.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::frames::Captured;

/// The corpus as a capture file, the number of each frame as its time stamp.
pub(crate) struct Oracle {
    pcap: Vec<u8>,
}

impl Oracle {
    pub(crate) fn new(frames: &[Captured]) -> Self {
        Self { pcap: pcap(frames) }
    }

    /// The numbers of the frames that tcpdump's filter matches, or what tcpdump says against the
    /// expression. `-O`, because the optimizer drops loads, and with them that a cut frame is rejected.
    pub(crate) fn matching(&self, expression: &str) -> Result<Vec<usize>, String> {
        self.run(&["-O"], expression)
    }

    /// The same with the optimizer, as people run it.
    pub(crate) fn matching_optimized(&self, expression: &str) -> Result<Vec<usize>, String> {
        self.run(&[], expression)
    }

    fn run(&self, options: &[&str], expression: &str) -> Result<Vec<usize>, String> {
        // Through a pipe: tcpdump started as root, or confined, may not open every file.
        let mut tcpdump = Command::new("tcpdump")
            .args(options)
            .args(["-n", "-r", "-", "-w", "-", "--", expression])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need tcpdump: install the package of that name");
        let mut stdin = tcpdump.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // A refused expression ends tcpdump before it has read anything.
            scope.spawn(move || stdin.write_all(&self.pcap));
            tcpdump.wait_with_output().unwrap()
        });
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(numbers(&output.stdout))
    }
}

fn pcap(frames: &[Captured]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4u32.to_le_bytes());
    out.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend(262_144u32.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for (number, frame) in frames.iter().enumerate() {
        for field in [number, 0, frame.data.len(), frame.wire_len] {
            out.extend(u32::try_from(field).unwrap().to_le_bytes());
        }
        out.extend(&frame.data);
    }
    out
}

fn numbers(pcap: &[u8]) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut rest = pcap.get(24..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let field = |i: usize| u32::from_le_bytes(header[i..i + 4].try_into().unwrap()) as usize;
        numbers.push(field(0));
        rest = &after[field(8)..];
    }
    numbers
}
