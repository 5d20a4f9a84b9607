//! What members send each other.

use varve_proto::raftpb::MessageType;

use super::{Event, World, at};
use crate::check::Checked;
use crate::cluster::carry::{Packet, receive};

/// How much longer a database is under way than a message.
const TRANSFER_TIME: u64 = 20;

impl World<'_> {
    pub(super) fn send(&mut self, mut packet: Packet) {
        let (from, to) = (packet.message.from, packet.message.to);
        if to == 0 || to > super::SLOTS {
            return;
        }
        let fate = self.net.send(from, to);
        if let Some(delay) = fate.second {
            if packet.may_repeat() {
                self.queue
                    .after(delay, Event::Deliver(Box::new(packet.again())));
            } else {
                // The network had counted on it.
                self.net.arrive(from, to);
            }
        }
        let Some(mut delay) = fate.first else {
            return self.lost(&packet);
        };
        if let Some(state) = packet.state.take() {
            delay += TRANSFER_TIME;
            self.stats.snapshots_sent += 1;
            self.transfers.insert((to, from, packet.start), state);
        }
        self.queue.after(delay, Event::Deliver(Box::new(packet)));
    }

    pub(super) fn deliver(&mut self, packet: Packet) -> Checked {
        let (from, to) = (packet.message.from, packet.message.to);
        let now = self.queue.now();
        let is_snapshot = packet.message.r#type() == MessageType::MsgSnap;
        let state = self.transfers.remove(&(to, from, packet.start));
        let state = if is_snapshot {
            state
        } else {
            if let Some(state) = state {
                self.transfers.insert((to, from, packet.start), state);
            }
            None
        };
        let start = self.slots[at(to)].start;
        let whole = self.net.arrive(from, to);
        let listens = self.wake(to, start)
            && self.slots[at(to)]
                .running
                .as_ref()
                .is_some_and(|r| r.member.is_alive() && !r.member.has_removed(from));
        self.trace.note(&[
            from << 8 | to,
            now,
            u64::from(packet.message.r#type.cast_unsigned()),
            packet.message.term,
            packet.message.index,
            u64::from(whole && listens),
        ]);
        if !whole || !listens {
            self.lost(&packet);
            return Ok(());
        }
        self.stats.delivered += 1;
        if !is_snapshot {
            self.hand_over(packet);
            return self.settle(to);
        }
        let index = packet
            .message
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.metadata.index);
        let fs = self.slots[at(to)].fs.shared();
        let ok = state.is_some_and(|state| receive(&fs, index, state));
        self.trace.line(
            now,
            format_args!("snapshot at {index} from {from} to {to}, whole: {ok}"),
        );
        let sender = packet.start;
        if ok {
            self.stats.snapshots_received += 1;
            self.hand_over(packet);
        }
        self.settle(to)?;
        self.report_snapshot(from, sender, to, ok);
        self.settle(from)
    }

    fn hand_over(&mut self, packet: Packet) {
        if let Some(running) = &self.slots[at(packet.message.to)].running {
            // Full mailboxes lose messages, as networks do.
            let _full = running.member.node().receive(packet.message);
        }
    }

    /// A packet is gone, and its sender is told, as far as it would notice: streams break, pipes do not.
    fn lost(&mut self, packet: &Packet) {
        let (from, to) = (packet.message.from, packet.message.to);
        if packet.message.r#type() == MessageType::MsgSnap {
            self.transfers.remove(&(to, from, packet.start));
            return self.report_snapshot(from, packet.start, to, false);
        }
        let slot = &self.slots[at(from)];
        if let Some(running) = &slot.running
            && slot.start == packet.start
            && packet.message.index & 1 == 1
        {
            running.member.node().report_unreachable(to);
        }
    }

    fn report_snapshot(&mut self, from: u64, start: u64, to: u64, ok: bool) {
        let slot = &self.slots[at(from)];
        if let Some(running) = &slot.running
            && slot.start == start
        {
            running.member.node().report_snapshot(to, ok);
        }
    }
}
