//! A progress bar that only long work shows.
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work shorter than this shows no bar.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes between two looks at the clock.
const STEP_BYTES: u64 = 1 << 20;

/// Bytes read so far, for somebody who waits.
#[derive(Debug)]
pub(crate) struct Progress {
    /// None when nobody watches.
    bar: Option<ProgressBar>,
    started: Instant,
    done_bytes: u64,
    shown_bytes: u64,
}

impl Progress {
    pub(crate) fn new(watched: bool, total_bytes: u64) -> Self {
        let bar = watched.then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::hidden());
            let style = "{bytes} of {total_bytes} {wide_bar} {binary_bytes_per_sec}, {eta} left";
            bar.with_style(ProgressStyle::with_template(style).expect("the template is right"))
        });
        Self {
            bar,
            started: Instant::now(),
            done_bytes: 0,
            shown_bytes: 0,
        }
    }

    /// More has been read.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        if self.done_bytes - self.shown_bytes < STEP_BYTES {
            return;
        }
        self.shown_bytes = self.done_bytes;
        if let Some(bar) = &self.bar {
            if bar.is_hidden() && self.started.elapsed() >= PATIENCE {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.set_position(self.done_bytes);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
