//! From a recorded configuration back to a live one.

use std::collections::BTreeSet;

use varve_proto::raftpb::{ConfChangeSingle, ConfChangeType, ConfState};

use super::{Change, Changer, ConfChangeError};
use crate::describe::describe_conf_state;
use crate::tracker::Tracker;

fn changes(kind: ConfChangeType, ids: &[u64]) -> impl Iterator<Item = ConfChangeSingle> {
    ids.iter().map(move |&node_id| ConfChangeSingle {
        r#type: kind as i32,
        node_id,
    })
}

impl Changer<'_> {
    /// Rebuilds the configuration recorded in `state`, starting from the limits of this changer's
    /// tracker and nobody in it.
    ///
    /// A joint configuration is rebuilt by playing it through: the outgoing voters are added one by
    /// one, then a joint change replaces them all by the incoming members. A voter that waits to
    /// become a learner is an outgoing voter, so adding it as learner last stages it correctly.
    ///
    /// # Errors
    /// A recorded configuration may come from a peer; one that breaks the rules is refused.
    pub fn restore(&self, state: &ConfState) -> Result<Change, ConfChangeError> {
        let mut tracker = self.tracker.emptied();
        let step = |tracker: &mut Tracker, change: ConfChangeSingle| {
            let changer = Changer {
                tracker,
                last_index: self.last_index,
            };
            let (config, progress) = changer.simple(&[change])?;
            tracker.config = config;
            tracker.progress = progress;
            Ok(())
        };
        let incoming = changes(ConfChangeType::ConfChangeAddNode, &state.voters)
            .chain(changes(
                ConfChangeType::ConfChangeAddLearnerNode,
                &state.learners,
            ))
            .chain(changes(
                ConfChangeType::ConfChangeAddLearnerNode,
                &state.learners_next,
            ));
        if state.voters_outgoing.is_empty() {
            for change in incoming {
                step(&mut tracker, change)?;
            }
        } else {
            for change in changes(ConfChangeType::ConfChangeAddNode, &state.voters_outgoing) {
                step(&mut tracker, change)?;
            }
            let swap: Vec<_> =
                changes(ConfChangeType::ConfChangeRemoveNode, &state.voters_outgoing)
                    .chain(incoming)
                    .collect();
            let changer = Changer {
                tracker: &tracker,
                last_index: self.last_index,
            };
            let (config, progress) = changer.enter_joint(state.auto_leave, &swap)?;
            tracker.config = config;
            tracker.progress = progress;
        }
        let restored = tracker.conf_state();
        if !equivalent(state, &restored) {
            return Err(ConfChangeError::NotEquivalent {
                recorded: describe_conf_state(state),
                restored: describe_conf_state(&restored),
            });
        }
        Ok((tracker.config, tracker.progress))
    }
}

/// Whether two records describe the same configuration, whatever their order.
fn equivalent(a: &ConfState, b: &ConfState) -> bool {
    let same = |a: &[u64], b: &[u64]| {
        // As sets, and without duplicates hiding in one of them.
        a.len() == b.len() && a.iter().collect::<BTreeSet<_>>() == b.iter().collect::<BTreeSet<_>>()
    };
    same(&a.voters, &b.voters)
        && same(&a.learners, &b.learners)
        && same(&a.voters_outgoing, &b.voters_outgoing)
        && same(&a.learners_next, &b.learners_next)
        && a.auto_leave == b.auto_leave
}
