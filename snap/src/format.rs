//! The bytes of a `.snap` file.
//!
//! # Layout
//! ```text
//! snappb.snapshot   crc  = 1  uint32   CRC-32C of data, from 0; never left out
//!                   data = 2  bytes    an encoded raftpb.Snapshot
//! ```
//! Source: etcd's `server/etcdserver/api/snap`, as data directories of 3.4 to 3.7 show it.
use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use varve_proto::{raftpb, snappb};

use crate::error::{Error, Result};

/// The bytes of the file that holds `snapshot`: what etcd up to 3.6 writes for it.
pub fn encode(snapshot: &raftpb::Snapshot) -> Vec<u8> {
    let data = Bytes::from(snapshot.encode_to_vec());
    let crc = crc32c::crc32c(&data);
    snappb::Snapshot {
        crc,
        data: Some(data),
    }
    .encode_to_vec()
}

/// The snapshot in the bytes of a file; `file` is named in errors.
///
/// What etcd takes for broken is an error: no bytes, a checksum of 0 or no data, a wrong checksum,
/// bytes that do not parse.
pub fn decode(bytes: Bytes, file: &Path) -> Result<raftpb::Snapshot> {
    let empty = |what| Error::Empty {
        file: file.to_path_buf(),
        what,
    };
    if bytes.is_empty() {
        return Err(empty("it has no bytes"));
    }
    let container = snappb::Snapshot::decode(bytes).map_err(malformed(file, "snappb.snapshot"))?;
    let data = container.data.filter(|data| !data.is_empty());
    let Some(data) = data else {
        return Err(empty("it has no data"));
    };
    if container.crc == 0 {
        return Err(empty("it has no checksum"));
    }
    let found = crc32c::crc32c(&data);
    if found != container.crc {
        let expected = container.crc;
        return Err(Error::CrcMismatch {
            file: file.to_path_buf(),
            expected,
            found,
        });
    }
    raftpb::Snapshot::decode(data).map_err(malformed(file, "raftpb.Snapshot"))
}

fn malformed(file: &Path, message: &'static str) -> impl FnOnce(prost::DecodeError) -> Error {
    move |source| Error::Malformed {
        file: file.to_path_buf(),
        message,
        source,
    }
}

#[cfg(test)]
mod tests;
