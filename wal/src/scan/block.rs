//! The memory a long segment is read into: blocks the size of a huge page.
//!
//! The kernel clears and maps fresh memory page by page as it is first touched, which for small pages
//! takes five times as long as copying a log out of the page cache. A block is a mapping of its own, one
//! huge page long, and asks for one; where the system has none to give, it is as many small pages and
//! only slower. A block of which nobody has kept a part is filled again.
//!
//! # Invariants
//! 1. A block that is shared is not written to: its memory comes back to the shelf when the last
//!    [`Bytes`] that shows a part of it is dropped, and to the system when the shelf is gone by then.
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use memmap2::MmapMut;

/// Size of a block, and of a huge page on most machines.
pub(super) const BLOCK_BYTES: usize = 2 << 20;
/// Blocks kept to be filled again.
const SPARE: usize = 4;

type Maps = Mutex<Vec<MmapMut>>;

/// Blocks that wait to be filled.
#[derive(Debug, Default)]
pub(super) struct Shelf(Arc<Maps>);

/// A block to be filled, then shared.
#[derive(Debug)]
pub(super) struct Block {
    map: MmapMut,
    home: Weak<Maps>,
}

/// What owns the memory of a shared block.
struct Shared {
    /// Taken when dropped.
    map: Option<MmapMut>,
    len: usize,
    home: Weak<Maps>,
}

impl Shelf {
    /// A block with anything in it. Errors: the system has no memory to give.
    pub(super) fn take(&self) -> io::Result<Block> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let map = spare.map_or_else(fresh, Ok)?;
        let home = Arc::downgrade(&self.0);
        Ok(Block { map, home })
    }
}

fn fresh() -> io::Result<MmapMut> {
    let map = MmapMut::map_anon(BLOCK_BYTES)?;
    #[cfg(target_os = "linux")]
    // A hint: a kernel built without huge pages refuses it.
    drop(map.advise(memmap2::Advice::HugePage));
    Ok(map)
}

impl Block {
    /// The first `len` bytes, to be shared.
    pub(super) fn share(self, len: usize) -> Bytes {
        let Self { map, home } = self;
        let map = Some(map);
        Bytes::from_owner(Shared { map, len, home })
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.map.as_ref().map_or(&[], |map| &map[..self.len])
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let (Some(map), Some(home)) = (self.map.take(), self.home.upgrade()) else {
            return;
        };
        let mut spare = home.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(map);
        }
    }
}

#[cfg(test)]
mod tests;
