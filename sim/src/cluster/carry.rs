//! What members hand to the network: messages, and databases that travel behind one.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use varve_proto::raftpb::{Message, MessageType};
use varve_raftnode::{StateExport, Transport};
use varve_snap::Snapshotter;
use varve_vfs::DynFs;

/// Where members keep what they receive.
const SNAP_DIR: &str = "/data/member/snap";

/// Pieces a database travels in.
const PIECE_BYTES: usize = 1500;

/// Something on its way.
pub(super) struct Packet {
    pub(super) message: Message,
    /// How often the sender had been started.
    pub(super) start: u64,
    /// The database of a `MsgSnap`; read when it arrives, whatever its sender does meanwhile.
    pub(super) state: Option<StateExport>,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("message", &self.message)
            .field("start", &self.start)
            .field("state", &self.state)
            .finish()
    }
}

impl Packet {
    /// Whether a network may deliver it twice: no transport does that to a proposal that is passed on,
    /// nor to a database.
    pub(super) fn may_repeat(&self) -> bool {
        self.state.is_none() && self.message.r#type() != MessageType::MsgProp
    }

    /// A second copy.
    pub(super) fn again(&self) -> Self {
        Self {
            message: self.message.clone(),
            start: self.start,
            state: None,
        }
    }
}

/// What a member has sent and the world has not yet taken.
pub(super) type Outbox = Arc<Mutex<Vec<Packet>>>;

/// A member's transport.
pub(super) struct Port {
    pub(super) start: u64,
    pub(super) outbox: Outbox,
}

impl Transport for Port {
    fn send(&self, messages: Vec<Message>) {
        let start = self.start;
        let packets = messages.into_iter().map(|message| Packet {
            message,
            start,
            state: None,
        });
        self.outbox.lock().extend(packets);
    }

    fn send_snapshot(&self, message: Message, state: StateExport) {
        self.outbox.lock().push(Packet {
            message,
            start: self.start,
            state: Some(state),
        });
    }
}

/// Writes a database that has arrived where its receiver looks for it. False: it did not arrive whole.
pub(super) fn receive(fs: &DynFs, index: u64, mut state: StateExport) -> bool {
    let snapshotter = Snapshotter::new(fs.clone(), Path::new(SNAP_DIR));
    let Ok(mut receiver) = snapshotter.receive_db(index) else {
        return false;
    };
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match state.reader.read(&mut piece) {
            Ok(0) => break,
            Ok(len) if receiver.write(&piece[..len]).is_ok() => {}
            _ => return false,
        }
    }
    receiver.len_bytes() == state.len && receiver.commit().is_ok()
}
