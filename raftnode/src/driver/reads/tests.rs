//! Rounds: who is answered by what.
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

type Answers = Arc<Mutex<Vec<(u32, Result<u64, RequestError>)>>>;

fn read(answers: &Answers, name: u32) -> Done<u64> {
    let answers = Arc::clone(answers);
    Box::new(move |answer| answers.lock().push((name, answer)))
}

fn rounds() -> (ReadRounds, Answers) {
    let contexts = RequestIds::new(7, 1_700_000_000_000);
    (ReadRounds::new(contexts, 3, 5), Answers::default())
}

#[test]
fn an_answer_releases_its_round_and_the_earlier_ones_only() {
    let (mut rounds, answers) = rounds();
    let contexts: Vec<_> = (0..3)
        .map(|n| rounds.begin(vec![read(&answers, n)], 0).unwrap())
        .collect();
    rounds.finish(&contexts[1], 42);
    assert_eq!(*answers.lock(), [(0, Ok(42)), (1, Ok(42))]);
    rounds.finish(&contexts[0], 50);
    assert_eq!(
        answers.lock().len(),
        2,
        "an answer that comes late says nothing"
    );
    rounds.finish(&contexts[2], 50);
    assert_eq!(answers.lock()[2], (2, Ok(50)));
}

#[test]
fn an_answer_to_a_former_life_releases_nothing() {
    let answers = Answers::default();
    let mut before = ReadRounds::new(RequestIds::new(7, 1_700_000_000_000), 3, 5);
    let old = before.begin(vec![read(&answers, 0)], 0).unwrap();
    let mut after = ReadRounds::new(RequestIds::new(7, 1_700_000_000_001), 3, 5);
    let new = after.begin(vec![read(&answers, 1)], 0).unwrap();
    assert_ne!(old, new);
    after.finish(&old, 9);
    assert!(answers.lock().is_empty());
    for noise in [&b""[..], b"1234567", b"123456789"] {
        after.finish(noise, 9);
    }
    assert!(answers.lock().is_empty());
}

#[test]
fn reads_gather_while_all_rounds_are_taken_and_too_many_are_refused() {
    let (mut rounds, answers) = rounds();
    let mut contexts = Vec::new();
    for n in 0..u32::try_from(MAX_ROUNDS).unwrap() {
        contexts.push(rounds.begin(vec![read(&answers, n)], 0).unwrap());
    }
    assert!(
        rounds
            .begin((10..15).map(|n| read(&answers, n)).collect(), 1)
            .is_none()
    );
    let refused: Vec<_> = answers.lock().drain(..).collect();
    assert_eq!(
        refused,
        [
            (13, Err(RequestError::TooMany)),
            (14, Err(RequestError::TooMany))
        ]
    );
    rounds.finish(&contexts[0], 5);
    let next = rounds.next(2).expect("a round is free");
    answers.lock().clear();
    rounds.finish(&next, 6);
    let answered: Vec<u32> = answers.lock().iter().map(|(n, _)| *n).collect();
    assert_eq!(answered, [1, 2, 3, 10, 11, 12]);
}

#[test]
fn a_round_without_an_answer_is_repeated_under_a_new_name() {
    let (mut rounds, answers) = rounds();
    let first = rounds.begin(vec![read(&answers, 0)], 10).unwrap();
    assert!(rounds.repeat(14).is_none());
    let second = rounds.repeat(15).unwrap();
    assert_ne!(first, second);
    assert!(rounds.repeat(16).is_none(), "the second try has time, too");
    rounds.repeat(20).unwrap();
    rounds.finish(&second, 3);
    assert_eq!(*answers.lock(), [(0, Ok(3))]);
}

#[test]
fn a_leader_that_is_slower_than_the_repetitions_still_answers() {
    let (mut rounds, answers) = rounds();
    let mut sent = VecDeque::from([rounds.begin(vec![read(&answers, 0)], 0).unwrap()]);
    for tick in 1..=400 {
        sent.extend(rounds.repeat(tick));
        // Answers take twelve repetitions.
        if sent.len() > 12 {
            rounds.finish(&sent.pop_front().unwrap(), tick);
        }
    }
    assert_eq!(answers.lock().len(), 1);
    assert!(rounds.rounds.len() <= MAX_TRIES);
}

#[test]
fn failing_answers_everybody() {
    let (mut rounds, answers) = rounds();
    for n in 0..6 {
        rounds.begin(vec![read(&answers, n)], 0);
    }
    rounds.fail(RequestError::LeaderChanged);
    let got: Vec<_> = answers.lock().iter().map(|(_, a)| *a).collect();
    assert_eq!(got, [Err(RequestError::LeaderChanged); 6]);
}
