//! The file or pipe itself. What `write` returned for is in the kernel's hands; nothing is buffered here.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::{
        fd::AsFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use super::{OpenError, tail::Tail};
use crate::audit::key::Keys;

/// An open sink.
#[derive(Debug)]
pub(super) struct Output {
    file: File,
    /// Its name, where it has one that may lead to another file later.
    path: Option<PathBuf>,
    /// Its length as far as we have written it, where its end can be cut off.
    length: Option<u64>,
}

/// The owner reads and writes, nobody else: records say who restores what.
const MODE: u32 = 0o600;

impl Output {
    /// Standard output, past the buffer that the library keeps.
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::stream(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }

    /// Something that can only be written.
    pub(super) fn stream(file: File) -> Self {
        Self { file, path: None, length: None }
    }

    /// Opens a file for appending, makes it where it is not there, and reads how its chain ends.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, another process writes it, or it ends with something else than records.
    pub(super) fn open(path: &Path, keys: &Keys) -> Result<(Self, Tail), OpenError> {
        let io = |error| OpenError::Io { path: path.to_owned(), error };
        let file = open_file(path)?;
        if !file.metadata().map_err(io)?.is_file() {
            return Ok((Self { file, path: Some(path.to_owned()), length: None }, Tail::default()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, "the audit file cannot be locked; see to it that one process writes it");
            }
        }
        let length = file.metadata().map_err(io)?.len();
        let tail = Tail::read(&file, length, keys).map_err(io)?;
        let tail = tail.ok_or_else(|| OpenError::Foreign { path: path.to_owned() })?;
        Ok((Self { file, path: Some(path.to_owned()), length: Some(length) }, tail))
    }

    /// Whether there is a file, or one can be made.
    ///
    /// # Errors
    ///
    /// When the system says no.
    pub(super) fn can_be_opened(path: &Path) -> Result<(), OpenError> {
        open_file(path).map(drop)
    }

    /// Opens whatever has this sink's name by now; `None` where that is this file, or there is no name.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn reopen(&self, keys: &Keys) -> Result<Option<(Self, Tail)>, OpenError> {
        let Some(path) = &self.path else { return Ok(None) };
        let is_this = match (fs::metadata(path), self.file.metadata()) {
            (Ok(named), Ok(ours)) => (named.dev(), named.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        };
        if is_this {
            return Ok(None);
        }
        Self::open(path, keys).map(Some)
    }

    /// Writes all of `bytes`. Returns how many the kernel took, which are fewer only with an error.
    pub(super) fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut taken = 0;
        let result = loop {
            if taken == bytes.len() {
                break Ok(());
            }
            match self.file.write(&bytes[taken..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if let Some(length) = &mut self.length {
            *length += taken as u64;
        }
        (taken, result)
    }

    /// Takes the last `surplus` bytes back. Says whether that could be done: not with a pipe, nor where the file has
    /// another end than ours.
    pub(super) fn cut_back(&mut self, surplus: usize) -> bool {
        if surplus == 0 {
            return true;
        }
        let Some(length) = self.length else { return false };
        let Some(shorter) = length.checked_sub(surplus as u64) else { return false };
        let ends_with_ours = self.file.metadata().is_ok_and(|metadata| metadata.len() == length);
        let is_cut = ends_with_ours && self.file.set_len(shorter).is_ok();
        if is_cut {
            self.length = Some(shorter);
        }
        is_cut
    }

    /// Asks the kernel to bring everything to the disk. Pipes and devices refuse, and need it not.
    pub(super) fn sync(&self) {
        if self.length.is_some()
            && let Err(error) = self.file.sync_data()
        {
            tracing::warn!(%error, "the audit file was not brought to the disk");
        }
    }
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    let opened = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(path);
    opened.map_err(|error| OpenError::Io { path: path.to_owned(), error })
}
