//! The search against one that tries every order, over small histories drawn from seeds.

use bytes::Bytes;

use super::super::operation::{Answer, Call, Operation, Outcome, Seen, Span, Stored, Write};
use super::search::{Failure, search};
use super::step::{State, Step, Steps};
use crate::Rng;

const KEY: &[u8] = b"k";

/// A register as the store keeps it.
#[derive(Clone, Default)]
struct Register {
    stored: Option<Stored>,
    revision: i64,
}

impl Register {
    fn run(&mut self, call: &Call) -> Answer {
        let key = Bytes::from_static(KEY);
        let absent = self.stored.is_none();
        let found: Vec<Stored> = self.stored.iter().cloned().collect();
        let mod_revision = self.stored.as_ref().map_or(0, |s| s.mod_revision);
        let seen = match call {
            Call::Range { .. } => Seen::Pairs(found),
            Call::Txn { compare, .. } if compare[0].1 != mod_revision => Seen::Else(found),
            Call::Write(Write::Delete(_)) => {
                self.stored = None;
                self.revision += i64::from(!absent);
                Seen::Deleted(u64::from(!absent))
            }
            Call::Write(Write::Put { value, .. }) => {
                self.put(key, value);
                Seen::Put
            }
            Call::Txn { then, .. } => {
                if let Write::Put { value, .. } = &then[0] {
                    self.put(key, value);
                }
                Seen::Then(0)
            }
        };
        Answer {
            revision: self.revision,
            seen,
        }
    }

    fn put(&mut self, key: Bytes, value: &Bytes) {
        self.revision += 1;
        let before = self.stored.take();
        self.stored = Some(Stored {
            key,
            value: value.clone(),
            create_revision: before.as_ref().map_or(self.revision, |s| s.create_revision),
            mod_revision: self.revision,
            version: before.map_or(0, |s| s.version) + 1,
            lease: 0,
        });
    }
}

fn call(rng: &mut Rng, number: u64, revision: i64) -> Call {
    let key = Bytes::from_static(KEY);
    let put = Write::Put {
        key: key.clone(),
        value: number.to_string().into(),
        lease: 0,
    };
    match rng.below(5) {
        0 | 1 => Call::Write(put),
        2 => Call::Write(Write::Delete(Span::Key(key))),
        3 => Call::Txn {
            compare: vec![(key, revision - rng.below(2).cast_signed())],
            then: vec![put],
        },
        _ => Call::Range {
            span: Span::Key(key),
            serializable: false,
            at: 0,
        },
    }
}

/// A history of a real register: each operation happens at one instant within its interval; `lost` in a
/// thousand lose their answer, and half of those never happen.
fn history(seed: u64, len: u64, lost: u64) -> Vec<Operation> {
    let mut rng = Rng::new(seed);
    let mut register = Register {
        revision: 1,
        ..Register::default()
    };
    let mut operations = Vec::new();
    for number in 0..len {
        let at = (number + 1) * 100;
        let call = call(&mut rng, number, register.revision);
        let unknown = rng.chance(lost);
        let answer = if unknown && rng.chance(500) {
            None
        } else {
            Some(register.run(&call))
        };
        operations.push(Operation {
            client: number,
            call,
            invoked: at - rng.below(350).min(at),
            completed: at + rng.below(350),
            outcome: match answer {
                Some(answer) if !unknown => Outcome::Ok(answer),
                _ => Outcome::Unknown,
            },
        });
    }
    operations
}

fn steps(operations: &[Operation]) -> Steps {
    let mut steps = Steps::default();
    for (number, operation) in operations.iter().enumerate() {
        steps.add(number, operation, &Bytes::from_static(KEY), None);
    }
    steps
}

/// Every order, without a cache.
fn any_order(steps: &[Step], done: &mut Vec<bool>, state: State) -> bool {
    let due = |n: usize, done: &[bool]| !done[n] && steps[n].completed.is_some();
    if (0..steps.len()).all(|n| !due(n, done)) {
        return true;
    }
    let limit = (0..steps.len()).filter(|&n| due(n, done));
    let limit = limit.filter_map(|n| steps[n].completed).min().unwrap();
    for n in 0..steps.len() {
        if done[n] || steps[n].invoked > limit {
            continue;
        }
        if let Some(next) = steps[n].apply(state) {
            done[n] = true;
            if any_order(steps, done, next) {
                return true;
            }
            done[n] = false;
        }
    }
    false
}

#[test]
fn histories_of_a_register_have_an_order() {
    for seed in 0..300 {
        let operations = history(seed, 60, 250);
        let steps = steps(&operations);
        let found = search(steps.list(), 1_000_000);
        assert!(found.is_ok(), "seed {seed}: {found:?}");
    }
}

#[test]
fn the_search_finds_an_order_exactly_if_there_is_one() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let mut operations = history(seed, 8, 250);
        // What somebody saw is given to another.
        let (a, b) = (rng.below(8), rng.below(8));
        let (a, b) = (usize::try_from(a).unwrap(), usize::try_from(b).unwrap());
        let same = std::mem::discriminant(&operations[a].call)
            == std::mem::discriminant(&operations[b].call);
        if same && operations[b].answer().is_some() {
            operations[a].outcome = operations[b].outcome.clone();
        }
        let steps = steps(&operations);
        let list = steps.list();
        let expected = any_order(list, &mut vec![false; list.len()], State::default());
        let found = search(list, 1_000_000);
        assert_eq!(found.is_ok(), expected, "seed {seed}: {operations:#?}");
        if expected {
            good += 1;
        } else {
            bad += 1;
        }
    }
    assert!(good > 500 && bad > 500, "{good} good, {bad} bad");
}

#[test]
fn a_search_that_takes_too_long_is_given_up() {
    let operations = history(1, 60, 250);
    let found = search(steps(&operations).list(), 10);
    assert!(matches!(found, Err(Failure::Undecided)), "{found:?}");
}

#[test]
fn long_histories_are_judged_in_bounded_time() {
    // Twenty thousand operations on one key, a few answers lost: far below the patience.
    let operations = history(7, 20_000, 1);
    assert!(operations.iter().any(|o| o.outcome == Outcome::Unknown));
    search(steps(&operations).list(), 2_000_000).unwrap();
    // A value from long ago is found out as fast.
    let mut operations = history(8, 20_000, 0);
    let read = |o: &Operation| {
        matches!(
            o.outcome,
            Outcome::Ok(Answer {
                seen: Seen::Pairs(_),
                ..
            })
        )
    };
    let reads: Vec<usize> = (0..operations.len())
        .filter(|&n| read(&operations[n]))
        .collect();
    operations[reads[reads.len() / 2]].outcome = operations[reads[0]].outcome.clone();
    let found = search(steps(&operations).list(), 2_000_000);
    assert!(matches!(found, Err(Failure::NoOrder { .. })), "{found:?}");
}
