//! etcd's gRPC services over the member's core.
//!
//! Called by `rpc` on the tokio runtime, one future per call. A service decodes a request once,
//! validates it as etcd does, has it proposed or reads a snapshot, and splices the answer together
//! from stored bytes. Nothing here holds state of its own beyond a stream's.
//!
//! # Invariants
//! 1. Whatever a call ends with, it is counted once in the gRPC metrics (`Call`), also when its client
//!    went away and the future was dropped.
//! 2. Checks come in etcd's order: client version, learner, leader; then quota, validation, proposal.
//!
//! # Not here
//! Auth, Lock, Election: they answer Unimplemented and say so.

mod call;
mod cluster;
mod encode;
mod header;
mod health;
mod kv;
mod leader;
mod lease;
mod maintenance;
mod outbound;
mod probe;
mod validate;
mod watch;

use std::sync::Arc;

use bytes::Bytes;

use crate::core::Core;
use crate::rpc::{
    Code, EncodedMessage, Kind, Method, RequestCtx, RequestStream, ResponseSink, RpcError,
    Services, Status, decode,
};
use call::Call;
use outbound::Outbound;
pub(crate) use probe::CoreProbe;

/// The services of one member.
#[derive(Debug)]
pub(crate) struct Api {
    core: Arc<Core>,
}

impl Api {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// What every call is checked for before its request is looked at
    /// (etcd `server/etcdserver/api/v3rpc/interceptor.go`).
    fn admit(&self, ctx: &RequestCtx) -> Result<(), Status> {
        if self.core.raft_status().is_learner && !may_serve_as_learner(ctx.method) {
            return Err(RpcError::NotSupportedForLearner.into());
        }
        let version = ctx.client_api_version()?;
        let kind = if ctx.method.kind() == Kind::Unary {
            "unary"
        } else {
            "stream"
        };
        self.core.metrics().client_request(kind, version);
        if ctx.requires_leader() && !self.core.has_leader() {
            return Err(RpcError::NoLeader.into());
        }
        Ok(())
    }

    async fn dispatch(&self, ctx: &RequestCtx, message: Bytes) -> Result<EncodedMessage, Status> {
        let method = ctx.method;
        let core = &self.core;
        match method {
            Method::Range => kv::range(core, decode(message)?).await,
            Method::Put => kv::put(core, message).await,
            Method::DeleteRange => kv::delete_range(core, message).await,
            Method::Txn => kv::txn(core, message).await,
            Method::Compact => kv::compact(core, message).await,
            Method::LeaseGrant => lease::grant(core, decode(message)?).await,
            Method::LeaseRevoke => lease::revoke(core, message).await,
            Method::LeaseTimeToLive => lease::time_to_live(core, decode(message)?).await,
            Method::LeaseLeases => lease::leases(core),
            Method::MemberList => cluster::member_list(core, decode(message)?).await,
            Method::MemberAdd => cluster::member_add(core, decode(message)?).await,
            Method::MemberRemove => cluster::member_remove(core, decode(message)?).await,
            Method::MemberUpdate => cluster::member_update(core, decode(message)?).await,
            Method::MemberPromote => cluster::member_promote(core, decode(message)?, ctx).await,
            Method::Alarm => maintenance::alarm(core, message).await,
            Method::Status => maintenance::status(core),
            Method::Defragment => maintenance::defragment(core).await,
            Method::Hash => maintenance::hash(core).await,
            Method::HashKv => maintenance::hash_kv(core, decode(message)?).await,
            Method::MoveLeader => maintenance::move_leader(core, decode(message)?).await,
            Method::HealthCheck => health::check(&message),
            _ => Err(unimplemented(method)),
        }
    }
}

impl Services for Api {
    async fn unary(&self, ctx: RequestCtx, message: Bytes) -> Result<EncodedMessage, Status> {
        let mut call = Call::begin(&self.core, ctx.method);
        call.received(message.len());
        let request_bytes = message.len();
        let outcome = match self.admit(&ctx) {
            Ok(()) => self.dispatch(&ctx, message).await,
            Err(status) => Err(status),
        };
        let took = call.end(&outcome);
        if took > self.core.config().warning_unary_request_duration {
            let response_bytes = outcome.as_ref().map_or(0, EncodedMessage::len);
            tracing::warn!(
                method = ctx.method.name(),
                remote = ctx.peer.address.map(tracing::field::display),
                time_spent = ?took,
                request_size = request_bytes,
                response_size = response_bytes,
                "request stats"
            );
        }
        outcome
    }

    async fn streaming(
        self: Arc<Self>,
        ctx: RequestCtx,
        requests: RequestStream,
        responses: ResponseSink,
    ) -> Result<(), Status> {
        let mut call = Call::begin(&self.core, ctx.method);
        let outcome = match self.admit(&ctx) {
            Ok(()) => self.stream(&ctx, requests, responses).await,
            Err(status) => Err(status),
        };
        call.end_stream(&outcome);
        outcome
    }
}

impl Api {
    async fn stream(
        &self,
        ctx: &RequestCtx,
        mut requests: RequestStream,
        responses: ResponseSink,
    ) -> Result<(), Status> {
        let method = ctx.method;
        let out = Outbound::new(responses, Arc::clone(&self.core), method);
        let serving = async {
            match method {
                Method::Watch => watch::serve(&self.core, requests, out).await,
                Method::LeaseKeepAlive => lease::keep_alive(&self.core, requests, out).await,
                Method::Snapshot => {
                    out.received(requests.single().await?.len());
                    maintenance::snapshot(&self.core, out).await
                }
                Method::HealthWatch => {
                    let message = requests.single().await?;
                    out.received(message.len());
                    health::watch(&self.core, &message, out).await
                }
                _ => Err(unimplemented(method)),
            }
        };
        if ctx.requires_leader() {
            tokio::select! {
                outcome = serving => outcome,
                () = leader::lost(&self.core) => Err(RpcError::NoLeader.into()),
            }
        } else {
            serving.await
        }
    }
}

/// Calls a learner answers; a range among them only if it is serializable, which `kv` checks.
fn may_serve_as_learner(method: Method) -> bool {
    matches!(
        method,
        Method::Status
            | Method::Range
            | Method::Snapshot
            | Method::HealthCheck
            | Method::HealthWatch
    )
}

fn unimplemented(method: Method) -> Status {
    Status::new(
        Code::Unimplemented,
        format!(
            "{}.{} is not supported yet by this version of varve",
            method.service(),
            method.name()
        ),
    )
}
