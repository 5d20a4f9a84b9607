//! Where a listing begins.
use anyhow::{Context, Result};
use varve_proto::raftpb::ConfState;
use varve_snap::{SnapName, Snapshotter};

use super::Place;
use super::args::Cli;

/// What the entries shown come after.
#[derive(Debug)]
pub(super) enum Start {
    /// The beginning of time, or of what is left.
    Nothing,
    /// An index somebody asked for.
    Index(u64),
    Snapshot {
        term: u64,
        index: u64,
        conf_state: ConfState,
    },
}

impl Start {
    /// From what is asked for; otherwise the newest `.snap` file the log knows, as members up to 3.6 start;
    /// otherwise the newest snapshot the log knows, as later ones do.
    pub(super) fn choose(cli: &Cli, place: &Place) -> Result<Self> {
        if let Some(index) = cli.start_index {
            return Ok(Self::Index(index));
        }
        let snapshotter = place
            .snap
            .as_ref()
            .map(|dir| Snapshotter::new(place.fs.clone(), dir.clone()));
        if let (Some(name), Some(snapshotter)) = (&cli.start_snap, &snapshotter) {
            let path = snapshotter.dir().join(name);
            let snapshot = snapshotter
                .read(&path)
                .context("the start snapshot cannot be read")?;
            let meta = snapshot.metadata;
            let (term, index, conf_state) = (meta.term, meta.index, meta.conf_state);
            return Ok(Self::Snapshot {
                term,
                index,
                conf_state,
            });
        }
        let Some(known) = place.known_snapshots() else {
            // The log is damaged: show what is there from its beginning on.
            return Ok(Self::Nothing);
        };
        if let (Some(dir), Some(snapshotter)) = (&place.snap, &snapshotter)
            && let Ok(names) = place.fs.read_dir(dir)
        {
            // Unlike a start this renames nothing: what cannot be read is passed over.
            for name in names
                .iter()
                .rev()
                .filter(|name| SnapName::parse(name).is_some())
            {
                let Ok(snapshot) = snapshotter.read(&dir.join(name)) else {
                    continue;
                };
                let meta = snapshot.metadata;
                if known
                    .iter()
                    .any(|s| (s.term, s.index) == (meta.term, meta.index))
                {
                    let (term, index, conf_state) = (meta.term, meta.index, meta.conf_state);
                    return Ok(Self::Snapshot {
                        term,
                        index,
                        conf_state,
                    });
                }
            }
        }
        Ok(match known.into_iter().next_back() {
            Some(s) if s.index > 0 => Self::Snapshot {
                term: s.term,
                index: s.index,
                conf_state: s.conf_state.unwrap_or_default(),
            },
            _ => Self::Nothing,
        })
    }

    /// The index the entries come after.
    pub(super) fn after(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Index(index) => index.saturating_sub(1),
            Self::Snapshot { index, .. } => *index,
        }
    }
}
