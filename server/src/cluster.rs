//! What a member does as one of several: finding its cluster, changing it, watching over it.
//!
//! Everything here runs on the tokio runtime (start-up: on the main thread before service), asks other
//! members over their peer URLs and changes the cluster through the log only.
//!
//! # Not here
//! The raft messages between members (`varve_raftnode`'s peer transport); what an entry that changes
//! the cluster does (`apply`).
mod client;
pub(crate) mod corruption;
mod host;
mod join;
mod lease_keeper;
mod links;
mod reconfigure;
mod remote;
pub(crate) mod versions;

pub(crate) use client::PeerClient;
pub(crate) use corruption::{HashAnswer, HashRequest, hash};
pub(crate) use host::MemberHost;
pub(crate) use join::{FirstStart, first_start};
pub(crate) use lease_keeper::{APPLY_LAGS, NOT_FOUND, NOT_PRIMARY};
pub(crate) use links::MemberLinks;
#[cfg(feature = "stepped")]
pub(crate) use reconfigure::promotion;
