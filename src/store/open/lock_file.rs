//! The lock that lets only one process open a database.
//!
//! The lock is an `flock` on a file of our own. RocksDB's lock is lost when any descriptor of its
//! file is closed; ours only when our descriptor is. Forked children do not keep the descriptor
//! ([`Kept`]), so none of them keeps the lock after its parent is gone. The file names the holder,
//! for the error that others get. It holds no data.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::process::{self, Kept};

const FILE_NAME: &str = "owner";

/// The lock, held as long as the database is open. Released on drop, or when the process ends.
pub(crate) struct Owner {
    file: Kept,
}

impl Owner {
    /// Takes the lock. Fails with `Busy`, which names the holder, if another process has it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let kept = Kept::open(open).map_err(|error| Error::io("opening", &path, error))?;
        let mut file = kept.file();
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // A holder that has not written its name yet is still a holder.
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process".into() } else { holder.trim().to_owned() };
                return Err(Error::Busy { path: folder.to_owned(), holder });
            }
            Err(error) => return Err(Error::io("locking", path, error.into())),
        }
        let holder = format!("process {} ({})", std::process::id(), program());
        let written = file.set_len(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0));
        if let Err(error) = written {
            // On a full disk the lock holds all the same, and an open must be able to go on.
            tracing::debug!("could not write the holder's name: {error}");
        }
        Ok(Owner { file: kept })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A child forked before this shares the lock, unless the lock is released explicitly.
        if !process::is_forked()
            && let Err(error) = flock(self.file.file(), FlockOperation::Unlock)
        {
            tracing::debug!("could not let go of the lock, it goes with the descriptor: {error}");
        }
    }
}

fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().map_or_else(|| "unknown program".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_learns_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Owner::take(folder.path()).unwrap();
        let Err(Error::Busy { holder, .. }) = Owner::take(folder.path()) else { panic!("expected Busy") };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        drop(first);
        assert!(Owner::take(folder.path()).is_ok());
    }
}
