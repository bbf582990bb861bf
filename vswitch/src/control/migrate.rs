//! Objects of earlier schemas of the store.

use serde_json::{Value, json};

use super::net::NetworkRecord;

/// Schema 1 had one network, endpoints with one address, and times in seconds.
pub(super) fn from_1(key: &str, old: Value) -> Value {
    match key.split('/').next() {
        Some("network") => network(&old),
        Some("container") => container(old),
        _ => old,
    }
}

fn nanoseconds(seconds: &Value) -> u64 {
    seconds.as_u64().unwrap_or(0).saturating_mul(1_000_000_000)
}

fn network(old: &Value) -> Value {
    let id = old["id"].as_str().unwrap_or_default().to_owned();
    let mut record = NetworkRecord::default_bridge(id, nanoseconds(&old["created"]));
    if let Some(ageing) = old["ageing"].as_u64().and_then(|n| u32::try_from(n).ok()) {
        record.ageing = ageing;
    }
    json!(record)
}

fn container(mut old: Value) -> Value {
    let e = old["endpoint"].take();
    let address = format!("{}/{}", e["address"].as_str().unwrap_or_default(), e["prefix"]);
    old["endpoints"] = json!([{
        "id": e["id"],
        "network": e["network"],
        "network_id": e["network_id"],
        "wished": {"Network": e["network"]},
        "interface": e["interface"],
        "mac": e["mac"],
        "v4": address,
        "v6": null,
        "gateway4": e["gateway"],
        "gateway6": null,
    }]);
    old["created"] = json!(nanoseconds(&old["created"]));
    for status in ["running", "exited"] {
        for field in ["since", "at"] {
            if let Some(time) = old["status"].get_mut(status).and_then(|s| s.get_mut(field)) {
                *time = json!(nanoseconds(time));
            }
        }
    }
    if let Some(target) = old["origin"].get_mut("attach") {
        let inner = target.take();
        *target = json!({"target": inner, "netns": null});
    }
    old["mode"] = json!("networks");
    old["queues"] = json!(1);
    if let Some(object) = old.as_object_mut() {
        object.remove("endpoint");
    }
    old
}
