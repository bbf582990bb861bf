//! Names and ids.

use tests::Daemon;

#[test]
fn a_name_in_use_is_refused_in_dockers_words() {
    let daemon = Daemon::start();
    let first = daemon.sleeper("test1");
    let said = daemon.run(&["run", "-d", "--name", "test1", "--", "sleep", "infinity"]).fails_with(125);
    let sentence = format!(
        "Conflict. The container name \"/test1\" is already in use by container \"{}\". You have to remove (or \
         rename) that container to be able to reuse that name.",
        first.id
    );
    assert!(said.contains(&sentence), "{said}");
    assert_eq!(daemon.names(true), ["test1"]);
    assert_eq!(daemon.sleeper("test2").ip, "172.17.0.3", "the refused one has taken an address");
}

#[test]
fn the_name_of_a_container_that_has_ended_is_in_use_until_it_is_removed() {
    let daemon = Daemon::start();
    daemon.ok(&["run", "-d", "--name", "once", "--", "true"]);
    daemon.ok(&["wait", "once"]);
    daemon.run(&["run", "--name", "once", "--", "true"]).fails_with(125);
    daemon.ok(&["rm", "once"]);
    daemon.ok(&["run", "--name", "once", "--", "true"]);
}

#[test]
fn a_malformed_name_is_refused_in_dockers_words() {
    let daemon = Daemon::start();
    for name in ["-x", "x", "a/b", "ä1", "a b", "../x", ".a", "a\nb"] {
        let said = daemon.run(&["run", &format!("--name={name}"), "--", "true"]).fails_with(125);
        let name = name.replace('\n', "\\n");
        let sentence = format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
        assert!(said.contains(&sentence), "{said}");
    }
    daemon.ok(&["run", "--name", "a_b.c-1", "--", "true"]);
}

#[test]
fn a_container_without_a_name_is_given_one() {
    let daemon = Daemon::start();
    let id = daemon.ok(&["run", "-d", "--", "sleep", "infinity"]);
    let names = daemon.names(false);
    assert_eq!(names.len(), 1);
    assert!(names[0].len() > 2, "{names:?}");
    assert_eq!(daemon.inspect(&names[0])["Id"], id.as_str());
}

#[test]
fn any_unambiguous_beginning_of_an_id_names_the_container() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    for beginning in [&u1.id[..], &u1.id[..12], &u1.id[..1]] {
        assert_eq!(daemon.inspect(beginning)["Id"], u1.id.as_str());
    }
    daemon.ok(&["rm", "-f", &u1.id[..6]]);
    assert!(daemon.names(true).is_empty());
}

#[test]
fn a_name_nobody_has_is_said_to_be_none() {
    let daemon = Daemon::start();
    let all: [&[&str]; 10] = [
        &["inspect", "nobody"],
        &["stop", "nobody"],
        &["kill", "nobody"],
        &["rm", "nobody"],
        &["rm", "-f", "nobody"],
        &["wait", "nobody"],
        &["logs", "nobody"],
        &["detach", "nobody"],
        &["exec", "nobody", "--", "true"],
        &["stats", "nobody"],
    ];
    for arguments in all {
        let said = daemon.run(arguments);
        assert_eq!(said.status, 1, "{arguments:?}: {said:?}");
        assert!(said.stderr.contains("nobody"), "{arguments:?}: {said:?}");
        assert_eq!(said.stderr.lines().count(), 1, "{arguments:?}: {said:?}");
    }
}

#[test]
fn what_can_be_done_is_done_to_the_others_when_one_name_is_wrong() {
    let daemon = Daemon::start();
    daemon.sleeper("u1");
    daemon.sleeper("u2");
    let said = daemon.run(&["rm", "-f", "u1", "nobody", "u2"]);
    assert_eq!(said.stdout, "u1\nu2\n");
    assert!(said.fails_with(1).contains("nobody"));
    assert!(daemon.names(true).is_empty());
}

#[test]
fn the_host_name_is_the_short_id_or_what_was_asked_for() {
    let daemon = Daemon::start();
    let u1 = daemon.sleeper("u1");
    assert_eq!(daemon.exec("u1", &["hostname"]).ok().trim(), &u1.id[..12]);
    assert_eq!(daemon.ok(&["run", "--hostname", "web", "--", "hostname"]), "web");
    let host = tests::run(&mut std::process::Command::new("hostname")).ok();
    assert_ne!(host.trim(), "web");
}

#[test]
fn a_network_nobody_made_is_said_to_be_none() {
    let daemon = Daemon::start();
    let said = daemon.run(&["run", "--network", "nowhere", "--", "true"]).fails_with(125);
    assert!(said.contains("nowhere"), "{said}");
}
