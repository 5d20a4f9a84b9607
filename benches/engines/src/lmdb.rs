//! LMDB: default flags, which sync data and then the meta page of every commit.
use std::ops::{Bound, Range};
use std::path::Path;

use anyhow::{Context, Result};
use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions, PutFlags, RoTxn};

use crate::store::{Store, Values, consume, revision};

pub struct Lmdb {
    env: Env,
    db: Database<Bytes, Bytes>,
}

pub fn open(dir: &Path) -> Result<Lmdb> {
    let path = dir.join("lmdb");
    std::fs::create_dir_all(&path)?;
    // SAFETY: the directory belongs to this run, and it is opened by this process only, once at a time.
    let env = unsafe { EnvOpenOptions::new().map_size(16 << 30).open(path) }?;
    let mut tx = env.write_txn()?;
    let db = env.create_database(&mut tx, None)?;
    tx.commit()?;
    Ok(Lmdb { env, db })
}

impl Lmdb {
    fn read(&self, tx: &RoTxn<'_>, key: u64) -> Result<u64> {
        let value = self.db.get(tx, &revision(key))?;
        Ok(consume(
            value.with_context(|| format!("no revision {key}"))?,
        ))
    }
}

impl Store for Lmdb {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()> {
        let mut tx = self.env.write_txn()?;
        for main in range {
            // The keys grow, and LMDB has a way to be told so: full pages, no search.
            let value = values.of(main, len);
            self.db
                .put_with_flags(&mut tx, PutFlags::APPEND, &revision(main), &value)?;
        }
        Ok(tx.commit()?)
    }

    fn delete(&mut self, keys: &mut dyn Iterator<Item = u64>) -> Result<()> {
        let mut tx = self.env.write_txn()?;
        for main in keys {
            self.db.delete(&mut tx, &revision(main))?;
        }
        Ok(tx.commit()?)
    }

    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, own_snapshot: bool) -> Result<u64> {
        let mut total = 0;
        if own_snapshot {
            for key in keys {
                let tx = self.env.read_txn()?;
                total += self.read(&tx, key)?;
            }
        } else {
            let tx = self.env.read_txn()?;
            for key in keys {
                total += self.read(&tx, key)?;
            }
        }
        Ok(total)
    }

    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64> {
        let tx = self.env.read_txn()?;
        let mut total = 0;
        for start in starts {
            let from = revision(start);
            let range = (Bound::Included(&from[..]), Bound::Unbounded);
            let range = self.db.range(&tx, &range)?;
            for pair in range.take(usize::try_from(len)?) {
                total += consume(pair?.1);
            }
        }
        Ok(total)
    }
}
