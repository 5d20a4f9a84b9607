//! The handle: who the others are, and which way a message takes to them.
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use varve_proto::raftpb::{Message, MessageType};
use varve_snap::Snapshotter;

use super::Hex;
use super::client::PeerClient;
use super::config::{PeerConfig, PeerTimings};
use super::error::PeerError;
use super::headers::Identity;
use super::host::{PeerHost, ReceiveError};
use super::metrics::{MemberCounters, PeerFigures, PeerMetrics, count};
use super::pipeline::Pipeline;
use super::probing::{PROBERS, Prober};
use super::snapshot::{Outcome, SnapshotSender};
use super::status::PeerStatus;
use super::stream::{Sent, StreamKind, StreamReader, StreamWriter};
use super::url::{PeerUrl, UrlPicker};
use crate::state_machine::{StateExport, Transport};

/// Members of which only an address is known. Anybody who knows the cluster's id can have one added, and
/// each has a few tasks.
const MAX_REMOTES: usize = 64;

/// The transport of one member; clones share it.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Arc<Identity>,
    timings: PeerTimings,
    client: PeerClient,
    snapshotter: Snapshotter,
    metrics: PeerMetrics,
    host: Arc<HostSlot>,
    runtime: Handle,
    members: RwLock<Members>,
}

#[derive(Default)]
struct Members {
    stopped: bool,
    peers: HashMap<u64, Peer>,
    remotes: HashMap<u64, Remote>,
}

/// The member behind the transport, once there is one and until it stops.
#[derive(Default)]
pub(crate) struct HostSlot {
    host: RwLock<Option<Arc<dyn PeerHost>>>,
}

impl HostSlot {
    /// Not called with the lock held: the host may call the transport.
    fn get(&self) -> Option<Arc<dyn PeerHost>> {
        self.host.read().clone()
    }
}

/// What everything that deals with one other member shares.
pub(crate) struct Link {
    pub(crate) local_id: u64,
    pub(crate) id: u64,
    pub(crate) timings: PeerTimings,
    pub(crate) picker: UrlPicker,
    pub(crate) counters: Arc<MemberCounters>,
    pub(crate) status: PeerStatus,
    host: Arc<HostSlot>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn receive(&self, message: Message) -> Result<(), ReceiveError> {
        let host = self.host.get().ok_or(ReceiveError::Busy)?;
        host.receive(message)
    }

    pub(crate) fn report_unreachable(&self) {
        if let Some(host) = self.host.get() {
            host.report_unreachable(self.id);
        }
    }

    pub(crate) fn report_snapshot(&self, sent: bool) {
        if let Some(host) = self.host.get() {
            host.report_snapshot(self.id, sent);
        }
    }

    /// The last entry that this member applied.
    pub(crate) fn applied(&self) -> u64 {
        self.host.get().map_or(0, |host| host.applied())
    }

    pub(crate) fn removed_from_cluster(&self) {
        if let Some(host) = self.host.get() {
            host.removed_from_cluster();
        }
    }
}

/// Tasks that end with their owner.
struct Tasks(Vec<AbortHandle>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// A member by applied configuration.
struct Peer {
    link: Arc<Link>,
    append: Arc<StreamWriter>,
    message: Arc<StreamWriter>,
    pipeline: Pipeline,
    tasks: Tasks,
}

/// A member that only an address is known of: it can be posted to.
struct Remote {
    link: Arc<Link>,
    pipeline: Pipeline,
    _tasks: Tasks,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.append.close();
        self.message.close();
        self.link.status.retire();
    }
}

impl Peer {
    /// Sends a message the way that is there for it.
    fn send(&self, message: Message) {
        let is_append = message.r#type == i32::from(MessageType::MsgApp);
        let is_snapshot = message.r#type == i32::from(MessageType::MsgSnap);
        let mut message = Some(message);
        let streams = [is_append.then_some(&self.append), Some(&self.message)];
        // A snapshot that comes this way holds no database: too long for a stream all the same.
        let streams = streams.into_iter().flatten().filter(|_| !is_snapshot);
        for writer in streams {
            match writer.send(&mut message) {
                Sent::Queued => return,
                Sent::Full => return self.dropped(is_snapshot),
                Sent::Detached => {}
            }
        }
        let posted = message.is_none_or(|message| self.pipeline.send(message));
        if !posted {
            self.dropped(is_snapshot);
        }
    }

    fn dropped(&self, is_snapshot: bool) {
        dropped(&self.link);
        self.link.report_unreachable();
        if is_snapshot {
            self.link.report_snapshot(false);
        }
    }
}

fn dropped(link: &Link) {
    count(&link.counters.sent_failures, 1);
    let active = link.status.active_since().is_some();
    // A member that is down drops much; one that is up should not.
    if active {
        tracing::warn!(
            local_member_id = %Hex(link.local_id),
            remote_peer_id = %Hex(link.id),
            remote_peer_active = active,
            "dropped internal Raft message since sending buffer is full (overloaded network)"
        );
    } else {
        tracing::debug!(
            local_member_id = %Hex(link.local_id),
            remote_peer_id = %Hex(link.id),
            remote_peer_active = active,
            "dropped Raft message since sending buffer is full (overloaded network)"
        );
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.inner.members.read();
        f.debug_struct("Peers")
            .field("local_id", &Hex(self.inner.identity.local_id).to_string())
            .field("peers", &members.peers.len())
            .field("remotes", &members.remotes.len())
            .finish_non_exhaustive()
    }
}

impl Peers {
    /// A transport without members. Its tasks run on `runtime`, which needs I/O and time.
    ///
    /// Errors: a version or an advertised URL that real members would stumble over.
    pub fn new(config: PeerConfig, runtime: Handle) -> Result<Self, PeerError> {
        let inner = Inner {
            identity: Arc::new(Identity::new(&config)?),
            timings: config.timings,
            client: PeerClient::new(config.tls.clone(), config.timings),
            snapshotter: config.snapshotter(),
            metrics: PeerMetrics::default(),
            host: Arc::default(),
            runtime,
            members: RwLock::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Says who takes what arrives. Until then everything received is refused as too much.
    pub fn bind(&self, host: Arc<dyn PeerHost>) {
        *self.inner.host.host.write() = Some(host);
    }

    /// What the server asks other members with.
    pub fn client(&self) -> &PeerClient {
        &self.inner.client
    }

    /// What was counted so far.
    pub fn figures(&self) -> PeerFigures {
        self.inner.metrics.figures()
    }

    /// A member joined, by applied configuration: opens its streams. One that is known already keeps
    /// what it has.
    ///
    /// Errors: URLs that are none; the member is not added.
    pub fn add_peer(&self, id: u64, urls: &[String]) -> Result<(), PeerError> {
        let parsed = PeerUrl::parse_all(urls)?;
        let mut members = self.inner.members.write();
        if members.stopped || members.peers.contains_key(&id) || id == self.local_id() {
            return Ok(());
        }
        let Some(picker) = UrlPicker::new(parsed) else {
            return Err(PeerError::NoUrls);
        };
        let peer = self.start_peer(self.link(id, picker));
        members.peers.insert(id, peer);
        // Its posts go the peer's way from now on.
        members.remotes.remove(&id);
        tracing::info!(
            local_member_id = %Hex(self.local_id()),
            remote_peer_id = %Hex(id),
            remote_peer_urls = ?urls,
            "added remote peer"
        );
        Ok(())
    }

    /// A member has other URLs now. One that is not known stays unknown.
    ///
    /// Errors: URLs that are none; the member keeps the old ones.
    pub fn update_peer(&self, id: u64, urls: &[String]) -> Result<(), PeerError> {
        let parsed = PeerUrl::parse_all(urls)?;
        let members = self.inner.members.read();
        if let Some(peer) = members.peers.get(&id) {
            peer.link.picker.update(parsed);
            tracing::info!(
                local_member_id = %Hex(self.local_id()),
                updated_remote_peer_id = %Hex(id),
                updated_remote_peer_urls = ?urls,
                "updated remote peer"
            );
        }
        Ok(())
    }

    /// A member left: ends its streams and drops what waits for it.
    pub fn remove_peer(&self, id: u64) {
        let removed = self.inner.members.write().peers.remove(&id);
        if removed.is_some() {
            tracing::info!(
                local_member_id = %Hex(self.local_id()),
                removed_remote_peer_id = %Hex(id),
                "removed remote peer"
            );
        }
    }

    /// Forgets all members: others come in their place (a snapshot was applied).
    pub fn remove_all_peers(&self) {
        // Dropped without the lock: what they report may come back here.
        let removed = std::mem::take(&mut self.inner.members.write().peers);
        drop(removed);
    }

    /// An address that was heard of: a member that is not in the configuration (yet) can be answered
    /// there. URLs that are none are ignored; so are more than a few such members.
    pub fn add_remote(&self, id: u64, urls: &[String]) {
        {
            let members = self.inner.members.read();
            let known = members.peers.contains_key(&id) || members.remotes.contains_key(&id);
            if known || members.stopped || id == self.local_id() {
                return;
            }
        }
        let parsed = match PeerUrl::parse_all(urls) {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::warn!(remote_peer_id = %Hex(id), %error, "ignored the URLs of a member");
                return;
            }
        };
        let mut members = self.inner.members.write();
        if members.stopped
            || members.peers.contains_key(&id)
            || members.remotes.contains_key(&id)
            || members.remotes.len() >= MAX_REMOTES
        {
            return;
        }
        let Some(picker) = UrlPicker::new(parsed) else {
            return;
        };
        let link = self.link(id, picker);
        let (pipeline, tasks) = self.start_pipeline(&link);
        let remote = Remote {
            link,
            pipeline,
            _tasks: tasks,
        };
        members.remotes.insert(id, remote);
        tracing::info!(
            local_member_id = %Hex(self.local_id()),
            remote_peer_id = %Hex(id),
            remote_peer_urls = ?urls,
            "added new remote peer"
        );
    }

    /// Since when a member is reached without a failure; `None` when it is not, or not known.
    pub fn active_since(&self, id: u64) -> Option<Instant> {
        let members = self.inner.members.read();
        members.peers.get(&id)?.link.status.active_since()
    }

    /// Members that are reached.
    pub fn active_peers(&self) -> usize {
        let members = self.inner.members.read();
        let is_active = |peer: &&Peer| peer.link.status.active_since().is_some();
        members.peers.values().filter(is_active).count()
    }

    /// Ends all streams and tasks, for good, and lets go of the host.
    pub fn stop(&self) {
        let (peers, remotes) = {
            let mut members = self.inner.members.write();
            members.stopped = true;
            (
                std::mem::take(&mut members.peers),
                std::mem::take(&mut members.remotes),
            )
        };
        drop((peers, remotes));
        let host = self.inner.host.host.write().take();
        drop(host);
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(crate) fn timings(&self) -> &PeerTimings {
        &self.inner.timings
    }

    pub(crate) fn metrics(&self) -> &PeerMetrics {
        &self.inner.metrics
    }

    pub(crate) fn snapshotter(&self) -> Snapshotter {
        self.inner.snapshotter.clone()
    }

    pub(crate) fn receive(&self, message: Message) -> Result<(), ReceiveError> {
        let host = self.inner.host.get().ok_or(ReceiveError::Busy)?;
        host.receive(message)
    }

    pub(crate) fn is_removed(&self, id: u64) -> bool {
        self.inner
            .host
            .get()
            .is_some_and(|host| host.is_removed(id))
    }

    /// Where the streams of a member begin.
    pub(crate) fn writer(&self, id: u64, kind: StreamKind) -> Option<Arc<StreamWriter>> {
        let members = self.inner.members.read();
        let peer = members.peers.get(&id)?;
        Some(Arc::clone(match kind {
            StreamKind::Append => &peer.append,
            StreamKind::Message => &peer.message,
        }))
    }

    fn local_id(&self) -> u64 {
        self.inner.identity.local_id
    }

    fn link(&self, id: u64, picker: UrlPicker) -> Arc<Link> {
        let inner = &self.inner;
        let counters = inner.metrics.member(id);
        Arc::new(Link {
            local_id: inner.identity.local_id,
            id,
            timings: inner.timings,
            picker,
            status: PeerStatus::new(id, Arc::clone(&counters)),
            counters,
            host: Arc::clone(&inner.host),
        })
    }

    fn start_pipeline(&self, link: &Arc<Link>) -> (Pipeline, Tasks) {
        let inner = &self.inner;
        let (pipeline, posters) = Pipeline::new(link, &inner.client, &inner.identity);
        let spawn = |poster: super::pipeline::Poster| inner.runtime.spawn(poster.run());
        let tasks = posters.into_iter().map(|p| spawn(p).abort_handle());
        (pipeline, Tasks(tasks.collect()))
    }

    fn start_peer(&self, link: Arc<Link>) -> Peer {
        let inner = &self.inner;
        let (pipeline, mut tasks) = self.start_pipeline(&link);
        for kind in [StreamKind::Append, StreamKind::Message] {
            let reader = StreamReader {
                kind,
                link: Arc::clone(&link),
                client: inner.client.clone(),
                identity: Arc::clone(&inner.identity),
            };
            let task = inner.runtime.spawn(reader.run());
            tasks.0.push(task.abort_handle());
        }
        for name in PROBERS {
            let prober = Prober {
                name,
                link: Arc::clone(&link),
                client: inner.client.clone(),
            };
            let task = inner.runtime.spawn(prober.run());
            tasks.0.push(task.abort_handle());
        }
        let writer = |kind| Arc::new(StreamWriter::new(kind, Arc::clone(&link)));
        Peer {
            append: writer(StreamKind::Append),
            message: writer(StreamKind::Message),
            link,
            pipeline,
            tasks,
        }
    }
}

impl Transport for Peers {
    fn send(&self, messages: Vec<Message>) {
        let members = self.inner.members.read();
        for message in messages {
            // Raft's driver cancels a message by taking its receiver away.
            if message.to == 0 {
                continue;
            }
            if let Some(peer) = members.peers.get(&message.to) {
                peer.send(message);
            } else if let Some(remote) = members.remotes.get(&message.to) {
                if !remote.pipeline.send(message) {
                    dropped(&remote.link);
                }
            } else {
                tracing::debug!(
                    r#type = message.r#type,
                    unknown_target_peer_id = %Hex(message.to),
                    "ignored message send request; unknown remote peer target"
                );
            }
        }
    }

    fn send_snapshot(&self, message: Message, state: StateExport) {
        let inner = &self.inner;
        let mut members = inner.members.write();
        let Some(peer) = members.peers.get_mut(&message.to) else {
            drop(members);
            if let Some(host) = inner.host.get() {
                host.report_snapshot(message.to, false);
            }
            return;
        };
        let sender = SnapshotSender {
            client: inner.client.clone(),
            identity: Arc::clone(&inner.identity),
            outcome: Outcome::new(Arc::clone(&peer.link)),
            message,
            state,
        };
        let task = inner.runtime.spawn(sender.run());
        // The ones that are over need not be remembered.
        peer.tasks.0.retain(|task| !task.is_finished());
        peer.tasks.0.push(task.abort_handle());
    }
}
