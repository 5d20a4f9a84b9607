//! Any bytes as a `.snap` file, as they are or under a sound checksum: loaded or set aside, and what is
//! loaded encodes to something that loads to the same.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_fuzz::put;
use varve_proto::prost::Message;
use varve_proto::{snappb, walpb};
use varve_snap::Snapshotter;
use varve_vfs::SimFs;

fuzz_target!(|data: &[u8]| {
    let Some((how, body)) = data.split_first() else {
        return;
    };
    let bytes = if how % 2 == 0 {
        body.to_vec()
    } else {
        let crc = crc32c::crc32c(body);
        snappb::Snapshot {
            crc,
            data: Some(body.to_vec().into()),
        }
        .encode_to_vec()
    };
    let sim = SimFs::new();
    let dir = Path::new("/snap");
    let decoded = varve_snap::decode(bytes.clone().into(), dir);
    let (term, index) = match &decoded {
        Ok(snapshot) => (snapshot.metadata.term, snapshot.metadata.index),
        Err(e) => {
            assert!(e.is_corruption());
            (2, 3)
        }
    };
    put(
        &sim,
        &dir.join(format!("{term:016x}-{index:016x}.snap")),
        &bytes,
    );
    let snapshotter = Snapshotter::new(sim.shared(), dir);
    let known = [walpb::Snapshot {
        index,
        term,
        conf_state: None,
    }];
    let loaded = snapshotter
        .load_newest_valid(&known)
        .expect("a healthy disk");
    assert_eq!(loaded.is_some(), decoded.is_ok());
    if let Some(snapshot) = loaded {
        snapshotter.save(&snapshot).expect("a healthy disk");
        let again = snapshotter
            .load_newest_valid(&known)
            .expect("a healthy disk");
        assert_eq!(again, Some(snapshot));
    }
});
