use std::net::IpAddr;

use super::*;
use crate::control::net::request::NetworkCreateRequest;
use crate::control::net::{NetworkRecord, Pool};
use crate::control::request::{CreateReply, CreateRequest, EndpointRequest};
use crate::dataplane::SwitchConfig;

pub(super) fn daemon(dir: &Path) -> Arc<Daemon> {
    daemon_at(dir, None)
}

/// One that others reach at this address.
pub(super) fn daemon_at(dir: &Path, advertise: Option<IpAddr>) -> Arc<Daemon> {
    let _ = std::fs::create_dir(dir.join("containers"));
    let events: crate::dataplane::worker::EventSink = Arc::new(|_| {});
    let switch = Switch::new(
        &SwitchConfig { workers: 1, busy_poll: Duration::ZERO, ..SwitchConfig::default() },
        &events,
    )
    .unwrap();
    let store = Store::open(&dir.join("db")).unwrap();
    let resolver = Resolver::new(crate::names::Config::default());
    Daemon::new(
        switch,
        store,
        dir.to_owned(),
        resolver,
        None,
        HostSide::default(),
        Tunnels::new(TunnelConfig { port: port(), advertise }),
    )
    .unwrap()
}

/// Some free UDP port, another one each time.
fn port() -> u16 {
    std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port()
}

pub(super) fn on(networks: &[&str]) -> Vec<EndpointRequest> {
    let on = networks.iter();
    on.map(|n| EndpointRequest { network: (*n).into(), ..EndpointRequest::default() }).collect()
}

pub(super) fn request(name: &str) -> CreateRequest {
    CreateRequest {
        name: Some(name.into()),
        command: vec!["true".into()],
        auto_remove: true,
        ..CreateRequest::default()
    }
}

fn create(daemon: &Arc<Daemon>, name: &str) -> (String, IpAddr) {
    let reply = daemon.create(request(name), None).unwrap();
    (reply.id.clone(), addresses(daemon, &reply.id)[0])
}

fn addresses(daemon: &Daemon, id: &str) -> Vec<IpAddr> {
    daemon
        .view(id)
        .unwrap()
        .record
        .endpoints
        .iter()
        .flat_map(super::super::record::Endpoint::addresses)
        .collect()
}

pub(super) fn network(daemon: &Daemon, body: &serde_json::Value) -> Result<String, ControlError> {
    daemon.create_network(NetworkCreateRequest::parse(body.to_string().as_bytes()).unwrap())
}

pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, ControlError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn an_address_is_given_back_once() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let (first, address) = create(&daemon, "first");
    daemon.commit(&first, |record| record.status = Status::Running { since: 1 }).unwrap();
    daemon.finish(&first, 0);
    // Who ends it again, after somebody else got its address, gives nothing back.
    assert_eq!(create(&daemon, "second").1, address);
    daemon.finish(&first, 0);
    daemon.forget(&first);
    assert_ne!(create(&daemon, "third").1, address);
}

#[tokio::test]
async fn what_was_forgotten_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let (id, _) = create(&daemon, "first");
    daemon.forget(&id);
    assert!(daemon.commit(&id, |record| record.auto_remove = false).is_err());
    assert!(daemon.store.list::<Container>("container/").unwrap().is_empty());
}

#[tokio::test]
async fn the_three_networks_are_there_from_the_start_and_stay_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let ids = |daemon: &Daemon| {
        let all = daemon.networks().into_iter();
        all.map(|n| (n.record.name, n.record.driver, n.record.id)).collect::<Vec<_>>()
    };
    let before = ids(&daemon(dir.path()));
    let named: Vec<_> = before.iter().map(|(n, d, _)| (n.as_str(), d.as_str())).collect();
    assert_eq!(named, [("bridge", "bridge"), ("host", "host"), ("none", "null")]);
    assert_eq!(ids(&daemon(dir.path())), before);
}

#[tokio::test]
async fn networks_are_made_found_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let id = network(
        &daemon,
        &serde_json::json!({"Name": "web", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}}),
    )
    .unwrap();
    assert_eq!(daemon.network(&id[..8]).unwrap().record.name, "web");
    let again = network(&daemon, &serde_json::json!({"Name": "web"}));
    assert_eq!(refusal(again), "network with name web already exists");

    let mut wants = request("first");
    wants.networks = on(&["web", "bridge"]);
    let first = daemon.create(wants, None).unwrap();
    assert_eq!(first.ports.iter().map(|p| p.interface.as_str()).collect::<Vec<_>>(), ["eth0", "eth1"]);
    // Only the first has the default route.
    assert_eq!(first.ports.iter().map(|p| p.gateways.len()).collect::<Vec<_>>(), [1, 0]);
    let in_use = refusal(daemon.remove_network("web"));
    assert_eq!(in_use, format!("error while removing network: network web id {id} has active endpoints"));
    daemon.forget(&first.id);
    daemon.remove_network("web").unwrap();
    assert_eq!(refusal(daemon.remove_network("web")), "network web not found");
    assert_eq!(
        refusal(daemon.remove_network("bridge")),
        "bridge is a pre-defined network and cannot be removed"
    );
    assert!(daemon.store.list::<NetworkRecord>("network/").unwrap().iter().all(|n| n.name != "web"));
}

#[tokio::test]
async fn the_way_out_of_an_overlay_is_a_bridge_of_this_node() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let lab = serde_json::json!({"Name": "lab", "Driver": "overlay", "Options": {"vni": "42", "peers": "192.0.2.2"}});
    let id = network(&daemon, &lab).unwrap();
    let view = daemon.network("lab").unwrap();
    assert_eq!(view.record.ipam.config[0].subnet.to_string(), "10.0.0.0/24");
    assert_eq!((view.record.scope().as_str(), view.record.mtu()), ("global", 1450));
    let again = serde_json::json!({"Name": "two", "Driver": "overlay", "Options": {"vni": "42", "peers": "192.0.2.2"}});
    assert_eq!(refusal(network(&daemon, &again)), "VNI 42 belongs to network lab");

    let reply = daemon.create(CreateRequest { networks: on(&["lab"]), ..request("first") }, None).unwrap();
    let interfaces = |reply: &CreateReply| -> Vec<(String, u32, usize)> {
        reply.ports.iter().map(|p| (p.interface.clone(), p.mtu, p.gateways.len())).collect()
    };
    assert_eq!(interfaces(&reply), [("eth0".into(), 1450, 0), ("eth1".into(), 1500, 1)]);
    let record = daemon.view("first").unwrap().record;
    assert_eq!(record.way_out().map(|e| e.network.as_str()), Some("docker_gwbridge"));
    assert!(!daemon.network("docker_gwbridge").unwrap().record.icc());
    // Where another network is a way out none is needed, and an internal one is to have none.
    let wants = CreateRequest { networks: on(&["lab", "bridge"]), ..request("second") };
    let reply = daemon.create(wants, None).unwrap();
    assert_eq!(interfaces(&reply), [("eth0".into(), 1450, 0), ("eth1".into(), 1500, 1)]);
    let record = daemon.view("second").unwrap().record;
    assert_eq!(record.way_out().map(|e| e.network.as_str()), Some("bridge"));
    let closed = serde_json::json!({"Name": "closed", "Driver": "overlay", "Internal": true,
        "Options": {"vni": "43", "peers": "192.0.2.2"}});
    network(&daemon, &closed).unwrap();
    let wants = CreateRequest { networks: on(&["closed"]), ..request("third") };
    assert_eq!(interfaces(&daemon.create(wants, None).unwrap()), [("eth0".into(), 1450, 0)]);
    daemon.remove_network(&id).unwrap_err();
}

#[tokio::test]
async fn sockets_for_overlays_are_open_only_as_long_as_there_are_overlays() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let port = daemon.tunnels.config().port;
    let is_free = || std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok();
    assert!(is_free());
    for name in ["one", "two"] {
        let vni = if name == "one" { "1" } else { "2" };
        let options = serde_json::json!({"vni": vni, "peers": "192.0.2.2"});
        network(&daemon, &serde_json::json!({"Name": name, "Driver": "overlay", "Options": options}))
            .unwrap();
    }
    daemon.remove_network("one").unwrap();
    assert!(!is_free());
    daemon.remove_network("two").unwrap();
    assert!(is_free());
    let taken = std::net::UdpSocket::bind(("0.0.0.0", port)).unwrap();
    let lab = serde_json::json!({"Name": "lab", "Driver": "overlay", "Options": {"vni": "1", "peers": "192.0.2.2"}});
    let said = refusal(network(&daemon, &lab));
    assert!(said.contains("is in use"), "{said}");
    assert!(daemon.network("lab").is_err());
    drop(taken);
    network(&daemon, &lab).unwrap();
}

#[tokio::test]
async fn a_refused_container_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    network(&daemon, &serde_json::json!({"Name": "web", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}}))
        .unwrap();
    let free = || {
        let books = daemon.books.lock();
        books.networks.values().flat_map(|n| &n.pools).map(Pool::len).sum::<u128>()
    };
    let before = free();
    let ip = |ip: &str| EndpointRequest {
        network: "web".into(),
        ip: Some(ip.parse().unwrap()),
        ..EndpointRequest::default()
    };
    let cases = [
        (on(&["web", "nowhere"]), "network nowhere not found"),
        (
            vec![on(&["bridge"]).remove(0), ip("10.8.0.1")],
            "Invalid address 10.8.0.1: It does not belong to any of this network's subnets",
        ),
        (vec![ip("10.9.0.1")], "Address already in use"),
        (
            vec![EndpointRequest { mac_address: Some("02:42:0A:09:00:01".into()), ..ip("10.9.0.7") }],
            "the MAC address 02:42:0a:09:00:01 is that of a gateway of network web: give the container another one",
        ),
        (on(&["web", "web"]), "endpoint with name first already exists in network web"),
        (on(&["host", "web"]), "conflicting options: host cannot be combined with another network"),
        (on(&["container:nobody"]), "No such container: nobody"),
    ];
    for (networks, sentence) in cases {
        let result = daemon.create(CreateRequest { networks, ..request("first") }, None);
        assert_eq!(refusal(result), sentence);
        assert_eq!((free(), daemon.views().len()), (before, 0), "{sentence}");
    }
    let on_default = EndpointRequest { network: "bridge".into(), ..ip("172.17.0.9") };
    let result = daemon.create(CreateRequest { networks: vec![on_default], ..request("first") }, None);
    assert_eq!(refusal(result), "user specified IP address is supported on user defined networks only");
    assert!(daemon.create(request("first"), None).is_ok());
}

#[tokio::test]
async fn addresses_survive_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let taken = {
        let daemon = daemon(dir.path());
        let (first, address) = create(&daemon, "first");
        daemon.commit(&first, |record| record.status = Status::Running { since: 1 }).unwrap();
        address
    };
    let daemon = daemon(dir.path());
    for record in daemon.store.list::<Container>("container/").unwrap() {
        daemon.enter_books(record);
    }
    assert_ne!(create(&daemon, "second").1, taken);
}

#[tokio::test]
async fn a_renamed_container_has_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let (first, _) = create(&daemon, "first");
    create(&daemon, "second");
    assert!(
        refusal(daemon.rename("first", "second")).starts_with("Conflict. The container name \"/second\"")
    );
    assert!(refusal(daemon.rename("first", "no/slash")).starts_with("Invalid container name"));
    daemon.rename("first", "third").unwrap();
    assert_eq!(daemon.resolve("third").unwrap(), first);
    assert!(daemon.resolve("first").is_err());
    assert!(daemon.create(request("first"), None).is_ok());
}

#[tokio::test]
async fn the_hosts_file_has_the_container_and_what_was_added() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let mut wants = request("first");
    wants.extra_hosts = vec!["db:10.0.0.5".into(), "six:[2001:db8::1]".into()];
    wants.hostname = Some("web".into());
    wants.domainname = Some("example.org".into());
    let reply = daemon.create(wants, None).unwrap();
    let hosts = std::fs::read_to_string(reply.dir.join("hosts")).unwrap();
    let last: Vec<&str> = hosts.lines().rev().take(3).collect();
    assert_eq!(last, ["172.17.0.2\tweb.example.org web", "2001:db8::1\tsix", "10.0.0.5\tdb"]);
    let resolv = std::fs::read_to_string(reply.dir.join("resolv.conf")).unwrap();
    assert!(resolv.starts_with("nameserver 127.0.0.11\n") && resolv.contains("ndots:0"), "{resolv}");
    let mut wants = request("second");
    wants.extra_hosts = vec!["db".into()];
    assert_eq!(refusal(daemon.create(wants, None)), "bad format for add-host: \"db\"");
}

#[tokio::test]
async fn links_name_what_runs() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let mut wants = request("db");
    wants.expose = vec!["5432".into(), "5433/udp".into()];
    wants.env = vec!["PASSWORD=x".into()];
    let db = daemon.create(wants, None).unwrap();
    let linked = |name: &str, link: &str| {
        let mut wants = request(name);
        wants.networks = on(&["bridge"]);
        wants.networks[0].links = vec![link.into()];
        daemon.create(wants, None)
    };
    assert!(
        refusal(linked("web", "db:sql"))
            .starts_with("Cannot link to a non running container: /db AS /web/sql")
    );
    assert!(refusal(linked("web", "nobody")).starts_with("could not get container for nobody"));
    daemon.commit(&db.id, |record| record.status = Status::Running { since: 1 }).unwrap();
    let web = linked("web", "db:sql").unwrap();
    let record = daemon.view(&web.id).unwrap().record;
    let value = |name: &str| record.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(value("SQL_NAME"), Some("/web/sql"));
    assert_eq!(value("SQL_PORT"), Some("tcp://172.17.0.2:5432"));
    assert_eq!(value("SQL_PORT_5433_UDP_PROTO"), Some("udp"));
    assert_eq!(value("SQL_ENV_PASSWORD"), Some("x"));
    let hosts = std::fs::read_to_string(web.dir.join("hosts")).unwrap();
    assert!(hosts.contains(&format!("172.17.0.2\tsql {} db\n", short(&db.id))), "{hosts}");
}

#[tokio::test(start_paused = true)]
async fn networks_with_ipv6_are_advertised_as_long_as_they_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = daemon(dir.path());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let sent = |id: &str| {
        let books = daemon.books.lock();
        let fabric = books.network(id).unwrap().fabric.as_ref().unwrap();
        fabric.segments()[0].gateway.stats().router_advertisements
    };
    let v4 = network(&daemon, &serde_json::json!({"Name": "v4"})).unwrap();
    let before = tasks();
    let v6 = serde_json::json!({"Name": "v6", "EnableIPv6": true, "IPAM": {"Config": [{"Subnet": "fd00:77::/64"}]}});
    let v6 = network(&daemon, &v6).unwrap();
    let mut counts = Vec::new();
    // The task counts its time from its first turn.
    tokio::task::yield_now().await;
    for pause in [
        Duration::ZERO,
        advertise::FIRST,
        advertise::EVERY.saturating_sub(Duration::from_secs(1)),
        Duration::from_secs(1),
    ] {
        tokio::time::sleep(pause + Duration::from_millis(1)).await;
        counts.push(sent(&v6));
    }
    assert_eq!(counts, [0, 1, 1, 2]);
    assert_eq!(sent(&v4), 0);
    daemon.remove_network("v6").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tasks(), before);
}
