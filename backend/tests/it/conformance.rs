//! The model keeps the contract it is the model of.
use std::sync::Arc;

use varve_backend::conformance::{TestBed, run_all};
use varve_backend::{Engine, Error, MemoryEngine};

struct Memory {
    last: Option<Arc<MemoryEngine>>,
}

impl TestBed for Memory {
    fn open(&mut self) -> Arc<dyn Engine> {
        let engine = Arc::new(MemoryEngine::new());
        self.last = Some(Arc::clone(&engine));
        engine
    }

    fn is_persistent(&self) -> bool {
        false
    }

    fn lose_power(&mut self) {}

    fn break_next_commit(&mut self, _engine: &Arc<dyn Engine>) {
        let broken = Error::io(
            "write",
            "memory",
            std::io::Error::other("broken on purpose"),
        );
        self.last.as_ref().unwrap().fail_next_commit(broken);
    }

    fn import(&mut self, _image: Vec<u8>) -> Option<Arc<dyn Engine>> {
        // What the image holds is read back in `backend-btree`, which knows the format.
        None
    }
}

#[test]
fn the_model_conforms() {
    run_all(|| Box::new(Memory { last: None }));
}
