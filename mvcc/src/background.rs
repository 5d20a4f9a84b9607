//! The thread "mvcc-background": compaction at its pace, catching up as fast as consumers drain.
//!
//! Runs unless the store is manual; sleeps when there is nothing to do.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::core::Core;

pub(crate) fn spawn(core: Arc<Core>) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("mvcc-background".into())
        .spawn(move || run(&core))
}

fn run(core: &Core) {
    // When the next batch of a running compaction is due.
    let mut compaction_due: Option<Instant> = None;
    let mut until = Some(Instant::now());
    while core.signal.wait(until) {
        let catching_up = core.step_watchers();
        if compaction_due.is_none_or(|due| due <= Instant::now()) {
            let more = crate::compact::step(core).unwrap_or_else(|error| {
                core.fail(error);
                false
            });
            compaction_due = more.then(|| Instant::now() + core.options.compaction_pause);
        }
        until = if catching_up {
            Some(Instant::now())
        } else {
            compaction_due
        };
    }
}
