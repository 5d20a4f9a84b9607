//! Members with a link in front of each, so that any pair can be cut, one way or both.
//!
//! Each member's peer URL is a link in front of it. What a member says it is tells the link whose
//! connections to disturb.

use std::net::TcpListener;
use std::time::Duration;

use super::group::{Group, Seat, varve, wait_for};
use super::proxy::{Faults, Proxy};
use super::traffic::{Plan, Traffic};

/// Members and the links to them.
pub(super) struct Disturbed {
    pub(super) group: Group,
    pub(super) links: Vec<Proxy>,
    ids: Vec<u64>,
    /// `blocked[a][b]`: nothing that `a` says gets to `b`.
    blocked: Vec<Vec<bool>>,
}

impl Disturbed {
    pub(super) fn start(members: usize) -> Result<Self, String> {
        let mut group = Group::new((0..members).map(|_| varve("3.6")).collect())?;
        let mut links = Vec::new();
        for seat in &mut group.seats {
            let behind = format!("{}:2381", seat.address);
            // The last one of a flag counts.
            seat.flags = vec![format!("--listen-peer-urls=http://{behind}")];
            let listener = TcpListener::bind((seat.address, 2380)).unwrap();
            links.push(Proxy::at(listener, behind.parse().unwrap()));
        }
        group.start_all();
        let id = |seat| u64::from_str_radix(&group.id(0, seat), 16).unwrap();
        Ok(Self {
            ids: (0..members).map(id).collect(),
            group,
            links,
            blocked: vec![vec![false; members]; members],
        })
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.group.seats.iter().map(Seat::client_url).collect()
    }

    pub(super) fn url(&self, seat: usize) -> String {
        self.group.seats[seat].client_url()
    }

    pub(super) fn all(&self) -> std::ops::Range<usize> {
        0..self.ids.len()
    }

    fn apply(&self) {
        for target in self.all() {
            for dialler in self.all() {
                let faults = Faults {
                    cut_to_target: self.blocked[dialler][target],
                    cut_from_target: self.blocked[target][dialler],
                    ..Faults::default()
                };
                self.links[target].set_from(self.ids[dialler], faults);
            }
        }
    }

    /// Cuts what `a` says to `b`, and nothing else.
    pub(super) fn cut_one_way(&mut self, a: usize, b: usize) {
        self.blocked[a][b] = true;
        self.apply();
    }

    /// Cuts these off from all others.
    pub(super) fn isolate(&mut self, some: &[usize]) {
        for a in self.all() {
            for b in self.all() {
                self.blocked[a][b] = some.contains(&a) != some.contains(&b);
            }
        }
        self.apply();
    }

    pub(super) fn heal(&mut self) {
        self.blocked.iter_mut().for_each(|row| row.fill(false));
        self.links.iter().for_each(Proxy::heal);
    }

    /// A leader among these.
    pub(super) fn leader_of(&self, seats: &[usize]) -> usize {
        wait_for("a leader among some", || {
            let mut seats = seats.iter().copied();
            seats.find(|&seat| self.group.leads(seat))
        })
    }

    /// Cuts everybody off from everybody.
    pub(super) fn scatter(&mut self) {
        for a in self.all() {
            for b in self.all() {
                self.blocked[a][b] = a != b;
            }
        }
        self.apply();
    }

    /// For some seconds these acknowledge nothing, and answer no read but those that may be stale.
    #[track_caller]
    pub(super) fn assert_silent(&self, traffic: &Traffic, seats: &[usize]) {
        let urls: Vec<String> = seats.iter().map(|&seat| self.url(seat)).collect();
        // What was on its way to a client when they were cut off.
        std::thread::sleep(Duration::from_millis(500));
        let before = traffic.answered(&urls);
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(traffic.answered(&urls), before, "{seats:?} answer alone");
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic::start(self.urls(), Plan::default())
    }

    /// The end of a test: everybody serves and agrees, and the clients saw what they should have.
    pub(super) fn finish(mut self, traffic: Traffic) {
        self.heal();
        for seat in self.all() {
            self.group.ctl_at_last(&[seat], &["get", "none"]);
        }
        traffic.finish();
        self.group.equal_hashes();
        self.group.assert_no_damage();
    }
}
