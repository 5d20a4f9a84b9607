//! A TCP link that can be recorded, delayed, throttled, cut in one direction or both, and broken.
//!
//! Stands between two processes that take it for the other one's address. Needs no runtime: each
//! connection has a few threads, which end with it.
//!
//! # What a fault does
//! A cut holds bytes back, as lost packets do: connections stay up until somebody's patience ends, new
//! ones are accepted and get nowhere, and all goes on when the cut heals. Loss makes a piece late by a
//! retransmission's time, since TCP repeats what the network drops.
//!
//! Members say who they are in the head of a request (not within TLS): faults can be for one of them.
#![allow(
    dead_code,
    reason = "shared by test binaries that use different parts of it"
)]
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes moved at once, and pieces that may be on their way in one direction.
const PIECE_BYTES: usize = 16 << 10;
const PIECES: usize = 256;
/// What TCP waits before it repeats what was lost, at least (Linux).
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// What is done to the link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// How long every byte takes, each way.
    pub(crate) delay: Duration,
    /// Bytes a second, each way.
    pub(crate) bandwidth: Option<u64>,
    /// One in a hundred pieces that is lost.
    pub(crate) loss_percent: u64,
    /// Nothing gets to the target.
    pub(crate) cut_to_target: bool,
    /// Nothing comes from the target.
    pub(crate) cut_from_target: bool,
    /// Connections are refused: closed as soon as they are made.
    pub(crate) refuse: bool,
}

impl Faults {
    /// Nothing passes.
    pub(crate) fn cut() -> Self {
        Self {
            cut_to_target: true,
            cut_from_target: true,
            ..Self::default()
        }
    }

    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToTarget => self.cut_to_target,
            Direction::FromTarget => self.cut_from_target,
        }
    }
}

/// The bytes of one connection, both ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) to_target: Vec<u8>,
    pub(crate) from_target: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToTarget,
    FromTarget,
}

/// A link to one address. It ends with this.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    random: AtomicU64,
}

#[derive(Default)]
struct State {
    faults: Faults,
    /// In place of `faults`, for the connections of one member.
    faults_from: HashMap<u64, Faults>,
    stopped: bool,
    recording: bool,
    conversations: Vec<Conversation>,
    open: Vec<TcpStream>,
    accepted: usize,
}

impl Proxy {
    /// A link to `target` at a free port of the loopback.
    pub(crate) fn new(target: SocketAddr) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), target)
    }

    /// A link to `target` that `listener` is the near end of.
    pub(crate) fn at(listener: TcpListener, target: SocketAddr) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            changed: Condvar::new(),
            random: AtomicU64::new(u64::from(address.port()) | 1),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// The near end.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The near end as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Disturbs the link from now on; `Faults::default()` heals it.
    pub(crate) fn set(&self, faults: Faults) {
        self.shared.lock().faults = faults;
        self.shared.changed.notify_all();
    }

    /// Disturbs what passes between the target and the member of this id, whichever way.
    pub(crate) fn set_from(&self, id: u64, faults: Faults) {
        self.shared.lock().faults_from.insert(id, faults);
        self.shared.changed.notify_all();
    }

    /// Heals everything.
    pub(crate) fn heal(&self) {
        let mut state = self.shared.lock();
        state.faults = Faults::default();
        state.faults_from.clear();
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Breaks all connections there are.
    pub(crate) fn break_connections(&self) {
        for stream in self.shared.lock().open.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Connections made so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Keeps what passes from now on; call it before there are connections.
    pub(crate) fn record(&self) {
        self.shared.lock().recording = true;
    }

    /// What passed.
    pub(crate) fn conversations(&self) -> Vec<Conversation> {
        self.shared.lock().conversations.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        self.break_connections();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    /// The faults of a connection.
    fn of(&self, from: Option<u64>) -> Faults {
        let own = from.and_then(|id| self.faults_from.get(&id));
        own.copied().unwrap_or(self.faults)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while the link is cut this way; the faults, or `None` when it is gone.
    fn pass(&self, direction: Direction, from: Option<u64>) -> Option<Faults> {
        let held = |state: &mut State| !state.stopped && state.of(from).holds(direction);
        let state = self
            .changed
            .wait_while(self.lock(), held)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.stopped).then(|| state.of(from))
    }

    fn is_lost(&self, percent: u64) -> bool {
        // xorshift: any spread will do.
        let mut x = self.random.load(Ordering::Relaxed);
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.store(x, Ordering::Relaxed);
        x % 100 < percent
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for near in listener.incoming() {
        let Ok(near) = near else { continue };
        let mut state = shared.lock();
        if state.stopped {
            return;
        }
        if state.faults.refuse {
            continue;
        }
        state.accepted += 1;
        state.conversations.push(Conversation::default());
        let number = state.conversations.len() - 1;
        state.open.retain(|stream| stream.peer_addr().is_ok());
        state.open.push(near.try_clone().unwrap());
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || connect(near, number, &shared));
    }
}

/// Who the head of a request says that it is from.
fn sender(head: &[u8]) -> Option<u64> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (_, rest) = head.split_once("x-server-from: ")?;
    u64::from_str_radix(rest.split('\r').next()?, 16).ok()
}

/// Neither end hears of the other while one direction is cut: a handshake needs both.
fn connect(mut near: TcpStream, number: usize, shared: &Arc<Shared>) {
    let mut head = vec![0; PIECE_BYTES];
    let Ok(len @ 1..) = near.read(&mut head) else {
        return;
    };
    head.truncate(len);
    let from = sender(&head);
    for direction in [Direction::ToTarget, Direction::FromTarget] {
        if shared.pass(direction, from).is_none() {
            return;
        }
    }
    let Ok(far) = TcpStream::connect(shared.target) else {
        drop(near.shutdown(Shutdown::Both));
        return;
    };
    for stream in [&near, &far] {
        drop(stream.set_nodelay(true));
    }
    let ways = [
        (Direction::ToTarget, near.try_clone(), far.try_clone(), head),
        (Direction::FromTarget, far.try_clone(), Ok(near), vec![]),
    ];
    shared.lock().open.push(far);
    for (direction, source, to, first) in ways {
        let (Ok(source), Ok(to)) = (source, to) else {
            return;
        };
        let (sender, pieces) = sync_channel(PIECES);
        let way = Way {
            direction,
            from,
            number,
        };
        let reading = Arc::clone(shared);
        thread::spawn(move || read(source, first, way, &sender, &reading));
        let writing = Arc::clone(shared);
        thread::spawn(move || write(to, way, &pieces, &writing));
    }
}

/// One direction of one connection.
#[derive(Clone, Copy)]
struct Way {
    direction: Direction,
    from: Option<u64>,
    number: usize,
}

struct Piece {
    arrived: Instant,
    bytes: Vec<u8>,
}

fn read(
    mut source: TcpStream,
    first: Vec<u8>,
    way: Way,
    pieces: &SyncSender<Piece>,
    shared: &Shared,
) {
    let mut buffer = first;
    let mut len = buffer.len();
    if len == 0 {
        buffer = vec![0; PIECE_BYTES];
        len = source.read(&mut buffer).unwrap_or(0);
    }
    while len > 0 {
        let piece = Piece {
            arrived: Instant::now(),
            bytes: buffer[..len].to_vec(),
        };
        let mut state = shared.lock();
        if state.recording {
            let conversation = &mut state.conversations[way.number];
            match way.direction {
                Direction::ToTarget => conversation.to_target.extend(&piece.bytes),
                Direction::FromTarget => conversation.from_target.extend(&piece.bytes),
            }
        }
        drop(state);
        if pieces.send(piece).is_err() {
            break;
        }
        buffer.resize(PIECE_BYTES, 0);
        len = source.read(&mut buffer).unwrap_or(0);
    }
}

fn write(mut to: TcpStream, way: Way, pieces: &Receiver<Piece>, shared: &Shared) {
    while let Ok(piece) = pieces.recv() {
        let Some(faults) = shared.pass(way.direction, way.from) else {
            break;
        };
        let mut wait = faults.delay.saturating_sub(piece.arrived.elapsed());
        if shared.is_lost(faults.loss_percent) {
            wait += RETRANSMISSION;
        }
        if let Some(bandwidth) = faults.bandwidth {
            wait +=
                Duration::from_secs(piece.bytes.len() as u64) / u32::try_from(bandwidth).unwrap();
        }
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        // Perhaps it was cut while the piece was on its way.
        if shared.pass(way.direction, way.from).is_none() || to.write_all(&piece.bytes).is_err() {
            break;
        }
    }
    // The other end hung up, or this one did not take it.
    drop(to.shutdown(Shutdown::Both));
}
