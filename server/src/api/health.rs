//! `grpc.health.v1.Health`: gRPC's own health protocol, for the server as a whole (service "").

use std::sync::Arc;

use varve_proto::wire::{self, Fields};

use super::outbound::Outbound;
use crate::core::Core;
use crate::rpc::{Code, EncodedMessage, MessageBuilder, RpcError, Status};

/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
const SERVICE_UNKNOWN: u64 = 3;

pub(super) fn check(message: &[u8]) -> Result<EncodedMessage, Status> {
    if is_whole_server(message)? {
        Ok(response(SERVING))
    } else {
        Err(Status::new(Code::NotFound, "unknown service"))
    }
}

/// Tells the status now and keeps the stream: it does not change while the server runs.
pub(super) async fn watch(core: &Arc<Core>, message: &[u8], out: Outbound) -> Result<(), Status> {
    let status = if is_whole_server(message)? {
        SERVING
    } else {
        SERVICE_UNKNOWN
    };
    out.send(response(status)).await?;
    tokio::select! {
        () = out.closed() => Ok(()),
        () = core.shutdown_signal() => Err(RpcError::Stopped.into()),
    }
}

/// `HealthCheckRequest.service` is empty.
fn is_whole_server(message: &[u8]) -> Result<bool, Status> {
    let malformed = |e| Status::internal(format!("grpc: error unmarshalling request: {e}"));
    let mut empty = true;
    for field in Fields::new(message) {
        let field = field.map_err(malformed)?;
        if field.number == 1 {
            empty = field.bytes().map_err(malformed)?.is_empty();
        }
    }
    Ok(empty)
}

fn response(status: u64) -> EncodedMessage {
    let mut out = MessageBuilder::with_capacity(2);
    wire::put_uint64(out.buf(), 1, status);
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_server_serves_and_other_services_are_unknown() {
        assert_eq!(check(&[]).unwrap().to_bytes(), [8, 1]);
        assert_eq!(check(&[10, 0]).unwrap().to_bytes(), [8, 1]);
        let e = check(&[10, 1, b'x']).unwrap_err();
        assert_eq!((e.code(), e.message()), (Code::NotFound, "unknown service"));
        assert_eq!(check(&[10, 9, b'x']).unwrap_err().code(), Code::Internal);
    }
}
