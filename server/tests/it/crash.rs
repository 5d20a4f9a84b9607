//! kill -9 under load, again and again, on one data directory: nothing acknowledged is lost.
//!
//! Concurrent writers put, delete, run transactions, grant and revoke leases, and note what was
//! acknowledged, with its revision, and the one request that was under way. The server is killed at
//! a random moment and started again. Its history, read by a watch from the last revision that was
//! checked, must hold exactly the acknowledged writes, each at its revision and whole, plus at most
//! the requests that were under way, whole too. (etcd before 3.4.21 and 3.5.5 fails this with a single
//! member: it answered before the log was written, etcd issue 14370.) Seed: `VARVE_TEST_SEED`, printed on failure.

mod history;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use history::History;
use varve_proto::etcdserverpb::{CompactionRequest, HashKvRequest};
use writers::{Hash, Round, Writer};

use crate::client::{Client, State, block_on, revision};
use crate::harness::{Member, Server, scratch};

const KILLS: u64 = 28;
/// The longest life of a server under load. Short lives hit start-up work, long ones the batches
/// and snapshots.
const LONGEST_LIFE: Duration = Duration::from_millis(400);

/// A small generator (splitmix64): the test must not depend on anything but its seed.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn seed() -> u64 {
    match std::env::var("VARVE_TEST_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::process::id().into(),
    }
}

#[test]
fn acknowledged_writes_survive_kill_9_at_any_moment() {
    let seed = seed();
    eprintln!("VARVE_TEST_SEED={seed}");
    let mut random = Random(seed);
    let dir = scratch();
    let mut member = Member::new(dir.path());
    // Snapshots and log segments' work happen many times in the life of this member.
    member.flags.push("--snapshot-count=300".to_owned());

    let mut history = History::default();
    for kill in 0..KILLS {
        let server = member.start();
        block_on(history.check(&server));
        let compactable = history.checked();
        history.expect(block_on(load_until_killed(
            server,
            kill,
            compactable,
            &mut random,
        )));
        if random.below(3) == 0 {
            // A second crash while the first is being recovered from.
            member.start_and_kill_after(Duration::from_millis(random.below(60)));
        }
    }

    let server = member.start();
    block_on(history.check(&server));
    let before = block_on(look(&server));
    server.stop();
    let server = member.start();
    assert_eq!(block_on(look(&server)), before, "after a clean restart");
    block_on(history.check(&server));
    server.stop();
    let (acknowledged, hashes) = history.totals();
    eprintln!("{acknowledged} acknowledged writes, {hashes} hashes, {KILLS} kills");
    assert!(
        acknowledged > KILLS * 10,
        "only {acknowledged} writes were acknowledged"
    );
    assert!(hashes > KILLS / 4, "only {hashes} hashes were compared");
}

async fn look(server: &Server) -> (State, u32) {
    let mut client = Client::connect(server).await;
    let state = State::of(&mut client).await;
    let hash = client
        .maintenance
        .hash_kv(HashKvRequest { revision: 0 })
        .await
        .unwrap();
    (state, hash.into_inner().hash)
}

/// Runs the writers for a random time, kills the server, and returns what they noted.
///
/// Revisions up to `compactable` may be compacted: their history is not needed any more.
async fn load_until_killed(
    server: Server,
    life: u64,
    compactable: i64,
    random: &mut Random,
) -> Round {
    let dying = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for writer in Writer::all(life, random) {
        let client = Client::connect(&server).await;
        tasks.push(tokio::spawn(writer.run(client, dying.clone())));
    }
    let hasher = tokio::spawn(hash_often(Client::connect(&server).await, dying.clone()));
    let limit = u64::try_from(LONGEST_LIFE.as_millis()).unwrap();
    tokio::time::sleep(Duration::from_millis(random.below(limit))).await;
    if life > KILLS / 2 && random.below(3) == 0 {
        // It may die in the middle of the compaction, which must be resumed then.
        let mut client = Client::connect(&server).await;
        let compaction = CompactionRequest {
            revision: compactable,
            physical: false,
        };
        drop(client.kv.compact(compaction).await);
        tokio::time::sleep(Duration::from_millis(random.below(20))).await;
    }
    dying.store(true, Ordering::SeqCst);
    server.kill();
    let mut round = Round::default();
    for task in tasks {
        round.add(task.await.unwrap());
    }
    round.hash = hasher.await.unwrap();
    round
}

/// Asks for HashKV until the server dies, and returns the last answer.
async fn hash_often(mut client: Client, dying: Arc<AtomicBool>) -> Option<Hash> {
    let mut last = None;
    loop {
        match client
            .maintenance
            .hash_kv(HashKvRequest { revision: 0 })
            .await
        {
            Ok(answer) => {
                let answer = answer.into_inner();
                last = Some(Hash {
                    revision: revision(answer.header),
                    compact_revision: answer.compact_revision,
                    value: answer.hash,
                });
            }
            Err(status) => {
                assert!(
                    dying.load(Ordering::SeqCst),
                    "HashKV failed before the kill: {status}"
                );
                return last;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
