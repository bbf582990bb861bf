//! Real programs inside, with the world outside.

use std::io::Write as _;
use std::process::Stdio;

use tests::lab::{HOST, WORLD, WORLD_TOO, WORLD6};
use tests::{Background, Lab, bins, eventually};

use serde_json::Value;

use crate::support::api_flows;

#[test]
fn curl_downloads_and_uploads_by_both_versions() {
    let lab = Lab::default();
    lab.dual_network("two");
    lab.container("c1", &["--network", "two"]);
    let size = 32 << 20;
    for at in [format!("{WORLD}:8000"), format!("[{WORLD6}]:8000")] {
        let mut server = lab.serve(&["http", &at]);
        let file = lab.daemon.dir().join("file");
        let path = file.to_str().unwrap();
        let get = ["curl", "-sS", "--max-time", "50", "-o", path, &format!("http://{at}/{size}")];
        lab.daemon.exec("c1", &get).ok();
        assert_eq!(std::fs::metadata(&file).unwrap().len(), size);
        server.line(|line| line.starts_with(&format!("GET /{size} from ")));
        let put = ["curl", "-sS", "--max-time", "50", "-T", path, &format!("http://{at}/up")];
        let said = lab.daemon.exec("c1", &put).ok();
        assert!(said.starts_with(&format!("{size} bytes from ")) && said.contains("as sent: true"), "{said}");
    }
}

#[test]
fn curl_says_refused_and_resolves_the_hosts_name() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let said = lab.daemon.exec("c1", &["curl", "-sS", "--max-time", "50", &format!("http://{WORLD}:9/")]);
    assert_eq!(said.status, 7, "{said:?}");
    let _server = lab.serve_on_host(&["http", "0.0.0.0:8000"]);
    let get = ["curl", "-sS", "--max-time", "50", "-o", "/dev/null", "-w", "%{size_download}"];
    let said = lab.daemon.exec("c1", &[&get[..], &["http://host.docker.internal:8000/1000"]].concat()).ok();
    assert_eq!(said, "1000");
}

#[test]
fn a_published_web_server_is_fetched_by_curl_from_everywhere() {
    let lab = Lab::default();
    lab.container("web", &["-p", "8080:80"]);
    lab.container("other", &[]);
    let mut web = lab.serve_in("web", &["http", "0.0.0.0:80"]);
    let options = ["-sS", "--max-time", "50", "-o", "/dev/null", "-w", "%{http_code}"];
    let url = |at: &str| format!("http://{at}:8080/1000000");
    let (local, own) = (url("127.0.0.1"), url(HOST));
    assert_eq!(lab.host.run("curl", &[&options[..], &[&local]].concat()).ok(), "200");
    assert_eq!(lab.host.run("curl", &[&options[..], &[&own]].concat()).ok(), "200");
    assert_eq!(lab.world.run("curl", &[&options[..], &[&own]].concat()).ok(), "200");
    for inside in ["other", "web"] {
        assert_eq!(lab.daemon.exec(inside, &[&["curl"], &options[..], &[&own]].concat()).ok(), "200");
    }
    web.line(|line| line.contains(&format!("from {WORLD}:")));
}

#[test]
fn a_long_push_of_git_arrives() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let dir = lab.daemon.dir();
    let (bare, work) = (dir.join("srv/repo"), dir.join("work"));
    let git = |words: &[&str]| tests::run(std::process::Command::new("git").args(words)).ok();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    git(&["init", "-q", "--bare", &text(&bare)]);
    git(&["init", "-q", &text(&work)]);
    let mut bytes = vec![0; 16 << 20];
    tests::random::Random::new(3).fill(&mut bytes);
    std::fs::write(work.join("blob"), bytes).unwrap();
    git(&["-C", &text(&work), "add", "blob"]);
    let who = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
    git(&[&["-C", &text(&work)], &who[..], &["commit", "-q", "-m", "blob"]].concat());
    let base = format!("--base-path={}", text(&dir.join("srv")));
    let listen = format!("--listen={WORLD}");
    let serve = ["daemon", "--verbose", "--enable=receive-pack", "--export-all", &base, &listen];
    let mut server = Background::start(&mut lab.world.command("git", &serve));
    server.line(|line| line.contains("Ready to rumble"));
    let push =
        ["git", "-c", "safe.directory=*", "-C", &text(&work), "push", "-q", &format!("git://{WORLD}/repo")];
    lab.daemon.exec("c1", &[&push[..], &["HEAD:refs/heads/pushed"]].concat()).ok();
    let pushed = git(&["-C", &text(&bare), "rev-parse", "refs/heads/pushed"]);
    assert_eq!(pushed, git(&["-C", &text(&work), "rev-parse", "HEAD"]));
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.end();
}

#[test]
fn a_session_that_says_nothing_for_a_while_lives_on() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let at = format!("{WORLD}:22");
    let _server = lab.serve(&["serve", "tcp", &at]);
    let mut command = lab.daemon.exec_command("c1", &[bins::path("peer").to_str().unwrap(), "talk", &at]);
    command.stdin(Stdio::piped());
    let mut talk = Background::start_with_stdin(&mut command);
    let mut stdin = talk.stdin().unwrap();
    stdin.write_all(b"one\n").unwrap();
    talk.line(|line| line.ends_with("one"));
    // Longer than retransmissions and keepalives of an eager kind; the timers themselves are tested
    // with a clock that is handed in.
    let flow = eventually("an idle session", || {
        let idle = |flow: &Value| flow["Idle"].as_u64() >= Some(10);
        api_flows(&lab.daemon).into_iter().find(idle)
    });
    assert_eq!(flow["State"], "ESTABLISHED", "{flow}");
    stdin.write_all(b"two\n").unwrap();
    talk.line(|line| line == "two");
    drop(stdin);
    assert_eq!(talk.end().0, 0);
}

#[test]
fn dns_by_udp_and_tcp_from_a_server_in_the_world() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    lab.container("c2", &["--dns", WORLD]);
    let zone = [WORLD, "www.example=192.0.2.80", "many.example=many"];
    let mut server =
        Background::start(&mut lab.world.command(bins::path("nameserver").to_str().unwrap(), &zone));
    server.line(|line| line == "listening");
    let dig = |from: &str, words: &[&str]| {
        let options = ["dig", "+short", "+tries=3", "+time=15"];
        lab.daemon.exec(from, &[&options[..], words].concat()).ok()
    };
    let at = format!("@{WORLD}");
    assert_eq!(dig("c1", &[&at, "www.example"]), "192.0.2.80\n");
    server.line(|line| line == "udp A www.example");
    assert_eq!(dig("c1", &[&at, "+tcp", "www.example"]), "192.0.2.80\n");
    server.line(|line| line == "tcp A www.example");
    // A truncated answer makes dig ask again by TCP.
    assert_eq!(dig("c1", &[&at, "many.example"]).lines().count(), 100);
    // And by way of the container's own name service.
    assert_eq!(dig("c2", &["www.example"]), "192.0.2.80\n");
    let said = lab.daemon.exec("c2", &["getent", "ahostsv4", "www.example"]).ok();
    assert!(said.starts_with("192.0.2.80"), "{said}");
}

#[test]
fn stun_reports_endpoint_independent_mapping() {
    let lab = Lab::default();
    lab.container("c1", &[]);
    let _server = lab.serve(&["stun", WORLD, WORLD_TOO]);
    // The exit status is the kind of NAT, as a number.
    let said = lab.daemon.exec("c1", &["stun", WORLD]);
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains("Independent Mapping"), "{said:?}");
}
