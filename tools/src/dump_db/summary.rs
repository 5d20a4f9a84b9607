//! What a database is in a few lines: sizes, buckets, revisions, what etcd keeps about itself.
//!
//! For `etcd-dump-db info`, and for databases that came with a snapshot in `etcd-dump-snap`.
use std::path::PathBuf;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use varve_backend::bbolt::Meta;
use varve_backend::{Direction, KeyRange, Snapshot as _};
use varve_backend_btree::PageKind;
use varve_mvcc::{RowKey, schema};

use super::file::{DbFile, Reading};
use crate::console::Console;
use crate::dump_wal::bytes_value;
use crate::go_text::{go_quoted, printable};

/// Key of bucket `cluster`.
const CLUSTER_VERSION: &[u8] = b"clusterVersion";

/// A database, counted. On damage, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    path: PathBuf,
    file_bytes: u64,
    /// The commit in force; none when no meta page is valid.
    meta: Option<Meta>,
    free_pages: Option<u64>,
    pub(super) buckets: Vec<BucketSummary>,
    rows: Rows,
    consistent_index: Option<u64>,
    term: Option<u64>,
    scheduled_compaction: Option<i64>,
    finished_compaction: Option<i64>,
    storage_version: Option<Bytes>,
    cluster_version: Option<Bytes>,
    conf_state: Option<Bytes>,
    /// The first thing that is wrong.
    pub(crate) flaw: Option<String>,
}

/// One bucket.
#[derive(Debug)]
pub(super) struct BucketSummary {
    name: Bytes,
    keys: u64,
    key_bytes: u64,
    value_bytes: u64,
}

/// Bucket `key`.
#[derive(Debug, Default)]
struct Rows {
    first: Option<i64>,
    last: Option<i64>,
    tombstones: u64,
}

/// Prints a summary.
pub(super) fn run(file: &DbFile, json: bool, console: &mut Console<'_>) -> Result<bool> {
    let summary = Summary::read(file)?;
    if json {
        writeln!(console.out, "{}", summary.json())?;
    } else {
        console.heading(&file.path.display().to_string())?;
        summary.print(console)?;
    }
    match &summary.flaw {
        None => Ok(true),
        Some(flaw) => console.complain(flaw).map(|()| false),
    }
}

impl Summary {
    /// Reads all of a database.
    ///
    /// Errors: the system's. Damage is in the summary.
    pub(crate) fn read(file: &DbFile) -> Result<Self> {
        let read = file.consistent(|reading| {
            let mut summary = Self::default();
            let outcome = summary.add(reading);
            if let Err(flaw) = outcome {
                if !flaw.is_corruption() {
                    return Err(flaw);
                }
                summary.flaw = Some(flaw.to_string());
            }
            Ok(summary)
        });
        let mut summary = match read {
            Ok(summary) => summary,
            Err(e) => match e.downcast_ref::<varve_backend::Error>() {
                Some(flaw) if flaw.is_corruption() => Self {
                    flaw: Some(flaw.to_string()),
                    ..Self::default()
                },
                _ => return Err(e),
            },
        };
        summary.path.clone_from(&file.path);
        summary.file_bytes = file.open()?.len()?;
        Ok(summary)
    }

    fn add(&mut self, reading: &Reading<'_>) -> varve_backend::Result<()> {
        let (snapshot, txid) = (&reading.snapshot, reading.snapshot.txid());
        let metas = reading.metas();
        self.meta = metas
            .iter()
            .flatten()
            .find(|meta| meta.txid == txid)
            .copied();
        for name in snapshot.buckets()? {
            let bucket = self.bucket(reading, name)?;
            self.buckets.push(bucket);
        }
        let meta = |key: &str| snapshot.get(schema::META, key.as_bytes());
        let number = |value: Option<Bytes>| {
            let bytes = value.and_then(|value| value[..].try_into().ok());
            bytes.map(u64::from_be_bytes)
        };
        let revision = |value: Option<Bytes>| {
            let row = value.and_then(|value| RowKey::decode(&value).ok());
            row.map(|row| row.revision.main)
        };
        self.consistent_index = number(meta(schema::META_CONSISTENT_INDEX)?);
        self.term = number(meta(schema::META_TERM)?);
        self.scheduled_compaction = revision(meta(schema::META_SCHEDULED_COMPACT)?);
        self.finished_compaction = revision(meta(schema::META_FINISHED_COMPACT)?);
        self.storage_version = meta(schema::META_STORAGE_VERSION)?;
        self.conf_state = meta(schema::META_CONF_STATE)?;
        self.cluster_version = snapshot.get(schema::CLUSTER, CLUSTER_VERSION)?;
        let free = snapshot.pages()?.into_iter();
        let free = free.filter(|page| page.kind == PageKind::Free).count();
        self.free_pages = Some(free as u64);
        Ok(())
    }

    fn bucket(
        &mut self,
        reading: &Reading<'_>,
        name: Bytes,
    ) -> varve_backend::Result<BucketSummary> {
        let mut bucket = BucketSummary {
            name,
            keys: 0,
            key_bytes: 0,
            value_bytes: 0,
        };
        let is_key = bucket.name == schema::KEY.as_bytes();
        let all = KeyRange::all();
        let mut pairs =
            reading
                .snapshot
                .scan_bucket_name(&bucket.name, &all, Direction::Forward)?;
        while let Some((key, value)) = pairs.next()? {
            bucket.keys += 1;
            bucket.key_bytes += key.len() as u64;
            bucket.value_bytes += value.len() as u64;
            if is_key && let Ok(row) = RowKey::decode(&key) {
                self.rows.first.get_or_insert(row.revision.main);
                self.rows.last = Some(row.revision.main);
                self.rows.tombstones += u64::from(row.tombstone);
            }
        }
        Ok(bucket)
    }

    /// Prints it, indented, without the name of the file.
    pub(crate) fn print(&self, console: &mut Console<'_>) -> Result<()> {
        let Some(meta) = &self.meta else {
            writeln!(console.out, "  size        {} bytes", self.file_bytes)?;
            return Ok(());
        };
        let free = self.free_pages.map(|free| format!(", {free} free"));
        writeln!(
            console.out,
            "  size        {} bytes, {} pages of {} bytes{}\n  commit      {}",
            self.file_bytes,
            meta.high_water,
            meta.page_size,
            free.unwrap_or_default(),
            meta.txid,
        )?;
        let applied = match (self.consistent_index, self.term) {
            (None, _) => "unknown".to_owned(),
            (Some(index), None) => format!("index {index}"),
            (Some(index), Some(term)) => format!("index {index}, term {term}"),
        };
        writeln!(console.out, "  applied     {applied}")?;
        let revisions = match (self.rows.first, self.rows.last) {
            (Some(first), Some(last)) => {
                format!("{first} to {last}, {} tombstones", self.rows.tombstones)
            }
            _ => "none".to_owned(),
        };
        writeln!(console.out, "  revisions   {revisions}")?;
        if let Some(finished) = self.finished_compaction.or(self.scheduled_compaction) {
            let pending = self.scheduled_compaction.filter(|at| *at > finished);
            let pending = pending.map(|at| format!(", to {at} not finished"));
            writeln!(
                console.out,
                "  compacted   {finished}{}",
                pending.unwrap_or_default()
            )?;
        }
        for (name, text) in [
            ("cluster", &self.cluster_version),
            ("storage", &self.storage_version),
            ("members", &self.conf_state),
        ] {
            if let Some(text) = text {
                let text = printable(text).map_or_else(|| go_quoted(text), str::to_owned);
                writeln!(console.out, "  {name:<11} {text}")?;
            }
        }
        console.heading(&format!(
            "  {:<20} {:>10} {:>14} {:>14}",
            "bucket", "keys", "key bytes", "value bytes"
        ))?;
        for bucket in &self.buckets {
            let name = go_quoted(&bucket.name);
            writeln!(
                console.out,
                "  {name:<20} {:>10} {:>14} {:>14}",
                bucket.keys, bucket.key_bytes, bucket.value_bytes
            )?;
        }
        Ok(())
    }

    /// The same as an object.
    pub(crate) fn json(&self) -> Json {
        let text = |text: &Option<Bytes>| text.as_ref().map(|text| bytes_value(text));
        let conf_state = self.conf_state.as_ref();
        let conf_state = conf_state.and_then(|state| serde_json::from_slice::<Json>(state).ok());
        json!({
            "kind": "database",
            "file": self.path.display().to_string(),
            "file_bytes": self.file_bytes,
            "page_bytes": self.meta.map(|meta| meta.page_size),
            "pages": self.meta.map(|meta| meta.high_water),
            "free_pages": self.free_pages,
            "transaction": self.meta.map(|meta| meta.txid),
            "consistent_index": self.consistent_index,
            "term": self.term,
            "first_revision": self.rows.first,
            "last_revision": self.rows.last,
            "tombstones": self.rows.tombstones,
            "scheduled_compaction": self.scheduled_compaction,
            "finished_compaction": self.finished_compaction,
            "storage_version": text(&self.storage_version),
            "cluster_version": text(&self.cluster_version),
            "conf_state": conf_state,
            "buckets": self.buckets.iter().map(BucketSummary::json).collect::<Vec<_>>(),
            "ok": self.flaw.is_none(),
            "flaw": self.flaw,
        })
    }
}

impl BucketSummary {
    /// The bucket as an object.
    pub(super) fn json(&self) -> Json {
        json!({
            "name": bytes_value(&self.name),
            "keys": self.keys,
            "key_bytes": self.key_bytes,
            "value_bytes": self.value_bytes,
        })
    }
}
