//! Many readers beside one writer, for as long as one likes.
//!
//! The long form: `VARVE_READERS_SECONDS=200 cargo test --release -p varve-backend-btree --test it --
//! sixty_four_readers --nocapture`.
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use varve_backend::{Batch, Direction, Engine, KeyRange, Snapshot};
use varve_backend_btree::{BtreeEngine, BtreeOptions};

use crate::common::{KEY, META, Numbers, open, real, revision};

const READERS: usize = 64;
/// Revisions the writer keeps alive: the file must stay near their size.
const LIVE: u64 = 4000;
const MAX_VALUE: u64 = 400;

/// Order-independent digest of a pair, so that the writer can keep it up to date change by change.
fn digest(key: &[u8], value: &[u8]) -> u64 {
    let sum = u64::from(crc32c::crc32c_append(crc32c::crc32c(key), value));
    sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ key.len() as u64
}

/// What a commit holds: its number of pairs and the sum of their digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Sum {
    pairs: u64,
    digest: u64,
}

impl Sum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.pairs += 1;
        self.digest = self.digest.wrapping_add(digest(key, value));
    }

    fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.pairs -= 1;
        self.digest = self.digest.wrapping_sub(digest(key, value));
    }
}

/// Commit number and contents, as a view shows them; scanned forward, backward or visited.
fn seen(view: &dyn Snapshot, how: u64) -> (u64, Sum) {
    let number = view
        .get(META, b"commit")
        .unwrap()
        .map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
    let mut sum = Sum::default();
    if how == 0 {
        let all = KeyRange::all();
        view.visit(KEY, &all, Direction::Forward, &mut |k, v| {
            sum.add(k, v);
            true
        })
        .unwrap();
    } else {
        let direction = [Direction::Forward, Direction::Backward][usize::from(how == 1)];
        let mut scan = view.scan(KEY, &KeyRange::all(), direction).unwrap();
        while let Some((key, value)) = scan.next().unwrap() {
            sum.add(&key, &value);
        }
    }
    (number, sum)
}

/// Writes random commits.
struct Writer {
    numbers: Numbers,
    live: BTreeMap<Bytes, Bytes>,
    sum: Sum,
    next: u64,
}

impl Writer {
    /// Notes in `sums` what the commit holds before it can be seen; returns its number.
    fn commit(&mut self, db: &BtreeEngine, sums: &Mutex<Vec<Sum>>) -> u64 {
        let mut batch = Batch::new();
        for _ in 0..self.numbers.below(60) {
            let key = if self.numbers.below(5) == 0 {
                revision(self.numbers.below(self.next))
            } else {
                self.next += 1;
                revision(self.next - 1)
            };
            let len = usize::try_from(self.numbers.below(MAX_VALUE)).unwrap();
            let fill = u8::try_from(self.numbers.below(256)).unwrap();
            let value = Bytes::from(vec![fill; len]);
            if let Some(old) = self.live.insert(key.clone(), value.clone()) {
                self.sum.remove(&key, &old);
            }
            self.sum.add(&key, &value);
            batch.put(KEY, key, value);
        }
        while self.live.len() as u64 > LIVE || self.numbers.below(40) == 0 && !self.live.is_empty()
        {
            // Scattered, as compaction deletes.
            let from = revision(self.numbers.below(self.next));
            let at = self.live.range(from..).next().or(self.live.iter().next());
            let (key, value) = at.map(|(k, v)| (k.clone(), v.clone())).unwrap();
            self.live.remove(&key);
            self.sum.remove(&key, &value);
            batch.delete(KEY, key);
        }
        let number = {
            let mut sums = sums.lock().unwrap();
            sums.push(self.sum);
            sums.len() as u64 - 1
        };
        let value = Bytes::copy_from_slice(&number.to_be_bytes());
        batch.put(META, Bytes::from_static(b"commit"), value);
        db.commit(&batch).unwrap();
        number
    }
}

/// Every view of 64 scanning threads equals its commit. One more view is held the whole time: it must
/// show the same at the end, hold nobody up, and cost only the pages that it can see: once the others
/// are gone, the writer lives on what they pinned.
#[test]
fn views_of_sixty_four_readers_equal_their_commits_and_a_held_one_costs_what_it_pins() {
    let seconds = std::env::var("VARVE_READERS_SECONDS").map_or(3, |s| s.parse().unwrap());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let db = open(&real(), &dir.path().join("db"), BtreeOptions::default());
    // Commit 0 is the empty store.
    let sums = Mutex::new(vec![Sum::default()]);
    let mut writer = Writer {
        numbers: Numbers(0xabcd),
        live: BTreeMap::new(),
        sum: Sum::default(),
        next: 1,
    };
    for _ in 0..200 {
        writer.commit(&db, &sums);
    }
    let held = db.snapshot().unwrap();
    let at_first = seen(&*held, 0);
    let (stop, views) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut commits = 0;
    std::thread::scope(|scope| {
        for reader in 0..READERS as u64 {
            let (db, sums, stop, views) = (&db, &sums, &stop, &views);
            scope.spawn(move || {
                let mut turn = reader;
                while !stop.load(Ordering::Relaxed) || turn == reader {
                    let view = db.snapshot().unwrap();
                    let (number, sum) = seen(&*view, turn % 3);
                    let want = sums.lock().unwrap()[usize::try_from(number).unwrap()];
                    assert_eq!(sum, want, "commit {number} as reader {reader} sees it");
                    views.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            });
        }
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until || views.load(Ordering::Relaxed) < 2 * READERS as u64 {
            commits = writer.commit(&db, &sums);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(seen(&*held, 0), at_first, "the held view");
    let with_readers = db.sizes().total_bytes;
    // Each reader pinned at most the pages of its commit, half full at worst.
    let live_bytes = LIVE * (MAX_VALUE / 2 + 33);
    let bound = (READERS as u64 + 2) * 2 * live_bytes + (4 << 20);
    assert!(with_readers < bound, "{with_readers} bytes, bound {bound}");

    (0..20).for_each(|_| {
        writer.commit(&db, &sums);
    });
    let begin = db.sizes().total_bytes;
    for _ in 0..500 {
        writer.commit(&db, &sums);
        let now = db.sizes().total_bytes;
        let bound = begin.max(2 * 2 * live_bytes) + (1 << 20);
        assert!(
            now <= bound,
            "with one view held: {begin} bytes, then {now}"
        );
    }
    assert_eq!(seen(&*held, 2), at_first, "the held view after all");
    drop(held);
    assert!(db.check().is_sound(), "{:?}", db.check().errors);
    println!(
        "{} views checked beside {commits} commits in {seconds} s; file {with_readers} bytes, then {}",
        views.load(Ordering::Relaxed),
        db.sizes().total_bytes
    );
}
