//! The database's folder: created by the benchmark, and removed however it ends.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::Failure;

/// A folder that is removed when this is dropped. The database in it has to be closed by then.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates a folder in `parent`, or in the folder for temporary files.
    pub(super) fn create(parent: Option<&Path>) -> Result<Self, Failure> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("vectrove-bench-{}-{}", process::id(), since.as_nanos());
        let path = parent.map_or_else(env::temp_dir, Path::to_owned).join(name);
        fs::create_dir(&path).map_err(|error| Failure::file("creating", &path, &error))?;
        Ok(Folder { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("note: {} is left behind: {error}", self.path.display());
        }
    }
}
