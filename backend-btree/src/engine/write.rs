//! Putting a commit on disk.
use varve_backend::Result;
use varve_backend::bbolt::Meta;

use super::BtreeEngine;
use crate::out::Target;
use crate::page::Pages;
use crate::readers::State;

impl BtreeEngine {
    /// Where pages are written to.
    pub(super) fn target(&self) -> Target<'_> {
        Target {
            file: &self.file,
            path: &self.path,
            file_len: &self.file_len,
            page_size: self.page_size,
            grow_bytes: self.options.grow_bytes,
            sync_ahead_bytes: self.options.sync_ahead_bytes,
        }
    }

    /// Writes the meta that names pages which are durable. On error the state of the file is unknown.
    pub(super) fn finish(&self, state: &State, meta: &Meta) -> Result<Pages> {
        let target = self.target();
        let slot = meta.slot();
        let mut page = vec![0; state.pages.page_size];
        let image = meta.encode(slot);
        page[..image.len()].copy_from_slice(&image);
        target.write("write meta of", &page, slot * self.page_size)?;
        target.sync("sync meta of")?;
        self.pages_for(&state.pages, meta.high_water)
    }
}
