//! The append stream (etcd: msgappv2): `MsgApp` only, in short where it goes on where the last one ended.
//!
//! Both ends remember the term and the index that the stream has come to. An append that follows on them
//! within the term is sent as its entries and the commit index; any other one in full, which sets both.
use bytes::Bytes;
use varve_proto::prost::Message as _;
use varve_proto::raftpb::{Entry, Message, MessageType};

use super::input::Input;
use super::output::Output;
use super::{DecodeError, Frame, MAX_MESSAGE_BYTES, wire};

const HEARTBEAT: u8 = 0;
const ENTRIES: u8 = 1;
const MESSAGE: u8 = 2;

/// Most entries of one frame. A leader puts entries of 1 MiB together into an append, and the shortest
/// has more than 4 bytes.
const MAX_ENTRIES: u64 = 1 << 20;

/// Where the stream has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    term: u64,
    index: u64,
}

impl Position {
    /// Where it is after a message that was sent in full.
    fn after(message: &Message) -> Self {
        Self {
            term: message.term,
            index: message.entries.last().map_or(message.index, |e| e.index),
        }
    }

    /// Whether the message says nothing that the short form cannot say.
    fn is_continued_by(self, message: &Message) -> bool {
        let follows = message.index == self.index
            && message.log_term == self.term
            && message.term == self.term;
        let plain = !message.reject
            && message.reject_hint == 0
            && message.vote == 0
            && message.context.is_none()
            && message.snapshot.is_none()
            && message.responses.is_empty();
        let counted = message
            .entries
            .last()
            .is_none_or(|e| Some(e.index) == self.index.checked_add(message.entries.len() as u64));
        follows && plain && counted && message.entries.len() as u64 <= MAX_ENTRIES
    }
}

/// Encodes the appends of one connection (etcd: msgappv2).
#[derive(Clone, Debug, Default)]
pub struct AppendEncoder {
    at: Position,
}

impl AppendEncoder {
    /// Appends a `MsgApp`.
    pub fn encode(&mut self, message: &Message, out: &mut Output) {
        if self.at.is_continued_by(message) {
            out.put_u8(ENTRIES);
            out.put_u64(message.entries.len() as u64);
            for entry in &message.entries {
                out.put_u64(wire::entry_len(entry) as u64);
                wire::put_entry(entry, out);
            }
            out.put_u64(message.commit);
            self.at.index += message.entries.len() as u64;
        } else {
            out.put_u8(MESSAGE);
            out.put_u64(wire::message_len(message) as u64);
            wire::put_message(message, out);
            self.at = Position::after(message);
        }
    }

    /// Appends a sign of life.
    pub fn encode_heartbeat(out: &mut Output) {
        out.put_u8(HEARTBEAT);
    }
}

/// Decodes the appends of one connection (etcd: msgappv2).
#[derive(Debug)]
pub struct AppendDecoder {
    input: Input,
    local: u64,
    remote: u64,
    at: Position,
    state: State,
}

/// What comes next.
#[derive(Debug)]
enum State {
    Kind,
    Count,
    EntryLen(Entries),
    Entry(Entries, usize),
    Commit(Entries),
    MessageLen,
    Message(usize),
}

/// The entries of a frame that is being received.
#[derive(Debug)]
struct Entries {
    /// How many are still to come.
    missing: u64,
    list: Vec<Entry>,
    /// Sum of their lengths.
    bytes: u64,
}

impl AppendDecoder {
    /// Decodes what the member `remote` sends to this one, `local`: the short form names neither.
    pub fn new(local: u64, remote: u64) -> Self {
        Self {
            input: Input::default(),
            local,
            remote,
            at: Position::default(),
            state: State::Kind,
        }
    }

    /// More of the stream has come.
    pub fn push(&mut self, piece: Bytes) {
        self.input.push(piece);
    }

    /// The next frame, once it is there in full.
    pub fn decode(&mut self) -> Result<Option<Frame>, DecodeError> {
        loop {
            let state = std::mem::replace(&mut self.state, State::Kind);
            match self.step(state)? {
                Step::Go(next) => self.state = next,
                Step::Wait(same) => {
                    self.state = same;
                    return Ok(None);
                }
                Step::Done(frame) => return Ok(Some(frame)),
            }
        }
    }

    fn step(&mut self, state: State) -> Result<Step, DecodeError> {
        Ok(match state {
            State::Kind => match self.input.take_u8() {
                None => Step::Wait(State::Kind),
                Some(HEARTBEAT) => Step::Done(Frame::Heartbeat),
                Some(ENTRIES) => Step::Go(State::Count),
                Some(MESSAGE) => Step::Go(State::MessageLen),
                Some(found) => {
                    return Err(DecodeError::UnknownKind {
                        offset: self.input.offset() - 1,
                        found,
                    });
                }
            },
            State::Count => match self.input.take_len("frame of entries", MAX_ENTRIES)? {
                None => Step::Wait(State::Count),
                Some(count) => Step::Go(self.begin_entries(count as u64)?),
            },
            State::EntryLen(entries) if entries.missing == 0 => Step::Go(State::Commit(entries)),
            State::EntryLen(entries) => {
                let limit = MAX_MESSAGE_BYTES.saturating_sub(entries.bytes);
                match self.input.take_len("entry", limit)? {
                    None => Step::Wait(State::EntryLen(entries)),
                    Some(len) => Step::Go(State::Entry(entries, len)),
                }
            }
            State::Entry(mut entries, len) => match self.input.take(len) {
                None => Step::Wait(State::Entry(entries, len)),
                Some(bytes) => {
                    entries.list.push(self.entry(bytes)?);
                    entries.missing -= 1;
                    entries.bytes += len as u64;
                    Step::Go(State::EntryLen(entries))
                }
            },
            State::Commit(entries) => match self.input.take_u64() {
                None => Step::Wait(State::Commit(entries)),
                Some(commit) => Step::Done(self.append(entries.list, commit)),
            },
            State::MessageLen => match self.input.take_len("message", MAX_MESSAGE_BYTES)? {
                None => Step::Wait(State::MessageLen),
                Some(len) => Step::Go(State::Message(len)),
            },
            State::Message(len) => match self.input.take(len) {
                None => Step::Wait(State::Message(len)),
                Some(bytes) => Step::Done(self.message(bytes)?),
            },
        })
    }

    fn begin_entries(&self, count: u64) -> Result<State, DecodeError> {
        if self.at.index.checked_add(count).is_none() {
            return Err(DecodeError::IndexOverflow {
                offset: self.input.offset(),
                index: self.at.index,
                count,
            });
        }
        Ok(State::EntryLen(Entries {
            missing: count,
            list: Vec::new(),
            bytes: 0,
        }))
    }

    fn entry(&self, bytes: Bytes) -> Result<Entry, DecodeError> {
        Entry::decode(bytes).map_err(|source| self.malformed("raftpb.Entry", source))
    }

    /// The message that the short form stands for.
    fn append(&mut self, entries: Vec<Entry>, commit: u64) -> Frame {
        let message = Message {
            r#type: MessageType::MsgApp.into(),
            from: self.remote,
            to: self.local,
            term: self.at.term,
            log_term: self.at.term,
            index: self.at.index,
            commit,
            entries,
            ..Message::default()
        };
        self.at.index += message.entries.len() as u64;
        Frame::Message(Box::new(message))
    }

    fn message(&mut self, bytes: Bytes) -> Result<Frame, DecodeError> {
        let message =
            Message::decode(bytes).map_err(|source| self.malformed("raftpb.Message", source))?;
        if message.r#type != i32::from(MessageType::MsgApp) {
            return Err(DecodeError::NotAnAppend {
                offset: self.input.offset(),
                found: message.r#type,
            });
        }
        self.at = Position::after(&message);
        Ok(Frame::Message(Box::new(message)))
    }

    fn malformed(
        &self,
        message: &'static str,
        source: varve_proto::prost::DecodeError,
    ) -> DecodeError {
        DecodeError::Malformed {
            message,
            offset: self.input.offset(),
            source,
        }
    }
}

enum Step {
    Go(State),
    /// More bytes are needed.
    Wait(State),
    Done(Frame),
}
