//! The thread "mvcc-background": compaction at its pace, catching up as fast as consumers drain.
//!
//! Runs unless the store is manual; sleeps when there is nothing to do. While others write, a compaction
//! gets [`IDLE_SHARE`] times the rest it worked, so that it takes a small and known share of the
//! processor, of the writer's lock and of the disk; alone, it rests for the configured pause.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::compact::Stepped;
use crate::core::Core;

pub(crate) fn spawn(core: Arc<Core>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("mvcc-background".into())
        .spawn(move || run(&core))
}

/// Rest after each step of a compaction beside a writer, in units of the step's own work.
const IDLE_SHARE: u32 = 11;

fn run(core: &Core) {
    // When the next batch of a running compaction is due.
    let mut compaction_due: Option<Instant> = None;
    let mut revision = core.numbers().0;
    let mut until = Some(Instant::now());
    while core.signal.wait(until) {
        let catching_up = core.step_watchers();
        if compaction_due.is_none_or(|due| due <= Instant::now()) {
            let step = crate::compact::step(core).unwrap_or_else(|error| {
                core.fail(error);
                Stepped {
                    more: false,
                    worked: Duration::ZERO,
                }
            });
            let now = core.numbers().0;
            let beside_a_writer = now != revision;
            revision = now;
            let share = if beside_a_writer { IDLE_SHARE } else { 0 };
            let rest = core.options.compaction_pause.max(step.worked * share);
            compaction_due = step.more.then(|| Instant::now() + rest);
        }
        until = if catching_up {
            Some(Instant::now())
        } else {
            compaction_due
        };
    }
}
