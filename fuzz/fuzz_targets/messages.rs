//! Any bytes as one of the messages that disk or wire may hand us: an error or a value, never a panic;
//! and what decodes encodes to something that decodes to the same. The first byte chooses the message.
#![no_main]
use libfuzzer_sys::fuzz_target;
// Its allocator.
use varve_fuzz as _;
use varve_proto::prost::Message;
use varve_proto::{authpb, etcdserverpb, leasepb, membershippb, mvccpb, raftpb, snappb, walpb};

fn check<M: Message + Default + PartialEq>(data: &[u8]) {
    if let Ok(message) = M::decode(data) {
        let again = M::decode(message.encode_to_vec().as_slice()).expect("own encoding decodes");
        assert!(again == message);
    }
}

/// In this order for good: the corpus names a message by its place.
const CHECKS: [fn(&[u8]); 20] = [
    check::<raftpb::Entry>,
    check::<raftpb::Message>,
    check::<raftpb::ConfChange>,
    check::<raftpb::ConfChangeV2>,
    check::<raftpb::HardState>,
    check::<raftpb::Snapshot>,
    check::<walpb::Record>,
    check::<walpb::Snapshot>,
    check::<snappb::Snapshot>,
    check::<mvccpb::KeyValue>,
    check::<leasepb::Lease>,
    check::<etcdserverpb::InternalRaftRequest>,
    check::<etcdserverpb::Request>,
    check::<etcdserverpb::Metadata>,
    check::<etcdserverpb::TxnRequest>,
    check::<authpb::User>,
    check::<authpb::Role>,
    check::<membershippb::ClusterMemberAttrSetRequest>,
    check::<etcdserverpb::WatchRequest>,
    check::<raftpb::ConfState>,
];

fuzz_target!(|data: &[u8]| {
    if let Some((which, body)) = data.split_first() {
        CHECKS[usize::from(*which) % CHECKS.len()](body);
    }
});
