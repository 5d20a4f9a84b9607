//! A new log.
//!
//! # Failure model
//! The first segment is written and synced in `<dir>.tmp`, which then takes the place of `<dir>`: a
//! crash leaves no log or a whole one. Unlike etcd we sync the name of the segment before the
//! directory is renamed, without which a crash could leave the directory empty.
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use varve_proto::walpb::Snapshot;
use varve_vfs::{DynFs, OpenOptions, durable, parent_dir};

use crate::appender::Appender;
use crate::dir::{self, Segment};
use crate::encode::Encoder;
use crate::error::{Error, Result};
use crate::name::SegmentName;
use crate::options::WalOptions;

const DIR_MODE: u32 = 0o700;

pub(crate) fn create(
    fs: &DynFs,
    dir: &Path,
    metadata: &[u8],
    options: WalOptions,
) -> Result<Appender> {
    if dir::holds_log(fs.as_ref(), dir)? {
        return Err(Error::AlreadyExists {
            dir: dir.to_path_buf(),
        });
    }
    let parent = parent_dir(dir);
    durable::create_dir_all(fs.as_ref(), &parent, DIR_MODE)
        .map_err(Error::io("create", &parent))?;
    let building = beside(dir);
    remove_leftover(fs, &building)?;
    fs.create_dir_all(&building, DIR_MODE)
        .map_err(Error::io("create", &building))?;

    let mut encoder = Encoder::default();
    encoder.crc_record();
    encoder.metadata(metadata);
    encoder.snapshot(&Snapshot::default());
    let mut segment = first_segment(fs, &building, &encoder, options)?;

    remove_leftover(fs, dir)?;
    fs.rename(&building, dir)
        .map_err(Error::io("rename", &building))?;
    fs.sync_dir(&parent).map_err(Error::io("sync", &parent))?;
    segment.path = segment.name.path_in(dir).into();
    Appender::fresh(
        Arc::clone(fs),
        dir.to_path_buf(),
        options,
        segment,
        encoder,
        Bytes::copy_from_slice(metadata),
    )
}

fn first_segment(
    fs: &DynFs,
    dir: &Path,
    encoder: &Encoder,
    options: WalOptions,
) -> Result<Segment> {
    let path = SegmentName::FIRST.path_in(dir);
    let file = fs
        .open(&path, OpenOptions::create_new())
        .map_err(Error::io("create", &path))?;
    dir::lock(file.as_ref(), &path)?;
    let reserve = file.allocate(options.segment_size_bytes);
    reserve.map_err(Error::io("reserve space in", &path))?;
    file.write_all_at(encoder.bytes(), 0)
        .map_err(Error::io_at("write", &path, 0))?;
    if !options.unsafe_no_fsync {
        file.sync_data().map_err(Error::io("sync", &path))?;
    }
    fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
    Ok(Segment {
        name: SegmentName::FIRST,
        path: path.into(),
        file: file.into(),
    })
}

/// `<dir>.tmp`, also when the path was given with a slash at its end.
fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().map(OsString::from).unwrap_or_default();
    name.push(".tmp");
    dir.with_file_name(name)
}

fn remove_leftover(fs: &DynFs, dir: &Path) -> Result<()> {
    match fs.remove_dir_all(dir) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("remove", dir)(e)),
    }
}
