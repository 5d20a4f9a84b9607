//! The quorum corpus: commit indexes and vote results of majorities and pairs of them.

use std::collections::BTreeMap;

use varve_raft::{Index, JointConfig, MajorityConfig, NodeId};

use crate::datadriven::{Case, corpus, run_file};

struct Input {
    config: JointConfig,
    joint: bool,
    /// What each voter said, in the order in which the voters are listed; `_` for nothing.
    said: Vec<String>,
}

fn read(case: &Case) -> Input {
    let (mut ids, mut joined, mut joint, mut said) = (Vec::new(), Vec::new(), false, Vec::new());
    for arg in &case.args {
        match arg.key.as_str() {
            "cfg" => ids.extend(arg.vals.iter().map(|val| val.parse::<u64>().unwrap())),
            "cfgj" => {
                joint = true;
                if arg.vals != ["zero"] {
                    joined.extend(arg.vals.iter().map(|val| val.parse::<u64>().unwrap()));
                }
            }
            "idx" | "votes" => said.extend(arg.vals.iter().cloned()),
            other => panic!("unknown argument {other}"),
        }
    }
    // Both halves in the order given, each voter once.
    let mut order: Vec<u64> = Vec::new();
    for id in ids.iter().chain(&joined) {
        if !order.contains(id) {
            order.push(*id);
        }
    }
    let config = JointConfig {
        incoming: ids.into_iter().filter_map(NodeId::new).collect(),
        outgoing: joined.into_iter().filter_map(NodeId::new).collect(),
    };
    let said = if said.len() == order.len() {
        order
            .into_iter()
            .zip(said)
            .map(|(id, said)| format!("{id}={said}"))
            .collect()
    } else {
        panic!("{} answers for {} voters", said.len(), order.len())
    };
    Input {
        config,
        joint,
        said,
    }
}

fn by_voter<T>(said: &[String], parse: impl Fn(&str) -> T) -> BTreeMap<NodeId, T> {
    said.iter()
        .filter_map(|said| {
            let (id, said) = said.split_once('=').unwrap();
            (said != "_").then(|| (NodeId::new(id.parse().unwrap()).unwrap(), parse(said)))
        })
        .collect()
}

fn index_name(index: Option<Index>) -> String {
    // No voters agree to anything.
    index.map_or_else(|| "\u{221e}".to_owned(), |index| index.to_string())
}

/// The commit index from its definition: the highest acknowledged index that a majority reaches.
fn by_definition(voters: &MajorityConfig, acked: &BTreeMap<NodeId, Index>) -> Option<Index> {
    if voters.is_empty() {
        return None;
    }
    let reached = |index: Index| {
        let count = voters
            .ids()
            .iter()
            .filter(|id| acked.get(id).is_some_and(|at| *at >= index));
        count.count() > voters.ids().len() / 2
    };
    let all = acked.values().copied();
    Some(
        all.filter(|index| reached(*index))
            .max()
            .unwrap_or_default(),
    )
}

fn committed(input: &Input) -> String {
    let acked = by_voter(&input.said, |said| Index::new(said.parse().unwrap()));
    let lookup = |id: NodeId| acked.get(&id).copied();
    let JointConfig { incoming, outgoing } = &input.config;
    let mut out = String::new();
    let check = |what: &str, index: Option<Index>, other: Option<Index>, out: &mut String| {
        if index != other {
            out.extend([index_name(other), format!(" <-- via {what}\n")]);
        }
    };
    let index = if input.joint {
        out.push_str(&input.config.describe(lookup));
        let index = input.config.committed(lookup);
        let swapped = JointConfig {
            incoming: outgoing.clone(),
            outgoing: incoming.clone(),
        };
        check("symmetry", index, swapped.committed(lookup), &mut out);
        index
    } else {
        out.push_str(&incoming.describe(lookup));
        let index = incoming.committed(lookup);
        check(
            "alternative computation",
            index,
            by_definition(incoming, &acked),
            &mut out,
        );
        let alone = JointConfig {
            incoming: incoming.clone(),
            outgoing: MajorityConfig::default(),
        };
        check(
            "zero-joint quorum",
            index,
            alone.committed(lookup),
            &mut out,
        );
        let twice = JointConfig {
            incoming: incoming.clone(),
            outgoing: incoming.clone(),
        };
        check(
            "self-joint quorum",
            index,
            twice.committed(lookup),
            &mut out,
        );
        // Who is behind the commit index may fall back further without effect.
        for id in incoming.ids().iter() {
            let at = lookup(id).unwrap_or_default();
            if at > Index::ZERO && index.is_some_and(|index| at < index) {
                for lower in [at.before(), Index::ZERO] {
                    let overlaid = |other| {
                        if other == id {
                            Some(lower)
                        } else {
                            lookup(other)
                        }
                    };
                    let what = format!("overlaying {}->{lower}", id.get());
                    check(&what, index, incoming.committed(overlaid), &mut out);
                }
            }
        }
        index
    };
    out + &index_name(index) + "\n"
}

fn vote(input: &Input) -> String {
    let votes = by_voter(&input.said, |said| said == "y");
    let lookup = |id: NodeId| votes.get(&id).copied();
    let JointConfig { incoming, outgoing } = &input.config;
    if !input.joint {
        return format!("{}\n", incoming.vote_result(lookup));
    }
    let result = input.config.vote_result(lookup);
    let swapped = JointConfig {
        incoming: outgoing.clone(),
        outgoing: incoming.clone(),
    };
    let mut out = String::new();
    if swapped.vote_result(lookup) != result {
        out = format!("{} <-- via symmetry\n", swapped.vote_result(lookup));
    }
    format!("{out}{result}\n")
}

#[test]
fn quorums_decide_as_in_the_corpus() {
    for file in corpus("quorum").unwrap_or_default() {
        run_file(&file, false, |case| {
            let input = read(case);
            match case.cmd.as_str() {
                "committed" => committed(&input),
                "vote" => vote(&input),
                other => panic!("unknown command {other}"),
            }
        });
    }
}
