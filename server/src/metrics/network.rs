//! `etcd_network_*`: what the peer transport counted, as text.
//!
//! The transport keeps its own figures, histograms included, and the client library takes no histogram
//! that somebody else filled; so these few families are written here, in the format of the text exposition.
use std::fmt::{self, Write as _};

use varve_raftnode::{HistogramFigures, MemberFigures, PeerFigures};

/// What is written of one family: name, type, help.
type Family = (&'static str, &'static str, &'static str);

/// Picks a counter.
type Figure = fn(&MemberFigures) -> u64;

/// Appends all families that have a series, as etcd shows none that nothing was counted in.
pub(super) fn write(out: &mut Vec<u8>, local_id: u64, known: &[u64], figures: &PeerFigures) {
    let mut text = String::new();
    // A String takes everything.
    if Writer(&mut text).all(local_id, known, figures).is_ok() {
        out.extend_from_slice(text.as_bytes());
    }
}

struct Writer<'a>(&'a mut String);

impl Writer<'_> {
    fn all(&mut self, local_id: u64, known: &[u64], figures: &PeerFigures) -> fmt::Result {
        let members = &figures.members;
        let remote = |id: u64| format!("Local=\"{local_id:x}\",Remote=\"{id:x}\"");
        self.head(
            ("known_peers", "gauge", "Members of the cluster, with 1."),
            known.is_empty(),
        )?;
        for id in known {
            self.line("known_peers", &remote(*id), 1)?;
        }
        let reached: Vec<&MemberFigures> = members.iter().filter(|m| m.was_active).collect();
        self.head(
            ("active_peers", "gauge", "Members that are reached."),
            reached.is_empty(),
        )?;
        for member in &reached {
            self.line("active_peers", &remote(member.id), member.active)?;
        }
        self.head(
            (
                "disconnected_peers_total",
                "counter",
                "Times that a member was no longer reached.",
            ),
            reached.is_empty(),
        )?;
        for member in &reached {
            let labels = remote(member.id);
            self.line("disconnected_peers_total", &labels, member.disconnected)?;
        }
        self.counters(
            "To",
            members,
            &[
                (
                    (
                        "peer_sent_bytes_total",
                        "counter",
                        "Bytes sent to a member.",
                    ),
                    |m| m.sent_bytes,
                ),
                (
                    (
                        "peer_sent_failures_total",
                        "counter",
                        "Messages to a member that were not sent.",
                    ),
                    |m| m.sent_failures,
                ),
                (
                    (
                        "snapshot_send_success",
                        "counter",
                        "Snapshots sent to a member.",
                    ),
                    |m| m.snapshot_sent,
                ),
                (
                    (
                        "snapshot_send_failures",
                        "counter",
                        "Snapshots that could not be sent to a member.",
                    ),
                    |m| m.snapshot_send_failures,
                ),
                (
                    (
                        "snapshot_send_inflights_total",
                        "gauge",
                        "Snapshots being sent to a member.",
                    ),
                    |m| m.snapshot_sending.unsigned_abs(),
                ),
            ],
        )?;
        self.counters(
            "From",
            members,
            &[
                (
                    (
                        "peer_received_bytes_total",
                        "counter",
                        "Bytes received from a member.",
                    ),
                    |m| m.received_bytes,
                ),
                (
                    (
                        "snapshot_receive_success",
                        "counter",
                        "Snapshots received from a member.",
                    ),
                    |m| m.snapshot_received,
                ),
                (
                    (
                        "snapshot_receive_failures",
                        "counter",
                        "Snapshots of a member that did not arrive whole.",
                    ),
                    |m| m.snapshot_receive_failures,
                ),
                (
                    (
                        "snapshot_receive_inflights_total",
                        "gauge",
                        "Snapshots being received from a member.",
                    ),
                    |m| m.snapshot_receiving.unsigned_abs(),
                ),
            ],
        )?;
        self.receive_failures(figures)?;
        self.histograms(
            (
                "peer_round_trip_time_seconds",
                "histogram",
                "Round trips to a member.",
            ),
            "To",
            members.iter().map(|m| (m.id, &m.round_trip_seconds)),
        )?;
        self.histograms(
            (
                "snapshot_send_total_duration_seconds",
                "histogram",
                "Time of sending a snapshot.",
            ),
            "To",
            members.iter().map(|m| (m.id, &m.snapshot_send_seconds)),
        )?;
        self.histograms(
            (
                "snapshot_receive_total_duration_seconds",
                "histogram",
                "Time of receiving a snapshot.",
            ),
            "From",
            members.iter().map(|m| (m.id, &m.snapshot_receive_seconds)),
        )
    }

    fn head(&mut self, (name, kind, help): Family, empty: bool) -> fmt::Result {
        if empty {
            return Ok(());
        }
        writeln!(self.0, "# HELP etcd_network_{name} {help}")?;
        writeln!(self.0, "# TYPE etcd_network_{name} {kind}")
    }

    fn line(&mut self, name: &str, labels: &str, value: impl fmt::Display) -> fmt::Result {
        writeln!(self.0, "etcd_network_{name}{{{labels}}} {value}")
    }

    /// Families with one label, of the members in which they counted something.
    fn counters(
        &mut self,
        label: &str,
        members: &[MemberFigures],
        families: &[(Family, Figure)],
    ) -> fmt::Result {
        for (family, value) in families {
            let counted: Vec<_> = members.iter().filter(|m| value(m) > 0).collect();
            self.head(*family, counted.is_empty())?;
            for member in counted {
                let labels = format!("{label}=\"{:x}\"", member.id);
                self.line(family.0, &labels, value(member))?;
            }
        }
        Ok(())
    }

    /// By member where messages were dropped, by address where a request could not be read.
    fn receive_failures(&mut self, figures: &PeerFigures) -> fmt::Result {
        let name = "peer_received_failures_total";
        let by_member = figures.members.iter().filter(|m| m.received_failures > 0);
        let series: Vec<(String, u64)> = by_member
            .map(|m| (format!("{:x}", m.id), m.received_failures))
            .chain(figures.receive_failures.iter().cloned())
            .collect();
        let help = "Messages of a member that were not taken.";
        self.head((name, "counter", help), series.is_empty())?;
        for (from, count) in series {
            self.line(name, &format!("From=\"{from}\""), count)?;
        }
        Ok(())
    }

    fn histograms<'f>(
        &mut self,
        family: Family,
        label: &str,
        series: impl Iterator<Item = (u64, &'f HistogramFigures)>,
    ) -> fmt::Result {
        let series: Vec<_> = series.filter(|(_, h)| h.count > 0).collect();
        self.head(family, series.is_empty())?;
        let name = family.0;
        for (id, histogram) in series {
            let labels = format!("{label}=\"{id:x}\"");
            for (bound, count) in &histogram.buckets {
                let labels = format!("{labels},le=\"{bound}\"");
                self.line(&format!("{name}_bucket"), &labels, count)?;
            }
            let all = format!("{labels},le=\"+Inf\"");
            self.line(&format!("{name}_bucket"), &all, histogram.count)?;
            self.line(&format!("{name}_sum"), &labels, histogram.sum)?;
            self.line(&format!("{name}_count"), &labels, histogram.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
