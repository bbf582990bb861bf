//! `run` and `attach`: what they ask for.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::mock::{Answer, Mock, refuse};

/// Refuses everything, so that nothing is started.
fn full() -> Mock {
    Mock::new(|_| refuse(409, "no available IPv4 addresses"))
}

#[test]
fn every_flag_is_in_the_request() {
    let daemon = full();
    let flags = "run -d --rm --name web -h host --domainname example.org --network my:ip=10.1.0.9,alias=www \
         --network name=other,ip6=fd00::9 --mac-address 02:42:00:00:00:09 --link db:store -p 8080:80 --publish 53:53/udp \
         -P --expose 443 --dns 9.9.9.9 --dns-search example.org --dns-option ndots:2 --add-host a:10.0.0.1 -e A=b \
         --env NOBODY_SETS_THIS -l tier=web --queues 2 -- sleep 1";
    let words: Vec<&str> = flags.split_whitespace().collect();
    assert_eq!(daemon.fails(&words, 125), "vswitch: no available IPv4 addresses\n");
    let [asked] = &daemon.asked()[..] else { panic!("one request") };
    assert_eq!(asked.line, "POST /vswitch/containers");
    let endpoint = |network: &str| {
        json!({
            "Network": network, "Ip": null, "Ip6": null, "MacAddress": null, "Aliases": [], "Links": [],
            "DriverOpts": {},
        })
    };
    let mut first = endpoint("my");
    first["Ip"] = json!("10.1.0.9");
    first["MacAddress"] = json!("02:42:00:00:00:09");
    first["Aliases"] = json!(["www"]);
    first["Links"] = json!(["db:store"]);
    let mut second = endpoint("other");
    second["Ip6"] = json!("fd00::9");
    assert_eq!(
        asked.body,
        json!({
            "Name": "web", "Command": ["sleep", "1"], "Attach": null, "Detached": true, "AutoRemove": true,
            "Hostname": "host", "Domainname": "example.org", "Queues": 2, "Labels": {"tier": "web"},
            "Env": ["A=b", "NOBODY_SETS_THIS"], "Networks": [first, second],
            "Publish": ["8080:80", "53:53/udp"], "PublishAll": true, "Expose": ["443"], "Dns": ["9.9.9.9"],
            "DnsSearch": ["example.org"], "DnsOptions": ["ndots:2"], "ExtraHosts": ["a:10.0.0.1"],
        })
    );
}

#[test]
fn without_flags_the_network_is_the_default_one() {
    let daemon = full();
    daemon.fails(&["run", "true", "-d", "--rm"], 125);
    let [asked] = &daemon.asked()[..] else { panic!("one request") };
    assert_eq!(asked.body["Networks"], json!([]));
    assert_eq!(asked.body["Command"], json!(["true", "-d", "--rm"]));
    assert_eq!((&asked.body["Detached"], &asked.body["AutoRemove"]), (&json!(false), &json!(true)));
}

#[test]
fn attach_has_the_same_network_flags() {
    let daemon = full();
    let words =
        ["attach", "--pid", "1", "--name", "lab", "--network", "my", "--ip", "10.1.0.9", "-p", "8080:80"];
    assert_eq!(daemon.fails(&words, 1), "vswitch: no available IPv4 addresses\n");
    let [asked] = &daemon.asked()[..] else { panic!("one request") };
    assert_eq!((&asked.body["Attach"], &asked.body["Command"]), (&json!({"pid": 1}), &json!([])));
    assert_eq!(asked.body["Networks"][0]["Ip"], "10.1.0.9");
    assert_eq!(asked.body["Publish"], json!(["8080:80"]));
}

#[test]
fn flags_that_contradict_each_other_never_reach_the_daemon() {
    let daemon = full();
    let said = daemon.fails(&["run", "--network", "container:web", "-p", "80", "true"], 125);
    assert_eq!(said, "vswitch: conflicting options: port publishing and the container type network mode\n");
    let said = daemon.fails(&["attach", "--pid", "1", "--name", "lab", "--network-alias", "x"], 1);
    assert_eq!(said, "vswitch: network-scoped aliases are only supported for user-defined networks\n");
    assert!(daemon.fails(&["run", "--network", "my:foo=bar", "true"], 2).contains("invalid field key foo"));
    assert_eq!(daemon.asked(), []);
}

#[test]
fn help_of_run_has_no_short_form() {
    let daemon = full();
    assert!(daemon.ok(&["run", "--help"]).contains("--hostname"));
    daemon.fails(&["run", "-h", "name", "true"], 125);
    assert_eq!(daemon.asked()[0].body["Hostname"], "name");
}

#[test]
fn a_daemon_that_ends_at_that_moment_is_asked_again() {
    let count = AtomicUsize::new(0);
    let daemon = Mock::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::Silence,
        _ => refuse(409, "no available IPv4 addresses"),
    });
    assert_eq!(daemon.fails(&["run", "true"], 125), "vswitch: no available IPv4 addresses\n");
    assert_eq!(daemon.lines(), ["POST /vswitch/containers"; 2]);
}

#[test]
fn a_daemon_that_never_answers_is_asked_a_few_times() {
    let daemon = Mock::new(|_| Answer::Silence);
    let said = daemon.fails(&["run", "true"], 125);
    assert!(said.starts_with("vswitch: the daemon does not answer"), "{said}");
    assert_eq!(daemon.lines().len(), 4);
}

#[test]
fn warnings_are_printed_and_a_sandbox_that_cannot_be_is_given_back() {
    let daemon = Mock::new(|line| match line {
        "POST /vswitch/containers" => {
            let reply = json!({
                "Id": "c1", "Name": "web", "Dir": "/nonexistent/c1", "Ports": [],
                "Sandbox": {"run": {"argv": ["true"], "hostname": "web", "log": null}},
                "Warnings": ["Published ports are discarded when using host network mode"],
            });
            Answer::Body(201, reply.to_string())
        }
        _ => Answer::Body(204, String::new()),
    });
    let ended = daemon.run(&["run", "true"]);
    let (warning, failure) = ended.stderr.split_once('\n').unwrap();
    assert_eq!(warning, "WARNING: Published ports are discarded when using host network mode");
    assert!(failure.starts_with("vswitch: "), "{failure}");
    assert_eq!((ended.stdout.as_str(), ended.status), ("", Some(125)));
    assert_eq!(daemon.lines(), ["POST /vswitch/containers", "DELETE /containers/c1?force=1"]);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_container() {
    let daemon = Mock::new(|_| Answer::Body(201, Value::Null.to_string()));
    let said = daemon.fails(&["run", "true"], 125);
    assert!(said.starts_with("vswitch: the daemon's answer makes no sense"), "{said}");
}
