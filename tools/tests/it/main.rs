//! Black-box tests of the tools' binaries.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
