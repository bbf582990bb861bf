//! Both sides of translated flows, as they come and go: `nat ls -w`, `capture`, `inspect`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use tests::lab::{HOST, WORLD};
use tests::{Background, Lab, bins};

/// Follows flows, and waits until it does.
fn follow(lab: &Lab, arguments: &[&str]) -> Background {
    lab.daemon.background(&[&["nat", "ls", "-w"], arguments].concat())
}

/// A connection from a container that says a line and then nothing.
fn talk(lab: &Lab, container: &str, to: &str) -> Background {
    let path = bins::path("peer");
    let mut command = lab.daemon.exec_command(container, &[path.to_str().unwrap(), "talk", to]);
    command.stdin(Stdio::piped());
    Background::start_with_stdin(&mut command)
}

/// The next event that is so.
#[track_caller]
fn event(watch: &mut Background, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    watch.line(|line| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        let is_it = is_it(&event);
        if is_it {
            found = event;
        }
        is_it
    });
    found
}

#[test]
fn nat_ls_w_tells_what_is_there_and_what_becomes_of_flows() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    lab.container("c2", &[]);
    let at = format!("{WORLD}:7000");
    let _tcp = lab.serve(&["serve", "tcp", &at]);
    let _udp = lab.serve(&["serve", "udp", &at]);
    let mut old = talk(&lab, "c1", &at);
    let mut stdin = old.stdin().unwrap();
    stdin.write_all(b"one\n").unwrap();
    old.line(|line| line.ends_with("one"));

    let mut all = follow(&lab, &["--format", "json"]);
    let live = event(&mut all, |event| event["Event"] == "live");
    assert_eq!((&live["Container"], &live["State"]), (&"c1".into(), &"ESTABLISHED".into()), "{live}");
    // A follower of one container, who has begun when the live flow was told.
    let mut one = follow(&lab, &["--container", "c1"]);
    one.line(|line| line.starts_with("TIME ") && line.contains("OUTSIDE"));
    one.line(|line| line.contains(" live ") && line.contains(" ESTABLISHED"));

    let mut short = talk(&lab, "c2", &at);
    short.stdin().unwrap().write_all(b"hello").unwrap();
    let new = event(&mut all, |event| event["Event"] == "new");
    assert_eq!((&new["Container"], &new["State"]), (&"c2".into(), &"SYN_SENT".into()), "{new}");
    let (inside, remote) = (new["Inside"].clone(), new["Remote"].clone());
    assert_eq!(remote, at);
    let changed = event(&mut all, |event| event["Event"] == "changed");
    assert_eq!(changed["Inside"], inside, "{changed}");
    // What happens within one batch of a worker is one change.
    let gone = event(&mut all, |event| event["Event"] == "gone");
    assert_eq!((&gone["Inside"], &gone["BytesOut"]), (&inside, &6.into()), "{gone}");
    assert_eq!(short.end().0, 0);
    assert!(
        gone["Outside"].as_str().unwrap().is_empty() || gone["Outside"].as_str().unwrap().starts_with(HOST)
    );

    lab.ask_from("c2", &["ask", "udp", &at]).ok();
    event(&mut all, |event| event["Event"] == "new" && event["Protocol"] == "udp");
    let replied = event(&mut all, |event| event["Event"] == "changed" && event["Protocol"] == "udp");
    assert_eq!(replied["State"], "REPLIED");
    assert!(replied["Outside"].as_str().unwrap().starts_with(&format!("{HOST}:")), "{replied}");

    // A container that goes takes its flows along.
    lab.daemon.ok(&["rm", "-f", "c2"]);
    event(&mut all, |event| event["Event"] == "gone" && event["Protocol"] == "udp");
    drop(stdin);
    assert_eq!(old.end().0, 0);
    one.line(|line| line.contains(" changed ") && line.contains("HALF_CLOSED_OUT"));
    one.line(|line| line.contains(" gone "));
    let (_, said) = one.interrupt();
    assert!(!said.contains(" c2 "), "{said}");
    all.interrupt();
}

#[test]
fn a_capture_and_inspect_show_both_sides_of_a_translated_flow() {
    let lab = Lab::default();
    lab.container("c1", &["-p", "8080:80"]);
    lab.container("c2", &[]);
    let at = format!("{WORLD}:7000");
    let mut server = lab.serve(&["serve", "tcp", &at]);
    let _inside = lab.serve_in("c1", &["serve", "tcp", "0.0.0.0:80"]);
    let mut capture = lab.daemon.background(&["capture", "-i", "c1", "tcp or icmp"]);
    capture.line(|line| line.contains("capturing on"));

    let mut talk = talk(&lab, "c1", &at);
    let mut stdin = talk.stdin().unwrap();
    stdin.write_all(b"one\n").unwrap();
    let inside = talk.line(|line| line.starts_with("connected from"));
    let inside = inside.rsplit(' ').next().unwrap().to_owned();
    let client = server.line(|line| line.starts_with("tcp "));
    let outside = client.split(' ').nth(1).unwrap().to_owned();
    // The very first packet too, each in its direction.
    let out = format!("[outside: {outside} > {at}]");
    capture.line(|line| line.contains(" In ") && line.contains("TCP [S]") && line.ends_with(&out));
    let back = format!("[outside: {at} > {outside}]");
    capture.line(|line| line.contains(" Out ") && line.contains("TCP [S.]") && line.ends_with(&back));

    let seen: Value = serde_json::from_str(&lab.daemon.ok(&["inspect", "c1"])).unwrap();
    let flow = &seen[0]["Vswitch"]["Flows"][0];
    assert_eq!((&flow["Inside"], &flow["Outside"]), (&inside.into(), &outside.into()), "{flow}");
    assert_eq!(lab.daemon.ok(&["inspect", "-f", "{{len .Vswitch.Flows}}", "c2"]).trim(), "0");

    // A published port, and an echo.
    let said = lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:8080")]).ok();
    let client = said.split(' ').next().unwrap();
    let published = format!("outside: {client} > {HOST}:8080]");
    capture.line(|line| line.contains(" Out ") && line.ends_with(&published));
    lab.daemon.ping("c1", WORLD);
    capture.line(|line| line.contains("ICMP echo request") && line.ends_with(&format!(" > {WORLD}]")));
    capture.line(|line| line.contains("ICMP echo reply") && line.contains(&format!("outside: {WORLD} > ")));
    // What is not translated has only one side.
    let c2 = lab.daemon.container("c2").ip;
    lab.daemon.ping("c1", &c2);
    capture.line(|line| line.contains(&format!("{c2}: ICMP echo request")) && !line.contains("outside"));
    drop(stdin);
    talk.end();
    capture.interrupt();

    // In a file it is the packet's comment. To a port of its own: the conversation before may still have
    // a word to say, of a flow that is gone.
    let at = format!("{WORLD}:7001");
    let _other = lab.serve(&["serve", "tcp", &at]);
    let file = lab.daemon.dir().join("c1.pcapng");
    let path = file.to_str().unwrap().to_owned();
    let mut capture =
        lab.daemon.background(&["capture", "-i", "c1", "-w", &path, "-s", "64", "-c", "1", "tcp port 7001"]);
    capture.line(|line| line.contains("capturing on"));
    // It is asked for when the record is written, so it has to last until then.
    let mut talk = self::talk(&lab, "c1", &at);
    talk.line(|line| line.starts_with("connected from"));
    capture.end();
    talk.interrupt();
    let fields = ["-n", "-r", &path, "-T", "fields", "-e", "frame.comment"];
    let said = tests::run(std::process::Command::new("tshark").args(fields)).ok();
    assert!(
        said.starts_with(&format!("outside: {HOST}:")) && said.trim().ends_with(&format!("> {at}")),
        "{said}"
    );
}
