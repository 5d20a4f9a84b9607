//! A third engine, written against the contract alone: maps in memory, redone from an append-only file.
//!
//! The worked example of `README.md`, "Writing an engine". It is small, not fast: each commit copies the
//! buckets it changes.
//!
//! # File
//! One record a commit: u32 LE length of the body, u32 LE checksum of the body, body. The body is a list
//! of changes: a tag byte, then lengths (u32 LE) and bytes of bucket, key and value. A record whose
//! length or checksum does not hold ends the file: its commit was never acknowledged.
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use varve_backend::conformance::{TestBed, run_all};
use varve_backend::{
    Batch, Bucket, Direction, Engine, Error, ErrorKind, Export, ImageExport, KeyRange, Op,
    Reclaimed, Result, Scan, Sizes, Snapshot,
};

type Pairs = Arc<BTreeMap<Bytes, Bytes>>;
type Content = BTreeMap<Bytes, Pairs>;

const DROP: u8 = 0;
const CREATE: u8 = 1;
const PUT: u8 = 2;
const DELETE: u8 = 3;

#[derive(Debug)]
struct LogEngine {
    path: PathBuf,
    state: Mutex<State>,
    /// Every snapshot holds a share: how many are alive.
    readers: Arc<()>,
}

#[derive(Debug)]
struct State {
    file: File,
    content: Content,
    bytes: u64,
    failure: Option<Error>,
    fail_next: bool,
}

impl LogEngine {
    fn open(path: &Path) -> Result<Self> {
        let io = |what| move |e| Error::io(what, path, e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("open"))?;
        let mut log = Vec::new();
        file.read_to_end(&mut log).map_err(io("read"))?;
        let (mut content, mut at) = (Content::new(), 0);
        while let Some(body) = record(&log[at..]) {
            redo(&mut content, body);
            at += 8 + body.len();
        }
        file.set_len(at as u64).map_err(io("truncate"))?;
        file.seek(SeekFrom::End(0)).map_err(io("seek"))?;
        let state = State {
            file,
            content,
            bytes: at as u64,
            failure: None,
            fail_next: false,
        };
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(state),
            readers: Arc::new(()),
        })
    }
}

/// The body of the record at the front, if it is whole.
fn record(log: &[u8]) -> Option<&[u8]> {
    let len = u32::from_le_bytes(log.get(..4)?.try_into().ok()?) as usize;
    let sum = u32::from_le_bytes(log.get(4..8)?.try_into().ok()?);
    let body = log.get(8..8 + len)?;
    (checksum(body) == sum).then_some(body)
}

/// A record around a body.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut record = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    record.extend_from_slice(&checksum(body).to_le_bytes());
    record.extend_from_slice(body);
    record
}

/// FNV-1a: enough for an example.
fn checksum(body: &[u8]) -> u32 {
    body.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn push(body: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    body.push(tag);
    for part in parts {
        body.extend_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        body.extend_from_slice(part);
    }
}

/// The batch as changes in the order in which they take effect (guarantee 8: a bucket goes first).
fn encode(batch: &Batch) -> Vec<u8> {
    let mut body = Vec::new();
    for bucket in batch.buckets() {
        let name = bucket.as_bytes();
        if batch.removes(bucket) {
            push(&mut body, DROP, &[name]);
        }
        if batch.creates(bucket) {
            push(&mut body, CREATE, &[name]);
        }
        for (key, op) in batch.ops(bucket) {
            match op {
                Op::Put(value) => push(&mut body, PUT, &[name, key, value]),
                Op::Delete => push(&mut body, DELETE, &[name, key]),
            }
        }
    }
    body
}

fn redo(content: &mut Content, mut body: &[u8]) {
    let part = |body: &mut &[u8]| {
        let (len, rest) = body.split_at(4);
        let len = u32::from_le_bytes(len.try_into().unwrap()) as usize;
        let (bytes, rest) = rest.split_at(len);
        *body = rest;
        Bytes::copy_from_slice(bytes)
    };
    while let Some((tag, rest)) = body.split_first() {
        body = rest;
        let name = part(&mut body);
        match *tag {
            DROP => {
                content.remove(&name);
            }
            CREATE => {
                content.entry(name).or_default();
            }
            PUT => {
                let (key, value) = (part(&mut body), part(&mut body));
                Arc::make_mut(content.entry(name).or_default()).insert(key, value);
            }
            _ => {
                let key = part(&mut body);
                if let Some(pairs) = content.get_mut(&name) {
                    Arc::make_mut(pairs).remove(&key);
                }
            }
        }
    }
}

impl Engine for LogEngine {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>> {
        Ok(Arc::new(LogSnapshot {
            content: self.state.lock().content.clone(),
            _alive: Arc::clone(&self.readers),
        }))
    }

    fn commit(&self, batch: &Batch) -> Result<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(error) = &state.failure {
            let first = error.clone();
            return Err(ErrorKind::Poisoned { first }.into());
        }
        batch.validate()?;
        let body = encode(batch);
        let record = framed(&body);
        let written = if std::mem::take(&mut state.fail_next) {
            Err(std::io::Error::other("broken on purpose"))
        } else {
            state
                .file
                .write_all(&record)
                .and_then(|()| state.file.sync_data())
        };
        if let Err(e) = written {
            let error = Error::io("write", &self.path, e);
            state.failure = Some(error.clone());
            return Err(error);
        }
        state.bytes += record.len() as u64;
        redo(&mut state.content, &body);
        Ok(())
    }

    fn sizes(&self) -> Sizes {
        let bytes = self.state.lock().bytes;
        Sizes {
            total_bytes: bytes,
            in_use_bytes: bytes,
            open_readers: Arc::strong_count(&self.readers) as u64 - 1,
        }
    }

    fn export(&self) -> Result<Box<dyn Export>> {
        Ok(Box::new(ImageExport::new(self.snapshot()?)?))
    }

    /// Writes the log anew, with what lives as one record, and puts it in the place of the old one.
    fn reclaim(&self) -> Result<Reclaimed> {
        let mut guard = self.state.lock();
        let mut body = Vec::new();
        for (name, pairs) in &guard.content {
            push(&mut body, CREATE, &[name]);
            for (key, value) in pairs.iter() {
                push(&mut body, PUT, &[name, key, value]);
            }
        }
        let log = framed(&body);
        let fresh = self.path.with_extension("new");
        let file = std::fs::write(&fresh, &log)
            .and_then(|()| OpenOptions::new().append(true).open(&fresh))
            .and_then(|file| file.sync_all().map(|()| file))
            .and_then(|file| std::fs::rename(&fresh, &self.path).map(|()| file))
            .map_err(|e| Error::io("rewrite", &self.path, e))?;
        let bytes_before = std::mem::replace(&mut guard.bytes, log.len() as u64);
        guard.file = file;
        Ok(Reclaimed {
            bytes_before,
            bytes_after: log.len() as u64,
        })
    }
}

#[derive(Debug)]
struct LogSnapshot {
    content: Content,
    _alive: Arc<()>,
}

impl Snapshot for LogSnapshot {
    fn buckets(&self) -> Result<Vec<Bytes>> {
        Ok(self.content.keys().cloned().collect())
    }

    fn has_bucket(&self, bucket: Bucket) -> Result<bool> {
        Ok(self.content.contains_key(bucket.as_bytes()))
    }

    fn get(&self, bucket: Bucket, key: &[u8]) -> Result<Option<Bytes>> {
        let pairs = self.content.get(bucket.as_bytes());
        Ok(pairs.and_then(|pairs| pairs.get(key).cloned()))
    }

    fn scan_bucket_name(
        &self,
        name: &[u8],
        range: &KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn Scan + '_>> {
        let mut pairs: Vec<(Bytes, Bytes)> = self
            .content
            .get(name)
            .into_iter()
            .flat_map(|pairs| pairs.range(range.start.clone()..))
            .take_while(|(key, _)| range.end.as_ref().is_none_or(|end| *key < end))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if direction == Direction::Forward {
            pairs.reverse();
        }
        Ok(Box::new(LogScan(pairs)))
    }
}

/// What is left of a scan, next pair last.
struct LogScan(Vec<(Bytes, Bytes)>);

impl Scan for LogScan {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        Ok(self.0.pop())
    }
}

struct Bed {
    path: PathBuf,
    last: Option<Arc<LogEngine>>,
}

impl TestBed for Bed {
    fn open(&mut self) -> Arc<dyn Engine> {
        let engine = Arc::new(LogEngine::open(&self.path).unwrap());
        self.last = Some(Arc::clone(&engine));
        engine
    }

    fn is_persistent(&self) -> bool {
        true
    }

    /// A commit in flight left half a record.
    fn lose_power(&mut self) {
        self.last = None;
        let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
        file.write_all(&[200, 0, 0, 0, 1, 2, 3, 4, PUT, 1, 0])
            .unwrap();
    }

    fn break_next_commit(&mut self, _engine: &Arc<dyn Engine>) {
        self.last.as_ref().unwrap().state.lock().fail_next = true;
    }

    fn import(&mut self, _image: Vec<u8>) -> Option<Arc<dyn Engine>> {
        None
    }
}

#[test]
fn an_engine_written_from_the_guide_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let mut beds = 0;
    run_all(|| {
        beds += 1;
        Box::new(Bed {
            path: dir.path().join(format!("log-{beds}")),
            last: None,
        })
    });
}
