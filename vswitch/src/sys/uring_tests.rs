use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;

use proptest::prelude::*;

use super::*;

/// A socket pair whose ends do not wait.
fn pair() -> (UnixDatagram, UnixDatagram) {
    let (a, b) = UnixDatagram::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn next(from: &UnixDatagram) -> Option<Vec<u8>> {
    let mut buf = vec![0; LONGEST + 1];
    let n = from.recv(&mut buf).ok()?;
    buf.truncate(n);
    Some(buf)
}

/// One with a ring where the kernel lets us have one, and one that writes by itself.
fn both() -> Vec<WriteRing> {
    WriteRing::new().into_iter().chain([WriteRing::without()]).collect()
}

fn submit(ring: &mut WriteRing, to: &impl AsFd) -> Vec<Result<usize, Errno>> {
    let mut results = Vec::new();
    ring.submit(
        |_| Some(to.as_fd()),
        |number, result| {
            assert_eq!(number, results.len());
            results.push(result);
        },
    );
    results
}

#[test]
fn a_batch_arrives_whole_and_in_order() {
    for mut ring in both() {
        let (a, b) = pair();
        for len in [1, 3, 4, 9] {
            let messages: Vec<Vec<u8>> = (1..=len).map(|n| vec![n as u8; n * 200]).collect();
            for message in &messages {
                assert!(ring.put(message));
            }
            let lengths: Vec<_> = messages.iter().map(|message| Ok(message.len())).collect();
            assert_eq!(submit(&mut ring, &a), lengths);
            assert!(ring.is_empty());
            assert_eq!(std::iter::from_fn(|| next(&b)).collect::<Vec<_>>(), messages);
        }
    }
}

#[test]
fn what_does_not_fit_is_not_taken() {
    for mut ring in both() {
        let (a, b) = pair();
        assert!(!ring.put(&[0; LONGEST + 1]));
        assert!(ring.is_empty());
        for _ in 0..WRITES {
            assert!(ring.put(&[7; LONGEST]));
        }
        assert!(!ring.put(&[7]));
        assert_eq!(ring.len(), WRITES);
        let taken = submit(&mut ring, &a).iter().filter(|result| result.is_ok()).count();
        assert_eq!(std::iter::from_fn(|| next(&b)).filter(|message| *message == [7; LONGEST]).count(), taken);
        assert!(ring.put(&[7]));
    }
}

#[test]
fn a_full_descriptor_refuses_and_nothing_waits() {
    for mut ring in both() {
        let (a, b) = pair();
        while a.send(&[1; 100]).is_ok() {}
        // Room for two more.
        assert!(next(&b).is_some() && next(&b).is_some());
        for _ in 0..8 {
            assert!(ring.put(&[2; 100]));
        }
        let results = submit(&mut ring, &a);
        let taken = results.iter().take_while(|result| **result == Ok(100)).count();
        assert!(taken < 8, "{results:?}");
        assert!(results[taken..].iter().all(|result| *result == Err(Errno::EAGAIN)), "{results:?}");
        assert_eq!(std::iter::from_fn(|| next(&b)).filter(|message| *message == [2; 100]).count(), taken);
    }
}

#[test]
fn each_message_has_its_own_descriptor_and_result() {
    for mut ring in both() {
        let works = ring.works();
        let ((a, b), (c, d), (gone, _)) = (pair(), pair(), pair());
        let to =
            [Some(a.as_fd()), Some(gone.as_fd()), Some(c.as_fd()), None, Some(a.as_fd()), Some(c.as_fd())];
        for n in 0..to.len() {
            assert!(ring.put(&[n as u8; 20]));
        }
        let mut results = Vec::new();
        ring.submit(|number| to[number], |_, result| results.push(result));
        let ok = Ok(20);
        assert_eq!(results, [ok, Err(Errno::ECONNREFUSED), ok, Err(Errno::EBADF), ok, ok]);
        let firsts = |from| std::iter::from_fn(|| next(from)).map(|message| message[0]).collect::<Vec<_>>();
        assert_eq!((firsts(&b), firsts(&d)), (vec![0, 4], vec![2, 5]));
        assert_eq!(ring.works(), works);
    }
}

#[test]
fn a_driver_without_rwf_nowait_is_written_to_all_the_same() {
    for mut ring in both() {
        // The files of /proc have none.
        let comm = File::options().write(true).open("/proc/thread-self/comm").unwrap();
        for n in 0..6 {
            assert!(ring.put(format!("name-{n}").as_bytes()));
        }
        assert_eq!(submit(&mut ring, &comm), [Ok(6); 6]);
        assert!(!ring.works());
        assert_eq!(std::fs::read_to_string("/proc/thread-self/comm").unwrap(), "name-5\n");
        // And so it stays.
        let (a, b) = pair();
        for n in 0..6 {
            assert!(ring.put(&[n; 9]));
        }
        assert_eq!(submit(&mut ring, &a), [Ok(9); 6]);
        assert_eq!(std::iter::from_fn(|| next(&b)).count(), 6);
    }
}

#[test]
fn a_ring_moves_to_the_thread_that_uses_it() {
    for mut ring in both() {
        let (a, b) = pair();
        let results = std::thread::spawn(move || {
            for n in 0..8 {
                assert!(ring.put(&[n; 30]));
            }
            submit(&mut ring, &a)
        });
        assert_eq!(results.join().unwrap(), [Ok(30); 8]);
        assert_eq!(std::iter::from_fn(|| next(&b)).count(), 8);
    }
}

proptest! {
    #[test]
    fn any_messages_arrive_as_they_were(lengths in prop::collection::vec(1usize..=300, 0..40)) {
        for mut ring in both() {
            let (a, b) = pair();
            let messages: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(n, len)| vec![n as u8; *len]).collect();
            let mut arrived = Vec::new();
            // A socket's queue holds ten messages by default.
            for message in &messages {
                if ring.len() == 8 {
                    prop_assert!(submit(&mut ring, &a).iter().all(Result::is_ok));
                    arrived.extend(std::iter::from_fn(|| next(&b)));
                }
                prop_assert!(ring.put(message));
            }
            prop_assert!(submit(&mut ring, &a).iter().all(Result::is_ok));
            arrived.extend(std::iter::from_fn(|| next(&b)));
            prop_assert_eq!(&arrived, &messages);
        }
    }
}
