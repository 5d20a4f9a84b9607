//! Nothing that arrives makes a node panic, and nothing makes a committed entry change.

use proptest::prelude::*;
use varve_proto::raftpb::{ConfState, Entry, Message, Snapshot, SnapshotMetadata};
use varve_raft::{Config, LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD};

use crate::network::{Network, plain};

/// Small numbers, which hit something, and extreme ones, which overflow.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..8_u64,
        1 => Just(u64::MAX),
        1 => Just(u64::MAX >> 1),
        1 => Just((u64::MAX >> 1) + 1),
        1 => any::<u64>(),
    ]
}

fn node() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..5_u64, 1 => Just(LOCAL_APPEND_THREAD), 1 => Just(LOCAL_APPLY_THREAD)]
}

fn entry() -> impl Strategy<Value = Entry> {
    let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..12));
    (-1..4_i32, number(), number(), data).prop_map(|(kind, term, index, data)| Entry {
        r#type: kind,
        term,
        index,
        data: data.map(Into::into),
    })
}

/// Entries that could follow `index`.
fn run() -> impl Strategy<Value = Vec<Entry>> {
    (0..8_u64, prop::collection::vec((1..4_u64, 0..3_i32), 0..4)).prop_map(|(index, parts)| {
        let mut term = 0;
        (index + 1..)
            .zip(parts)
            .map(|(index, (step, kind))| {
                term += step / 2;
                Entry {
                    r#type: kind,
                    term,
                    index,
                    data: None,
                }
            })
            .collect()
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let ids = || prop::collection::vec(0..6_u64, 0..4);
    (
        ids(),
        ids(),
        ids(),
        ids(),
        any::<bool>(),
        number(),
        number(),
    )
        .prop_map(
            |(voters, learners, voters_outgoing, learners_next, auto_leave, index, term)| {
                Snapshot {
                    data: None,
                    metadata: SnapshotMetadata {
                        conf_state: ConfState {
                            voters,
                            learners,
                            voters_outgoing,
                            learners_next,
                            auto_leave,
                        },
                        index,
                        term,
                    },
                }
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    let head = (-1..25_i32, node(), node(), number(), number(), number());
    let entries = prop_oneof![prop::collection::vec(entry(), 0..4), run()];
    let context = prop::option::of(prop::collection::vec(any::<u8>(), 0..10));
    let rest = (
        entries,
        number(),
        prop::option::of(snapshot()),
        any::<bool>(),
        number(),
        context,
        number(),
    );
    (head, rest).prop_map(
        |(
            (kind, to, from, term, log_term, index),
            (entries, commit, snapshot, reject, reject_hint, context, vote),
        )| Message {
            r#type: kind,
            to,
            from,
            term,
            log_term,
            index,
            entries,
            commit,
            snapshot,
            reject,
            reject_hint,
            context: context.map(Into::into),
            vote,
            responses: Vec::new(),
        },
    )
}

fn config(id: u64, bits: u8) -> Config {
    Config {
        pre_vote: bits & 1 != 0,
        check_quorum: bits & 2 != 0,
        async_storage_writes: bits & 4 != 0,
        max_inflight_msgs: 2,
        ..plain(id)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_peer_sends_makes_a_node_panic(
        bits in 0..8_u8,
        role in 0..4_u8,
        messages in prop::collection::vec(message(), 1..12),
    ) {
        let mut network = Network::with(3, |id| config(id, bits));
        match role {
            0 => {}
            1 => network.raw(1).campaign().unwrap(),
            2 => {
                network.campaign(1);
                network.propose(1, "a");
                network.raw(1).read_index("r".into());
            }
            _ => {
                network.campaign(2);
                network.propose(2, "a");
            }
        }
        for message in messages {
            // Refused or not, fatal or not: it returns.
            drop(network.raw(1).step(message));
            for _ in 0..3 {
                network.raw(1).tick();
            }
            // Committed changes may be nonsense here; only the core is under test.
            let raw = network.raw(1);
            while raw.has_ready() && raw.failure().is_none() {
                let ready = raw.ready();
                prop_assert!(ready.messages.iter().all(|m| varve_raft::is_local_target(m.to) || m.to != 1));
                if let Some(snapshot) = ready.snapshot.clone() {
                    drop(raw.storage().apply_snapshot(snapshot));
                }
                raw.storage().append(&ready.entries).unwrap();
                if bits & 4 == 0 {
                    raw.advance(ready);
                } else {
                    for response in ready.messages.into_iter().flat_map(|m| m.responses) {
                        if response.to == 1 {
                            drop(raw.step(response));
                        }
                    }
                }
            }
        }
    }
}
