use varve_backend::{BackendOptions, MemoryEngine};

use super::*;
use crate::restore::restore;

fn open() -> Core {
    let backend = Backend::open(Arc::new(MemoryEngine::new()), BackendOptions::manual()).unwrap();
    let options = StoreOptions::default();
    let restored = restore(&backend, &options).unwrap();
    Core::new(backend, options, restored.writer, restored.lessor)
}

#[test]
fn a_picture_of_the_index_is_taken_again_when_rows_it_names_may_be_gone() {
    // The three things that can happen between taking the index and taking the backend's view.
    let core = open();
    let taken = core.published();
    let mut writer = core.writer.lock();
    writer.revision += 1;
    core.publish(&mut writer);
    assert!(core.still_stands(&taken), "a write deletes nothing");
    writer.compacted = 2;
    core.publish(&mut writer);
    assert!(!core.still_stands(&taken), "a compaction does");
    let taken = core.published();
    let fresh = Writer {
        index: Index::new(),
        revision: 2,
        compacted: 2,
        epoch: 0,
        expecting: 0,
    };
    core.replace(&mut writer, fresh, || Ok(())).unwrap();
    assert!(!core.still_stands(&taken), "so does other content");
    assert!(core.still_stands(&core.published()));
}
