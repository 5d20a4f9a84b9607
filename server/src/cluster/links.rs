//! The connections to the other members as the rest of the server sees them: whom to connect to, and
//! since when a connection stands.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use varve_raftnode::membership::Cluster;
use varve_raftnode::{PeerFigures, Peers};

/// The peer transport's part in membership.
pub(crate) trait Links: Send + Sync + 'static {
    /// Connects to a member.
    fn add(&self, id: u64, urls: &[String]);
    /// The member is now at these URLs.
    fn update(&self, id: u64, urls: &[String]);
    /// Disconnects from a member for good.
    fn remove(&self, id: u64);
    /// Since when messages flow; `None` while they do not.
    fn active_since(&self, id: u64) -> Option<Instant>;
    /// What was counted.
    fn figures(&self) -> PeerFigures;
}

impl Links for Peers {
    fn add(&self, id: u64, urls: &[String]) {
        if let Err(error) = self.add_peer(id, urls) {
            tracing::error!(member_id = %format_args!("{id:x}"), %error, "cannot connect to a member");
        }
    }

    fn update(&self, id: u64, urls: &[String]) {
        if let Err(error) = self.update_peer(id, urls) {
            tracing::error!(member_id = %format_args!("{id:x}"), %error, "cannot connect to a member");
        }
    }

    fn remove(&self, id: u64) {
        self.remove_peer(id);
    }

    fn active_since(&self, id: u64) -> Option<Instant> {
        Self::active_since(self, id)
    }

    fn figures(&self) -> PeerFigures {
        Self::figures(self)
    }
}

/// A network that needs no telling who is a member: a simulated one.
#[cfg(feature = "stepped")]
struct NoLinks;

#[cfg(feature = "stepped")]
impl Links for NoLinks {
    fn add(&self, _: u64, _: &[String]) {}
    fn update(&self, _: u64, _: &[String]) {}
    fn remove(&self, _: u64) {}
    fn active_since(&self, _: u64) -> Option<Instant> {
        None
    }
    fn figures(&self) -> PeerFigures {
        PeerFigures::default()
    }
}

/// Keeps the connections in step with the membership. Clones share it.
#[derive(Clone)]
pub(crate) struct MemberLinks {
    links: Arc<dyn Links>,
    /// Whom the transport was told of, and where they are.
    known: Arc<Mutex<BTreeMap<u64, Vec<String>>>>,
    local_id: u64,
}

impl std::fmt::Debug for MemberLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberLinks")
            .field("known", &self.known.lock())
            .finish_non_exhaustive()
    }
}

impl MemberLinks {
    pub(crate) fn new(links: Arc<dyn Links>, local_id: u64) -> Self {
        Self {
            links,
            known: Arc::default(),
            local_id,
        }
    }

    /// Of a member in a network that delivers by id.
    #[cfg(feature = "stepped")]
    pub(crate) fn none(local_id: u64) -> Self {
        Self::new(Arc::new(NoLinks), local_id)
    }

    /// Tells the transport what changed in the membership.
    pub(crate) fn sync(&self, cluster: &Cluster) {
        let mut known = self.known.lock();
        known.retain(|id, _| {
            let stays = cluster.member(*id).is_some();
            if !stays {
                self.links.remove(*id);
            }
            stays
        });
        for member in cluster.members().filter(|m| m.id != self.local_id) {
            match known.get(&member.id) {
                Some(urls) if *urls == member.peer_urls => continue,
                Some(_) => self.links.update(member.id, &member.peer_urls),
                None => self.links.add(member.id, &member.peer_urls),
            }
            known.insert(member.id, member.peer_urls.clone());
        }
    }

    /// What was counted.
    pub(crate) fn figures(&self) -> PeerFigures {
        self.links.figures()
    }

    /// Whether messages have flowed to this member since `when`. A member is always connected to
    /// itself.
    pub(crate) fn connected_since(&self, id: u64, when: Instant) -> bool {
        id == self.local_id
            || self
                .links
                .active_since(id)
                .is_some_and(|since| since < when)
    }

    /// Whether messages flow to this member now.
    pub(crate) fn is_connected(&self, id: u64) -> bool {
        id == self.local_id || self.links.active_since(id).is_some()
    }

    /// How many of these members are connected since `when`.
    pub(crate) fn count_connected_since(
        &self,
        ids: impl IntoIterator<Item = u64>,
        when: Instant,
    ) -> usize {
        ids.into_iter()
            .filter(|id| self.connected_since(*id, when))
            .count()
    }

    /// Of these members, not counting this one, the one that has been connected for longest.
    pub(crate) fn longest_connected(&self, ids: impl IntoIterator<Item = u64>) -> Option<u64> {
        ids.into_iter()
            .filter(|id| *id != self.local_id)
            .filter_map(|id| Some((self.links.active_since(id)?, id)))
            .min()
            .map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests;
