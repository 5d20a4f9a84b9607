//! The image of one commit, streamed.
//!
//! What `snapshot save` and peers receive: both metas (the second one commit older), then every page up
//! to the high-water mark as it is in the file. The snapshot inside keeps the commit's pages from being
//! written to; free pages may change while the image is read, which no reader of it can notice.
use std::path::PathBuf;
use std::sync::Arc;

use varve_backend::bbolt::Meta;
use varve_backend::{Error, Export, Result};
use varve_vfs::File;

use crate::snapshot::BtreeSnapshot;

pub(crate) struct FileExport {
    file: Arc<dyn File>,
    path: PathBuf,
    snapshot: BtreeSnapshot,
    head: Vec<u8>,
    len: u64,
    at: u64,
}

impl FileExport {
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf, snapshot: BtreeSnapshot) -> Self {
        let meta = snapshot.state.meta;
        let page = snapshot.page_size();
        let mut head = vec![0; 2 * page];
        let older = Meta {
            txid: meta.txid.saturating_sub(1),
            ..meta
        };
        for (at, meta, id) in [(0, meta, 0), (page, older, 1)] {
            let image = meta.encode(id);
            head[at..at + image.len()].copy_from_slice(&image);
        }
        let len = meta.high_water * page as u64;
        Self {
            file,
            path,
            snapshot,
            head,
            len,
            at: 0,
        }
    }
}

impl std::fmt::Debug for FileExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileExport")
            .field("txid", &self.snapshot.txid())
            .field("len", &self.len)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Export for FileExport {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let want = buf.len().min(left);
        let buf = &mut buf[..want];
        if want == 0 {
            return Ok(0);
        }
        let head = usize::try_from(self.at)
            .ok()
            .and_then(|at| self.head.get(at..))
            .unwrap_or(&[]);
        let got = if head.is_empty() {
            let io = |e| Error::io("read", &self.path, e);
            match self.file.read_at(buf, self.at).map_err(io)? {
                // The file was cut behind what is in use: what was there is free and of no interest.
                0 => {
                    buf.fill(0);
                    want
                }
                n => n,
            }
        } else {
            let n = head.len().min(want);
            buf[..n].copy_from_slice(&head[..n]);
            n
        };
        self.at += got as u64;
        Ok(got)
    }
}
