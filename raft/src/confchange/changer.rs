//! From one configuration to the next.

use varve_proto::raftpb::{ConfChangeSingle, ConfChangeType};

use super::ConfChangeError;
use crate::ids::{Index, NodeId};
use crate::quorum::NodeSet;
use crate::tracker::{Configuration, Progress, ProgressMap, Tracker};

/// The outcome of a change: adopt both or neither.
pub type Change = (Configuration, ProgressMap);

/// Computes changes of the configuration in `tracker`, which it leaves alone.
#[derive(Clone, Copy, Debug)]
pub struct Changer<'a> {
    /// The present configuration and progress.
    pub tracker: &'a Tracker,
    /// The last index of the log: where members that are added get probed.
    pub last_index: Index,
}

impl Changer<'_> {
    /// Starts a joint change: the present voters become the outgoing half, and `changes` apply to a
    /// copy of them, the incoming half (`C_{new,old}` of the Raft thesis, 4.3). `auto_leave` is only
    /// recorded.
    pub fn enter_joint(
        &self,
        auto_leave: bool,
        changes: &[ConfChangeSingle],
    ) -> Result<Change, ConfChangeError> {
        let (mut config, mut progress) = self.checked_copy()?;
        if config.voters.is_joint() {
            return Err(ConfChangeError::AlreadyJoint);
        }
        if config.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVotersToJoin);
        }
        config.voters.outgoing = config.voters.incoming.clone();
        self.apply(&mut config, &mut progress, changes)?;
        config.auto_leave = auto_leave;
        checked(config, progress)
    }

    /// Ends a joint change: the outgoing half is dropped, members only it had are forgotten, and those
    /// that waited for this become learners.
    pub fn leave_joint(&self) -> Result<Change, ConfChangeError> {
        let (mut config, mut progress) = self.checked_copy()?;
        if !config.voters.is_joint() {
            return Err(ConfChangeError::NotJoint);
        }
        for id in std::mem::take(&mut config.learners_next).iter() {
            config.learners.insert(id);
            if let Some(member) = progress.get_mut(id) {
                member.is_learner = true;
            }
        }
        for id in std::mem::take(&mut config.voters.outgoing).ids().iter() {
            if !config.voters.incoming.ids().contains(id) && !config.learners.contains(id) {
                progress.remove(id);
            }
        }
        config.auto_leave = false;
        checked(config, progress)
    }

    /// Carries out changes that together add or remove at most one voter, in one step.
    pub fn simple(&self, changes: &[ConfChangeSingle]) -> Result<Change, ConfChangeError> {
        let (mut config, mut progress) = self.checked_copy()?;
        if config.voters.is_joint() {
            return Err(ConfChangeError::SimpleInJoint);
        }
        self.apply(&mut config, &mut progress, changes)?;
        let before = self.tracker.config.voters.incoming.ids();
        if before.symmetric_difference_len(config.voters.incoming.ids()) > 1 {
            return Err(ConfChangeError::TooManyVoters);
        }
        checked(config, progress)
    }

    /// Applies changes to the incoming half.
    fn apply(
        &self,
        config: &mut Configuration,
        progress: &mut ProgressMap,
        changes: &[ConfChangeSingle],
    ) -> Result<(), ConfChangeError> {
        for change in changes {
            // etcd rewrites a change it rejects on apply to node 0: every member then skips it.
            let Some(id) = NodeId::new(change.node_id) else {
                continue;
            };
            match ConfChangeType::try_from(change.r#type) {
                Ok(ConfChangeType::ConfChangeAddNode) => self.make_voter(config, progress, id),
                Ok(ConfChangeType::ConfChangeAddLearnerNode) => {
                    self.make_learner(config, progress, id);
                }
                Ok(ConfChangeType::ConfChangeRemoveNode) => {
                    remove(config, progress, id);
                }
                // Concerns the application only (etcd: the member's URLs).
                Ok(ConfChangeType::ConfChangeUpdateNode) => {}
                Err(_) => return Err(ConfChangeError::UnknownType(change.r#type)),
            }
        }
        if config.voters.incoming.is_empty() {
            return Err(ConfChangeError::NoVotersLeft);
        }
        Ok(())
    }

    fn make_voter(&self, config: &mut Configuration, progress: &mut ProgressMap, id: NodeId) {
        match progress.get_mut(id) {
            Some(member) => {
                member.is_learner = false;
                config.learners.remove(id);
                config.learners_next.remove(id);
            }
            None => progress.insert(id, self.newcomer(false)),
        }
        config.voters.incoming.ids_mut().insert(id);
    }

    fn make_learner(&self, config: &mut Configuration, progress: &mut ProgressMap, id: NodeId) {
        match progress.get(id) {
            None => {
                config.learners.insert(id);
                progress.insert(id, self.newcomer(true));
            }
            Some(member) if member.is_learner => {}
            Some(member) => {
                let mut member = member.clone();
                remove(config, progress, id);
                // A voter of the outgoing half cannot be a learner before that half is gone.
                if config.voters.outgoing.ids().contains(id) {
                    config.learners_next.insert(id);
                } else {
                    member.is_learner = true;
                    config.learners.insert(id);
                }
                progress.insert(id, member);
            }
        }
    }

    fn newcomer(&self, is_learner: bool) -> Progress {
        // Probing starts at the end of the log: most likely the newcomer has none and needs a
        // snapshot, which its first refusal will tell.
        let mut progress = Progress::new(
            self.last_index.max(Index::new(1)),
            self.tracker.new_inflights(),
            is_learner,
        );
        // Or the next quorum check could depose the leader before the newcomer could answer anything.
        progress.recent_active = true;
        progress
    }

    fn checked_copy(&self) -> Result<Change, ConfChangeError> {
        checked(self.tracker.config.clone(), self.tracker.progress.clone())
    }
}

/// Takes a member out of the incoming half and out of the learners. Its progress stays while the
/// outgoing half has it.
fn remove(config: &mut Configuration, progress: &mut ProgressMap, id: NodeId) {
    if !progress.contains(id) {
        return;
    }
    config.voters.incoming.ids_mut().remove(id);
    config.learners.remove(id);
    config.learners_next.remove(id);
    if !config.voters.outgoing.ids().contains(id) {
        progress.remove(id);
    }
}

/// Holds the invariants of [`Configuration`], and that every member has progress that fits.
fn checked(config: Configuration, progress: ProgressMap) -> Result<Change, ConfChangeError> {
    let tracked = |ids: &NodeSet| match ids.iter().find(|&id| !progress.contains(id)) {
        Some(id) => Err(ConfChangeError::NoProgress(id.get())),
        None => Ok(()),
    };
    tracked(&config.voters.ids())?;
    tracked(&config.learners)?;
    tracked(&config.learners_next)?;
    let is_learner = |id| progress.get(id).is_some_and(|member| member.is_learner);

    for id in config.learners_next.iter() {
        if !config.voters.outgoing.ids().contains(id) {
            return Err(ConfChangeError::NextNotOutgoing(id.get()));
        }
        if is_learner(id) {
            return Err(ConfChangeError::NextAlreadyLearner(id.get()));
        }
    }
    for id in config.learners.iter() {
        if config.voters.outgoing.ids().contains(id) {
            return Err(ConfChangeError::LearnerOutgoing(id.get()));
        }
        if config.voters.incoming.ids().contains(id) {
            return Err(ConfChangeError::LearnerIncoming(id.get()));
        }
        if !is_learner(id) {
            return Err(ConfChangeError::LearnerUnmarked(id.get()));
        }
    }
    if !config.voters.is_joint() {
        if !config.learners_next.is_empty() {
            return Err(ConfChangeError::NextWithoutJoint);
        }
        if config.auto_leave {
            return Err(ConfChangeError::AutoLeaveWithoutJoint);
        }
    }
    Ok((config, progress))
}
