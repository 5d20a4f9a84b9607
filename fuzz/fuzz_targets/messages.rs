//! Any bytes as each message that disk or wire may hand us: an error or a value, never a panic; and
//! what decodes encodes to something that decodes to the same.
#![no_main]
use libfuzzer_sys::fuzz_target;
use varve_proto::prost::Message;
use varve_proto::{authpb, etcdserverpb, leasepb, membershippb, mvccpb, raftpb, snappb, walpb};

fn check<M: Message + Default + PartialEq>(data: &[u8]) {
    if let Ok(message) = M::decode(data) {
        let again = M::decode(message.encode_to_vec().as_slice()).expect("own encoding decodes");
        assert!(again == message);
    }
}

fuzz_target!(|data: &[u8]| {
    check::<raftpb::Entry>(data);
    check::<raftpb::Message>(data);
    check::<raftpb::ConfChange>(data);
    check::<raftpb::ConfChangeV2>(data);
    check::<raftpb::HardState>(data);
    check::<raftpb::Snapshot>(data);
    check::<walpb::Record>(data);
    check::<walpb::Snapshot>(data);
    check::<snappb::Snapshot>(data);
    check::<mvccpb::KeyValue>(data);
    check::<leasepb::Lease>(data);
    check::<etcdserverpb::InternalRaftRequest>(data);
    check::<etcdserverpb::Request>(data);
    check::<etcdserverpb::Metadata>(data);
    check::<etcdserverpb::TxnRequest>(data);
    check::<authpb::User>(data);
    check::<authpb::Role>(data);
    check::<membershippb::ClusterMemberAttrSetRequest>(data);
    check::<etcdserverpb::WatchRequest>(data);
});
