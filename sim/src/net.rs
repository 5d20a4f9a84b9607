//! A network between numbered members that loses, repeats, delays and reorders, and that can be cut.
//!
//! It decides what becomes of a message and never sees it, so that any level of simulation can use it.

use crate::rng::draw;

/// How messages fare, in units of virtual time and in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Shortest and longest usual delay. Messages overtake each other within it.
    pub delay: (u64, u64),
    /// How many in a thousand are lost.
    pub loss: u64,
    /// How many in a thousand arrive twice.
    pub duplicate: u64,
    /// How many in a thousand, or second copies of them, take up to `stray_delay`.
    pub stray: u64,
    /// Longest delay of a stray message.
    pub stray_delay: u64,
}

impl Weather {
    /// Nothing is lost, and everything takes `delay`.
    pub fn calm(delay: u64) -> Self {
        Self {
            delay: (delay, delay),
            loss: 0,
            duplicate: 0,
            stray: 0,
            stray_delay: delay,
        }
    }
}

/// What becomes of a message: how long each copy that arrives is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The message; `None`: lost.
    pub first: Option<u64>,
    /// A second copy of it.
    pub second: Option<u64>,
}

/// Messages under way on one direction of a link at a time; more are lost, as where buffers are full.
/// Answers that cause messages that cause answers would grow without bound where copies are made.
const ROOM: u32 = 100;

/// The links between members `1..=size`.
#[derive(Debug)]
pub struct Net {
    seed: u64,
    size: u64,
    weather: Weather,
    cut: Vec<bool>,
    sent: Vec<u64>,
    under_way: Vec<u32>,
}

impl Net {
    /// A whole network.
    pub fn new(seed: u64, size: u64, weather: Weather) -> Self {
        let links = usize::try_from(size * size).expect("a cluster is small");
        Self {
            seed,
            size,
            weather,
            cut: vec![false; links],
            sent: vec![0; links],
            under_way: vec![0; links],
        }
    }

    fn link(&self, from: u64, to: u64) -> usize {
        usize::try_from((from - 1) * self.size + to - 1).expect("a cluster is small")
    }

    /// Changes how messages fare from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts one direction of a link. What is under way on it does not arrive either.
    pub fn cut(&mut self, from: u64, to: u64) {
        let link = self.link(from, to);
        self.cut[link] = true;
    }

    /// Cuts all links between the members in `side`, a bit per member with the lowest for member 1, and
    /// the others.
    pub fn partition(&mut self, side: u64) {
        for from in 1..=self.size {
            for to in 1..=self.size {
                if (side >> (from - 1) & 1) != (side >> (to - 1) & 1) {
                    self.cut(from, to);
                }
            }
        }
    }

    /// Makes the network whole.
    pub fn mend(&mut self) {
        self.cut.fill(false);
    }

    /// A copy of a message has reached the other end. False: the link was cut meanwhile.
    pub fn arrive(&mut self, from: u64, to: u64) -> bool {
        let link = self.link(from, to);
        self.under_way[link] = self.under_way[link].saturating_sub(1);
        !self.cut[link]
    }

    /// Decides about the next message of a link. Each copy under way is to be reported by
    /// [`Net::arrive`].
    pub fn send(&mut self, from: u64, to: u64) -> Fate {
        let link = self.link(from, to);
        self.sent[link] += 1;
        if self.cut[link] || self.under_way[link] >= ROOM {
            return Fate::default();
        }
        let weather = self.weather;
        let roll = draw(self.seed, link as u64, self.sent[link]);
        // Ten bits each, which makes a thousandth a little less than one.
        let part = |shift: u32| roll >> shift & 1023;
        if part(0) < weather.loss {
            return Fate::default();
        }
        let spread = weather.delay.1.saturating_sub(weather.delay.0) + 1;
        let usual = weather.delay.0 + (roll >> 40) % spread;
        let stray = weather.delay.0 + (roll >> 24) % weather.stray_delay.max(1);
        let is_stray = part(10) < weather.stray;
        let is_double = part(20) < weather.duplicate;
        self.under_way[link] += 1 + u32::from(is_double);
        Fate {
            first: Some(if is_stray { stray } else { usual }),
            // A copy of a message that came late is news to nobody; one that comes late is the point.
            second: is_double.then_some(stray),
        }
    }
}

#[cfg(test)]
mod tests;
