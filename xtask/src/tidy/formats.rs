//! A format's description names the code it describes, and the state that code was in.
//!
//! The first line of `docs/formats/x.md` may be `<!-- format-hash: wal/src/format.rs <sha-256> -->`.
//! When the file changes, whoever changed it reads the description again and renews the hash.

use sha2::{Digest, Sha256};

use super::Breach;

/// `read` gives the content of the described file, or nothing when there is none.
pub(super) fn check(
    file: &str,
    text: &str,
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Option<Breach> {
    let first = text.lines().next().unwrap_or_default();
    let mark = first.strip_prefix("<!-- format-hash:")?;
    let breach = |what: String| Some(Breach::new(file, 1, what));
    let words: Vec<&str> = mark.split_whitespace().collect();
    let [path, recorded, "-->"] = words[..] else {
        return breach("write `<!-- format-hash: <path> <sha-256> -->`".to_owned());
    };
    let Some(content) = read(path) else {
        return breach(format!("describes {path}, which is not there"));
    };
    let found = hash(&content);
    if found == recorded {
        return None;
    }
    breach(format!(
        "{path} has changed; check this text, then record {found}"
    ))
}

/// SHA-256 in hex.
pub(super) fn hash(content: &[u8]) -> String {
    format!("{:x}", Sha256::digest(content))
}
