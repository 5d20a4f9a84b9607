//! What the owner of a log decides about it.

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// A segment that has reached this length after a write is closed and the next one begun.
    pub segment_size_bytes: u64,
    /// Writes zeros over the next segment ahead of need, two bytes for each byte appended until it is
    /// full, so that a sync of the log has no extents to convert: it is then a third to two fifths
    /// faster (`docs/formats/wal.md`). Costs as many bytes again as the log has; off, the space is only
    /// reserved.
    pub prefill: bool,
    /// Never syncs. A crash of the machine may lose or tear anything.
    pub unsafe_no_fsync: bool,
    /// Prepares the next segment when it is needed, on the caller's thread, instead of ahead of need on
    /// a thread of its own: the same calls then give the same sequence of disk operations, which
    /// simulation and tests need.
    pub inline_pipeline: bool,
}

impl Default for WalOptions {
    /// etcd's segments of 64,000,000 bytes, synced, and zero-filled ahead.
    fn default() -> Self {
        Self {
            segment_size_bytes: 64_000_000,
            prefill: true,
            unsafe_no_fsync: false,
            inline_pipeline: false,
        }
    }
}
