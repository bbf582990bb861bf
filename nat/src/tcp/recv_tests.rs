use proptest::prelude::*;

use super::*;

fn tuning() -> TcpTuning {
    TcpTuning { window_min: 100_000, window_max: 400_000, ..TcpTuning::default() }
}

fn receiver() -> Receiver {
    Receiver::new(Seq(1000), Some(7), &tuning())
}

#[test]
fn what_was_received_before_is_left_out() {
    let mut recv = receiver();
    assert_eq!(recv.take(Seq(1000), 10, false), Arrival::Next { skip: 0, len: 10 });
    assert_eq!(recv.take(Seq(1000), 10, false), Arrival::Nothing);
    assert_eq!(recv.take(Seq(1005), 10, false), Arrival::Next { skip: 5, len: 5 });
    assert_eq!(recv.nxt(), Seq(1015));
}

#[test]
fn what_lies_beyond_the_window_is_left_out() {
    let mut recv = receiver();
    let window = u32::from(recv.window(0, false)) << 7;
    let Arrival::Next { len, .. } = recv.take(Seq(1000), 1 << 20, true) else { panic!("nothing") };
    assert!(len >= window && len < window + 128, "{len} of {window}");
    assert!(!recv.is_finished(), "the FIN is behind the window");
}

#[test]
fn rfc9293_a_fin_behind_a_gap_counts_once_the_gap_is_filled() {
    let mut recv = receiver();
    assert_eq!(recv.take(Seq(1010), 5, true), Arrival::Ahead { seq: Seq(1010), len: 5 });
    recv.store(Seq(1010), b"67890");
    assert!(!recv.is_finished());
    assert_eq!(recv.take(Seq(1000), 10, false), Arrival::Next { skip: 0, len: 10 });
    assert_eq!(recv.next_stored().as_deref(), Some(&b"67890"[..]));
    assert!(recv.is_finished());
    assert_eq!(recv.nxt(), Seq(1016));
    assert_eq!(recv.take(Seq(1010), 5, true), Arrival::Nothing);
}

#[test]
fn what_could_not_be_kept_was_not_received() {
    let mut recv = receiver();
    recv.take(Seq(1000), 10, true);
    recv.retreat(4);
    assert!(!recv.is_finished());
    assert_eq!(recv.take(Seq(1006), 4, true), Arrival::Next { skip: 0, len: 4 });
    assert!(recv.is_finished());
}

#[test]
fn the_window_grows_with_a_socket_that_takes_everything_and_shrinks_with_one_that_does_not() {
    let mut recv = receiver();
    for _ in 0..20 {
        recv.window(0, false);
        assert_eq!(recv.take(recv.nxt(), 90_000, false), Arrival::Next { skip: 0, len: 90_000 });
        recv.took(90_000, &tuning());
    }
    assert_eq!(u32::from(recv.window(0, false)) << 7, 400_000);
    for _ in 0..10 {
        recv.blocked(&tuning());
    }
    // The edge stays where it was promised.
    assert_eq!(u32::from(recv.window(0, false)) << 7, 400_000);
    recv.take(recv.nxt(), 390_000, false);
    assert_eq!(recv.window(390_000, false), 79, "what is left of the promise: 10,000 bytes");
    assert!(!recv.is_update_due(390_000));
    assert!(recv.is_update_due(0));
}

#[test]
fn rfc7323_without_scaling_windows_fit_their_field() {
    let mut recv = Receiver::new(Seq(0), None, &tuning());
    assert_eq!(recv.window(0, true), u16::MAX);
    recv.took(1 << 20, &tuning());
    assert_eq!(recv.window(0, false), u16::MAX);
    assert_eq!(Receiver::scale_for(&tuning()), 3);
    assert_eq!(Receiver::scale_for(&TcpTuning { window_max: 1 << 30, ..tuning() }), 14);
}

proptest! {
    /// RFC 9293, section 3.8.6: a window is never shrunk, by more than the rounding of its scale.
    #[test]
    fn rfc9293_the_window_is_never_taken_back(
        steps in prop::collection::vec((0u32..60_000, any::<bool>(), 0u32..100_000), 1..100),
    ) {
        let mut recv = receiver();
        let mut kept = 0u32;
        let mut promised = Seq(1000) + (u32::from(recv.window(0, false)) << 7);
        for (len, takes, drain) in steps {
            let room = promised.after(recv.nxt());
            if let Arrival::Next { len, .. } = recv.take(recv.nxt(), len.min(room), false) {
                kept += len;
            }
            if takes {
                recv.took(kept, &tuning());
                kept = 0;
            } else {
                recv.blocked(&tuning());
                kept = kept.saturating_sub(drain);
            }
            let edge = recv.nxt() + (u32::from(recv.window(kept, false)) << 7);
            prop_assert!(edge + 128 > promised, "{edge:?} after {promised:?}");
            prop_assert!(kept <= 400_000 + 128, "no more than the largest window waits");
            promised = promised.max(edge);
        }
    }
}
