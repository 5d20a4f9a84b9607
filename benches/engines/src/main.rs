//! The revision workload on Varve's B+tree, bbolt, LMDB, redb and fjall, interleaved, every commit
//! durable. `benches/engines.sh` builds and runs it.
//!
//! Jobs of a row alternate over the engines, in another order each round, so that a disturbance of the
//! machine hits all of them; a row shows medians. CPU time is shown beside wall clock: it is what is left
//! to compare on a machine that others use.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

mod bbolt;
mod fjall;
mod floor;
mod lmdb;
mod redb;
mod replay;
mod store;
mod table;
mod varve;

use store::{Cost, Job, Store, Values, size_of};
use table::Row;

struct Args {
    dir: PathBuf,
    bbolt: Option<PathBuf>,
    rounds: usize,
    only: Option<Vec<String>>,
    rows: Vec<String>,
    sections: Vec<String>,
}

const USAGE: &str = "usage: varve-bench-engines [--dir DIR] [--bbolt PROGRAM] [--rounds N] \
                     [--only ENGINE,...] [--rows TEXT,...] [writes] [reads] [deletes] [reopen]";

fn args() -> Result<Args> {
    let mut args = Args {
        dir: std::env::temp_dir(),
        bbolt: None,
        rounds: 7,
        only: None,
        rows: Vec::new(),
        sections: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} what?\n{USAGE}"))
        };
        match word.as_str() {
            "--dir" => args.dir = value()?.into(),
            "--bbolt" => args.bbolt = Some(value()?.into()),
            "--rounds" => args.rounds = value()?.parse()?,
            "--only" => args.only = Some(value()?.split(',').map(String::from).collect()),
            "--rows" => args.rows = value()?.split(',').map(String::from).collect(),
            "writes" | "reads" | "deletes" | "reopen" => args.sections.push(word),
            _ => bail!("{word}?\n{USAGE}"),
        }
    }
    if args.sections.is_empty() {
        args.sections = ["writes", "reads", "deletes", "reopen"]
            .map(String::from)
            .to_vec();
    }
    Ok(args)
}

impl Args {
    fn wants(&self, engine: &str) -> bool {
        let named = |only: &Vec<String>| only.iter().any(|o| engine.starts_with(o.as_str()));
        self.only.as_ref().is_none_or(named)
    }

    /// Whether a row is asked for: by any part of its name.
    fn wants_row(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|text| name.contains(text.as_str()))
    }
}

/// A directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new(below: &Path, name: &str) -> Result<Self> {
        let path = below.join(format!("varve-engines-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {e}", self.0.display());
        }
    }
}

type Stores = Vec<(&'static str, Box<dyn Store>)>;

/// One store of each engine in one directory. With `both` ours comes twice: values lent and values kept.
/// The floor comes last: for reads of values of one length these values, else the writes of ours replayed.
fn stores(args: &Args, dir: &Path, both: bool, value_len: Option<usize>) -> Result<Stores> {
    let mut all: Stores = Vec::new();
    let mut replay = None;
    let replayed = value_len.is_none() && args.wants("floor");
    if args.wants("varve") {
        let ours = if replayed {
            let (fs, floor) = replay::open(dir)?;
            replay = Some(floor);
            varve::open_on(fs, dir, varve::Read::Lent)?
        } else {
            varve::open(dir, varve::Read::Lent)?
        };
        let kept = ours.keeping();
        all.push(("varve", Box::new(ours)));
        if both {
            all.push(("varve, Bytes", Box::new(kept)));
        }
    }
    if let Some(program) = args.bbolt.as_ref().filter(|_| args.wants("bbolt")) {
        all.push(("bbolt", Box::new(bbolt::open(program, dir, false)?)));
    }
    if args.wants("lmdb") {
        all.push(("lmdb", Box::new(lmdb::open(dir)?)));
    }
    if args.wants("redb") {
        all.push(("redb", Box::new(redb::open(dir)?)));
    }
    if args.wants("fjall") {
        all.push(("fjall", Box::new(fjall::open(dir)?)));
    }
    if let Some(len) = value_len.filter(|_| args.wants("floor")) {
        all.push(("floor", Box::new(floor::open(dir, len)?)));
    }
    if let Some(replay) = replay {
        all.push(("floor", Box::new(replay)));
    }
    Ok(all)
}

/// Runs a job per round on every store; the same bytes must have been read by all.
fn rounds(
    stores: &mut Stores,
    rounds: usize,
    values: &Values,
    mut job: impl FnMut(usize) -> Job,
) -> Result<Vec<(&'static str, Vec<Cost>)>> {
    let mut costs: Vec<(&'static str, Vec<Cost>)> =
        stores.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..rounds {
        let job = job(round);
        let mut read = None;
        // The floor, at the end, does after ours what ours did.
        let floor = stores
            .len()
            .checked_sub(1)
            .filter(|at| stores[*at].0 == "floor");
        let engines = floor.unwrap_or(stores.len());
        let turns = (0..engines).map(|n| (n + round) % engines);
        for at in turns.flat_map(|at| std::iter::once(at).chain(floor.filter(|_| at == 0))) {
            let (name, store) = &mut stores[at];
            let cost = store.run(&job, values).with_context(|| name.to_string())?;
            if *read.get_or_insert(cost.read) != cost.read {
                bail!("{name} read {} bytes, another engine {read:?}", cost.read);
            }
            costs[at].1.push(cost);
        }
    }
    Ok(costs)
}

fn writes(args: &Args, values: &Values, rows: &mut Vec<Row>) -> Result<()> {
    for value_len in [256, 4096] {
        let dir = Dir::new(&args.dir, "writes")?;
        let mut stores = stores(args, &dir.0, false, None)?;
        let mut next = 0;
        let mut append = |commits, per_commit| {
            let from = next;
            next += commits * per_commit;
            Job::Append {
                from,
                commits,
                per_commit,
                value_len,
            }
        };
        // A store with something in it: the first commits of an empty file are nobody's concern.
        rounds(&mut stores, 2, values, |_| append(1, 5000))?;
        for (commits, per_commit) in [(60, 1), (20, 100), (1, 10_000)] {
            let name = format!("append {value_len} B, commits of {per_commit}");
            if !args.wants_row(&name) {
                continue;
            }
            let costs = rounds(&mut stores, args.rounds, values, |_| {
                append(commits, per_commit)
            })?;
            rows.push(Row {
                name,
                operations: commits * per_commit,
                costs,
            });
        }
    }
    Ok(())
}

fn load(stores: &mut Stores, count: u64, value_len: usize, values: &Values) -> Result<()> {
    const STEP: u64 = 25_000;
    rounds(stores, (count / STEP) as usize, values, |round| {
        Job::Append {
            from: round as u64 * STEP,
            commits: 1,
            per_commit: STEP,
            value_len,
        }
    })
    .map(drop)
}

fn reads(args: &Args, values: &Values, rows: &mut Vec<Row>) -> Result<()> {
    for (value_len, below) in [(256, 500_000), (4096, 50_000)] {
        let dir = Dir::new(&args.dir, "reads")?;
        {
            let mut stores = stores(args, &dir.0, false, Some(value_len))?;
            load(&mut stores, below, value_len, values)?;
        }
        // Opened anew: nobody reads from the buffer it wrote from.
        let mut stores = stores(args, &dir.0, true, Some(value_len))?;
        let mut run = |name: &str, operations, job: &dyn Fn(u64) -> Job| -> Result<()> {
            if !args.wants_row(name) {
                return Ok(());
            }
            // Once for the caches.
            rounds(&mut stores, 1, values, |_| job(99))?;
            let costs = rounds(&mut stores, args.rounds, values, |round| job(round as u64))?;
            rows.push(Row {
                name: name.to_string(),
                operations,
                costs,
            });
            Ok(())
        };
        for own_snapshot in [true, false] {
            let how = if own_snapshot {
                "each in its own snapshot"
            } else {
                "in one snapshot"
            };
            run(
                &format!("get at random, {value_len} B, {how}"),
                50_000,
                &|seed| Job::Get {
                    seed,
                    count: 50_000,
                    below,
                    own_snapshot,
                },
            )?;
        }
        for (len, count) in [(10, 10_000), (10_000, 20)] {
            run(
                &format!("scan of {len}, {value_len} B, per pair"),
                len * count,
                &|seed| Job::Scan {
                    seed,
                    count,
                    len,
                    below,
                },
            )?;
        }
    }
    Ok(())
}

fn deletes(args: &Args, values: &Values, rows: &mut Vec<Row>) -> Result<()> {
    let dir = Dir::new(&args.dir, "deletes")?;
    let mut stores = stores(args, &dir.0, false, None)?;
    let windows = args.rounds as u64;
    load(&mut stores, windows.div_ceil(2) * 100_000, 256, values)?;
    let window = |round: usize| {
        let from = round as u64 * 50_000;
        from..from + 50_000
    };
    let name = "delete 1,000 scattered over 50,000 revisions, one commit";
    if args.wants_row(name) {
        let costs = rounds(&mut stores, args.rounds, values, |round| Job::Delete {
            range: window(round),
            every: 50,
            hit: true,
        })?;
        rows.push(Row {
            name: name.into(),
            operations: 1000,
            costs,
        });
    }
    let name = "delete 9 of 10 of 10,000 revisions, one commit";
    if args.wants_row(name) {
        let costs = rounds(&mut stores, args.rounds, values, |round| Job::Delete {
            range: window(round).start..window(round).start + 10_000,
            every: 10,
            hit: false,
        })?;
        rows.push(Row {
            name: name.into(),
            operations: 9000,
            costs,
        });
    }
    Ok(())
}

/// Opening a store of 1 GiB and reading one revision.
fn reopen(args: &Args, values: &Values) -> Result<()> {
    const COUNT: u64 = 3_500_000;
    const STEP: u64 = 50_000;
    let dir = Dir::new(&args.dir, "reopen")?;
    let program = args.bbolt.as_deref();
    type Open<'a> = Box<dyn Fn() -> Result<(Duration, Box<dyn Store>)> + 'a>;
    fn timed<S: Store + 'static>(
        open: impl Fn() -> Result<S>,
    ) -> Result<(Duration, Box<dyn Store>)> {
        let began = Instant::now();
        let store = open()?;
        Ok((began.elapsed(), Box::new(store)))
    }
    let bolt = |defaults| -> Result<(Duration, Box<dyn Store>)> {
        let store = bbolt::open(program.context("no bbolt")?, &dir.0, defaults)?;
        Ok((store.opened, Box::new(store)))
    };
    let ours = || timed(|| varve::open(&dir.0, varve::Read::Lent));
    let walked = || {
        // As after a crash: what a clean shutdown left is gone.
        drop(std::fs::remove_file(dir.0.join("db.freelist")));
        ours()
    };
    let mut engines: Vec<(&str, &str, Open<'_>)> = vec![
        ("varve", "db", Box::new(ours)),
        ("varve after a crash", "db", Box::new(walked)),
        ("bbolt as etcd opens it", "bbolt", Box::new(|| bolt(false))),
        (
            "bbolt with a persisted freelist",
            "bbolt-defaults",
            Box::new(|| bolt(true)),
        ),
        ("lmdb", "lmdb", Box::new(|| timed(|| lmdb::open(&dir.0)))),
        ("redb", "redb", Box::new(|| timed(|| redb::open(&dir.0)))),
        ("fjall", "fjall", Box::new(|| timed(|| fjall::open(&dir.0)))),
    ];
    engines
        .retain(|(name, ..)| args.wants(name) && (program.is_some() || !name.starts_with("bbolt")));
    println!(
        "\nReopening a store of {COUNT} revisions of 256 B, every 30th deleted again, ms until the first revision is read (best of three)\n"
    );
    println!("| engine | ms | file, MiB |\n|---|---|---|");
    let mut filled = Vec::new();
    for (name, file, open) in &engines {
        if !filled.contains(file) {
            let (_, mut store) = open()?;
            for from in (0..COUNT).step_by(STEP as usize) {
                let job = Job::Append {
                    from,
                    commits: 1,
                    per_commit: STEP,
                    value_len: 256,
                };
                store.run(&job, values)?;
            }
            let job = Job::Delete {
                range: 1..COUNT,
                every: 30,
                hit: true,
            };
            store.run(&job, values)?;
            filled.push(file);
        }
        let mut best = Duration::MAX;
        for seed in 0..3 {
            let (opened, mut store) = open()?;
            // Revision 1 is there for all.
            let get = Job::Scan {
                seed,
                count: 1,
                len: 1,
                below: COUNT,
            };
            let cost = store.run(&get, values)?;
            best = best.min(opened + cost.wall);
        }
        let size = size_of(&dir.0.join(file)) >> 20;
        println!("| {name} | {:.2} | {size} |", best.as_secs_f64() * 1e3);
    }
    Ok(())
}

fn main() -> Result<()> {
    let args = args()?;
    let values = Values::new();
    let mut rows = Vec::new();
    for section in &args.sections {
        match section.as_str() {
            "writes" => writes(&args, &values, &mut rows)?,
            "reads" => reads(&args, &values, &mut rows)?,
            "deletes" => deletes(&args, &values, &mut rows)?,
            _ => {}
        }
    }
    table::print(&rows);
    if args.sections.iter().any(|s| s == "reopen") {
        reopen(&args, &values)?;
    }
    Ok(())
}
