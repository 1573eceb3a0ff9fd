//! The reactor alone, over a kernel in memory: one test for each trap of a readiness loop.
//!
//! It knows no protocol: the handler here takes note of what it is told and answers with what a test gave it.

mod sim;

use encke::limits::{
    ACCEPT_RETRY_MS, DRAIN_MS, LINGER_AT_STOP_MS, LINGER_MS, READ_BUFFER_BYTES, READS_PER_LINK_MAX,
    REFUSALS_MAX, STOP_MS,
};
use encke::reactor::io::Ready;
use encke::reactor::{ConnId, Instant, Links, Why};

use sim::kernel::{Buffers, Faults, Got, Peer};
use sim::stage::{REFUSAL, Stage};

/// Answers the first bytes of a connection with `size` bytes, then closes.
fn answer(size: usize) -> impl FnMut(&mut Links, ConnId, &[u8]) {
    move |links, id, _| {
        links.send(id, vec![b'x'; size]);
        links.close(id);
    }
}

/// More arrives at once than one turn may read. No further byte comes, so no further edge does.
#[test]
fn lost_edge_when_a_budget_stops_early() {
    let size = READ_BUFFER_BYTES * READS_PER_LINK_MAX * 3;
    let mut stage = Stage::silent();
    let peer = stage.connect_over(Buffers { up_sending: size, up_arrived: size, ..Buffers::default() });
    stage.settle();
    stage.write(peer, &vec![b'x'; size]);
    stage.settle();
    assert_eq!(stage.seen(0).bytes, size);
}

/// The kernel says once that a new socket is writable, long before there is anything to write.
#[test]
fn writable_edge_already_consumed() {
    let mut stage = Stage::new(|links, id, bytes| links.send(id, bytes.to_vec()));
    let peer = stage.connect();
    stage.settle();
    stage.write(peer, b"hello");
    stage.settle();
    assert_eq!(stage.read(peer), (b"hello".to_vec(), Got::Nothing));
}

/// What waits behind a full socket goes on with the edge that tells of room, and every byte comes once.
#[test]
fn a_full_socket_goes_on_when_there_is_room() {
    let mut stage = Stage::new(answer(100_000));
    let buffers = Buffers { down_sending: 1000, down_arrived: 700, ..Buffers::default() };
    let peer = stage.connect_over(buffers);
    stage.write(peer, b"go");
    let (bytes, got) = stage.read_to_end(peer);
    assert_eq!((bytes.len(), got), (100_000, Got::End));
}

/// An event under the token of a connection that has ended must not touch the one that has its slot now.
#[test]
fn stale_event_on_a_reused_slot() {
    let mut stage = Stage::new(|links, id, bytes| links.send(id, bytes.to_vec()));
    let old = stage.connect();
    stage.settle();
    let token = stage.world().token(old).expect("registered");
    stage.world().reset(old);
    stage.settle();
    let new = stage.connect();
    stage.settle();
    let slots: Vec<usize> = stage.handler.seen.iter().map(|(id, _)| id.slot()).collect();
    assert_eq!(slots, [0, 0]);
    let stale = Ready::Link { token, readable: true, writable: true, fin: true, dead: true };
    stage.world().forge(stale);
    stage.settle();
    stage.write(new, b"alive");
    stage.settle();
    assert_eq!(stage.read(new).0, b"alive");
    assert_eq!(stage.seen(1).closed, None);
}

/// While no descriptor is left the loop neither spins (the kernel would panic) nor asks too often, and when
/// one is free again everybody is accepted although no edge tells of it.
#[test]
fn accept_at_the_descriptor_limit() {
    let mut stage = Stage::silent();
    stage.world().faults.descriptors = Some(2);
    for _ in 0..5 {
        stage.connect();
    }
    stage.pass(60_000);
    assert_eq!(stage.handler.seen.len(), 2);
    let faults = stage.world().counts.accept_faults;
    assert!(faults > 10 && faults <= 60_000 / ACCEPT_RETRY_MS + 2, "asked {faults} times in a minute");
    stage.world().faults.descriptors = None;
    stage.pass(ACCEPT_RETRY_MS);
    stage.settle();
    assert_eq!((stage.handler.seen.len(), stage.world().waiting()), (5, 0));
}

/// A connection that ends at the limit makes room for one that waits, in the very next turn.
#[test]
fn a_freed_descriptor_is_used_at_once() {
    let mut stage = Stage::silent();
    stage.world().faults.descriptors = Some(1);
    let first = stage.connect();
    stage.connect();
    stage.pass(10);
    stage.world().reset(first);
    stage.turn();
    stage.turn();
    assert_eq!(stage.handler.seen.len(), 2);
}

/// Those who find no room are told so, in full, and hold no place that others could use.
#[test]
fn table_full() {
    let mut stage = Stage::silent();
    stage.handler.links_max = 2;
    let first = stage.connect();
    stage.connect();
    stage.settle();
    let refused: Vec<Peer> = (0..REFUSALS_MAX).map(|_| stage.connect()).collect();
    for peer in &refused {
        stage.write(*peer, b"a request that nobody will read");
    }
    stage.settle();
    for peer in refused {
        assert_eq!(stage.read(peer), (REFUSAL.to_vec(), Got::End));
    }
    // Beyond the places for refusals a connection is closed without a word, and the loop goes on.
    let beyond = stage.connect();
    stage.settle();
    assert_eq!(stage.read(beyond), (Vec::new(), Got::End));
    assert_eq!(stage.handler.seen.len(), 2, "a refused connection is not the handler's");

    stage.pass(LINGER_MS + 100);
    assert_eq!(stage.reactor.links().len(), 2);
    stage.world().reset(first);
    stage.settle();
    stage.connect();
    stage.settle();
    assert_eq!(stage.handler.seen.len(), 3);
}

/// The peer is still sending when its answer is complete. Closing over its bytes would be a reset, and a
/// reset takes the answer away from a peer that has not read it yet.
#[test]
fn a_reset_that_eats_the_last_response() {
    let mut stage = Stage::new(answer(5000));
    let peer = stage.connect();
    stage.write(peer, b"request");
    stage.settle();
    stage.write(peer, b"what was already on its way");
    stage.settle();
    assert_eq!(stage.read(peer), (vec![b'x'; 5000], Got::End));
    stage.world().close(peer);
    stage.settle();
    assert_eq!(stage.seen(0).closed, Some(Why::Finished));
    assert_eq!(stage.world().open(), 0);
}

/// A peer that never shuts its side is waited for, but not for long.
#[test]
fn lingering_ends() {
    let mut stage = Stage::new(answer(10));
    let peer = stage.connect();
    stage.write(peer, b"request");
    stage.settle();
    assert_eq!(stage.seen(0).closed, None);
    stage.pass(LINGER_MS + 100);
    assert_eq!(stage.seen(0).closed, Some(Why::Finished));
}

/// One that does not read costs what waits for it and no more: others are served, and its end comes.
#[test]
fn slow_reader() {
    let mut stage = Stage::new(answer(1_000_000));
    let slow = stage.connect();
    stage.write(slow, b"go");
    stage.settle();
    let id = stage.handler.seen[0].0;
    assert!(stage.reactor.links().is_blocked(id));
    assert!(stage.reactor.links().queued(id) > 0);
    let fast = stage.connect();
    stage.write(fast, b"go");
    assert_eq!(stage.read_to_end(fast).0.len(), 1_000_000);

    stage.pass(5000);
    assert!(stage.reactor.links().stuck_ms(id) >= 4000);
    assert_eq!(stage.seen(0).closed, None);
    stage.pass(DRAIN_MS);
    assert_eq!(stage.seen(0).closed, Some(Why::TimedOut));
}

/// The peer shuts its side after its request and then takes its time to read a long answer. Each edge that
/// tells of room tells of the old end as well; that is no news and no error.
#[test]
fn half_close_after_a_complete_request() {
    let mut stage = Stage::new(|links, id, _| links.send(id, vec![b'x'; 100_000]));
    let buffers = Buffers { down_sending: 1000, down_arrived: 1000, ..Buffers::default() };
    let peer = stage.connect_over(buffers);
    stage.write(peer, b"request");
    stage.world().shut(peer);
    let (bytes, got) = stage.read_to_end(peer);
    assert_eq!((bytes.len(), got), (100_000, Got::End));
    stage.settle();
    assert_eq!(stage.seen(0).closed, Some(Why::Finished));
}

/// A handler that has paused a connection is not read to, but learns at once that it broke.
#[test]
fn a_paused_link_breaks() {
    let mut stage = Stage::new(|links, id, _| links.pause(id));
    let peer = stage.connect();
    stage.write(peer, b"one");
    stage.settle();
    stage.write(peer, b"two");
    stage.settle();
    assert_eq!((stage.seen(0).bytes, stage.world().unread(peer)), (3, 3));
    stage.world().reset(peer);
    stage.settle();
    assert_eq!(stage.seen(0).closed, Some(Why::Broken));
}

/// Deadlines follow the monotonic clock: no jump of the wall clock moves them, and a jump of hours of the
/// other one fires each once.
#[test]
fn time_jumps() {
    let mut stage = Stage::new(|links, id, _| links.set_deadline(id, links.now().after(10_000)));
    let peer = stage.connect();
    stage.write(peer, b"x");
    stage.pass(100);
    let start = stage.world().now_ms;
    stage.world().wall_ms -= 3_600_000;
    stage.pass(9_000);
    assert!(stage.seen(0).deadlines.is_empty());
    stage.world().wall_ms += 7_200_000;
    stage.pass(2_000);
    assert_eq!(stage.seen(0).deadlines.len(), 1);
    let fired = stage.seen(0).deadlines[0];
    assert!((start + 9_900..start + 10_040).contains(&fired), "fired {} ms after it was set", fired - start);

    stage.write(peer, b"x");
    stage.settle();
    stage.world().now_ms += 6 * 3_600_000;
    stage.settle();
    assert_eq!(stage.seen(0).deadlines.len(), 2);
}

/// Interrupted calls, stale and spurious events, and events that come one by one change nothing.
#[test]
fn noise_changes_nothing() {
    let mut stage = Stage::new(|links, id, bytes| links.send(id, bytes.to_vec()));
    let noise = Faults { interrupted: 200, stale: 200, spurious: 200, partial: 500, ..Faults::default() };
    stage.world().faults = noise;
    let small = Buffers { up_sending: 100_000, up_arrived: 333, down_sending: 100, down_arrived: 77 };
    let peers: Vec<Peer> = (0..20).map(|_| stage.connect_over(small)).collect();
    for peer in &peers {
        stage.write(*peer, &[b'x'; 20_000]);
        stage.world().shut(*peer);
    }
    for peer in peers {
        let (bytes, got) = stage.read_to_end(peer);
        assert_eq!((bytes.len(), got), (20_000, Got::End));
    }
}

/// The same with a handler that keeps the stream open: the old end must not be taken for a new one.
#[test]
fn a_half_closed_reader_is_no_broken_one() {
    let mut stage = Stage::new(|links, id, _| links.send(id, vec![b'x'; 100_000]));
    stage.handler.on_eof = |_, _| {};
    let buffers = Buffers { down_sending: 1000, down_arrived: 1000, ..Buffers::default() };
    let peer = stage.connect_over(buffers);
    stage.write(peer, b"request");
    stage.world().shut(peer);
    let mut bytes = 0;
    for _ in 0..1000 {
        stage.world().deliver_all();
        stage.turn();
        bytes += stage.read(peer).0.len();
    }
    assert_eq!((bytes, stage.seen(0).closed), (100_000, None));
}

/// After its half-close a peer may still vanish, and nobody reads who could meet the error.
#[test]
fn a_reset_after_a_half_close() {
    let mut stage = Stage::silent();
    stage.handler.on_eof = |_, _| {};
    let peer = stage.connect();
    stage.world().shut(peer);
    stage.settle();
    assert!(stage.seen(0).ended && stage.seen(0).closed.is_none());
    stage.world().reset(peer);
    stage.settle();
    assert_eq!(stage.seen(0).closed, Some(Why::Broken));
}

/// A paused connection that closes in good order has finished, not broken.
#[test]
fn a_paused_link_closes_in_good_order() {
    let mut stage = Stage::new(|links, id, _| {
        links.pause(id);
        links.close(id);
    });
    let peer = stage.connect();
    stage.write(peer, b"request");
    stage.settle();
    assert_eq!(stage.read(peer).1, Got::End);
    stage.world().close(peer);
    stage.settle();
    assert_eq!(stage.seen(0).closed, Some(Why::Finished));
}

/// A reader that is stuck can't hold the end up for longer than the limit; connections that come in the
/// meantime are not accepted, and that does not make the loop spin.
#[test]
fn shutdown_with_a_stuck_reader() {
    let mut stage = Stage::new(|links, id, _| links.send(id, vec![b'x'; 1_000_000]));
    let peer = stage.connect();
    stage.write(peer, b"go");
    stage.settle();
    stage.connect();
    stage.world().stop = true;
    stage.world().alarm_ms = u64::MAX;
    let start = stage.world().now_ms;
    stage.reactor.run(&mut stage.handler).expect("the simulated poll does not fail");
    assert_eq!(stage.seen(0).closed, Some(Why::TimedOut));
    assert_eq!(stage.handler.seen.len(), 1);
    assert!(stage.world().now_ms - start <= STOP_MS + 32);
}

/// One that reads slowly but reads gets all of its last response, however long it takes.
#[test]
fn a_closing_link_that_moves_gets_more_time() {
    let mut stage = Stage::new(answer(100_000));
    let buffers = Buffers { down_sending: 1000, down_arrived: 1000, ..Buffers::default() };
    let peer = stage.connect_over(buffers);
    stage.write(peer, b"go");
    let (mut bytes, start) = (0, stage.world().now_ms);
    while bytes < 100_000 {
        stage.pass(300);
        assert!(stage.seen(0).closed.is_none() || bytes >= 90_000, "given up after {bytes} bytes");
        bytes += stage.read(peer).0.len();
    }
    assert!(stage.world().now_ms - start > 2 * DRAIN_MS);
}

/// A handler that arms its idle timer after it has closed must not take the time limit of closing away.
#[test]
fn a_closing_link_keeps_its_limit() {
    let mut stage = Stage::new(|links, id, _| {
        links.send(id, vec![b'x'; 1_000_000]);
        links.close(id);
        links.set_deadline(id, Instant::NEVER);
    });
    let peer = stage.connect();
    stage.write(peer, b"go");
    stage.pass(DRAIN_MS + 100);
    assert_eq!(stage.seen(0).closed, Some(Why::TimedOut));
}

/// The end: everyone is told goodbye, nobody is waited for who has read it.
#[test]
fn shutdown_with_open_streams() {
    let mut stage = Stage::silent();
    let peers: Vec<Peer> = (0..10).map(|_| stage.connect()).collect();
    stage.settle();
    // One of them is sending at that moment.
    stage.write(peers[3], b"what nobody will read");
    stage.world().deliver_all();
    stage.world().stop = true;
    let start = stage.world().now_ms;
    stage.world().alarm_ms = u64::MAX;
    stage.turn();
    stage.world().deliver_all();
    for peer in &peers {
        assert_eq!(stage.read(*peer), (b"bye".to_vec(), Got::End));
    }
    // All but one close at once, as browsers do.
    for peer in &peers[1..] {
        stage.world().close(*peer);
    }
    stage.world().deliver_all();
    stage.turn();
    assert_eq!(stage.reactor.links().len(), 1);
    stage.reactor.run(&mut stage.handler).expect("the simulated poll does not fail");
    let took = stage.world().now_ms - start;
    assert!(took <= LINGER_AT_STOP_MS + 32, "it took {took} ms");
    assert!(stage.handler.seen.iter().all(|(_, seen)| seen.closed == Some(Why::Finished)));
}
