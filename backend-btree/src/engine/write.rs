//! Putting a commit on disk.
use std::sync::atomic::Ordering;

use varve_backend::bbolt::Meta;
use varve_backend::{Error, Result};

use super::BtreeEngine;
use crate::page::Pages;
use crate::readers::State;

/// Neighbouring pages are written together up to this many bytes.
const WRITE_BYTES: usize = 1 << 20;

impl BtreeEngine {
    /// Grows the file, writes pages, syncs, writes the meta, syncs. On error the state of the file is
    /// unknown.
    pub(super) fn write(
        &self,
        state: &State,
        meta: &Meta,
        dirty: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<Pages> {
        let io = |op, e| Error::io(op, &self.path, e);
        let need = meta.high_water * self.page_size;
        if need > self.file_len.load(Ordering::Relaxed) {
            let len = grown_len(need, self.options.grow_bytes);
            self.file.set_len(len).map_err(|e| io("grow", e))?;
            self.file_len.store(len, Ordering::Relaxed);
        }
        dirty.sort_unstable_by_key(|(id, _)| *id);
        let mut run: Vec<u8> = Vec::new();
        let mut run_at = 0;
        for (id, bytes) in dirty.drain(..) {
            let at = id * self.page_size;
            if run_at + run.len() as u64 != at || run.len() + bytes.len() > WRITE_BYTES {
                self.file
                    .write_all_at(&run, run_at)
                    .map_err(|e| io("write", e))?;
                run.clear();
                run_at = at;
            }
            run.extend_from_slice(&bytes);
        }
        self.file
            .write_all_at(&run, run_at)
            .map_err(|e| io("write", e))?;
        self.file.sync_data().map_err(|e| io("sync", e))?;

        let slot = meta.slot();
        let mut page = vec![0; state.pages.page_size];
        let image = meta.encode(slot);
        page[..image.len()].copy_from_slice(&image);
        self.file
            .write_all_at(&page, slot * self.page_size)
            .map_err(|e| io("write meta of", e))?;
        self.file.sync_data().map_err(|e| io("sync meta of", e))?;
        self.pages_for(&state.pages, meta.high_water)
    }
}

/// Small files double, so that tests and small stores stay small; larger ones grow by a fixed step.
fn grown_len(need: u64, step: u64) -> u64 {
    let doubled = need.checked_next_power_of_two().unwrap_or(need);
    doubled.min(need.saturating_add(step)).max(need)
}
