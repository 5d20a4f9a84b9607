//! The contract of engines, on a simulated and on a real disk, and the model's exports read back.
use std::sync::Arc;

use varve_backend::conformance::{TestBed, run_all};
use varve_backend::{Batch, Engine, ErrorKind, MemoryEngine};
use varve_backend_btree::{BtreeEngine, BtreeOptions};
use varve_vfs::{CrashRule, Fault, OpenOptions, SimFs};

use crate::common::{KEY, LEASE, META, content, open, real, revisions, small_pages};

struct Simulated {
    fs: SimFs,
    options: BtreeOptions,
}

fn engine_of(image: &[u8]) -> Arc<dyn Engine> {
    let fs = SimFs::new().shared();
    let file = fs.open("/db".as_ref(), OpenOptions::create()).unwrap();
    file.write_all_at(image, 0).unwrap();
    drop(file);
    let db = open(&fs, "/db".as_ref(), BtreeOptions::default());
    let report = db.check();
    assert!(report.is_sound(), "{:?}", report.errors);
    Arc::new(db)
}

impl TestBed for Simulated {
    fn open(&mut self) -> Arc<dyn Engine> {
        Arc::new(open(
            &self.fs.shared(),
            "/db".as_ref(),
            self.options.clone(),
        ))
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn lose_power(&mut self) {
        self.fs = self.fs.crash_image(CrashRule::Subset, 1);
    }

    fn break_next_commit(&mut self, _engine: &Arc<dyn Engine>) {
        self.fs.fail_at(self.fs.op_count(), Fault::Eio);
    }

    fn import(&mut self, image: Vec<u8>) -> Option<Arc<dyn Engine>> {
        Some(engine_of(&image))
    }
}

#[test]
fn the_engine_conforms_on_a_simulated_disk() {
    for options in [small_pages(), BtreeOptions::default()] {
        run_all(|| {
            Box::new(Simulated {
                fs: SimFs::new(),
                options: options.clone(),
            })
        });
    }
}

/// On a real file, mapped. It cannot break, so the guarantee about failures is met by closing.
struct Mapped {
    dir: tempfile::TempDir,
}

impl TestBed for Mapped {
    fn open(&mut self) -> Arc<dyn Engine> {
        Arc::new(open(&real(), &self.dir.path().join("db"), small_pages()))
    }

    fn is_persistent(&self) -> bool {
        true
    }

    fn lose_power(&mut self) {}

    fn break_next_commit(&mut self, _engine: &Arc<dyn Engine>) {}

    fn import(&mut self, image: Vec<u8>) -> Option<Arc<dyn Engine>> {
        Some(engine_of(&image))
    }
}

#[test]
fn the_engine_conforms_on_a_mapped_file() {
    for (name, test) in varve_backend::conformance::GUARANTEES {
        if name.contains("sticky failure") {
            continue;
        }
        test(&mut Mapped {
            dir: tempfile::tempdir().unwrap(),
        });
    }
}

#[test]
fn a_closed_engine_says_so() {
    let fs = SimFs::new().shared();
    let db = BtreeEngine::open(fs, "/db", small_pages()).unwrap();
    db.close().unwrap();
    let error = db.commit(&revisions(0, 1, 1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed), "{error}");
}

/// The image builder of the `backend` crate writes what this engine (and its check) accepts: empty
/// buckets, inline ones, several levels, overflow pages, long keys.
#[test]
fn exports_of_the_model_are_sound_bbolt_files() {
    let model = MemoryEngine::new();
    let mut steps: Vec<Batch> = Vec::new();
    steps.push(Batch::new());
    let mut small = Batch::new();
    small.create_bucket(LEASE);
    small.put(META, "k".into(), "v".into());
    steps.push(small);
    let mut long = Batch::new();
    for n in 0..100u64 {
        let mut key = vec![b'x'; 3000];
        key.extend_from_slice(&n.to_be_bytes());
        long.put(LEASE, key.into(), vec![1; 50].into());
    }
    steps.push(long);
    steps.push(revisions(0, 100_000, 60));
    steps.push(revisions(50, 60, 20_000));
    let mut one_more_than_a_page = Batch::new();
    one_more_than_a_page.delete_bucket(KEY);
    (0..130).for_each(|n| {
        one_more_than_a_page.put(KEY, format!("{n:03}").into(), vec![2; 4000].into());
    });
    steps.push(one_more_than_a_page);
    for batch in steps {
        model.commit(&batch).unwrap();
        let mut export = model.export().unwrap();
        let mut image = vec![0; usize::try_from(export.len()).unwrap()];
        let mut at = 0;
        while at < image.len() {
            at += export.read(&mut image[at..]).unwrap();
        }
        let read = engine_of(&image);
        assert_eq!(
            content(&*read.snapshot().unwrap()).unwrap(),
            content(&*model.snapshot().unwrap()).unwrap()
        );
        read.commit(&revisions(7, 9, 10)).unwrap();
    }
}
