//! A daemon without a switch.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// What was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// `GET /networks/my`: method, path and query, unquoted.
    pub line: String,
    /// The body, null without one.
    pub body: Value,
}

/// What is answered.
pub enum Answer {
    /// A status and a body.
    Body(u16, String),
    /// Nothing: the connection is closed.
    Silence,
}

/// 200 and this.
pub fn ok(body: &Value) -> Answer {
    Answer::Body(200, body.to_string())
}

/// A refusal as Docker's API words it.
pub fn refuse(status: u16, message: &str) -> Answer {
    Answer::Body(status, serde_json::json!({"message": message}).to_string())
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    pub status: Option<i32>,
}

/// A daemon that answers as `answer` says.
pub struct Mock {
    dir: tempfile::TempDir,
    asked: Receiver<Asked>,
}

impl Mock {
    pub fn new(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let (sender, asked) = channel();
        // It ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(stream.unwrap(), &answer, &sender);
            }
        });
        Self { dir, asked }
    }

    /// Runs the command to its end.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_with(words, "")
    }

    /// Runs the command to its end, with this on its standard input.
    pub fn run_with(&self, words: &[&str], input: &str) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vswitch"))
            .env("VSWITCH_HOST", format!("unix://{}", self.dir.path().join("s").display()))
            .env("VSWITCH_DATA_DIR", self.dir.path().join("data"))
            .env("TZ", "UTC")
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Who asks nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        Ended {
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
            status: out.status.code(),
        }
    }

    /// What it prints when all is well.
    pub fn ok(&self, words: &[&str]) -> String {
        let Ended { stdout, stderr, status } = self.run(words);
        assert_eq!((stderr.as_str(), status), ("", Some(0)), "{words:?}: {stdout}");
        stdout
    }

    /// What it says when it fails with this status and prints nothing.
    pub fn fails(&self, words: &[&str], with: i32) -> String {
        let Ended { stdout, stderr, status } = self.run(words);
        assert_eq!((stdout.as_str(), status), ("", Some(with)), "{words:?}: {stderr}");
        stderr
    }

    /// Everything that was asked since this was called last.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }

    /// The lines of everything that was asked.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

fn serve(
    mut stream: UnixStream,
    answer: &dyn Fn(&str) -> Answer,
    asked: &Sender<Asked>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    // A connection on which nothing is asked: somebody looks whether there is a daemon.
    if reader.read_line(&mut head)? == 0 {
        return Ok(());
    }
    let line = head.rsplit_once(" HTTP/").map_or(head.as_str(), |(line, _)| line).to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = unquote(&line);
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let answer = answer(&line);
    asked.send(Asked { line, body }).unwrap();
    if let Answer::Body(status, body) = answer {
        let length = body.len();
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
    }
    Ok(())
}

/// RFC 3986's percent signs undone.
fn unquote(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (byte, length) = match code {
            Some(byte) if *first == b'%' => (byte, 3),
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8(out).unwrap()
}
