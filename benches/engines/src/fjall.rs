//! fjall: every batch persisted with `SyncAll`, defaults otherwise.
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use crate::store::{Store, Values, consume, revision};

pub struct Fjall {
    db: Database,
    key: Keyspace,
}

pub fn open(dir: &Path) -> Result<Fjall> {
    let db = Database::builder(dir.join("fjall")).open()?;
    let key = db.keyspace("key", KeyspaceCreateOptions::default)?;
    Ok(Fjall { db, key })
}

impl Fjall {
    fn batch(&self) -> fjall::OwnedWriteBatch {
        self.db.batch().durability(Some(PersistMode::SyncAll))
    }
}

fn read(value: Option<fjall::UserValue>, key: u64) -> Result<u64> {
    let value = value.with_context(|| format!("no revision {key}"))?;
    Ok(consume(&value))
}

impl Store for Fjall {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()> {
        let mut batch = self.batch();
        for main in range {
            batch.insert(&self.key, &revision(main)[..], &values.of(main, len)[..]);
        }
        Ok(batch.commit()?)
    }

    fn delete(&mut self, keys: &mut dyn Iterator<Item = u64>) -> Result<()> {
        let mut batch = self.batch();
        for main in keys {
            batch.remove(&self.key, &revision(main)[..]);
        }
        Ok(batch.commit()?)
    }

    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, own_snapshot: bool) -> Result<u64> {
        let mut total = 0;
        if own_snapshot {
            for key in keys {
                let snapshot = self.db.snapshot();
                total += read(snapshot.get(&self.key, revision(key))?, key)?;
            }
        } else {
            let snapshot = self.db.snapshot();
            for key in keys {
                total += read(snapshot.get(&self.key, revision(key))?, key)?;
            }
        }
        Ok(total)
    }

    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64> {
        let snapshot = self.db.snapshot();
        let mut total = 0;
        for start in starts {
            let range = snapshot.range(&self.key, revision(start)..);
            for pair in range.take(usize::try_from(len)?) {
                total += consume(&pair.value()?);
            }
        }
        Ok(total)
    }
}
