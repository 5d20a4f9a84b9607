//! Any bytes as each of the messages that disk or wire may hand us: an error or a value, never a panic;
//! and what decodes encodes to something that decodes to the same.
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

// Every input goes through all of them: so many executions are as many of each decoder, and what one
// message taught the fuzzer about tags and lengths serves its neighbours.
fuzz_target!(|data: &[u8]| {
    for check in CHECKS {
        check(data);
    }
});
