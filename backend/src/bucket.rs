//! The name of a bucket, fixed at compile time.

/// A named, ordered key space inside an engine. Programs know their buckets, so the name is static;
/// names that come out of a file are plain bytes
/// ([`Snapshot::scan_bucket_name`](crate::Snapshot::scan_bucket_name)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Bucket(&'static str);

impl Bucket {
    /// A bucket of this name. Engines refuse an empty name when it is committed.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The name as the engine stores it.
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}
