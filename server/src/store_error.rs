//! What the store's errors are to a client: etcd's codes and texts.
use varve_mvcc::Error;

use crate::rpc::{RpcError, Status};

/// The error of etcd's API that a refused request gets; `None` when the store itself failed.
pub(crate) fn refusal(error: &Error) -> Option<RpcError> {
    match error {
        Error::Compacted => Some(RpcError::Compacted),
        Error::FutureRevision => Some(RpcError::FutureRev),
        Error::LeaseNotFound => Some(RpcError::LeaseNotFound),
        Error::LeaseExists => Some(RpcError::LeaseExist),
        Error::LeaseTtlTooLarge => Some(RpcError::LeaseTtlTooLarge),
        _ => None,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        // What etcd has no code for goes out as Unknown with its own text.
        refusal(&error).map_or_else(|| Self::unknown(error.to_string()), Into::into)
    }
}

impl From<varve_backend::Error> for Status {
    fn from(error: varve_backend::Error) -> Self {
        Self::unknown(error.to_string())
    }
}
