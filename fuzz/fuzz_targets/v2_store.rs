//! Any bytes as the JSON of a `.snap` file: an error, or a store that survives its own encoding.
#![no_main]
use libfuzzer_sys::fuzz_target;
use varve_raftnode::membership::{Cluster, V2Store};

fuzz_target!(|data: &[u8]| {
    if let Ok(store) = V2Store::from_json(data) {
        let again = V2Store::from_json(&store.to_json()).expect("own JSON parses");
        assert_eq!(again, store);
        drop(Cluster::from_v2(&store, 1, 2));
    }
});
