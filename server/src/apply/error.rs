//! Why a request did not apply: refused, or the state itself is broken.
use varve_mvcc::Error as StoreError;
use varve_raftnode::Fatal;

use crate::rpc::{RpcError, Status};
use crate::store_error::refusal;

/// The two have nothing in common: a refusal is the same on every member and the log goes on; a
/// broken state is this member's own, and going on would make it differ from the others.
#[derive(Debug)]
pub(crate) enum ApplyError {
    /// The client gets this error.
    Refused(RpcError),
    /// The member stops.
    Broken(Fatal),
}

impl From<RpcError> for ApplyError {
    fn from(error: RpcError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        match refusal(&error) {
            Some(refused) => Self::Refused(refused),
            None => Self::Broken(error.into()),
        }
    }
}

impl From<varve_proto::Error> for ApplyError {
    fn from(error: varve_proto::Error) -> Self {
        // Stored pairs were written by this store; one that does not parse is damage.
        Self::Broken(error.into())
    }
}

/// For readers outside the log, which stop nothing.
impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Refused(error) => error.into(),
            ApplyError::Broken(error) => Self::unknown(error.to_string()),
        }
    }
}
