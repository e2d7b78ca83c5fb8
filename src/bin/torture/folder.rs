//! A database's folder as files: copies, fingerprints, and stray files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Length and checksum of each file, by its path below the folder.
pub(crate) type Prints = BTreeMap<String, (u64, u32)>;

fn wrap<T>(result: std::io::Result<T>, doing: &str, path: &Path) -> Outcome<T> {
    result.map_err(|error| format!("{doing} {}: {error}", path.display()))
}

/// The files of a folder and of those in it, by their paths below it.
pub(crate) fn files(folder: &Path) -> Outcome<Vec<String>> {
    let mut names = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let path = folder.join(&below);
        for entry in wrap(fs::read_dir(&path), "reading", &path)? {
            let entry = wrap(entry, "reading", &path)?;
            let name = below.join(entry.file_name());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(name);
            } else {
                names.push(name.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Copies a folder to a new path.
pub(crate) fn copy(from: &Path, to: &Path) -> Outcome<()> {
    wrap(fs::create_dir_all(to.join("data")), "creating", to)?;
    for name in files(from)? {
        let folder = to.join(Path::new(&name).parent().unwrap_or(Path::new("")));
        wrap(fs::create_dir_all(&folder), "creating", &folder)?;
        wrap(fs::copy(from.join(&name), to.join(&name)), "copying", &from.join(&name))?;
    }
    Ok(())
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Outcome<()> {
    if folder.exists() { wrap(fs::remove_dir_all(folder), "removing", folder) } else { Ok(()) }
}

pub(crate) fn create(folder: &Path) -> Outcome<()> {
    wrap(fs::create_dir_all(folder), "creating", folder)
}

/// Fingerprints of all files except the owner's lock, into which an open may write its name.
pub(crate) fn prints(folder: &Path) -> Outcome<Prints> {
    let mut prints = Prints::new();
    for name in files(folder)?.into_iter().filter(|name| name != "owner") {
        let path = folder.join(&name);
        let bytes = wrap(fs::read(&path), "reading", &path)?;
        prints.insert(name, (bytes.len() as u64, crc32c::crc32c(&bytes)));
    }
    Ok(prints)
}

/// The differences of two folders.
pub(crate) fn difference(before: &Prints, after: &Prints) -> Option<String> {
    let mut differences = Vec::new();
    for (name, print) in before {
        match after.get(name) {
            None => differences.push(format!("{name} is gone")),
            Some(now) if now != print => differences.push(format!("{name} was {print:?}, is {now:?}")),
            Some(_) => {}
        }
    }
    differences.extend(after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("{name} is new")));
    (!differences.is_empty()).then(|| differences.join(", "))
}

/// Files that should not be in the folder of an open database, and files that have grown out of all
/// proportion. A file that is still being written, such as an image after some opens, is given
/// time.
pub(crate) fn strays(folder: &Path) -> Outcome<Vec<String>> {
    const MOST: Duration = Duration::from_secs(2);
    let began = Instant::now();
    loop {
        // Files may also go while the folder is read.
        let strays = strays_now(folder);
        if strays.as_ref().is_ok_and(Vec::is_empty) || began.elapsed() > MOST {
            return strays;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn strays_now(folder: &Path) -> Outcome<Vec<String>> {
    const MOST_BYTES: u64 = 256 << 20;
    let mut strays = Vec::new();
    let mut n_bytes = 0;
    for name in files(folder)? {
        if !expected(&name) {
            strays.push(name.clone());
        }
        n_bytes += fs::metadata(folder.join(&name)).map_or(0, |metadata| metadata.len());
    }
    if n_bytes > MOST_BYTES {
        strays.push(format!("{n_bytes} bytes in all"));
    }
    Ok(strays)
}

/// How many collections have an image.
pub(crate) fn n_images(folder: &Path) -> Outcome<usize> {
    Ok(files(folder)?.iter().filter(|name| name.starts_with("images/") && name.ends_with("/image")).count())
}

fn expected(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((folder, name)) = name.strip_prefix("images/c").and_then(|below| below.split_once('/')) {
        return is_number(folder) && ["image", "vectors"].contains(&name);
    }
    let Some(name) = name.strip_prefix("data/") else { return ["superblock", "owner"].contains(&name) };
    ["CURRENT", "IDENTITY", "LOCK"].contains(&name)
        || ["MANIFEST-", "OPTIONS-"].iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_number))
        || [".log", ".sst"].iter().any(|suffix| name.strip_suffix(suffix).is_some_and(is_number))
}
