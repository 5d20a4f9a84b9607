//! redb and LMDB with the settings their users run: durable commits, defaults otherwise.
use std::path::Path;

use heed::types::Bytes as HeedBytes;
use heed::{Database, Env, EnvOpenOptions};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};

use super::{Opener, Store, VALUE_LEN, revision};

pub(super) const ALL: [Opener; 2] = [("redb", redb), ("lmdb", lmdb)];

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("key");

struct Redb(redb::Database);

fn redb(dir: &Path) -> Box<dyn Store> {
    let db = redb::Database::create(dir.join("redb")).unwrap();
    let tx = db.begin_write().unwrap();
    tx.open_table(TABLE).unwrap();
    tx.commit().unwrap();
    Box::new(Redb(db))
}

impl Store for Redb {
    fn append(&self, from: u64, to: u64) {
        let value = [7; VALUE_LEN];
        let tx = self.0.begin_write().unwrap();
        {
            let mut table = tx.open_table(TABLE).unwrap();
            for main in from..to {
                table.insert(&revision(main)[..], &value[..]).unwrap();
            }
        }
        tx.commit().unwrap();
    }

    fn thin(&self, from: u64, to: u64) {
        let tx = self.0.begin_write().unwrap();
        {
            let mut table = tx.open_table(TABLE).unwrap();
            for main in (from..to).filter(|n| n % 10 != 0) {
                table.remove(&revision(main)[..]).unwrap();
            }
        }
        tx.commit().unwrap();
    }

    fn get(&self, main: u64) -> usize {
        let tx = self.0.begin_read().unwrap();
        let table = tx.open_table(TABLE).unwrap();
        table
            .get(&revision(main)[..])
            .unwrap()
            .unwrap()
            .value()
            .len()
    }

    fn scan(&self) -> usize {
        let tx = self.0.begin_read().unwrap();
        let table = tx.open_table(TABLE).unwrap();
        table
            .iter()
            .unwrap()
            .map(|pair| pair.unwrap().1.value().len())
            .sum()
    }
}

struct Lmdb {
    env: Env,
    db: Database<HeedBytes, HeedBytes>,
}

fn lmdb(dir: &Path) -> Box<dyn Store> {
    let path = dir.join("lmdb");
    std::fs::create_dir(&path).unwrap();
    #[expect(
        unsafe_code,
        reason = "opening an LMDB environment is unsafe by its nature"
    )]
    // SAFETY: the directory is fresh and only this process opens it, once.
    let env = unsafe { EnvOpenOptions::new().map_size(8 << 30).open(path) }.unwrap();
    let mut tx = env.write_txn().unwrap();
    let db = env.create_database(&mut tx, None).unwrap();
    tx.commit().unwrap();
    Box::new(Lmdb { env, db })
}

impl Store for Lmdb {
    fn append(&self, from: u64, to: u64) {
        let value = [7; VALUE_LEN];
        let mut tx = self.env.write_txn().unwrap();
        for main in from..to {
            self.db.put(&mut tx, &revision(main), &value).unwrap();
        }
        tx.commit().unwrap();
    }

    fn thin(&self, from: u64, to: u64) {
        let mut tx = self.env.write_txn().unwrap();
        for main in (from..to).filter(|n| n % 10 != 0) {
            self.db.delete(&mut tx, &revision(main)).unwrap();
        }
        tx.commit().unwrap();
    }

    fn get(&self, main: u64) -> usize {
        let tx = self.env.read_txn().unwrap();
        self.db.get(&tx, &revision(main)).unwrap().unwrap().len()
    }

    fn scan(&self) -> usize {
        let tx = self.env.read_txn().unwrap();
        self.db
            .iter(&tx)
            .unwrap()
            .map(|pair| pair.unwrap().1.len())
            .sum()
    }
}
