//! The disk stops at one operation after another; what was acknowledged before must come back.
//!
//! An entry counts as acknowledged once the state machine saw it: it was committed, so the WAL had
//! synced it. Threads make runs differ; the property holds for each.
use std::time::Duration;

use bytes::Bytes;
use varve_vfs::{CrashRule, Fault, SimFs};

use super::counter::{Running, start, wait_replayed};

const SOON: Duration = Duration::from_secs(30);

/// Proposes until the disk has stopped; what was applied.
fn work(running: &Running) -> Vec<(u64, Bytes)> {
    let mut seen = Vec::new();
    for i in 0..60u32 {
        if running
            .node
            .propose(1, Bytes::from(format!("{i:0500}")))
            .is_err()
        {
            break;
        }
        if i % 7 == 0 {
            // Let some batches form and some entries stand alone.
            match running.told.recv_timeout(Duration::from_secs(5)) {
                Ok(entry) => seen.push(entry),
                Err(_) => break,
            }
        }
    }
    running.node.stop();
    seen.extend(running.told.try_iter());
    seen
}

#[test]
fn nothing_applied_is_lost_wherever_the_disk_stops() {
    let rehearsal = SimFs::new();
    let running = start(&rehearsal.shared(), 20).unwrap();
    work(&running);
    let operations = rehearsal.op_count();
    assert!(
        operations > 20,
        "the workload reaches the disk: {operations} operations"
    );

    let rules = [
        CrashRule::LoseUnsynced,
        CrashRule::KeepAll,
        CrashRule::Subset,
        CrashRule::Torn,
    ];
    let step = (operations / 40).max(1);
    for (round, at) in (1..=operations)
        .step_by(usize::try_from(step).unwrap())
        .enumerate()
    {
        let disk = SimFs::new();
        disk.fail_at(at, Fault::Crash);
        // A member that cannot even start has acknowledged nothing.
        let seen = start(&disk.shared(), 20)
            .map(|r| work(&r))
            .unwrap_or_default();
        for rule in rules {
            let image = disk.crash_image(rule, round as u64);
            let after = match start(&image.shared(), 20) {
                Ok(running) => running,
                Err(error) => panic!("crash at {at}, {rule:?}: does not start: {error}"),
            };
            wait_replayed(&after);
            let applied = after.applied.lock().clone();
            let lost = seen.iter().find(|entry| !applied.contains(entry));
            assert!(
                lost.is_none() || after.commit_at_start < lost.unwrap().0,
                "crash at {at}, {rule:?}: lost {:?} of {}",
                lost.unwrap().0,
                seen.len()
            );
            // Entries past the known commit come back once the member leads again.
            if let Some((last, _)) = seen.last() {
                let (done, reached) = std::sync::mpsc::channel();
                let done = Box::new(move || {
                    let _gone = done.send(());
                });
                after.node.published().applied().when(*last, done);
                assert!(
                    reached.recv_timeout(Duration::from_secs(30)).is_ok(),
                    "crash at {at}, {rule:?}: entry {last} was applied and is gone: {:?}",
                    after.node
                );
                let applied = after.applied.lock().clone();
                assert!(
                    seen.iter().all(|e| applied.contains(e)),
                    "crash at {at}, {rule:?}"
                );
            }
            // And the member works: what is proposed now is applied.
            let wanted = Bytes::from_static(b"after the crash");
            after.node.propose(1, wanted.clone()).unwrap();
            let applied = std::iter::from_fn(|| after.told.recv_timeout(SOON).ok());
            assert!(
                applied.take_while(|(_, data)| *data != wanted).count() < 100,
                "crash at {at}, {rule:?}: the member does not work again: {:?}",
                after.node
            );
            let got = after.applied.lock().iter().any(|(_, data)| *data == wanted);
            assert!(
                got,
                "crash at {at}, {rule:?}: the member does not work again"
            );
            after.node.stop();
        }
    }
}
