//! The same commits with and without lists of elements make the same file.
use bytes::Bytes;
use proptest::prelude::*;
use varve_backend::{Batch, Bucket, Engine};
use varve_vfs::SimFs;

use crate::commit::direct::{NOTED, OFF};
use crate::{BtreeEngine, BtreeOptions};

const KEY: Bucket = Bucket::new("key");
const OTHER: Bucket = Bucket::new("other");

/// What one commit does.
#[derive(Clone, Debug)]
enum Step {
    /// Pairs behind all others, with values of about this length.
    Append { count: u64, len: usize },
    /// Deletes every so many keys of a range, in thousandths of what there is.
    Thin { from: u64, to: u64, every: u64 },
    /// Puts and deletes here and there, and appends at the same time.
    Mixed { seed: u64 },
}

fn key(n: u64) -> Bytes {
    // Lengths differ, and the order is that of the numbers.
    let mut key = n.to_be_bytes().to_vec();
    key.resize(9 + usize::try_from(n % 9).unwrap(), b'_');
    key.into()
}

fn value(n: u64, len: usize) -> Bytes {
    let fill = n.to_le_bytes()[0];
    Bytes::from(vec![fill; len + usize::from(fill) % 7])
}

fn batch(step: &Step, next: &mut u64) -> Batch {
    let mut batch = Batch::new();
    let append = |batch: &mut Batch, next: &mut u64, count: u64, len: usize| {
        for n in *next..*next + count {
            batch.put(KEY, key(n), value(n, len));
            if n % 3 == 0 {
                batch.put(OTHER, key(n), value(n, len / 2));
            }
        }
        *next += count;
    };
    match *step {
        Step::Append { count, len } => append(&mut batch, next, count, len),
        Step::Thin { from, to, every } => {
            for n in
                (*next * from / 1000..=*next * to / 1000).step_by(usize::try_from(every).unwrap())
            {
                batch.delete(KEY, key(n));
                batch.delete(OTHER, key(n));
            }
        }
        Step::Mixed { seed } => {
            let below = *next + 1;
            let mut some: Vec<u64> = (0..seed % 23)
                .map(|i| seed.wrapping_mul(i + 7) % below)
                .collect();
            if seed % 4 > 0 {
                // The order in which a batch gives out all its operations as one slice.
                some.sort_unstable();
            }
            if seed % 8 > 5 {
                // What stands before the new keys goes away.
                let from = next.saturating_sub(seed % 50);
                some.retain(|n| *n < from);
                some.extend(from..*next);
            }
            for (i, n) in some.into_iter().enumerate() {
                if i % 3 == 0 {
                    batch.put(KEY, key(n), value(seed, 60));
                } else {
                    batch.delete(KEY, key(n));
                }
            }
            append(&mut batch, next, seed % 200, 40);
        }
    }
    batch
}

fn image(db: &BtreeEngine) -> Vec<u8> {
    let mut export = db.export().unwrap();
    let mut bytes = vec![0; usize::try_from(export.len()).unwrap()];
    let mut at = 0;
    while at < bytes.len() {
        at += export.read(&mut bytes[at..]).unwrap();
    }
    bytes
}

/// Runs the steps on two engines, one of which makes all leaves of lists, and compares their files after
/// every commit; returns how many leaves were made of a tail and of what was left, and how often puts were
/// not listed.
fn both(options: &BtreeOptions, steps: &[Step]) -> [u64; 3] {
    let open = || BtreeEngine::open(SimFs::new().shared(), "/db", options.clone()).unwrap();
    let (direct, lists) = (open(), open());
    let mut next = 1;
    NOTED.set([0; 3]);
    for (n, step) in steps.iter().enumerate() {
        let batch = batch(step, &mut next);
        direct.commit(&batch).unwrap();
        OFF.set(true);
        let listed = lists.commit(&batch);
        OFF.set(false);
        listed.unwrap();
        assert!(image(&direct) == image(&lists), "commit {n}, {step:?}");
    }
    let report = direct.check();
    assert!(report.is_sound(), "{:?}", report.errors);
    NOTED.get()
}

fn options(page_size: u32, fill: u8) -> BtreeOptions {
    BtreeOptions {
        page_size,
        fill_percent: vec![("key", fill)],
        move_pages_per_commit: 0,
        ..BtreeOptions::default()
    }
}

#[test]
fn revisions_and_their_deletion_go_straight_into_pages() {
    let mut steps = vec![];
    for n in 0..60 {
        let (count, len) = [(1, 256), (100, 256), (1000, 256), (3, 4096), (90, 4096)][n % 5];
        steps.push(Step::Append { count, len });
        let (from, to, every) = [(0, 400, 50), (100, 130, 1), (500, 900, 9)][n % 3];
        steps.push(Step::Thin { from, to, every });
    }
    let [tail, left, behind] = both(&options(4096, 100), &steps);
    assert!(tail >= 50, "{tail} of 60 appending commits");
    assert!(left >= 1000, "{left} leaves with deletions");
    // Of both buckets: 100, 1,000 and 90 pairs, not 1 and 3, nor 33 and 30 in the other bucket.
    assert!(behind >= 36, "{behind} of 36 long commits");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40u64, 0..200usize).prop_map(|(count, len)| Step::Append { count, len }),
        1 => (1..300u64, 0..3000usize).prop_map(|(count, len)| Step::Append { count, len }),
        3 => (0..900u64, 0..300u64, 1..20u64)
            .prop_map(|(from, len, every)| Step::Thin { from, to: from + len, every }),
        2 => any::<u64>().prop_map(|seed| Step::Mixed { seed: seed >> 8 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the sizes of pages, the fill and the sequence of commits.
    #[test]
    fn both_ways_make_the_same_file(
        shift in 9..13u32, fill in 50..=100u8,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        both(&options(1 << shift, fill), &steps);
    }
}
