//! Commands that end, and commands in the background. Neither can hang a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{DEADLINE, child_end};

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit status; minus the signal's number when a signal ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Output {
    /// What it printed, if it succeeded.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status == 0, "the command failed: {self:#?}");
        self.stdout
    }

    /// What it complained about, if it failed with that exit status.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn fails_with(self, status: i32) -> String {
        assert!(self.status == status, "expected exit status {status}: {self:#?}");
        self.stderr
    }
}

/// Sends a process a signal.
///
/// # Panics
/// When there is no such process; before it asks, when the number stands for more than one.
#[track_caller]
pub fn signal(pid: i32, signal: Signal) {
    assert!(pid > 1, "{pid} is not the number of one process");
    if let Err(e) = kill(Pid::from_raw(pid), signal) {
        panic!("process {pid} cannot be sent {signal}: {e}");
    }
}

fn number(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or(0))
}

/// Runs a command without input.
///
/// # Panics
/// When it cannot be started, or does not end.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    run_with_input(command, b"")
}

/// Runs a command that reads `input`.
///
/// # Panics
/// When it cannot be started, or does not end.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let what = format!("{command:?}");
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{what} cannot be started: {e}"));
    let writer = child.stdin.take().map(|mut stdin| {
        let input = input.to_vec();
        // A command that ends without reading all of it is none of our business.
        std::thread::spawn(move || drop(stdin.write_all(&input)))
    });
    let stdout = child.stdout.take().map(gather);
    let stderr = child.stderr.take().map(gather);
    let status = child_end(&mut child, DEADLINE);
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (text(stdout, &what), text(stderr, &what));
    if let Some(writer) = writer {
        let _ = writer.join();
    }
    let Some(status) = status else {
        panic!("{what} did not end within {DEADLINE:?}; it said: {stdout}{stderr}")
    };
    Output { status: number(status), stdout, stderr }
}

fn gather(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[track_caller]
fn text(pipe: Option<Receiver<String>>, what: &str) -> String {
    let Some(pipe) = pipe else { return String::new() };
    pipe.recv_timeout(DEADLINE)
        .unwrap_or_else(|_| panic!("{what} has ended, and something it started still holds its output open"))
}

/// A command in the background. It is killed, by its number, when the test is done with it.
pub struct Background {
    child: Child,
    what: String,
    lines: Receiver<String>,
    said: String,
}

impl Background {
    /// Starts it without input; its stdout and stderr are both read line by line.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_stdin(command)
    }

    /// Starts it with whatever standard input the command was given.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start_with_stdin(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{what} cannot be started: {e}"));
        let (sender, lines) = channel();
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>),
            child.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>),
        ];
        for pipe in pipes.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
                }
            });
        }
        Self { child, what, lines, said: String::new() }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The write end of its standard input, if it was given a pipe.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for a line of its output that holds what is asked for; returns that line.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn line(&mut self, mut what: impl FnMut(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if what(&line) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!(
                        "{} did not say what was expected within {DEADLINE:?}, but: {}",
                        self.what, self.said
                    )
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} ended without saying what was expected, but: {}", self.what, self.said)
                }
            }
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Waits for its end: exit status (minus the number of a signal that ended it), and all it said.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        drop(self.child.stdin.take());
        let Some(status) = child_end(&mut self.child, DEADLINE) else {
            self.collect(Duration::ZERO);
            panic!("{} did not end within {DEADLINE:?}; it said: {}", self.what, self.said)
        };
        self.collect(DEADLINE);
        (number(status), std::mem::take(&mut self.said))
    }

    /// Interrupts it as Ctrl-C does, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn interrupt(self) -> (i32, String) {
        self.signal(Signal::SIGINT);
        self.end()
    }

    fn collect(&mut self, patience: Duration) {
        let end = Instant::now() + patience;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.said.push_str(&line);
            self.said.push('\n');
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.collect(Duration::from_millis(100));
            eprintln!("--- {} said:\n{}", self.what, self.said);
        }
    }
}
