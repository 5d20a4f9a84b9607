//! Who works on what requests and messages ask for: three members, and runtimes that bring requests.
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use varve_raftnode::{Node, work_before_sleep};
use varve_vfs::{DynFs, SimFs};

use super::threads::{SOON, Switchboard, node, read, start, stop};

/// Three members that have a leader.
fn three() -> Arc<Switchboard> {
    let board = Arc::new(Switchboard::default());
    for id in 1..=3 {
        let fs: DynFs = SimFs::new().shared();
        start(&board, id, &fs, true);
    }
    read(&board, 1);
    board
}

/// A runtime whose one thread is named `worker`.
fn runtime(takes_turns: bool) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_time()
        .thread_name("worker");
    if takes_turns {
        builder.on_thread_park(work_before_sleep);
    }
    builder.build().unwrap()
}

/// Asks for an index from a task, again and again, each time after the answer; what was proposed before is
/// applied by then.
async fn work(member: Node) {
    for n in 0..200u64 {
        // A change of the leader may drop it; the reads are what counts.
        let _dropped = member.propose(n, Bytes::from(format!("{n:020}")));
        let (done, answer) = tokio::sync::oneshot::channel();
        let done = Box::new(move |index| {
            let _gone = done.send(index);
        });
        member.read_index(done).unwrap();
        let _index = answer.await.unwrap();
    }
}

#[test]
fn a_runtime_works_on_what_its_tasks_bring_if_it_was_told() {
    for takes_turns in [true, false] {
        let board = three();
        let runtime = runtime(takes_turns);
        let leader = node(&board, 1).status().leader;
        for id in [leader, leader % 3 + 1] {
            runtime.block_on(async { runtime.spawn(work(node(&board, id))).await.unwrap() });
        }
        let senders = board.senders.lock().clone();
        assert_eq!(senders.contains("worker"), takes_turns, "{senders:?}");
        assert!(
            senders.contains("wal"),
            "it goes on after a write: {senders:?}"
        );
        stop(&board);
    }
}

/// The task does not let its thread go before it has its answer: whoever waits for that thread waits for ever.
#[test]
fn what_a_busy_thread_of_a_runtime_brings_is_worked_on_all_the_same() {
    let board = three();
    let runtime = runtime(true);
    let leader = node(&board, 1).status().leader;
    let member = node(&board, leader);
    runtime.block_on(async {
        // So that the thread has slept, and takes turns.
        runtime.spawn(work(member.clone())).await.unwrap();
        let busy = runtime.spawn(async move {
            for _ in 0..3 {
                let (done, answer) = channel();
                let done = Box::new(move |index| {
                    let _gone = done.send(index);
                });
                member.read_index(done).unwrap();
                let _index = answer.recv_timeout(SOON).unwrap();
            }
        });
        busy.await.unwrap();
    });
    stop(&board);
}

/// A runtime's thread that takes the last turn leaves the end to the raft thread.
#[test]
fn members_end_while_a_runtime_works_on_them() {
    let board = three();
    let runtime = runtime(true);
    let members: Vec<Node> = (1..=3).map(|id| node(&board, id)).collect();
    let asking: Vec<_> = members
        .iter()
        .cloned()
        .map(|member| {
            runtime.spawn(async move {
                loop {
                    let (done, answer) = tokio::sync::oneshot::channel();
                    let done = Box::new(move |index| {
                        let _gone = done.send(index);
                    });
                    // Refused, or dropped without an answer: it has ended.
                    if member.read_index(done).is_err() || answer.await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    for member in &members {
        member.stop();
    }
    runtime.block_on(async {
        for task in asking {
            tokio::time::timeout(SOON, task).await.unwrap().unwrap();
        }
    });
}
