//! Waiting for raft: for the index that a read must see, and for that index to be applied.
//!
//! Futures without timers, so that whoever polls them decides about time.
use tokio::sync::oneshot;
use varve_raftnode::Node;

use crate::core::request_error;
use crate::rpc::{RpcError, Status};

/// An index that covers everything committed before this call, as the leader names it.
pub(crate) async fn read_index(node: &Node) -> Result<u64, Status> {
    let (done, answer) = oneshot::channel();
    node.read_index(Box::new(move |index| {
        // The reader may have given up.
        let _gone = done.send(index);
    }))
    .map_err(request_error)?;
    match answer.await {
        Ok(index) => index.map_err(|e| request_error(e).into()),
        Err(_) => Err(RpcError::Stopped.into()),
    }
}

/// Returns when the entry at `index` is applied here.
pub(crate) async fn wait_applied(node: &Node, index: u64) -> Result<(), Status> {
    let (reached, applied) = oneshot::channel();
    node.published().applied().when(
        index,
        Box::new(move || {
            // The reader may have given up.
            let _gone = reached.send(());
        }),
    );
    applied.await.map_err(|_| RpcError::Stopped.into())
}
