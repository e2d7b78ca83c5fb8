//! Folders that appear whole or not at all; and links that lead nowhere.

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Result};

/// Makes the folder `target`, which must not exist yet. `fill` fills `<target>.unfinished`, which
/// is then renamed. What an earlier attempt left under that name is removed first. What a failed
/// attempt leaves is removed at once.
pub(crate) fn make_whole<T>(target: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    check_links(target)?;
    if target.exists() {
        let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
        return Err(Error::io("creating", target, source));
    }
    // Without a slash at the end: behind it, the draft would lie inside the target.
    let mut draft = target.components().as_path().as_os_str().to_owned();
    draft.push(".unfinished");
    let draft = Path::new(&draft);
    if draft.exists() {
        std::fs::remove_dir_all(draft).map_err(|error| Error::io("clearing", draft, error))?;
    }
    std::fs::create_dir_all(draft).map_err(|error| Error::io("creating", draft, error))?;
    let filled = fill(draft).and_then(|filled| {
        std::fs::rename(draft, target).map_err(|error| Error::io("renaming", draft, error))?;
        Ok(filled)
    });
    if filled.is_err()
        && let Err(error) = std::fs::remove_dir_all(draft)
    {
        tracing::warn!("could not clear {}: {error}", draft.display());
    }
    let filled = filled?;
    sync_parent(target)?;
    Ok(filled)
}

/// Fails with `DanglingLink` if a link on the path leads nowhere. Creating a folder there would
/// fail as if the folder existed.
pub(crate) fn check_links(path: &Path) -> Result<()> {
    let dangling = |path: &&Path| !path.exists() && path.is_symlink();
    // Without a slash at the end: behind it, a link would be followed.
    match path.components().as_path().ancestors().find(dangling) {
        Some(link) => {
            let target = std::fs::read_link(link).map_err(|error| Error::io("reading", link, error))?;
            Err(Error::DanglingLink { path: link.to_owned(), target })
        }
        None => Ok(()),
    }
}

/// Makes a folder's own name survive power loss.
pub(crate) fn sync_parent(folder: &Path) -> Result<()> {
    folder.canonicalize().ok().as_deref().and_then(Path::parent).map_or(Ok(()), sync_folder)
}

/// Makes a new name in a folder survive power loss.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("syncing", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let (target, draft) = (folder.path().join("deep/copy"), folder.path().join("deep/copy.unfinished"));
        std::fs::create_dir_all(draft.join("left")).unwrap();
        let fill = |path: &Path, outcome| {
            assert!(path == draft && !target.exists() && !path.join("left").exists());
            std::fs::write(path.join("file"), "whole").unwrap();
            outcome
        };
        let failed: Result<()> = make_whole(&target, |path| fill(path, Err(Error::Closed)));
        assert!(matches!(failed, Err(Error::Closed)) && !target.exists() && !draft.exists());
        make_whole(&target, |path| fill(path, Ok(()))).unwrap();
        assert!(target.join("file").exists() && !draft.exists());
        assert!(make_whole(&folder.path().join("other/"), |_| Ok(())).is_ok());
        assert!(matches!(make_whole(&target, |_| Ok(())), Err(Error::Io { .. })));
        assert!(target.join("file").exists());
    }
}
