//! Records with sound frames and checksums but any content, in one to three segments, with one byte
//! damaged or none: what lies behind the checksums is reached on every run. Inputs of even length are
//! looked at as tools do, those of odd length started from.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve_fuzz::{Frames, MemoryFs, look_at, start};

/// Length of the newest segments: some space is left behind the log.
const RESERVED: usize = 1024;

fuzz_target!(|data: &[u8]| {
    let Some((damage, script)) = data.split_first_chunk::<3>() else {
        return;
    };
    let mut segments = vec![(0, Frames::default())];
    let mut at = script;
    let mut last_index = 0;
    if let Some((_, frames)) = segments.last_mut() {
        frames.head(0);
    }
    // A step: what to do, how many bytes belong to it, the bytes.
    while let Some(([what, len], rest)) = at.split_first_chunk::<2>() {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        at = rest;
        let sequence = segments.len();
        let (_, frames) = segments.last_mut().expect("there is always one");
        match what % 8 {
            0..=4 => frames.record(i64::from(what % 8), body),
            5 => last_index = frames.entry(*what, body, last_index),
            6 => frames.state(*what, body),
            _ if sequence < 3 => {
                let crc = frames.crc();
                let mut next = Frames::continuing(crc);
                next.head(crc);
                segments.push((last_index + 1, next));
            }
            _ => frames.state(*what, body),
        }
    }
    let disk = MemoryFs::default();
    let dir = Path::new("/wal");
    let newest = segments.len() - 1;
    for (sequence, (index, frames)) in segments.into_iter().enumerate() {
        let mut bytes = frames.into_bytes();
        if sequence == newest {
            let [mask, high, low] = *damage;
            let at = usize::from(u16::from_be_bytes([high, low]));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
            bytes.resize(bytes.len() + RESERVED, 0);
        }
        disk.put(dir.join(format!("{sequence:016x}-{index:016x}.wal")), bytes);
    }
    if data.len() % 2 == 0 {
        look_at(&disk, dir);
    } else {
        start(&disk, dir);
    }
});
