//! What applying a request gave: the facts a response is made of, not yet a response.
//!
//! Key-value pairs stay in their stored encoding (an encoded `mvccpb.KeyValue`), which is also how a
//! response carries them.
use bytes::Bytes;
use tokio::sync::oneshot;
use varve_mvcc::RangeResult;
use varve_proto::etcdserverpb::AlarmMember;

/// The outcome of one request. `revision` is the store's revision for the response header.
#[derive(Debug)]
pub(crate) enum Applied {
    /// A put, with the pair it replaced if that was asked for.
    Put {
        revision: i64,
        prev_kv: Option<Bytes>,
    },
    /// A range deletion, with the deleted pairs if asked for.
    DeleteRange {
        revision: i64,
        deleted: i64,
        prev_kvs: Vec<Bytes>,
    },
    /// A transaction.
    Txn(TxnApplied),
    /// A compaction was scheduled; `physical` completes when the rows are gone.
    Compaction {
        revision: i64,
        physical: oneshot::Receiver<()>,
    },
    /// A lease was granted with this TTL.
    LeaseGrant { revision: i64, id: i64, ttl: i64 },
    /// A lease was revoked.
    LeaseRevoke { revision: i64 },
    /// The alarms that match the request.
    Alarm {
        revision: i64,
        alarms: Vec<AlarmMember>,
    },
    /// Done, nothing to tell.
    Empty,
}

/// The outcome of a transaction.
#[derive(Debug)]
pub(crate) struct TxnApplied {
    /// The store's revision after it.
    pub(crate) revision: i64,
    /// Which branch ran.
    pub(crate) succeeded: bool,
    /// One outcome per operation of that branch.
    pub(crate) responses: Vec<OpApplied>,
}

/// The outcome of one operation in a transaction; `revision` is what its inner header carries.
#[derive(Debug)]
pub(crate) enum OpApplied {
    /// A range.
    Range(RangeResult),
    /// A put.
    Put {
        revision: i64,
        prev_kv: Option<Bytes>,
    },
    /// A range deletion.
    DeleteRange {
        revision: i64,
        deleted: i64,
        prev_kvs: Vec<Bytes>,
    },
    /// A nested transaction; its inner header is empty.
    Txn(TxnApplied),
}
