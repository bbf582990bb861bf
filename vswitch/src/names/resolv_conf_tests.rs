use super::*;

fn texts(servers: &[SocketAddr]) -> Vec<String> {
    servers.iter().map(SocketAddr::to_string).collect()
}

#[test]
fn the_first_three_servers_are_taken_whatever_else_there_is() {
    let text = "\
# nameserver 9.9.9.9
; nameserver 9.9.9.9
search example.com
nameserver 127.0.0.53
 nameserver\t192.0.2.1 # why
nameservers 9.9.9.9
nameserver
nameserver example.com
nameserver 2001:db8::1
options edns0
nameserver 192.0.2.2
";
    assert_eq!(texts(&parse(text)), ["127.0.0.53:0", "192.0.2.1:0", "[2001:db8::1]:0"]);
}

#[test]
fn a_link_local_server_has_its_interface() {
    assert_eq!(texts(&parse("nameserver fe80::1%7\nnameserver fe80::2%nonesuch0")), ["[fe80::1%7]:0"]);
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    assert_eq!(texts(&parse("nameserver fe80::1%lo")), [format!("[fe80::1%{lo}]:0")]);
}

#[test]
fn without_a_server_it_is_this_machine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let host = HostServers::new(&path, 53);
    assert_eq!(texts(&host.get()), ["127.0.0.1:53"]);
    fs::write(&path, "search example.com\n").unwrap();
    assert_eq!(texts(&host.get()), ["127.0.0.1:53"]);
}

#[test]
fn a_change_is_seen_at_once_however_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    let host = HostServers::new(&path, 53);
    // Written over, with the same length, many times within one tick of the clock.
    for n in 1..=9 {
        fs::write(&path, format!("nameserver 192.0.2.{n}\n")).unwrap();
        assert_eq!(texts(&host.get()), [format!("192.0.2.{n}:53")]);
    }
    // Replaced.
    let new = dir.path().join("new");
    fs::write(&new, "nameserver 192.0.2.10\n").unwrap();
    fs::rename(&new, &path).unwrap();
    assert_eq!(texts(&host.get()), ["192.0.2.10:53"]);
    // Gone, and back as a symbolic link, which then leads elsewhere.
    fs::remove_file(&path).unwrap();
    assert_eq!(texts(&host.get()), ["127.0.0.1:53"]);
    for n in 1..=2 {
        let target = dir.path().join(n.to_string());
        fs::write(&target, format!("nameserver 198.51.100.{n}\n")).unwrap();
        std::os::unix::fs::symlink(&target, &new).unwrap();
        fs::rename(&new, &path).unwrap();
        assert_eq!(texts(&host.get()), [format!("198.51.100.{n}:53")]);
    }
}

#[test]
fn a_file_that_has_not_changed_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resolv.conf");
    fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
    let old = SystemTime::now() - Duration::from_mins(1);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(old).unwrap();
    let host = HostServers::new(&path, 53);
    let first = host.get();
    assert!(Arc::ptr_eq(&first, &host.get()));
}
