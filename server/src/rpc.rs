//! gRPC straight on hyper's HTTP/2: frames, statuses, routing, connections.
//!
//! Sockets and tasks of the tokio runtime live here; what a method means does not: an
//! implementation of [`Services`] gets a [`Method`], the request's bytes and a [`RequestCtx`], and
//! gives back an [`EncodedMessage`]. Everything that is not gRPC on the same port goes to an
//! [`HttpHandler`]. Why there is no tonic: docs/adr/0002-grpc-on-hyper.md.
//!
//! # Invariants
//!
//! 1. A response's bytes are written once: what the store holds is sent as it is, framed by a
//!    prefix that was left room for ([`MessageBuilder`]).
//! 2. No request makes memory grow beyond its frames' limit; streams are bounded both ways.
//! 3. Codes and texts are those of etcd under grpc-go, also for what etcd never sees (unknown
//!    methods, oversized messages, deadlines).
//!
//! # Not here
//!
//! TLS: [`Endpoint::serve_connection`] takes any byte stream. Compression: grpc-go without a
//! registered compressor refuses it, and so do we. Enforcement of a least interval between a
//! client's pings: h2 does not show them.

mod authority;
mod body;
mod conn;
mod context;
mod error;
mod frame;
mod message;
mod method;
mod service;
mod status;
mod stream;
mod tasks;

pub use body::{HttpBody, ResponseBody};
pub use conn::{ConnOptions, Endpoint, HttpHandler};
pub use context::{Peer, RequestCtx};
pub use error::RpcError;
pub use message::{EncodedMessage, MessageBuilder, decode};
pub use method::{Kind, Method};
pub use service::Services;
pub use status::{Code, Status};
pub use stream::{RequestStream, ResponseSink, SinkClosed, TrySendError};

#[cfg(test)]
mod tests;
