//! A member far behind catches up while others write, and what that costs them.

use std::time::{Duration, Instant};

use super::group::{Group, varve};
use super::load::{Load, Measure, Writers, fill, revision};
use super::long;
use crate::harness::skipped;

/// How a member is made to lag, and beside what it catches up.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// Entries that it misses.
    missed: usize,
    /// How long puts are counted before and afterwards.
    window: Duration,
    /// Puts a second; `None`: as many as 32 writers get answered.
    rate: Option<u32>,
    /// The lagging member has a processor core of its own; everything else shares another.
    apart: bool,
}

/// Puts a second, and how long they took, in one setting.
#[derive(Debug, Default)]
struct Cost {
    /// With two members, the third being away.
    before: Measure,
    meanwhile: Measure,
    /// With all three in step again.
    healed: Measure,
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.before.add(other.before);
        self.meanwhile.add(other.meanwhile);
        self.healed.add(other.healed);
    }

    fn show(&self, setting: &Setting, rounds: u32) {
        let figures = |what: &str, of: &Measure| {
            let ms = |permille| of.permille(permille).as_secs_f64() * 1000.0;
            let (median, high, longest) = (ms(500), ms(990), ms(1000));
            let rate = of.rate();
            format!("{what} {rate:.0} puts/s ({median:.1} / {high:.1} / {longest:.0} ms)")
        };
        let place = if setting.apart {
            "the member on a core of its own"
        } else {
            "all on all cores"
        };
        let load = setting.rate.map_or_else(
            || "32 writers that wait for nothing else".to_owned(),
            |rate| format!("{rate} puts/s due"),
        );
        let lost = |of: &Measure| 100.0 * (1.0 - self.meanwhile.rate() / of.rate());
        eprintln!(
            "{place}, {load}: {} entries behind, caught up in {:.2} s: {}, {}, {}: {:.0} % fewer than before, {:.0} % \
             fewer than afterwards",
            setting.missed,
            (self.meanwhile.took / rounds).as_secs_f64(),
            figures("before", &self.before),
            figures("meanwhile", &self.meanwhile),
            figures("afterwards", &self.healed),
            lost(&self.before),
            lost(&self.healed),
        );
    }
}

/// A member misses so much that the log before it is given up, and catches up by a snapshot and what came
/// behind it. The cluster is a new one: one that has just sent a snapshot keeps its log for half a minute.
fn catch_up(setting: &Setting) -> Result<Cost, String> {
    let mut group = Group::new(vec![varve("3.6"), varve("3.6"), varve("3.6")])?;
    group.flags = if long() {
        // A fast machine writes more than the default quota of two gigabytes.
        vec!["--quota-backend-bytes=32000000000".to_owned()]
    } else {
        ["--snapshot-count=1000", "--snapshot-catchup-entries=1000"]
            .map(str::to_owned)
            .into()
    };
    let shared = setting.apart.then_some(0);
    group.seats.iter_mut().for_each(|seat| seat.core = shared);
    group.start_all();
    let leader = group.leader();
    let lags = (leader + 1) % 3;
    group.seats[lags].kill();
    let url = group.seats[leader].client_url();
    fill(&url, "fill/", setting.missed, 1000);
    let writers = Writers {
        count: if setting.rate.is_some() { 128 } else { 32 },
        value_bytes: 1000,
        rate: setting.rate,
        core: shared,
    };
    let load = Load::start(url, writers);
    // What filled the store is not measured.
    load.measure(after(setting.window / 2));
    let before = load.measure(after(setting.window));
    group.seats[lags].core = setting.apart.then_some(1);
    let give_up = Instant::now() + Duration::from_mins(5);
    group.start(lags, &[lags], "existing");
    let meanwhile = load.measure(|| {
        assert!(Instant::now() < give_up, "it does not catch up");
        let of = |seat: usize| revision(&group.seats[seat].client_url());
        let behind = of(lags).zip(of(leader));
        behind.is_some_and(|(own, all)| all - own < 1000)
    });
    let healed = load.measure(after(setting.window));
    load.finish();
    group.equal_hashes();
    let output = group.seats[lags].output();
    assert!(output.contains("applied snapshot"), "{output}");
    group.assert_no_damage();
    Ok(Cost {
        before,
        meanwhile,
        healed,
    })
}

/// The long form shows what clients have before and meanwhile, on a machine that all share and with a core
/// for the member that lags, as a machine of its own would be: figures for a quiet machine, not for a test.
#[test]
fn a_member_far_behind_catches_up_while_others_write() {
    let short = Setting {
        missed: 5_000,
        window: Duration::from_secs(1),
        rate: None,
        apart: false,
    };
    if !long() {
        if let Err(reason) = catch_up(&short) {
            skipped("a_member_far_behind_catches_up", &reason);
        }
        return;
    }
    let shared = Setting {
        missed: 100_000,
        window: Duration::from_secs(3),
        ..short
    };
    let apart = Setting {
        apart: true,
        ..shared
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let peak = measure(&shared);
    let apart_peak = (cores > 1).then(|| measure(&apart));
    for (setting, peak) in [(shared, peak), (apart, apart_peak.flatten())] {
        let Some(peak) = peak else { continue };
        for share in [0.3, 0.5] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "some thousands"
            )]
            let rate = Some((peak * share) as u32);
            measure(&Setting { rate, ..setting });
        }
    }
}

/// Does it some times over, and shows what it cost; the rate of puts before.
fn measure(setting: &Setting) -> Option<f64> {
    const ROUNDS: u32 = 2;
    let mut cost = Cost::default();
    for _ in 0..ROUNDS {
        match catch_up(setting) {
            Ok(one) => cost.add(one),
            Err(reason) => {
                skipped("a_member_far_behind_catches_up", &reason);
                return None;
            }
        }
    }
    cost.show(setting, ROUNDS);
    Some(cost.before.rate())
}

/// Whether a time is over.
fn after(window: Duration) -> impl FnMut() -> bool {
    let end = Instant::now() + window;
    move || Instant::now() >= end
}
