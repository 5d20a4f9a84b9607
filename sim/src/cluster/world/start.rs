//! Members begin, end, and begin again.

use std::sync::Arc;

use varve_mvcc::schema;
use varve_raftnode::membership::{Member as Peer, cluster_id};
use varve_server::stepped::{Member, Settings};
use varve_vfs::CrashRule;

use super::{Event, IMAGES, LEASE_INTERVAL, PHASES, World, at, failure};
use crate::check::{Checked, Violation};
use crate::cluster::TICK;
use crate::cluster::carry::{Outbox, Port};
use crate::cluster::slot::{Running, Standing};
use crate::cluster::witness::Witness;
use crate::rng::draw;

/// Unix time, in milliseconds, at which simulations begin.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// What a member says that knows of its own removal.
const REMOVED: &str = "permanently removed";

/// A member as the cluster knows it.
pub(super) fn peer(id: u64) -> Peer {
    Peer {
        id,
        peer_urls: vec![format!("http://10.0.0.{id}:2380")],
        name: format!("m{id}"),
        ..Peer::default()
    }
}

impl World<'_> {
    /// A member begins with what its disk has, if it does not run.
    pub(super) fn start(&mut self, id: u64) -> Checked {
        let slot = &mut self.slots[at(id)];
        if slot.standing != Standing::Taken || slot.running.is_some() {
            return Ok(());
        }
        slot.start += 1;
        let fs = slot.fs.clone();
        let opened = self.open(id);
        let slot = &mut self.slots[at(id)];
        match opened {
            // The disk failed while the member started.
            _ if fs.is_crashed() => self.crash_again(id),
            Ok(running) => {
                slot.running = Some(Box::new(running));
                self.begin(id)?;
            }
            Err(_) if slot.has_failed() => self.crash_again(id),
            Err(error) if error.contains(REMOVED) => {
                slot.standing = Standing::Gone;
                let now = self.queue.now();
                self.trace
                    .line(now, format_args!("{id} knows of its removal"));
            }
            Err(error) => return Err(failure(id, format_args!("does not start: {error}"))),
        }
        Ok(())
    }

    fn open(&mut self, id: u64) -> Result<Running, String> {
        let members = self.plan.settings.members;
        let initial: Vec<Peer> = (1..=members).map(peer).collect();
        let now = self.queue.now();
        let slot = &self.slots[at(id)];
        let settings = Settings {
            id,
            cluster_id: cluster_id(1..=members),
            initial: if id <= members { initial } else { Vec::new() },
            numbers: self.plan.settings.numbers_of(id),
            // Starts are told apart by it, and so are elections' timeouts.
            started_unix_ms: EPOCH_MS + now + draw(self.plan.seed, PHASES + id, slot.start) % 1000,
            seeded: self.seeded,
        };
        let outbox = Outbox::default();
        let port = Port {
            start: slot.start,
            outbox: Arc::clone(&outbox),
        };
        let ledger = Arc::clone(&self.ledger);
        let member = Member::open(
            &slot.fs.shared(),
            &settings,
            Arc::new(port),
            |inner, store| {
                Box::new(Witness {
                    id,
                    inner,
                    store: store.clone(),
                    ledger,
                })
            },
        )
        .map_err(|error| error.to_string())?;
        Ok(Running {
            status: member.node().status(),
            member,
            outbox,
            clock: now,
            called: [false; 4],
        })
    }

    /// A member that was just opened.
    fn begin(&mut self, id: u64) -> Checked {
        let now = self.queue.now();
        let slot = &self.slots[at(id)];
        let (start, seed) = (slot.start, self.plan.seed);
        let Some(running) = &slot.running else {
            return Ok(());
        };
        let store = running.member.store();
        let index = consistent_index(&running.member).map_err(|e| failure(id, e))?;
        self.trace.line(
            now,
            format_args!(
                "{id} starts: database at index {index}, revision {}; {:?}",
                store.revision(),
                running.status
            ),
        );
        self.ledger
            .lock()
            .contains(id, index, store, "on its disk")?;
        self.stats.starts += 1;
        let settings = &self.plan.settings;
        let phase = |purpose: u64, interval: u64| {
            1 + draw(seed, PHASES + (purpose << 8) + id, start) % interval
        };
        for (event, interval) in [
            (Event::Tick(id, start), TICK),
            (Event::Commit(id, start), settings.commit_interval),
            (Event::Background(id, start), settings.background_interval),
            (Event::Leases(id, start), LEASE_INTERVAL),
        ] {
            self.queue.after(phase(interval, interval), event);
        }
        self.settle(id)
    }

    /// The process is no more: by its own end, by force, or with its machine.
    fn stop(&mut self, id: u64) {
        let slot = &mut self.slots[at(id)];
        let start = slot.start;
        slot.paused_until = 0;
        for session in self.watches.iter_mut().filter(|w| w.slot == id) {
            session.leave();
        }
        self.lose_clients(id);
        self.transfers
            .retain(|(_, from, of), _| (*from, *of) != (id, start));
        // Last: it holds the locks of the files.
        self.slots[at(id)].running = None;
    }

    /// A process ends without warning; the machine goes on.
    pub(super) fn kill(&mut self, id: u64, down: u64) {
        if self.slots[at(id)].running.is_some() {
            self.stats.kills += 1;
            self.stop(id);
            self.queue.after(down, Event::Start(id));
        }
    }

    /// A process is told to end.
    pub(super) fn shut_down(&mut self, id: u64, down: u64) -> Checked {
        let slot = &mut self.slots[at(id)];
        let start = slot.start;
        if !self.wake(id, start) {
            return Ok(());
        }
        self.lose_clients(id);
        for session in self.watches.iter_mut().filter(|w| w.slot == id) {
            session.leave();
        }
        let slot = &mut self.slots[at(id)];
        let Some(running) = slot.running.take() else {
            return Ok(());
        };
        let closed = running.member.close();
        let (failed, crashed) = (slot.has_failed(), slot.fs.is_crashed());
        self.stop(id);
        self.stats.stops += 1;
        match closed {
            // What a failed sync has lost is still read until the machine starts anew.
            _ if crashed || failed => self.crash_again(id),
            Err(error) => return Err(failure(id, format_args!("closing: {error}"))),
            Ok(()) => self.queue.after(down, Event::Start(id)),
        }
        Ok(())
    }

    /// The machine loses power.
    pub(super) fn crash(&mut self, id: u64, rule: CrashRule, down: u64) {
        if self.slots[at(id)].running.is_some() {
            self.stop(id);
            self.lose_power(id, rule, down);
        }
    }

    fn lose_power(&mut self, id: u64, rule: CrashRule, down: u64) {
        let slot = &mut self.slots[at(id)];
        let seed = draw(self.plan.seed, IMAGES + id, slot.start);
        slot.fs = slot.fs.crash_image(rule, seed);
        slot.armed = None;
        slot.full = false;
        self.stats.crashes += 1;
        let now = self.queue.now();
        self.trace
            .line(now, format_args!("{id} loses power ({rule:?})"));
        self.queue.after(down, Event::Start(id));
    }

    /// The disk failed while nobody ran yet.
    fn crash_again(&mut self, id: u64) {
        let armed = self.slots[at(id)].armed;
        let (rule, down) = armed.map_or((CrashRule::LoseUnsynced, TICK), |a| (a.rule, a.down));
        self.stats.disk_failures += 1;
        self.lose_power(id, rule, down);
    }

    /// A process that runs no more, or whose disk does not.
    pub(super) fn ended(&mut self, id: u64) -> Checked {
        let slot = &self.slots[at(id)];
        let told = slot
            .running
            .as_ref()
            .map(|running| running.member.told())
            .unwrap_or_default();
        let now = self.queue.now();
        let failed = slot.has_failed();
        let armed = slot.armed;
        self.trace.line(
            now,
            format_args!("{id} ends: {told:?}, disk failed: {failed}"),
        );
        if failed {
            let (rule, down) = armed.map_or((CrashRule::LoseUnsynced, TICK), |a| (a.rule, a.down));
            self.stop(id);
            self.stats.disk_failures += 1;
            self.lose_power(id, rule, down);
            return Ok(());
        }
        match told.failure {
            None if told.removed => {
                self.stop(id);
                self.slots[at(id)].standing = Standing::Gone;
                self.stats.removals += 1;
                Ok(())
            }
            why => Err(failure(
                id,
                why.unwrap_or_else(|| "ended without saying why".to_owned()),
            )),
        }
    }

    /// Takes a member out of the game.
    pub(super) fn switch_off(&mut self, id: u64) {
        self.stop(id);
        self.slots[at(id)].standing = Standing::Gone;
    }
}

/// What the database of a member says that it contains.
fn consistent_index(member: &Member) -> Result<u64, Violation> {
    let view = member.store().backend().view();
    let index = schema::consistent_index(&view)
        .map_err(|e| Violation::new(crate::check::Property::NoFailure, e.to_string()))?;
    Ok(index.unwrap_or_default())
}
