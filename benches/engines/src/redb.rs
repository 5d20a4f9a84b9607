//! redb: `Durability::Immediate`, its default.
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::store::{Store, Values, consume, revision};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("key");

pub struct Redb(Database);

pub fn open(dir: &Path) -> Result<Redb> {
    let db = Database::create(dir.join("redb"))?;
    let tx = db.begin_write()?;
    tx.open_table(TABLE)?;
    tx.commit()?;
    Ok(Redb(db))
}

impl Redb {
    fn write(&self) -> Result<redb::WriteTransaction> {
        let mut tx = self.0.begin_write()?;
        tx.set_durability(Durability::Immediate)?;
        Ok(tx)
    }
}

fn read(table: &impl ReadableTable<&'static [u8], &'static [u8]>, key: u64) -> Result<u64> {
    let value = table.get(&revision(key)[..])?;
    let value = value.with_context(|| format!("no revision {key}"))?;
    Ok(consume(value.value()))
}

impl Store for Redb {
    fn append(&mut self, range: Range<u64>, values: &Values, len: usize) -> Result<()> {
        let tx = self.write()?;
        {
            let mut table = tx.open_table(TABLE)?;
            for main in range {
                table.insert(&revision(main)[..], &values.of(main, len)[..])?;
            }
        }
        Ok(tx.commit()?)
    }

    fn delete(&mut self, keys: &mut dyn Iterator<Item = u64>) -> Result<()> {
        let tx = self.write()?;
        {
            let mut table = tx.open_table(TABLE)?;
            for main in keys {
                table.remove(&revision(main)[..])?;
            }
        }
        Ok(tx.commit()?)
    }

    fn get(&mut self, keys: &mut dyn Iterator<Item = u64>, own_snapshot: bool) -> Result<u64> {
        let mut total = 0;
        if own_snapshot {
            for key in keys {
                total += read(&self.0.begin_read()?.open_table(TABLE)?, key)?;
            }
        } else {
            let table = self.0.begin_read()?.open_table(TABLE)?;
            for key in keys {
                total += read(&table, key)?;
            }
        }
        Ok(total)
    }

    fn scan(&mut self, starts: &mut dyn Iterator<Item = u64>, len: u64) -> Result<u64> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut total = 0;
        for start in starts {
            let from = revision(start);
            let range = table.range(&from[..]..)?;
            for pair in range.take(usize::try_from(len)?) {
                total += consume(pair?.1.value());
            }
        }
        Ok(total)
    }
}
