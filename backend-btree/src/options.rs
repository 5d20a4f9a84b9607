//! How a file is opened and written.
use std::time::Duration;

/// How the free pages are kept in memory. The file is the same with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FreelistType {
    /// Runs of free pages in order, and an index by length: a row of pages comes from the lowest of the
    /// runs that fit best, found at once.
    #[default]
    Map,
    /// Only the runs in order, in half of the memory: a row of pages comes from the lowest run that
    /// fits, found by looking at one after the other.
    Array,
}

/// Options of [`BtreeEngine::open`](crate::BtreeEngine::open).
#[derive(Clone, Debug)]
pub struct BtreeOptions {
    /// Bytes of a page of a file this call creates: a power of two from 512 to 65536. An existing file
    /// keeps its own.
    pub page_size: u32,
    /// How full appended keys may fill pages, in percent (50 to 100), per bucket name.
    pub fill_percent: Vec<(&'static str, u8)>,
    /// The same for all other buckets.
    pub default_fill_percent: u8,
    /// Read through a memory map. Without one, or on a file system without real files, pages are read
    /// with `pread`.
    pub mmap: bool,
    /// Refuse commits and write nothing, not even a new file. The walk for free pages is left out, so
    /// `sizes` counts every page as in use; `check` counts them.
    pub read_only: bool,
    /// Bytes mapped at least. Address space only: a map larger than the file is not outgrown soon.
    pub initial_map_bytes: u64,
    /// Write the list of free pages with every commit. etcd does not, and neither do we: the list is
    /// found again by walking the tree.
    pub freelist_sync: bool,
    /// How free pages are kept in memory.
    pub freelist_type: FreelistType,
    /// How long to wait for another process to unlock the file before giving up with `Locked`.
    pub lock_wait: Duration,
    /// By how much the file grows at a time at most; below, by a thirty-second of its length, and small
    /// files double.
    pub grow_bytes: u64,
    /// Bytes a commit writes between two syncs that run beside its writing; a shorter commit is synced once,
    /// at its end. On a file system without real files the syncs stand between the writes instead, so that
    /// faults and crashes meet operations in one order.
    pub sync_ahead_bytes: u64,
    /// Pages a commit may move down from the end of the file, when enough of the file is free; 0 turns
    /// moving off and [`reclaim`](varve_backend::Engine::reclaim) alone does it.
    pub move_pages_per_commit: usize,
    /// Write the free list beside the file (`<name>.freelist`) on a clean shutdown and use it at the next
    /// open instead of a walk over the tree, if nobody wrote to the file meanwhile.
    pub freelist_sidecar: bool,
}

impl Default for BtreeOptions {
    /// etcd's format choices (4096-byte pages, no synced freelist), a map, full pages in `key`.
    fn default() -> Self {
        Self {
            page_size: 4096,
            fill_percent: vec![("key", 100)],
            default_fill_percent: 90,
            mmap: true,
            read_only: false,
            initial_map_bytes: 64 << 20,
            freelist_sync: false,
            freelist_type: FreelistType::Map,
            lock_wait: Duration::ZERO,
            grow_bytes: 16 << 20,
            // A shorter commit is done before a thread is worth it.
            sync_ahead_bytes: 512 << 10,
            move_pages_per_commit: 32,
            freelist_sidecar: false,
        }
    }
}

impl BtreeOptions {
    pub(crate) fn fill_percent(&self, bucket: &[u8]) -> u8 {
        self.fill_percent
            .iter()
            .find(|(name, _)| name.as_bytes() == bucket)
            .map_or(self.default_fill_percent, |(_, percent)| *percent)
    }

    /// Whether the numbers make sense; the text says which one does not.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if !valid_page_size(self.page_size) {
            return Err(format!(
                "page size {}: a power of two from 512 to 65536",
                self.page_size
            ));
        }
        let all = self
            .fill_percent
            .iter()
            .map(|(_, p)| *p)
            .chain([self.default_fill_percent]);
        match all.into_iter().find(|p| !(50..=100).contains(p)) {
            Some(bad) => Err(format!("fill percent {bad}: 50 to 100")),
            None => Ok(()),
        }
    }
}

/// Page sizes we accept, in options and in files.
pub(crate) fn valid_page_size(size: u32) -> bool {
    size.is_power_of_two() && (512..=65536).contains(&size)
}
