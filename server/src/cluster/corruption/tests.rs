//! Properties of the comparisons, on made-up hashes.
use super::*;

fn own(hash: u32, revision: i64, compact: i64) -> HashKv {
    HashKv {
        hash,
        compact_revision: compact,
        hash_revision: revision,
        current_revision: revision,
    }
}

fn answer(hash: u32, revision: i64, compact: i64) -> Option<HashAnswer> {
    Some(own(hash, revision, compact).into())
}

#[test]
fn equal_contents_raise_nothing_and_silence_proves_nothing() {
    let hash = own(7, 10, 4);
    assert_eq!(
        first_mismatch((1, &hash, &hash), &[(2, answer(7, 10, 4)), (3, None)]),
        None
    );
    let all = [(2, answer(7, 10, 4)), (3, answer(7, 10, 4))];
    assert_eq!(verdict(1, &hash, &all), Verdict::Equal);
    let some = [(2, answer(7, 10, 4)), (3, None)];
    assert_eq!(verdict(1, &hash, &some), Verdict::Incomplete);
    // Another compaction cannot be compared.
    let other = [(2, answer(9, 10, 5)), (3, answer(7, 10, 4))];
    assert_eq!(verdict(1, &hash, &other), Verdict::Incomplete);
}

#[test]
fn the_member_that_cannot_be_right_is_named() {
    let hash = own(7, 10, 4);
    let first = |answer| first_mismatch((1, &hash, &hash), &[(2, answer)]);
    assert_eq!(first(answer(8, 10, 4)), Some(2));
    assert_eq!(first(answer(7, 11, 4)), Some(2));
    assert_eq!(first(answer(7, 10, 5)), Some(2));
    // Behind the leader's compaction: nothing to compare.
    assert_eq!(first(answer(8, 10, 3)), None);
    let changed = own(8, 10, 4);
    assert_eq!(first_mismatch((1, &hash, &changed), &[]), Some(1));
    let moved_on = own(8, 11, 4);
    assert_eq!(first_mismatch((1, &hash, &moved_on), &[]), None);
}

#[test]
fn a_majority_convicts_and_without_one_the_whole_cluster_is_in_doubt() {
    let hash = own(7, 10, 4);
    let peers = [(2, answer(7, 10, 4)), (3, answer(8, 10, 4))];
    assert_eq!(verdict(1, &hash, &peers), Verdict::Corrupt(vec![3]));
    let peers = [(2, answer(8, 10, 4)), (3, answer(8, 10, 4))];
    assert_eq!(verdict(1, &hash, &peers), Verdict::Corrupt(vec![1]));
    let peers = [(2, answer(8, 10, 4)), (3, answer(9, 10, 4))];
    assert_eq!(verdict(1, &hash, &peers), Verdict::Corrupt(vec![0]));
    let peers = [(2, answer(8, 10, 4))];
    assert_eq!(verdict(1, &hash, &peers), Verdict::Corrupt(vec![0]));
}

#[test]
fn requests_and_answers_are_go_s_json() {
    let text = |value: &HashRequest| serde_json::to_string(value).unwrap();
    assert_eq!(text(&HashRequest { revision: 0 }), "{}");
    assert_eq!(text(&HashRequest { revision: 5 }), r#"{"revision":5}"#);
    let mut answer = HashAnswer::from(own(7, 10, -1));
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"header":{"revision":10},"hash":7,"compact_revision":-1,"hash_revision":10}"#
    );
    // What etcd 3.5.1 answers.
    let text = r#"{"header":{"cluster_id":3,"revision":10},"hash":7,"compact_revision":-1}"#;
    answer.hash_revision = 0;
    assert_eq!(serde_json::from_str::<HashAnswer>(text).unwrap(), answer);
}
