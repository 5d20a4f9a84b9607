//! Pairs of a database through everything that shows them.
use varve_mvcc::schema;

use super::decode;

const BUCKETS: [&[u8]; 7] = [
    schema::KEY.as_bytes(),
    schema::LEASE.as_bytes(),
    schema::AUTH.as_bytes(),
    schema::AUTH_ROLES.as_bytes(),
    schema::AUTH_USERS.as_bytes(),
    schema::META.as_bytes(),
    b"another",
];

/// What would be shown of a pair.
pub(crate) fn pair(bucket: usize, key: &[u8], value: &[u8]) {
    let bucket = BUCKETS[bucket % BUCKETS.len()];
    let text = decode::text(bucket, key, value);
    let json = decode::json(bucket, key, value);
    assert_eq!(text.is_some(), json.is_some(), "one form only");
    for line in text.into_iter().chain([decode::plain(key, value)]) {
        assert!(!line.contains('\n'), "more than one line: {line:?}");
    }
    drop(json.map(|json| json.to_string()));
}
