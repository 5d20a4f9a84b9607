use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..50).prop_map(|n| format!("/registry/pods/ns-{:02}/{n:04}", n % 3).into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
        // Around the length from which keys are kept once, and far behind it.
        1 => (LONG_KEY - 2..LONG_KEY + 2).prop_map(|len| vec![b'l'; len]),
        1 => (0u8..3).prop_map(|n| vec![n; 5000]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Push(i64, Vec<u8>),
    /// Takes what is at most so far behind the newest revision.
    Pop(i64),
    Shrink,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0i64..300, key()).prop_map(|(by, key)| Step::Push(by, key)),
        4 => (0i64..3000).prop_map(Step::Pop),
        1 => Just(Step::Shrink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_queue_gives_back_what_it_was_given_in_order(
        steps in proptest::collection::vec(step(), 1..800),
    ) {
        let mut queue = DueQueue::default();
        let mut model: VecDeque<(i64, Vec<u8>)> = VecDeque::new();
        let mut main = 1;
        for step in steps {
            match step {
                Step::Push(by, key) => {
                    main += by;
                    queue.push(main, &key);
                    model.push_back((main, key));
                }
                Step::Pop(back) => loop {
                    let up_to = main - back;
                    let expected = model.pop_front_if(|(main, _)| *main <= up_to);
                    let got = queue.pop_if(|main| main <= up_to);
                    prop_assert_eq!(got.as_deref(), expected.as_ref().map(|(_, key)| &key[..]));
                    if got.is_none() {
                        break;
                    }
                },
                Step::Shrink => queue.shrink(),
            }
            let long = model.iter().map(|(_, key)| key).filter(|key| key.len() >= LONG_KEY);
            let long: BTreeSet<_> = long.collect();
            prop_assert_eq!(queue.known.len(), long.len());
        }
        while let Some(expected) = model.pop_front() {
            let got = queue.pop_if(|main| main == expected.0);
            prop_assert_eq!(got.as_deref(), Some(&expected.1[..]));
        }
        prop_assert!(queue.is_empty() && queue.long.is_empty() && queue.known.is_empty());
    }
}

#[test]
fn a_key_that_is_written_all_the_time_costs_a_few_bytes_each_time() {
    let mut queue = DueQueue::default();
    for main in 0..100_000 {
        queue.push(
            main,
            b"/registry/leases/kube-system/kube-controller-manager",
        );
    }
    assert!(queue.heap_bytes() < 4 * 100_000, "{}", queue.heap_bytes());
    while queue.pop_if(|_| true).is_some() {}
    queue.shrink();
    assert_eq!(queue.heap_bytes(), 0);
}

#[test]
fn long_keys_are_kept_once() {
    let mut queue = DueQueue::default();
    for main in 0..1000 {
        queue.push(main, &vec![b'a' + u8::try_from(main % 2).unwrap(); 1 << 20]);
    }
    assert!(queue.heap_bytes() < 3 << 20);
}
