//! Published TCP ports: every form of `-p`, from everywhere.

use std::process::{Command, Stdio};

use tests::lab::{HOST, HOST_TOO, HOST6, WORLD, WORLD6};
use tests::{Background, Lab};

/// The first line of `peer ask`'s answer: who the server says it was, and what came back.
#[track_caller]
fn seen(said: tests::Output) -> String {
    said.ok().split(' ').next().unwrap_or_default().to_owned()
}

/// Address and port as `peer` prints them.
fn split(text: &str) -> (&str, &str) {
    text.rsplit_once(':').unwrap()
}

#[track_caller]
fn ports(lab: &Lab, name: &str) -> Vec<String> {
    lab.daemon.ok(&["port", name]).lines().map(str::to_owned).collect()
}

#[test]
fn walkthrough_5_ports() {
    let lab = Lab::default();
    lab.container("web", &["-p", "8080:80"]);
    lab.container("mysql", &["-p", "3306:3306"]);
    lab.container("postgres", &["-p", "54321:5432"]);
    lab.container("other", &[]);
    let mut web = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80"]);
    let _mysql = lab.serve_in("mysql", &["serve", "tcp", "0.0.0.0:3306"]);
    let _postgres = lab.serve_in("postgres", &["serve", "tcp", "0.0.0.0:5432"]);

    // From the host over loopback: no packet can come from there, so the gateway stands for it.
    let said = seen(lab.ask_from_host(&["ask", "tcp", "127.0.0.1:8080"]));
    assert_eq!(split(&said).0, "172.17.0.1");
    // From the host over its own addresses: as itself.
    for own in [HOST, HOST_TOO] {
        let said = seen(lab.ask_from_host(&["ask", "tcp", &format!("{own}:8080")]));
        assert_eq!(split(&said).0, HOST, "by {own}, from the first of the interface");
    }
    // From another machine: with its address and its port.
    let from = format!("{WORLD}:6001");
    let said = seen(lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:8080"), "hello", &from]));
    assert_eq!(said, from);
    web.line(|line| line == format!("tcp {from} at 172.17.0.2:80"));
    // From another container, by the host's address and directly.
    let said = seen(lab.ask_from("other", &["ask", "tcp", &format!("{HOST}:8080")]));
    assert_eq!(split(&said).0, HOST, "it is translated on its way out");
    let said = seen(lab.ask_from("other", &["ask", "tcp", "172.17.0.2:80"]));
    assert_eq!(split(&said).0, "172.17.0.5");
    // From the container itself.
    let said = seen(lab.ask_from("web", &["ask", "tcp", &format!("{HOST}:8080")]));
    assert_eq!(split(&said).0, HOST);

    assert_eq!(ports(&lab, "web"), ["80/tcp -> 0.0.0.0:8080", "80/tcp -> :::8080"]);
    assert_eq!(lab.daemon.ok(&["port", "web", "80"]), "0.0.0.0:8080\n:::8080");
    for (name, port) in [("mysql", "3306"), ("postgres", "54321")] {
        lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:{port}")]).ok();
        assert!(ports(&lab, name)[0].contains(port));
    }
}

#[test]
fn clients_of_both_versions_are_seen_as_they_are() {
    let lab = Lab::default();
    lab.dual_network("two");
    lab.container("web", &["--network", "two", "-p", "8080:80"]);
    let v6 = lab.daemon.endpoint("web", "two")["GlobalIPv6Address"].as_str().unwrap().to_owned();
    let _web = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80", &format!("[{v6}]:80")]);
    let from = format!("[{WORLD6}]:6001");
    let said = seen(lab.ask_from_world(&["ask", "tcp", &format!("[{HOST6}]:8080"), "hello", &from]));
    assert_eq!(said, from);
    let said = seen(lab.ask_from_host(&["ask", "tcp", "[::1]:8080"]));
    assert_eq!(split(&said).0, "[fd00:66::1]");
    let from = format!("{WORLD}:6001");
    let said = seen(lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:8080"), "hello", &from]));
    assert_eq!(said, from);
}

#[test]
fn an_ipv6_client_reaches_a_container_that_has_ipv4_only() {
    let lab = Lab::default();
    lab.container("web", &["-p", "8080:80"]);
    let _web = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80"]);
    let said = seen(lab.ask_from_world(&["ask", "tcp", &format!("[{HOST6}]:8080")]));
    assert_eq!(split(&said).0, "172.17.0.1", "the gateway stands for what has no address there");
}

#[test]
fn every_form_of_the_flag_listens_where_it_says() {
    let lab = Lab::default();
    let forms = [
        "127.0.0.1:7001:80",
        "127.0.0.1::81",
        "198.51.100.11:7002:82",
        "[::]:7003:83",
        "[::1]:7004:84",
        "0.0.0.0:7005:85",
        "86",
        "7010-7012:90-92",
        "7020-7029:93",
        "7007:87/tcp",
        "7008:88/udp",
        "[2001:db8:51::1]:7009:89",
    ];
    let flags: Vec<&str> = forms.iter().flat_map(|form| ["-p", *form]).collect();
    lab.container("web", &flags);
    let at: Vec<String> = [80, 81, 82, 83, 84, 85, 86, 87, 89, 90, 91, 92, 93]
        .iter()
        .map(|port| format!("0.0.0.0:{port}"))
        .collect();
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let mut web = lab.serve_in("web", &[&["serve", "tcp"], &at[..]].concat());

    let all = ports(&lab, "web");
    let find = |port: &str| -> Vec<String> {
        let of = all.iter().filter_map(|line| line.strip_prefix(&format!("{port} -> ")));
        of.map(str::to_owned).collect()
    };
    assert_eq!(find("80/tcp"), ["127.0.0.1:7001"]);
    assert_eq!(find("82/tcp"), ["198.51.100.11:7002"]);
    assert_eq!(find("83/tcp"), [":::7003"]);
    assert_eq!(find("84/tcp"), ["::1:7004"]);
    assert_eq!(find("85/tcp"), ["0.0.0.0:7005"]);
    assert_eq!(find("87/tcp"), ["0.0.0.0:7007", ":::7007"]);
    assert_eq!(find("88/udp"), ["0.0.0.0:7008", ":::7008"]);
    assert_eq!(find("89/tcp"), ["2001:db8:51::1:7009"]);
    assert_eq!(find("91/tcp"), ["0.0.0.0:7011", ":::7011"]);
    assert_eq!(find("93/tcp"), ["0.0.0.0:7020", ":::7020"], "the first free one of the range");
    let (local, any) = (find("81/tcp"), find("86/tcp"));
    assert!(local.len() == 1 && local[0].starts_with("127.0.0.1:"), "{all:?}");
    assert!(any.len() == 2 && split(&any[0]).1 == split(&any[1]).1, "{all:?}");

    let reach = |at: &str, port: u16| (at.to_owned(), port);
    let reached = [
        reach("127.0.0.1:7001", 80),
        reach(&local[0], 81),
        reach("198.51.100.11:7002", 82),
        reach("[::1]:7003", 83),
        reach("[::1]:7004", 84),
        reach("198.51.100.1:7005", 85),
        reach(&format!("127.0.0.1:{}", split(&any[0]).1), 86),
        reach("198.51.100.1:7010", 90),
        reach("127.0.0.1:7011", 91),
        reach("[::1]:7012", 92),
        reach("127.0.0.1:7020", 93),
        reach("[2001:db8:51::1]:7009", 89),
    ];
    for (at, port) in reached {
        lab.ask_from_host(&["ask", "tcp", &at]).ok();
        web.line(|line| line.starts_with("tcp ") && line.ends_with(&format!(":{port}")));
    }
    // And nowhere else.
    for at in
        [format!("{HOST}:7001"), format!("{HOST}:7002"), "127.0.0.1:7003".into(), "127.0.0.1:7004".into()]
    {
        let said = lab.ask_from_host(&["ask", "tcp", &at]).fails_with(1);
        assert!(said.contains("refused"), "{at}: {said}");
    }
}

#[test]
fn publish_all_takes_a_free_port_for_each_exposed_one() {
    let lab = Lab::default();
    lab.container(
        "web",
        &["-P", "--expose", "80", "--expose", "90-91", "--expose", "53/udp", "-p", "7000:443"],
    );
    let all = ports(&lab, "web");
    for port in ["53/udp", "80/tcp", "90/tcp", "91/tcp"] {
        let of: Vec<&String> = all.iter().filter(|line| line.starts_with(&format!("{port} -> "))).collect();
        assert_eq!(of.len(), 2, "{port} in {all:?}");
    }
    assert!(all.contains(&"443/tcp -> 0.0.0.0:7000".to_owned()), "{all:?}");
    let _web = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80"]);
    let at = lab.daemon.ok(&["port", "web", "80"]).lines().next().unwrap().replace("0.0.0.0", "127.0.0.1");
    lab.ask_from_host(&["ask", "tcp", &at]).ok();
}

#[test]
fn ps_and_docker_show_what_is_published() {
    let lab = Lab::default();
    lab.container("web", &["-p", "8080:80", "-p", "127.0.0.1:8053:53/udp", "--expose", "9000"]);
    let shown = lab.daemon.ok(&["ps", "--format", "{{.Ports}}"]);
    for part in ["0.0.0.0:8080->80/tcp", ":::8080->80/tcp", "127.0.0.1:8053->53/udp", "9000/tcp"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let by_docker = lab.daemon.docker_ok(&["port", "web"]);
    assert!(by_docker.contains("80/tcp -> 0.0.0.0:8080"), "{by_docker}");
    assert!(by_docker.contains("53/udp -> 127.0.0.1:8053"), "{by_docker}");
    assert_eq!(lab.daemon.docker_ok(&["port", "web", "53/udp"]), "127.0.0.1:8053");
    let by_docker = lab.daemon.docker_ok(&["ps", "--format", "{{.Ports}}"]);
    assert!(by_docker.contains("0.0.0.0:8080->80/tcp"), "{by_docker}");
    let inspected = lab.daemon.inspect("web");
    assert_eq!(inspected["NetworkSettings"]["Ports"]["53/udp"][0]["HostPort"], "8053");
    lab.daemon.ok(&["stop", "web"]);
    assert_eq!(lab.daemon.run(&["port", "web"]).stdout, "");
}

#[test]
fn a_port_of_another_program_is_refused_and_nothing_is_half_started() {
    let lab = Lab::default();
    let taken = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:7000"]);
    let arguments =
        ["run", "-d", "--name", "web", "-p", "6999:79", "-p", "7000:80", "--", "sleep", "infinity"];
    let said = lab.daemon.run(&arguments).fails_with(125);
    assert!(said.contains("Bind for 0.0.0.0:7000 failed: port is already allocated"), "{said}");
    assert!(said.contains("driver failed programming external connectivity on endpoint web"), "{said}");
    assert!(lab.daemon.names(true).is_empty());
    lab.daemon.until_nothing_is_left_but(&[taken.pid()]);
    // What it had taken before is free again.
    let _free = lab.serve_on_host(&["serve", "tcp", "0.0.0.0:6999"]);
    drop(taken);
    lab.container("web", &["-p", "7000:80"]);
    assert_eq!(lab.daemon.ip("web", "bridge"), "172.17.0.2", "its address is free again too");
}

#[test]
fn a_port_of_another_container_is_refused() {
    let lab = Lab::default();
    lab.container("one", &["-p", "7000:80", "-p", "7000:80/udp"]);
    for port in ["7000:80", "127.0.0.1:7000:81", "7000:80/udp"] {
        let arguments = ["run", "-d", "--name", "two", "-p", port, "--", "sleep", "infinity"];
        let said = lab.daemon.run(&arguments).fails_with(125);
        assert!(said.contains("7000 failed: port is already allocated"), "{said}");
    }
    assert_eq!(lab.daemon.names(true), ["one"]);
    lab.daemon.ok(&["rm", "-f", "one"]);
    lab.container("two", &["-p", "7000:80", "-p", "7000:80/udp"]);
}

#[test]
fn a_low_port_needs_the_privilege_or_the_setting() {
    let lab = Lab::default();
    let arguments = ["run", "-d", "--name", "web", "-p", "80:80", "--", "sleep", "infinity"];
    let said = lab.daemon.run(&arguments).fails_with(125);
    assert!(said.contains("net.ipv4.ip_unprivileged_port_start"), "{said}");
    assert!(lab.daemon.names(true).is_empty());
    lab.host.run("sysctl", &["-q", "-w", "net.ipv4.ip_unprivileged_port_start=80"]).ok();
    lab.container("web", &["-p", "80:80"]);
    let _web = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80"]);
    lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:80")]).ok();
}

#[test]
fn an_address_that_the_host_has_not_is_refused() {
    let lab = Lab::default();
    let arguments = ["run", "-d", "--name", "web", "-p", "192.0.2.7:7000:80", "--", "sleep", "infinity"];
    let said = lab.daemon.run(&arguments).fails_with(125);
    assert!(said.contains("192.0.2.7"), "{said}");
    assert!(lab.daemon.names(true).is_empty());
}

#[test]
fn a_published_port_where_nobody_listens_is_refused() {
    let lab = Lab::default();
    lab.container("web", &["-p", "7000:80"]);
    let said = lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:7000")]).fails_with(1);
    assert!(said.contains("refused") || said.contains("reset"), "{said}");
}

#[test]
fn both_directions_and_half_close_work_through_a_published_port() {
    let lab = Lab::default();
    lab.container("web", &["-p", "7000:7000"]);
    let mut server = Background::start(
        &mut lab
            .daemon
            .exec_command("web", &[tests::bins::path("stream").to_str().unwrap(), "serve", "7000"]),
    );
    server.line(|line| line == "listening");
    let stream = tests::bins::path("stream");
    let mut send: Command = lab.world.command(stream.to_str().unwrap(), &["send", HOST, "7000"]);
    send.stdin(Stdio::piped());
    let mut send = Background::start_with_stdin(&mut send);
    server.line(|line| line.starts_with("at "));
    drop(send.stdin());
    // The client has closed its half when it gets the answer.
    assert_eq!(send.end().0, 0);
    assert_eq!(server.end().0, 0);
}

#[test]
fn ports_are_published_again_by_the_next_daemon() {
    let mut lab = Lab::default();
    lab.container("web", &["-p", "8080:80", "-p", "8080:80/udp", "-p", "81"]);
    let _tcp = lab.serve_in("web", &["serve", "tcp", "0.0.0.0:80"]);
    let _udp = lab.serve_in("web", &["serve", "udp", "0.0.0.0:80"]);
    let before = ports(&lab, "web");
    lab.daemon.kill();
    lab.daemon.start_again();
    assert_eq!(ports(&lab, "web"), before);
    for protocol in ["tcp", "udp"] {
        let from = format!("{WORLD}:6001");
        let at = format!("{HOST}:8080");
        let said = seen(lab.ask_from_world(&["ask", protocol, &at, "hello", &from]));
        assert_eq!(said, from, "{protocol}");
    }
}

#[test]
fn a_container_that_goes_gives_its_ports_back() {
    let lab = Lab::default();
    lab.container("web", &["-p", "8080:80", "-p", "8080:80/udp"]);
    lab.daemon.ok(&["stop", "web"]);
    let _tcp = lab.serve_on_host(&["serve", "tcp", "127.0.0.1:8080", "[::1]:8080"]);
}

#[test]
fn a_range_costs_no_process_and_no_thread() {
    let lab = Lab::default();
    let threads = || std::fs::read_dir(format!("/proc/{}/task", lab.daemon.pid())).unwrap().count();
    lab.container("one", &["-p", "7000:80"]);
    let before = threads();
    lab.container("many", &["-p", "20000-20499:20000-20499"]);
    assert!(threads() <= before + 4, "{before} and now {}", threads());
    let _server = lab.serve_in("many", &["serve", "tcp", "0.0.0.0:20000", "0.0.0.0:20499"]);
    for port in [20000, 20499] {
        lab.ask_from_world(&["ask", "tcp", &format!("{HOST}:{port}")]).ok();
    }
    assert!(lab.daemon.ok(&["ps", "-f", "name=many", "--format", "{{.Ports}}"]).contains("20000-20499"));
}
