//! The simulated disk against the real one: the same calls give the same answers.
use std::io;
use std::path::Path;

use proptest::prelude::*;
use varve_vfs::{Fs, OpenOptions, RealFs, SimFs};

#[derive(Clone, Debug)]
enum Call {
    Write {
        name: usize,
        offset: u64,
        len: usize,
        byte: u8,
    },
    SetLen {
        name: usize,
        len: u64,
    },
    Allocate {
        name: usize,
        len: u64,
    },
    CreateNew {
        name: usize,
    },
    Truncate {
        name: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
    Remove {
        name: usize,
    },
    MakeDir {
        name: usize,
    },
    RemoveTree {
        name: usize,
    },
    List {
        name: usize,
    },
    Sync {
        name: usize,
    },
}

const NAMES: [&str; 6] = ["a", "b", "d", "d/a", "d/e", "d/e/f"];

fn call() -> impl Strategy<Value = Call> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0..20_000u64, 0..9000usize, any::<u8>())
            .prop_map(|(name, offset, len, byte)| Call::Write { name, offset, len, byte }),
        1 => (name.clone(), 0..20_000u64).prop_map(|(name, len)| Call::SetLen { name, len }),
        1 => (name.clone(), 0..20_000u64).prop_map(|(name, len)| Call::Allocate { name, len }),
        2 => name.clone().prop_map(|name| Call::CreateNew { name }),
        1 => name.clone().prop_map(|name| Call::Truncate { name }),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Call::Rename { from, to }),
        1 => name.clone().prop_map(|name| Call::Remove { name }),
        2 => name.clone().prop_map(|name| Call::MakeDir { name }),
        1 => name.clone().prop_map(|name| Call::RemoveTree { name }),
        1 => name.clone().prop_map(|name| Call::List { name }),
        1 => name.prop_map(|name| Call::Sync { name }),
    ]
}

/// Carries out a call; what it says is a text, so that both disks can be compared.
fn carry_out(fs: &dyn Fs, root: &Path, call: &Call) -> io::Result<String> {
    let at = |name: &usize| root.join(NAMES[*name]);
    let open = |name: &usize| fs.open(&at(name), OpenOptions::read_write());
    match call {
        Call::Write {
            name,
            offset,
            len,
            byte,
        } => {
            open(name)?.write_all_at(&vec![*byte; *len], *offset)?;
        }
        Call::SetLen { name, len } => open(name)?.set_len(*len)?,
        Call::Allocate { name, len } => open(name)?.allocate(*len)?,
        Call::CreateNew { name } => drop(fs.open(&at(name), OpenOptions::create_new())?),
        Call::Truncate { name } => drop(fs.open(&at(name), OpenOptions::create_truncate())?),
        // Moving a directory into itself is an error nobody here relies on.
        Call::Rename { from, to } if at(to).starts_with(at(from)) => {}
        Call::Rename { from, to } => fs.rename(&at(from), &at(to))?,
        Call::Remove { name } => fs.remove_file(&at(name))?,
        Call::MakeDir { name } => fs.create_dir_all(&at(name), 0o700)?,
        Call::RemoveTree { name } => fs.remove_dir_all(&at(name))?,
        Call::List { name } => return Ok(fs.read_dir(&at(name))?.join(",")),
        Call::Sync { name } => open(name)?.sync_data()?,
    }
    Ok(String::new())
}

/// Every name and every byte below `dir`.
fn dump(fs: &dyn Fs, root: &Path, dir: &Path, into: &mut Vec<(String, Option<Vec<u8>>)>) {
    for name in fs.read_dir(dir).unwrap() {
        let path = dir.join(name);
        let shown = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if fs.metadata(&path).unwrap().is_dir {
            into.push((shown, None));
            dump(fs, root, &path, into);
        } else {
            into.push((shown, Some(fs.read(&path).unwrap())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_simulated_disk_answers_as_the_real_one(calls in proptest::collection::vec(call(), 1..60)) {
        let host = tempfile::tempdir().unwrap();
        let sim = SimFs::new();
        sim.create_dir_all(host.path(), 0o700).unwrap();
        for call in &calls {
            let real = carry_out(&RealFs, host.path(), call);
            let simulated = carry_out(&sim, host.path(), call);
            match (&real, &simulated) {
                (Ok(a), Ok(b)) => prop_assert_eq!(a, b, "{:?}", call),
                (Err(_), Err(_)) => {}
                _ => prop_assert!(false, "{:?}: real {:?}, simulated {:?}", call, real, simulated),
            }
        }
        let (mut real, mut simulated) = (Vec::new(), Vec::new());
        dump(&RealFs, host.path(), host.path(), &mut real);
        dump(&sim, host.path(), host.path(), &mut simulated);
        prop_assert_eq!(real, simulated);
    }
}
