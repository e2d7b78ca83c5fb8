//! Damage: one file of a database, and the change that is made to it.

use std::path::Path;

use crate::rng::Rng;
use crate::{Outcome, folder};

/// Kinds of files by the beginning or end of their names, each with its frequency.
pub(super) const CLASSES: [(&str, u64); 9] = [
    ("*.log", 30),
    ("*.sst", 28),
    ("MANIFEST", 15),
    ("CURRENT", 5),
    ("superblock", 16),
    ("OPTIONS", 3),
    ("IDENTITY", 3),
    ("*/image", 14),
    ("*/vectors", 6),
];

/// The kinds of damage.
pub(super) const DAMAGES: [&str; 9] =
    ["bit flip", "zeroed page", "cut", "deleted", "chunk doubled", "garbage", "garbage behind", "swapped", "retyped"];

const PAGE: usize = 4096;
/// Block of a log or manifest, in bytes. No record crosses a block.
const BLOCK: usize = 32 << 10;
/// Header of a record, in bytes: checksum, length, type.
const HEADER: usize = 7;

/// A file and its damage.
#[derive(Debug, Clone)]
pub(super) struct Wound {
    pub(super) class: usize,
    pub(super) damage: usize,
    pub(super) text: String,
}

impl Wound {
    /// Whether the file holds only copies of other data, so that its damage must have no effect.
    pub(super) fn is_of_a_copy(&self) -> bool {
        CLASSES[self.class].0.starts_with("*/")
    }
}

fn class_of(name: &str) -> Option<usize> {
    let name = name.strip_prefix("data/").unwrap_or(name);
    CLASSES.iter().position(|(pattern, _)| match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name.starts_with(pattern),
    })
}

/// Damages one file of a folder. `older` is a copy of the folder from an earlier time.
pub(super) fn inflict(target: &Path, older: &Path, rng: &mut Rng) -> Outcome<Wound> {
    let names = folder::files(target)?;
    // Some damage cannot be done to some files, such as an empty one, or one that the older copy
    // lacks.
    for _ in 0..1_000 {
        let (class, damage) = (draw_class(rng), rng.below(DAMAGES.len() as u64) as usize);
        let of_class: Vec<&String> = names.iter().filter(|name| class_of(name) == Some(class)).collect();
        if of_class.is_empty() {
            continue;
        }
        let name = rng.pick(&of_class);
        let done = match DAMAGES[damage] {
            "deleted" => delete(&target.join(name))?,
            "swapped" => swap(target, older, name)?,
            "retyped" if !(name.ends_with(".log") || name.starts_with("data/MANIFEST")) => None,
            kind => change(&target.join(name), kind, rng)?,
        };
        if let Some(done) = done {
            return Ok(Wound { class, damage, text: format!("{name}: {} ({done})", DAMAGES[damage]) });
        }
    }
    Err("found nothing to damage".to_owned())
}

fn draw_class(rng: &mut Rng) -> usize {
    let mut left = rng.below(CLASSES.iter().map(|(_, weight)| weight).sum());
    CLASSES
        .iter()
        .position(|(_, weight)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        })
        .unwrap_or(0)
}

fn delete(path: &Path) -> Outcome<Option<String>> {
    std::fs::remove_file(path).map_err(|error| error.to_string())?;
    Ok(Some("whole".to_owned()))
}

/// Replaces a file by the older one of the same name. For `CURRENT`, the older manifest comes
/// along.
fn swap(target: &Path, older: &Path, name: &str) -> Outcome<Option<String>> {
    let Ok(bytes) = std::fs::read(older.join(name)) else { return Ok(None) };
    let now = std::fs::read(target.join(name)).map_err(|error| error.to_string())?;
    if bytes == now {
        return Ok(None);
    }
    std::fs::write(target.join(name), &bytes).map_err(|error| error.to_string())?;
    if name != "data/CURRENT" {
        return Ok(Some(format!("{} bytes for {}", bytes.len(), now.len())));
    }
    let manifest = format!("data/{}", String::from_utf8_lossy(&bytes).trim());
    std::fs::copy(older.join(&manifest), target.join(&manifest)).map_err(|error| error.to_string())?;
    Ok(Some(format!("with {manifest}")))
}

/// Changes a file's bytes; `None` if they stayed the same.
fn change(path: &Path, kind: &str, rng: &mut Rng) -> Outcome<Option<String>> {
    let before = std::fs::read(path).map_err(|error| error.to_string())?;
    if before.is_empty() {
        return Ok(None);
    }
    let mut bytes = before.clone();
    let at = rng.below(bytes.len() as u64) as usize;
    let length = rng.between(1, PAGE as u64) as usize;
    let end = (at + length).min(bytes.len());
    let done = match kind {
        "bit flip" => {
            let bit = rng.below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
        "zeroed page" => {
            let (from, to) = (at / PAGE * PAGE, (at / PAGE * PAGE + PAGE).min(before.len()));
            bytes[from..to].fill(0);
            format!("bytes {from} to {to}")
        }
        "retyped" => {
            let Some(at) = rng.pick_some(&record_types(&bytes)) else { return Ok(None) };
            // One flipped bit gives a record a type that this database does not write.
            bytes[at] ^= 4;
            format!("the type {} at byte {at}", before[at])
        }
        "cut" => {
            bytes.truncate(at);
            format!("to {at} bytes")
        }
        "chunk doubled" => {
            let chunk = bytes[at..end].to_vec();
            bytes.splice(at..at, chunk);
            format!("bytes {at} to {end}")
        }
        "garbage" => {
            bytes[at..end].iter_mut().for_each(|byte| *byte = rng.next() as u8);
            format!("bytes {at} to {end}")
        }
        _ => {
            bytes.extend((0..length).map(|_| rng.next() as u8));
            format!("{length} bytes")
        }
    };
    if bytes == before {
        return Ok(None);
    }
    std::fs::write(path, &bytes).map_err(|error| error.to_string())?;
    Ok(Some(format!("{done} of {}", before.len())))
}

/// Offsets of the record types in a log or manifest.
fn record_types(bytes: &[u8]) -> Vec<usize> {
    let mut types = Vec::new();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let mut at = 0;
        while at + HEADER <= block.len() && block[at + 6] != 0 {
            types.push(number * BLOCK + at + 6);
            at += HEADER + usize::from(u16::from_le_bytes([block[at + 4], block[at + 5]]));
        }
    }
    types
}
