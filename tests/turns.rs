//! The budgets of a turn, each reached and passed over a kernel in memory: a turn does what its budget allows,
//! whoever asks for little is served beside it, and what was left over is done by the turns that follow, in order.
//!
//! It looks at single turns and at nothing else: that no byte is lost, whatever happens meanwhile, is the
//! simulation's to show. How many events are taken from a real kernel at once is tested beside it, in
//! `src/reactor/io.rs`.

mod sim;

use std::ops::Range;

use encke::chat::Chat;
use encke::limits::{
    ACCEPTS_PER_TURN_MAX, DEFLATE_BYTES_PER_TURN_MAX, DRAINS_PER_LINK_MAX, FAN_OUT_BATCH_MAX,
    FLUSHES_PER_TURN_MAX, INFLATED_BYTES_PER_TURN_MAX, LATE_FLUSHES_MIN, LINKS_CALLED_BACK_PER_TURN_MAX,
    LINKS_READ_PER_TURN_MAX, PARSED_BYTE_COST, READ_BUFFER_BYTES, READ_BYTES_PER_TURN_MAX,
    READS_PER_LINK_MAX, SLICES_PER_WRITE_MAX, SPENT_PER_LINK_MAX, WRITE_BYTES_PER_LINK_MAX,
    WRITE_BYTES_PER_TURN_MAX,
};
use encke::reactor::{ConnId, Handler, Links};
use encke::server::{Config, Shared};
use encke::work;
use sim::decode::{Frame, TEXT};
use sim::kernel::{Buffers, Peer};
use sim::stage::{NEWS, Stage, server};

/// Room for all that one peer sends and is sent here.
const WIDE: Buffers =
    Buffers { up_sending: 1 << 20, up_arrived: 1 << 20, down_sending: 1 << 21, down_arrived: 1 << 21 };

/// Connections that are open, and have nothing to do.
fn open<H: Handler>(stage: &mut Stage<H>, count: usize) -> Vec<Peer> {
    let peers = (0..count).map(|_| stage.connect_over(WIDE)).collect();
    stage.settle();
    peers
}

/// What a turn did for each of some peers: bytes read of it, bytes written to it.
struct Done {
    read: Vec<usize>,
    written: Vec<usize>,
}

fn turn<H: Handler>(stage: &mut Stage<H>, peers: &[Peer]) -> Done {
    let unread = |stage: &Stage<H>| peers.iter().map(|&peer| stage.world().unread(peer)).collect::<Vec<_>>();
    stage.world().deliver_all();
    let before = unread(stage);
    stage.turn();
    let read = before.iter().zip(unread(stage)).map(|(before, after)| before - after).collect();
    stage.world().deliver_all();
    Done { read, written: peers.iter().map(|&peer| stage.read(peer).0.len()).collect() }
}

/// Those who had a part of it. They stand side by side, or somebody was passed over.
fn served(bytes: &[usize]) -> Range<usize> {
    let first = bytes.iter().position(|&bytes| bytes > 0).unwrap_or(0);
    let count = bytes.iter().filter(|&&bytes| bytes > 0).count();
    assert!(bytes[first..first + count].iter().all(|&bytes| bytes > 0), "not in order");
    first..first + count
}

#[test]
fn so_many_are_accepted() {
    const MOST: usize = ACCEPTS_PER_TURN_MAX;
    let mut stage = Stage::new(|links, id, bytes| links.send(id, bytes.to_vec()));
    let other = open(&mut stage, 1);
    let crowd: Vec<Peer> = (0..2 * MOST + 1).map(|_| stage.connect()).collect();
    for held in [MOST, 2 * MOST, 2 * MOST + 1] {
        stage.write(other[0], b"ping");
        assert_eq!(turn(&mut stage, &other).written, [4], "beside {held}");
        let are_held: Vec<usize> =
            crowd.iter().map(|&peer| usize::from(stage.world().is_held(peer))).collect();
        assert_eq!(served(&are_held), 0..held);
    }
}

#[test]
fn so_many_are_read() {
    const MOST: usize = LINKS_READ_PER_TURN_MAX;
    let mut stage = Stage::silent();
    let peers = open(&mut stage, MOST + 10);
    let (other, crowd) = peers.split_last().expect("some");
    crowd.iter().for_each(|&peer| stage.write(peer, b"x"));
    assert_eq!(served(&turn(&mut stage, &peers).read), 0..MOST);
    stage.write(*other, b"x");
    assert_eq!(served(&turn(&mut stage, &peers).read), MOST..MOST + 10, "and the other behind them");
}

#[test]
fn so_many_bytes_are_read() {
    const SHARE: usize = READS_PER_LINK_MAX * READ_BUFFER_BYTES;
    const MOST: usize = READ_BYTES_PER_TURN_MAX as usize / SHARE;
    let mut stage = Stage::silent();
    let peers = open(&mut stage, MOST + 4);
    let (small, greedy) = peers.split_last().expect("some");
    greedy.iter().for_each(|&peer| stage.write(peer, &[b'x'; 2 * SHARE]));
    stage.write(*small, b"x");
    let first = turn(&mut stage, &peers).read;
    assert_eq!((served(&first), first.iter().sum()), (0..MOST, READ_BYTES_PER_TURN_MAX as usize));
    let second = turn(&mut stage, &peers).read;
    assert_eq!(second[MOST..], [SHARE, SHARE, SHARE, 1], "nobody is read twice before everybody was once");
    assert_eq!(second.iter().sum::<usize>(), READ_BYTES_PER_TURN_MAX as usize + 1);
    stage.settle();
    assert!(greedy.iter().all(|&peer| stage.world().unread(peer) == 0));
}

/// What costs as much as reading so many bytes is taken from the same budget.
#[test]
fn what_is_spent_counts_as_read() {
    let mut stage = Stage::new(|_, _, _| work::spend(READ_BYTES_PER_TURN_MAX / 4));
    let peers = open(&mut stage, 6);
    peers.iter().for_each(|&peer| stage.write(peer, b"x"));
    assert_eq!(served(&turn(&mut stage, &peers).read), 0..4);
    assert_eq!(served(&turn(&mut stage, &peers).read), 4..6);
}

#[test]
fn so_many_are_handed_the_news_between_two_rounds_of_writing() {
    let mut stage = Stage::new(|links, id, bytes| links.send(id, bytes.to_vec()));
    let peers = open(&mut stage, 2 * FLUSHES_PER_TURN_MAX + 1);
    let (other, crowd) = peers.split_first().expect("some");
    stage.handler.due = stage.handler.seen[1..].iter().map(|(id, _)| *id).collect();
    let mut told = vec![0; crowd.len()];
    while stage.handler.has_work() {
        stage.write(*other, b"ping");
        let written = turn(&mut stage, &peers).written;
        assert_eq!(written[0], 4, "others are answered in the turn in which they ask");
        let next = served(&told).end;
        let now = served(&written[1..]);
        assert!(now.start == next && now.len() <= FLUSHES_PER_TURN_MAX, "{now:?} after {next}");
        told.iter_mut().zip(&written[1..]).for_each(|(told, written)| *told += written);
    }
    assert!(stage.handler.batches.iter().all(|&batch| batch <= FAN_OUT_BATCH_MAX));
    assert_eq!(told, vec![NEWS.len(); crowd.len()], "everybody once");
}

/// Bytes of one make the handler send `chunks` to everybody.
fn broadcast(chunks: Vec<Shared>) -> Stage {
    Stage::new(move |links: &mut Links, _: ConnId, _: &[u8]| {
        let everybody: Vec<ConnId> = links.iter_from(0).collect();
        for id in everybody {
            chunks.iter().for_each(|chunk| links.send(id, chunk.clone()));
        }
    })
}

#[test]
fn so_many_are_written_to() {
    const MOST: usize = FLUSHES_PER_TURN_MAX;
    let mut stage = broadcast(vec![Shared::from(NEWS)]);
    let peers = open(&mut stage, MOST + 10);
    stage.write(peers[0], b"go");
    assert_eq!(served(&turn(&mut stage, &peers).written), 0..MOST);
    // Nobody is told again before all were told: then come those who are asked for now.
    stage.write(peers[1], b"go");
    let second = turn(&mut stage, &peers).written;
    assert_eq!(second[MOST..], [2 * NEWS.len(); 10]);
    assert_eq!(second.iter().filter(|&&bytes| bytes > 0).count(), MOST);
    assert_eq!(served(&turn(&mut stage, &peers).written), MOST - 10..MOST);
}

#[test]
fn so_many_slices_are_one_write() {
    let pieces = 2 * SLICES_PER_WRITE_MAX + 1;
    let mut stage = broadcast((0..pieces).map(|n| Shared::from(n.to_string().as_bytes())).collect());
    let peer = open(&mut stage, 1)[0];
    let before = stage.world().counts.writes;
    stage.write(peer, b"go");
    stage.world().deliver_all();
    stage.turn();
    assert_eq!(stage.world().counts.writes - before, 3);
    stage.world().deliver_all();
    let all: String = (0..pieces).map(|n| n.to_string()).collect();
    assert_eq!(stage.read(peer).0, all.as_bytes());
}

/// In one piece or in many: nobody is written more than its share, all together no more than theirs.
#[test]
fn so_many_bytes_are_written() {
    const SHARE: usize = WRITE_BYTES_PER_LINK_MAX;
    const MOST: usize = WRITE_BYTES_PER_TURN_MAX as usize / SHARE;
    for pieces in [1, 4 * SLICES_PER_WRITE_MAX] {
        let mut stage = broadcast(vec![Shared::from(vec![b'x'; 2 * SHARE / pieces]); pieces]);
        let peers = open(&mut stage, 2 * MOST);
        stage.write(peers[0], b"go");
        let mut told = vec![0; peers.len()];
        for turns in 1..=5 {
            let written = turn(&mut stage, &peers).written;
            assert!(written.iter().all(|&bytes| bytes <= SHARE), "{written:?}");
            // Beside the budget a few come in each turn that had their share in an earlier one.
            let most = WRITE_BYTES_PER_TURN_MAX as usize + LATE_FLUSHES_MIN * SHARE;
            assert!(written.iter().sum::<usize>() <= most, "{written:?}");
            told.iter_mut().zip(&written).for_each(|(told, written)| *told += written);
            let shares = told.iter().filter(|&&bytes| bytes > 0).count();
            assert!(
                shares >= peers.len().min(turns * MOST),
                "nobody's second share before everybody's first"
            );
        }
        assert_eq!(told, vec![2 * SHARE; peers.len()]);
    }
}

/// One that is sent much has its share in a turn, and the others are answered beside it.
#[test]
fn so_many_bytes_are_written_to_one() {
    const SHARE: usize = WRITE_BYTES_PER_LINK_MAX;
    let mut stage = Stage::new(|links, id, bytes| links.send(id, vec![b'x'; bytes.len() * SHARE]));
    let peers = open(&mut stage, 2);
    stage.write(peers[0], b"1234");
    for _ in 0..4 {
        stage.write(peers[1], b"1");
        assert_eq!(turn(&mut stage, &peers).written, [SHARE, SHARE]);
    }
    assert_eq!(turn(&mut stage, &peers).written, [0, 0]);
}

/// A handler that answers each drain, and asks for the next one: the link's share holds for it too.
#[test]
fn so_many_bytes_are_written_to_one_that_asks_for_more() {
    const SHARE: usize = WRITE_BYTES_PER_LINK_MAX;
    let mut stage = Stage::new(|links, id, bytes| match bytes {
        b"much" => links.want_drain(id),
        _ => links.send(id, bytes.to_vec()),
    });
    stage.handler.on_drain = |links, id| {
        links.send(id, vec![b'x'; 3 * SHARE / 4]);
        links.want_drain(id);
    };
    let peers = open(&mut stage, 2);
    stage.write(peers[0], b"much");
    for _ in 0..4 {
        stage.write(peers[1], b"ping");
        assert_eq!(turn(&mut stage, &peers).written, [SHARE, 4]);
    }
}

/// One that asks for its drain again and again, and has nothing to write, is asked so often in a turn.
#[test]
fn so_many_drains_are_told_to_one() {
    let mut stage = Stage::new(|links, id, _| links.want_drain(id));
    stage.handler.on_drain = |links, id| links.want_drain(id);
    let peers = open(&mut stage, 1);
    stage.write(peers[0], b"x");
    for turns in 1..4 {
        turn(&mut stage, &peers);
        assert_eq!(stage.seen(0).drained, turns * DRAINS_PER_LINK_MAX);
    }
}

/// What one has spent of the turn in work leaves the rest of its bytes to the next turn.
#[test]
fn so_much_work_is_done_for_one() {
    let mut stage = Stage::new(|_, _, _| work::spend(SPENT_PER_LINK_MAX));
    let peers = open(&mut stage, 2);
    stage.write(peers[0], &[b'x'; 2 * READ_BUFFER_BYTES]);
    stage.write(peers[1], b"x");
    assert_eq!(turn(&mut stage, &peers).read, [READ_BUFFER_BYTES, 1]);
    assert_eq!(turn(&mut stage, &peers).read, [READ_BUFFER_BYTES, 0]);
}

/// A connection whose peer owes much work is read from behind all others, though it asked first, and not at all
/// in a turn whose budget the others spend; one such connection comes in each turn all the same.
#[test]
fn heavy_connections_are_read_from_behind_all_others() {
    let mut stage = Stage::new(|_, _, bytes| {
        if bytes == b"long" {
            work::spend(READ_BYTES_PER_TURN_MAX);
        }
    });
    let peers = open(&mut stage, 6);
    let ids: Vec<ConnId> = stage.handler.seen.iter().map(|(id, _)| *id).collect();
    stage.handler.heavy = ids[..3].to_vec();
    for peer in &peers[..3] {
        stage.write(*peer, b"h");
    }
    stage.write(peers[3], b"long");
    stage.write(peers[4], b"ping");
    // peers[3] spends the budget: peers[4] and two of the heavy connections wait.
    assert_eq!(turn(&mut stage, &peers).read, [1, 0, 0, 4, 0, 0]);
    assert_eq!(turn(&mut stage, &peers).read, [0, 1, 1, 0, 4, 0]);
    // No debt, no waiting.
    stage.handler.heavy.clear();
    stage.write(peers[0], b"h");
    stage.write(peers[3], b"long");
    assert_eq!(turn(&mut stage, &peers).read, [1, 0, 0, 4, 0, 0]);
}

/// A heavy connection is written to behind all others, and one of them in each turn whatever is left.
#[test]
fn heavy_connections_are_written_to_behind_all_others() {
    const SHARE: usize = WRITE_BYTES_PER_LINK_MAX;
    const MOST: usize = WRITE_BYTES_PER_TURN_MAX as usize / SHARE;
    let mut stage = broadcast(vec![Shared::from(vec![b'x'; SHARE])]);
    let peers = open(&mut stage, MOST + 3);
    let ids: Vec<ConnId> = stage.handler.seen.iter().map(|(id, _)| *id).collect();
    stage.handler.heavy = ids[..3].to_vec();
    // Whether a connection is heavy is looked at when it is read from.
    peers[..3].iter().for_each(|peer| stage.write(*peer, b"go"));
    stage.settle();
    peers.iter().for_each(|&peer| drop(stage.read(peer)));
    stage.write(peers[3], b"go");
    let written = turn(&mut stage, &peers).written;
    assert_eq!(written[..3].iter().filter(|&&bytes| bytes > 0).count(), LATE_FLUSHES_MIN, "{written:?}");
    assert_eq!(written[3..], vec![SHARE; MOST][..]);
    let rest = turn(&mut stage, &peers).written;
    assert_eq!(rest[..3].iter().sum::<usize>(), (3 - LATE_FLUSHES_MIN) * SHARE);
}

/// History that one connection asks for again and again, compressed as it would be if there were no bound.
#[test]
fn so_many_bytes_are_compressed() {
    let mut stage = Stage::of(server(Config::default(), Chat::new()));
    let peers = open(&mut stage, 2);
    peers.iter().for_each(|&peer| stage.write(peer, UPGRADE.as_bytes()));
    stage.settle();
    let letters = |seed: u32| {
        let bit = |place: u32| (place.wrapping_mul(2_654_435_761) ^ seed) & 0x8000 > 0;
        (0..60_000).map(|place| if bit(place) { 'a' } else { 'b' }).collect::<String>()
    };
    for number in 0..17 {
        let said = format!("{{\"op\":\"publish\",\"ch\":\"big\",\"data\":\"{}\"}}", letters(number));
        stage.write(peers[0], &frame(TEXT, said.as_bytes()));
        stage.settle();
        stage.read(peers[0]);
    }
    let ask = frame(TEXT, br#"{"op":"history","ch":"big"}"#);
    stage.write(peers[0], &ask.repeat(40));
    stage.write(peers[0], &frame(TEXT, br#"{"op":"subscribe","ch":"big","last":17}"#));
    let mut told = 0;
    for _ in 0..400 {
        let before = stage.handler.deflated();
        stage.write(peers[1], &frame(TEXT, br#"{"op":"ping"}"#));
        let written = turn(&mut stage, &peers).written;
        assert!(written[1] > 0, "the other is answered in the turn in which it asks");
        assert!(written[0] <= WRITE_BYTES_PER_LINK_MAX, "{}", written[0]);
        let compressed = stage.handler.deflated() - before;
        assert!(compressed < DEFLATE_BYTES_PER_TURN_MAX + 65_536, "{compressed}");
        told += written[0];
    }
    assert!(told > 40 * 200_000, "{told} bytes: nothing was left out");
}

/// Commands that cost much to parse, several of them in one read: each waits its turn.
#[test]
fn so_much_is_done_for_one_in_its_turn() {
    let mut stage = Stage::of(server(Config::default(), Chat::new()));
    let peers = open(&mut stage, 2);
    peers.iter().for_each(|&peer| stage.write(peer, UPGRADE.as_bytes()));
    stage.settle();
    turn(&mut stage, &peers);
    let spaces = " ".repeat((SPENT_PER_LINK_MAX / PARSED_BYTE_COST) as usize * 2 / 3);
    let ask = frame(TEXT, format!("{{\"op\":\"ping\"{spaces}}}").as_bytes());
    stage.write(peers[0], &ask.repeat(5));
    let mut replies = 0;
    for two_more in [2, 4, 5] {
        stage.write(peers[1], &frame(TEXT, br#"{"op":"ping"}"#));
        stage.world().deliver_all();
        stage.turn();
        stage.world().deliver_all();
        let count = |peer| String::from_utf8_lossy(&stage.read(peer).0).matches("\"ok\":true").count();
        assert_eq!(count(peers[1]), 1, "the other is answered at once");
        replies += count(peers[0]);
        assert_eq!(replies, two_more);
    }
}

#[test]
fn so_many_are_called_back() {
    const MOST: usize = LINKS_CALLED_BACK_PER_TURN_MAX;
    let mut stage = Stage::new(|links, id, bytes| match bytes {
        b"much" => links.yield_turn(id),
        _ => links.send(id, bytes.to_vec()),
    });
    let peers = open(&mut stage, 2 * MOST + 2);
    let (other, crowd) = peers.split_first().expect("some");
    crowd.iter().for_each(|&peer| stage.write(peer, b"much"));
    for called_back in [0, MOST, 2 * MOST, 2 * MOST + 1, 2 * MOST + 1] {
        stage.write(*other, b"ping");
        assert_eq!(turn(&mut stage, &peers).written[0], 4);
        let drained: Vec<usize> = stage.handler.seen[1..].iter().map(|(_, seen)| seen.drained).collect();
        assert_eq!((served(&drained), drained.iter().sum()), (0..called_back, called_back), "each once");
    }
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// The first bit that is reserved: the message is compressed.
const RSV1: u8 = 0x40;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Frame::emit(first, true, [1, 2, 3, 4], payload, &mut out);
    out
}

/// A message that inflates to more than a half of what may be inflated in a turn, and asks for an answer.
fn inflating() -> Vec<u8> {
    let spaces = " ".repeat(INFLATED_BYTES_PER_TURN_MAX as usize * 3 / 4);
    let mut packed = Vec::with_capacity(1_000);
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let plain = format!("{{\"op\":\"ping\"{spaces}}}");
    compress.compress_vec(plain.as_bytes(), &mut packed, flate2::FlushCompress::Sync).expect("compressed");
    packed.truncate(packed.len() - 4);
    frame(TEXT | RSV1, &packed)
}

#[test]
fn so_many_bytes_are_inflated() {
    let mut stage = Stage::of(server(Config::default(), Chat::new()));
    let peers = open(&mut stage, 2);
    peers.iter().for_each(|&peer| stage.write(peer, UPGRADE.as_bytes()));
    stage.settle();
    turn(&mut stage, &peers);
    stage.write(peers[0], &inflating().repeat(9));
    // One passes the budget, as what is inflated is parsed too, and it is looked at before the next.
    let mut replies = 0;
    for one_more in 1..=9 {
        stage.write(peers[1], &frame(TEXT, b"{\"op\":\"ping\"}"));
        stage.world().deliver_all();
        stage.turn();
        stage.world().deliver_all();
        let count = |bytes: &[u8]| bytes.windows(9).filter(|part| part == b"\"ok\":true").count();
        assert_eq!(count(&stage.read(peers[1]).0), 1, "the other is answered at once");
        replies += count(&stage.read(peers[0]).0);
        assert_eq!(replies, one_more);
    }
}
