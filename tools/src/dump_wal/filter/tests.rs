use prost::Message as _;
use varve_proto::etcdserverpb::{DeleteRangeRequest, InternalRaftRequest, PutRequest};
use varve_proto::raftpb::Entry;

use super::*;

fn entry(request: &InternalRaftRequest) -> Entry {
    Entry {
        r#type: 0,
        term: 1,
        index: 1,
        data: Some(request.encode_to_vec().into()),
    }
}

fn put(key: &str) -> Entry {
    let put = PutRequest {
        key: key.as_bytes().to_vec().into(),
        ..PutRequest::default()
    };
    entry(&InternalRaftRequest {
        put: Some(put),
        ..InternalRaftRequest::default()
    })
}

fn delete(key: &str, end: &str) -> Entry {
    let delete = DeleteRangeRequest {
        key: key.as_bytes().to_vec().into(),
        range_end: end.as_bytes().to_vec().into(),
        prev_kv: false,
    };
    entry(&InternalRaftRequest {
        delete_range: Some(delete),
        ..InternalRaftRequest::default()
    })
}

#[test]
fn a_key_prefix_takes_keys_and_ranges_that_touch_it() {
    let filter = Filter::new("Normal", &[], Some("b/")).unwrap();
    let passes = |entry: &Entry| filter.passes(&Request::of(entry));
    assert!(passes(&put("b/1")));
    assert!(!passes(&put("b")) && !passes(&put("c/b/")));
    assert!(passes(&delete("a", "c")));
    assert!(passes(&delete("a", "\0")));
    assert!(passes(&delete("b/1", "")));
    assert!(!passes(&delete("a", "b")) && !passes(&delete("a", "")) && !passes(&delete("c", "d")));
}

#[test]
fn types_choose_by_etcd_s_names_and_by_the_request_s() {
    let (put, delete) = (put("k"), delete("k", ""));
    let both = |types: &str, requests: &[&str]| {
        let requests: Vec<_> = requests.iter().map(|r| (*r).to_owned()).collect();
        let filter = Filter::new(types, &requests, None).unwrap();
        [&put, &delete].map(|entry| filter.passes(&Request::of(entry)))
    };
    assert_eq!(both("IRRPut", &[]), [true, false]);
    assert_eq!(both("IRRPut,IRRDeleteRange", &[]), [true, true]);
    assert_eq!(both("ConfigChange,Request", &[]), [false, false]);
    assert_eq!(both("Normal", &["delete_range"]), [false, true]);
    assert!(Filter::new("IRRput", &[], None).is_err(), "names are exact");
}
