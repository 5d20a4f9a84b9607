//! What a record claims costs no memory. A binary of its own: the peak that is measured is the process's.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
use std::path::Path;

use varve_proto::raftpb::HardState;
use varve_proto::walpb::Snapshot;
use varve_vfs::{DynFs, OpenOptions, RealFs};
use varve_wal::{Error, SegmentName, Wal, WalOptions};

const MIB: u64 = 1 << 20;
/// Both are multiples of 8, so that a length field of them is without padding.
const TWO_GIB: u64 = 2048 * MIB;
const MUCH: u64 = 200 * MIB;

/// Peak of the resident memory of this process so far, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// A log whose fourth record claims `claim` bytes, in a sparse segment of `len_bytes`; `head` begins it.
fn claiming(fs: &DynFs, dir: &Path, claim: u64, len_bytes: u64, head: &[u8]) -> u64 {
    let options = WalOptions {
        segment_size_bytes: 4096,
        ..WalOptions::default()
    };
    let log = Wal::create(fs, dir, b"m", options).unwrap();
    let at = log.segment_bytes();
    log.close().unwrap();
    let path = SegmentName::FIRST.path_in(dir);
    let file = fs.open(&path, OpenOptions::read_write()).unwrap();
    file.set_len(len_bytes).unwrap();
    file.write_all_at(&claim.to_le_bytes(), at).unwrap();
    file.write_all_at(head, at + 8).unwrap();
    at
}

/// The head of an entry record whose data fills the claim; its checksum is wrong.
fn filling(claim: u64) -> Vec<u8> {
    let mut head = vec![0x08, 2, 0x10, 0x81, 0x80, 0x80, 0x80, 0x08, 0x1a];
    let varint_bytes = if claim < 1 << 28 { 4 } else { 5 };
    let mut left = claim - (head.len() as u64 + varint_bytes);
    while left >= 0x80 {
        head.push(0x80 | u8::try_from(left & 0x7f).unwrap());
        left >>= 7;
    }
    head.push(u8::try_from(left).unwrap());
    head
}

#[test]
fn a_record_that_claims_two_gib_costs_no_memory() {
    let scratch = tempfile::tempdir().unwrap();
    let fs = RealFs::shared();
    let cases: [(u64, u64, &[u8]); 5] = [
        // The claim goes past the end of the file.
        (TWO_GIB, 64_000_000, &filling(TWO_GIB)),
        // The file is as long, and the record's own length agrees.
        (TWO_GIB, TWO_GIB + MIB, &filling(TWO_GIB)),
        // The file is long enough, but there is no record, or one that claims less or more.
        (MUCH, MUCH + MIB, b""),
        (
            MUCH,
            MUCH + MIB,
            b"\x08\x02\x10\xff\xff\xff\xff\x0f\x1a\x20",
        ),
        (MUCH, MUCH + MIB, &filling(TWO_GIB)),
    ];
    let before = peak_bytes();
    for (number, (claim, len_bytes, head)) in cases.into_iter().enumerate() {
        let dir = scratch.path().join(number.to_string()).join("wal");
        let at = claiming(&fs, &dir, claim, len_bytes, head);
        let start = Snapshot::default();
        let opened = Wal::open(&fs, &dir, &start, WalOptions::default());
        let e = opened.unwrap().read_all().unwrap_err();
        assert!(
            matches!(e, Error::UnexpectedEof { offset, .. } if offset == at),
            "{number}: {e}"
        );
        if number == 0 {
            assert!(Wal::repair(&fs, &dir).unwrap());
            let verified = Wal::verify(&fs, &dir, &start).unwrap();
            assert_eq!(verified, HardState::default());
        }
        fs.remove_dir_all(&dir).unwrap();
    }
    let grown = peak_bytes() - before;
    assert!(grown < 16 << 20, "{grown} bytes");
}
