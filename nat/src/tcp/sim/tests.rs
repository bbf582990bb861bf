use super::*;

fn scene() -> Scene {
    Scene {
        path: Path { lose: 0, repeat: 0, delay: 0, latency: Duration::from_micros(50), seed: 1 },
        bytes: (100_000, 2_000_000),
        takes: (usize::MAX, Duration::ZERO),
        mss: 1460,
        sack: true,
        waits: None,
    }
}

fn run(scene: Scene) -> World {
    let mut world = World::new(scene);
    world.run();
    world.check();
    world
}

#[test]
fn a_good_path_needs_no_timer() {
    let world = run(scene());
    assert!(world.now.since(Time::from_micros(1_000_000_000)) < Duration::from_millis(20));
}

#[test]
fn rfc9293_both_ends_may_close_at_once() {
    run(Scene { bytes: (0, 0), ..scene() });
}

#[test]
fn rfc5382_req2_both_ends_may_open_at_once() {
    let scene = Scene { bytes: (300_000, 400_000), ..scene() };
    let mut world = World::new(scene.clone());
    world.ends[1] = End::opening(&scene, world.now).with(400_000);
    world.drive(1);
    world.run();
    world.check();
}

#[test]
fn rfc5382_req2_data_go_on_after_the_other_side_has_closed() {
    for bytes in [(0, 3_000_000), (3_000_000, 0)] {
        run(Scene { bytes, ..scene() });
    }
}

#[test]
fn a_reader_that_rests_is_waited_for() {
    run(Scene { takes: (40_000, Duration::from_secs(3)), bytes: (2_000_000, 0), ..scene() });
}

/// With one in a hundred lost, most losses are found by what arrives behind them.
#[test]
fn losses_seldom_cost_a_timeout() {
    let path = Path { lose: 100, latency: Duration::from_millis(100), ..scene().path };
    let world = run(Scene { path, bytes: (30_000_000, 30_000_000), ..scene() });
    let took = world.now.since(Time::from_micros(1_000_000_000));
    assert!(took < Duration::from_secs(20), "{took:?}");
}

proptest! {
    #[test]
    fn every_byte_arrives_once_and_in_order_whatever_the_path_does(scene in any_scene()) {
        // A path that loses every third segment is not asked to carry megabytes.
        let lossy = [scene.path.lose, scene.path.delay].into_iter().any(|n| (1..20).contains(&n));
        let most = if lossy { 60_000 } else { usize::MAX };
        let bytes = (scene.bytes.0.min(most), scene.bytes.1.min(most));
        let takes = if scene.takes.1.is_zero() { scene.takes } else { (scene.takes.0.max(bytes.0.max(bytes.1) / 200), scene.takes.1) };
        run(Scene { bytes, takes, ..scene });
    }
}
