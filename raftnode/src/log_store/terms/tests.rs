//! Runs against a plain list of terms.
use super::*;

use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Push { newer_by: u64, count: u64 },
    Truncate { back: u64 },
    Drop { forward: u64 },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => (0..3u64, 1..5u64).prop_map(|(newer_by, count)| Op::Push { newer_by, count }),
        1 => (0..6u64).prop_map(|back| Op::Truncate { back }),
        1 => (0..6u64).prop_map(|forward| Op::Drop { forward }),
    ];
    proptest::collection::vec(op, 1..40)
}

proptest! {
    #[test]
    fn runs_tell_what_a_list_of_terms_tells(ops in ops()) {
        let mut terms = Terms::from(10, 1);
        // Index 10 and on.
        let mut model = vec![1u64];
        let mut first = 10u64;
        let mut newest = 1;
        for op in ops {
            match op {
                Op::Push { newer_by, count } => {
                    newest += newer_by;
                    for _ in 0..count {
                        terms.push(first + model.len() as u64, newest);
                        model.push(newest);
                    }
                }
                Op::Truncate { back } => {
                    let keep = (model.len() as u64).saturating_sub(back).max(1);
                    terms.truncate(first + keep);
                    model.truncate(usize::try_from(keep).unwrap());
                }
                Op::Drop { forward } => {
                    let by = forward.min(model.len() as u64 - 1);
                    first += by;
                    terms.drop_before(first);
                    model.drain(..usize::try_from(by).unwrap());
                }
            }
            newest = newest.max(*model.last().unwrap());
            for (index, term) in (first..).zip(&model) {
                prop_assert_eq!(terms.get(index), Some(*term));
            }
            prop_assert_eq!(terms.get(first - 1), None);
        }
    }
}
