//! Versions in headers, and who talks to whom.
use std::fmt;

/// Lowest release that members of this protocol talk to; every release of etcd 3 says so.
pub(crate) const MIN_CLUSTER_VERSION: &str = "3.0.0";
/// What a missing header stands for.
const ABSENT: Release = Release { major: 2, minor: 0 };
/// First release with the streams.
const FIRST_WITH_STREAMS: Release = Release { major: 2, minor: 1 };

/// The part of a version that compatibility is decided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    major: u64,
    minor: u64,
}

impl Release {
    /// Reads a semantic version in full; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let core = text.split_once('+').map_or(
            text,
            |(core, build)| {
                if is_dotted(build) { core } else { "" }
            },
        );
        let core = match core.split_once('-') {
            Some((core, pre)) if is_dotted(pre) => core,
            Some(_) => return None,
            None => core,
        };
        let mut numbers = core.split('.').map(number);
        let (major, minor, _patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(Self { major, minor })
    }

    /// What a header says; `None` when it is not a version.
    pub(crate) fn of_header(header: Option<&str>) -> Option<Self> {
        match header {
            None | Some("") => Some(ABSENT),
            Some(text) => Self::parse(text),
        }
    }

    /// Whether a member of this release may send to one that is `local`, which talks to nothing below
    /// the lowest, while this one talks to nothing below `min_cluster`.
    pub(crate) fn may_send_to(self, min_cluster: Self, local: Self) -> bool {
        let lowest = Self { major: 3, minor: 0 };
        self >= lowest && min_cluster <= local
    }

    /// Whether a member of this release has the streams.
    pub(crate) fn has_streams(self) -> bool {
        self >= FIRST_WITH_STREAMS
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Digits without a needless zero before them.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if plain && !padded {
        text.parse().ok()
    } else {
        None
    }
}

/// Identifiers between dots, as pre-release and build tags are.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

#[cfg(test)]
mod tests;
