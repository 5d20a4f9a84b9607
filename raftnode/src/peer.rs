//! How members reach each other: etcd's peer protocol (rafthttp), over HTTP/1.1.
//!
//! The only asynchronous part of this crate. [`Peers`] is the handle: the raft and apply threads give it
//! messages and membership (none of these calls blocks), the server's peer listener gives it requests,
//! and tokio tasks carry bytes. What arrives goes to the [`PeerHost`].
//!
//! For each ordered pair of members and each of two kinds of messages the *receiver* opens an endless GET
//! and the sender writes the response body ([`stream`]). Where no stream is attached a message is posted
//! alone ([`pipeline`]); a snapshot is posted with its database ([`snapshot`]). Facts: etcd's
//! `server/etcdserver/api/rafthttp`, read for behaviour only.
//!
//! # Invariants
//! 1. Nothing that a real member would panic on leaves here: frames are whole and well-formed, versions
//!    and advertised URLs in headers are checked when the transport is made, 403 and 410 are answered for
//!    removed (403 also for misaddressed) members only.
//! 2. Sending never waits: every queue is bounded, and what does not fit is dropped and reported as
//!    unreachable.
//! 3. Every snapshot that was handed over is reported once, sent or not.
//!
//! # Failure model
//! A link that carries nothing for the read timeout (5 s) is cut and dialled again, ten times a second at
//! most, through the member's URLs in turn. Each failure makes the peer inactive; the next success on any
//! link makes it active again.
//!
//! # Not here
//! Which members there are (the server's apply), what messages mean (`varve-raft`), the listener itself
//! and the other paths of the peer URL (`/members`, `/version`, ...: the server).
mod client;
mod codec;
mod config;
mod deadline;
mod dial;
mod direct;
mod error;
mod handler;
mod headers;
mod host;
mod json_time;
mod metrics;
mod peers;
mod pipeline;
mod probing;
mod received;
mod respond;
mod snapshot;
mod status;
mod stream;
mod tls;
mod url;
mod version;

pub use client::PeerClient;
pub use codec::{
    AppendDecoder, AppendEncoder, DecodeError, Frame, MessageDecoder, Output, encode_message,
};
pub use config::{PeerConfig, PeerTimings};
pub use deadline::DeadlineIo;
pub use direct::{DirectIo, DirectSocket};
pub use error::PeerError;
pub use handler::PeerBody;
pub use host::{PeerHost, ReceiveError};
pub use metrics::{HistogramFigures, MemberFigures, PeerFigures};
pub use peers::Peers;
pub use tls::{PeerTls, ServerTls, TlsError, TlsFiles};
pub use url::{PeerUrl, Scheme};

use std::fmt;

/// A member's or cluster's id as every header, path and log line has it: hexadecimal without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex(pub(crate) u64);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Hex {
    /// Reads an id the way Go does: hexadecimal digits only.
    pub(crate) fn parse(text: &str) -> Option<u64> {
        let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
        if plain {
            u64::from_str_radix(text, 16).ok()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
