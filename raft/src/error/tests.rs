use std::error::Error as _;
use std::sync::Arc;

use super::Error;
use crate::confchange::ConfChangeError;
use crate::storage::StorageError;

#[test]
fn an_error_passed_on_speaks_for_itself_and_keeps_its_cause() {
    let disk = std::io::Error::other("disk on fire");
    let error = Error::from(StorageError::Failed(Arc::new(disk)));
    assert_eq!(error.to_string(), "disk on fire");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");

    let error = Error::from(ConfChangeError::NoProgress(29));
    assert_eq!(error.to_string(), "no progress for 29");
    assert!(error.source().is_none());
}

#[test]
fn texts_name_what_is_wrong() {
    let malformed = Error::Malformed {
        kind: 3,
        from: 0x1d,
        what: "the term is missing",
    };
    assert_eq!(
        malformed.to_string(),
        "malformed MsgApp from 1d: the term is missing"
    );
    let commit = Error::CommitOutOfRange {
        commit: 9,
        last_index: 7,
    };
    assert_eq!(
        Error::Stopped(Box::new(commit)).to_string(),
        "raft: stopped after an error: tocommit(9) is out of range [lastIndex(7)]. Was the raft log \
         corrupted, truncated, or lost?"
    );
    let gap = Error::from(StorageError::Gap { last: 4, first: 6 });
    assert_eq!(gap.to_string(), "missing log entry [last: 4, append at: 6]");
}
