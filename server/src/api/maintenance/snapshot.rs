//! The Snapshot stream: the database image in blobs, then the digest of all of them.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use varve_proto::etcdserverpb::SnapshotResponse;

use crate::api::kv::blocking;
use crate::api::outbound::Outbound;
use crate::core::Core;
use crate::rpc::{EncodedMessage, SinkClosed, Status};

/// Bytes of one blob, as etcd sends them.
const BLOB_BYTES: usize = 32 * 1024;

/// Streams the image from a thread that may block; the sink's bound holds it back to the client's
/// pace, and a client that goes away ends it.
pub(in crate::api) async fn snapshot(core: &Arc<Core>, out: Outbound) -> Result<(), Status> {
    let core = Arc::clone(core);
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        let began = Instant::now();
        let version = if core.config().compat.has_36_fields() {
            core.storage_version().unwrap_or_default()
        } else {
            String::new()
        };
        let send = |remaining_bytes: u64, blob: Bytes| -> Result<(), SinkClosed> {
            let version = version.clone();
            let response = SnapshotResponse {
                header: None,
                remaining_bytes,
                blob,
                version,
            };
            runtime.block_on(out.send(EncodedMessage::encode(&response)))
        };
        let mut export = core.backend_export()?;
        let total = export.len();
        tracing::info!(total_bytes = total, "sending database snapshot to client");
        let mut digest = Sha256::new();
        let mut sent = 0_u64;
        while sent < total {
            let mut blob = BytesMut::zeroed(BLOB_BYTES);
            let mut filled = 0;
            while filled < BLOB_BYTES {
                let n = export.read(&mut blob[filled..])?;
                if n == 0 {
                    break;
                }
                filled += n;
            }
            if filled == 0 {
                return Err(Status::unknown(format!(
                    "the database image ended after {sent} of {total} bytes"
                )));
            }
            blob.truncate(filled);
            digest.update(&blob);
            sent += filled as u64;
            send(total.saturating_sub(sent), blob.freeze())?;
        }
        send(0, Bytes::copy_from_slice(&digest.finalize()))?;
        let took = began.elapsed();
        core.metrics().observe_snapshot(took);
        tracing::info!(total_bytes = total, took = ?took, "sent database snapshot to client");
        Ok(())
    })
    .await
}
