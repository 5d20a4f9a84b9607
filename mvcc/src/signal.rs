//! How the background thread is told that there may be work, or that it should end.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A flag to sleep on.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    work: bool,
    stop: bool,
}

impl Signal {
    /// There may be work.
    pub(crate) fn notify(&self) {
        let mut state = self.state.lock();
        if !state.work {
            state.work = true;
            self.changed.notify_one();
        }
    }

    /// The thread should end.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Sleeps until there may be work or `until` has come; false when the thread should end.
    pub(crate) fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        while !state.work && !state.stop {
            match until {
                None => self.changed.wait(&mut state),
                Some(until) => {
                    if self.changed.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
        state.work = false;
        !state.stop
    }
}
