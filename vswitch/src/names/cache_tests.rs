use std::time::Duration;

use hickory_proto::rr::RecordType;

use super::*;
use crate::names::response::Expected;
use crate::names::testing::{query, response};

fn key(n: usize) -> Arc<Key> {
    let bytes = query(&format!("n{n}.example"), RecordType::A);
    let servers = [SocketAddr::from(([127, 0, 0, 1], 53))];
    Arc::new(Key::new(&Query::parse(&bytes).unwrap(), servers.into()))
}

fn fetched(n: usize, ttl: u32) -> Fetched {
    let bytes = query(&format!("n{n}.example"), RecordType::A);
    let key = key(n);
    let expected = Expected { id: 0x1234, name: &key.name, qtype: 1, qclass: 1 };
    let response = Response::parse(response(&bytes, [1; 4], ttl).to_vec().unwrap(), &expected).unwrap();
    Fetched { response: Arc::new(response), at: Instant::now() }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_to_the_second() {
    let cache = Cache::new(1 << 20);
    cache.put(&key(1), &fetched(1, 10));
    tokio::time::advance(Duration::from_millis(9_990)).await;
    assert_eq!(cache.get(&key(1)).unwrap().age(), 9);
    tokio::time::advance(Duration::from_millis(10)).await;
    assert!(cache.get(&key(1)).is_none());
    assert_eq!(cache.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_kept_is_not() {
    let cache = Cache::new(1 << 20);
    cache.put(&key(1), &fetched(1, 0));
    assert_eq!(cache.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_whatever_is_asked() {
    let cache = Cache::new(64 << 10);
    for n in 0..5000 {
        cache.put(&key(n), &fetched(n, 300));
    }
    assert!(cache.0.weight() <= 64 << 10);
    assert!(cache.len() > 20);
    assert!(cache.get(&key(4999)).is_some());
}

#[test]
fn what_differs_in_the_answer_differs_in_the_key() {
    let servers: Arc<[SocketAddr]> = [SocketAddr::from(([127, 0, 0, 1], 53))].into();
    let key = |bytes: &[u8]| Key::new(&Query::parse(bytes).unwrap(), servers.clone());
    let plain = query("Example.com", RecordType::A);
    assert_eq!(key(&plain), key(&query("eXample.COM", RecordType::A)));
    assert_ne!(key(&plain), key(&query("example.com", RecordType::AAAA)));
    let edns = crate::names::testing::edns_query;
    let with = key(&edns("example.com", RecordType::A, 1232, 0, false));
    assert_ne!(key(&plain), with);
    assert_eq!(with, key(&edns("example.com", RecordType::A, 4096, 0, false)));
    assert_ne!(with, key(&edns("example.com", RecordType::A, 1232, 0, true)));
    for (at, bit) in [(2, 0x01), (3, 0x10), (3, 0x20)] {
        let mut other = plain.clone();
        other[at] ^= bit;
        assert_ne!(key(&plain), key(&other));
    }
}
