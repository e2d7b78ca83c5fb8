//! Opening in two steps: a dry run that changes nothing, then the open for writing.
//!
//! RocksDB's own recovery deletes what it cannot use: a damaged log, or files that a damaged
//! manifest does not name. So the dry run opens the database read-only, which replays the log in
//! memory. It compares what it finds with the superblock and the commit log. Only if all agree is
//! the database opened for writing. A refused open leaves every file as it was, unless
//! `Options::accept_loss` had [`foreign_records`] records removed. A crash at any point of an open
//! leaves nothing to undo.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::commit_log::LogSummary;
use super::lock_file::Owner;
use super::superblock::{Manifest, Superblock, SuperblockFile};
use super::{address_space, foreign_records, wal_scan};
use crate::cancel::Cancel;
use crate::config::Options;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::{CollectionId, Commit};
use crate::store::family::Families;
use crate::store::files::atomic_dir::{check_links, sync_folder, sync_parent};
use crate::store::files::image;
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::record::{CatalogEntry, CatalogState, Identity};
use crate::store::rocks::{Access, EngineBudget, EngineFault, Family, Rocks, RowShape};
use crate::store::{DEFAULT_FAMILY, Store, storage};

const DATA: &str = "data";
/// Memory for RocksDB while it copies the files of a copy, in bytes.
const COPY_BYTES: usize = 16 << 20;

/// The dry run: a database opened read-only, found whole as far as the log and the catalog tell.
pub(crate) struct DryRun {
    folder: PathBuf,
    options: Options,
    superblock: SuperblockFile,
    rocks: Arc<Rocks>,
    default: Family,
    pub(crate) collections: Vec<DryRunCollection>,
    /// The summary of the log, once it has been read.
    pub(crate) summary: LogSummary,
    next_collection: CollectionId,
    // Declared last, so that the lock is released after everything above. `None` in a reader.
    owner: Option<Owner>,
}

/// A collection, opened read-only.
pub(crate) struct DryRunCollection {
    pub(crate) id: CollectionId,
    pub(crate) entry: CatalogEntry,
    entry_crc: u32,
    /// `None` if creating or dropping them was cut short.
    pub(crate) families: Option<Families>,
}

impl DryRunCollection {
    /// The collection's families, if it is in use.
    pub(crate) fn active_families(&self) -> Option<&Families> {
        self.families.as_ref().filter(|_| self.entry.state == CatalogState::Active)
    }
}

impl DryRun {
    /// Takes the lock, creates a missing database if the options allow, and looks at it.
    pub(crate) fn begin(folder: &Path, options: &Options) -> Result<Self> {
        options.cancel.check()?;
        let owner = Some(take_owner(folder, options)?);
        failpoint::hit("open.owned");
        let superblock = match SuperblockFile::open(folder)? {
            Some(superblock) if superblock.content().creating => create(folder, options, Some(superblock))?,
            Some(superblock) => superblock,
            None => create(folder, options, None)?,
        };
        if options.accept_loss {
            foreign_records::remove(folder, &folder.join(DATA))?;
        }
        Self::look(folder, options, superblock, Access::ReadOnly, owner)
    }

    /// Looks at a database that another process may be writing to. The writer's changes can make
    /// this fail with any error; the caller then has to try again.
    pub(crate) fn begin_beside(folder: &Path, options: &Options) -> Result<Self> {
        options.validate()?;
        address_space::check(options)?;
        check_links(folder)?;
        let superblock = SuperblockFile::open_to_read(folder)?.filter(|superblock| !superblock.content().creating);
        let superblock = superblock.ok_or_else(|| Error::DatabaseNotFound { path: folder.to_owned() })?;
        let data = folder.join(DATA);
        let before = find_manifest(&data)?;
        let dry_run = Self::look(folder, options, superblock, Access::Beside, None)?;
        // A log may be gone before it is read, because a later manifest names files with its
        // content. Then everything fits together, but as of long ago.
        if find_manifest(&data)? != before {
            return Err(Error::corruption("the manifest", "it changed while the files that it names were read"));
        }
        Ok(dry_run)
    }

    /// Looks at a copy that nobody else uses, without changing it.
    pub(crate) fn begin_copy(folder: &Path, options: &Options) -> Result<Self> {
        options.validate()?;
        let superblock = SuperblockFile::open_to_read(folder)?;
        let superblock = superblock.ok_or_else(|| Error::DatabaseNotFound { path: folder.to_owned() })?;
        Self::look(folder, options, superblock, Access::ReadOnly, None)
    }

    fn look(
        folder: &Path,
        options: &Options,
        superblock: SuperblockFile,
        access: Access,
        owner: Option<Owner>,
    ) -> Result<Self> {
        let known = superblock.content();
        let data = folder.join(DATA);
        check_manifest(&data, known.manifest)?;
        wal_scan::check_folder(&data)?;
        foreign_records::check(&data)?;
        let families = Rocks::list_families(&data).map_err(opening)?;
        let budget = EngineBudget::new(options.memory_bytes);
        let (rocks, mut handles) = Rocks::open(&data, access, budget, &described(&families)).map_err(opening)?;
        failpoint::hit("open.rehearsing");
        if access == Access::ReadOnly && !options.accept_loss {
            // If an image is taken up, RocksDB reads some files only after the open for writing.
            rocks.check_file_sizes(&data).map_err(opening)?;
        }
        let default = take_default(&families, &mut handles)?;
        check_identity(&rocks, &default, known.store)?;
        let collections = read_catalog(&rocks, &default, &families, &mut handles)?;
        let next_collection = read_next_collection(&rocks, &default)?;
        let (folder, options, summary) = (folder.to_owned(), options.clone(), LogSummary::default());
        Ok(DryRun { folder, options, superblock, rocks, default, collections, summary, next_collection, owner })
    }

    /// Reads the log from commit `from` on, and compares superblock and catalog with it. Returns
    /// whether the log still holds the commits after `from`. If not, an image that relies on `from`
    /// must not be used, and all of the log was read instead.
    pub(crate) fn read_log(&mut self, from: Commit) -> Result<bool> {
        let read = |from| LogSummary::read(&self.rocks, &self.default, from);
        let mut summary = read(from)?;
        let holds = summary.last >= from && summary.start.0 <= from.0 + 1;
        if !holds {
            summary = read(Commit(0))?;
        }
        let durable = self.superblock.content().durable;
        if summary.last < durable && !self.options.accept_loss {
            return Err(Error::DataLoss { from: summary.last.next(), to: durable });
        }
        check_catalog(&self.collections, &summary)?;
        if !self.options.accept_loss {
            check_names(&self.collections)?;
        }
        self.summary = summary;
        Ok(holds)
    }

    /// The UUID of the store.
    pub(crate) fn identity(&self) -> Uuid {
        self.superblock.content().store
    }

    /// The flag that ends the opening early.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.options.cancel
    }

    /// The database's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// RocksDB, opened read-only.
    pub(crate) fn rocks(&self) -> &Rocks {
        &self.rocks
    }

    /// Turns the dry run into a store that reads what the dry run saw, and nothing else. Returns
    /// the store and the active collections.
    pub(crate) fn settle_beside(self) -> (Store, Vec<DryRunCollection>) {
        let DryRun { folder, options, superblock, rocks, default, mut collections, summary, next_collection, owner } =
            self;
        let store = Store::new(folder, options, superblock, rocks, default, summary, next_collection, owner);
        store.health.fail("it was opened read-only".into(), false);
        rename_doubles(&mut collections);
        let active = collections.into_iter().filter(|collection| collection.active_families().is_some());
        (store, active.collect())
    }

    /// Opens the database for writing and finishes what a crash cut short in its catalog. Returns
    /// the store and the active collections.
    pub(crate) fn promote(self) -> Result<(Store, Vec<DryRunCollection>)> {
        let DryRun { folder, options, mut superblock, rocks, default, collections, summary, next_collection, owner } =
            self;
        // RocksDB must not be open read-only and for writing at once.
        drop((default, collections, rocks));
        let data = folder.join(DATA);
        let content = superblock.content();
        superblock.write(Superblock { clean: false, ..content })?;
        failpoint::hit("open.promoting");
        remove_drafts(&data)?;
        clear_draft(&folder)?;
        let families = Rocks::list_families(&data).map_err(opening)?;
        let (rocks, mut handles) =
            Rocks::open(&data, Access::ReadWrite, EngineBudget::new(options.memory_bytes), &described(&families))
                .map_err(opening)?;
        failpoint::hit("open.promoted");
        let default = take_default(&families, &mut handles)?;
        let again = LogSummary::read(&rocks, &default, summary.last)?;
        if again.last != summary.last {
            let detail = format!("expected commit {} after opening for writing, got {}", summary.last, again.last);
            return Err(Error::corruption("the commit log", detail));
        }
        let mut collections = read_catalog(&rocks, &default, &families, &mut handles)?;
        // Recovery wrote everything in the log to files and synced them: all is durable now.
        let manifest = sync_manifest(&data)?;
        superblock.write(Superblock { durable: again.last, manifest, clean: false, ..content })?;
        failpoint::hit("open.recovered");
        let store = Store::new(folder, options, superblock, rocks, default, again, next_collection, owner);
        for (id, entry) in rename_doubles(&mut collections) {
            store.write_entry(id, &entry)?;
        }
        let mut active = Vec::with_capacity(collections.len());
        for collection in collections {
            match collection.entry.state {
                CatalogState::Active => active.push(collection),
                CatalogState::Creating | CatalogState::Dropping => {
                    store.finish_drop(collection.id, collection.families.as_ref())?;
                }
            }
        }
        let ids: Vec<CollectionId> = active.iter().map(|collection| collection.id).collect();
        image::remove_strays(&store.folder, &ids)
            .map_err(|error| Error::io("removing images in", &store.folder, error))?;
        // The remaining families belong to collections that the catalog no longer knows.
        for orphan in &handles {
            store.rocks().drop_family(orphan).map_err(storage("dropping an orphaned family"))?;
        }
        Ok((store, active))
    }
}

/// Opens RocksDB's files of a copy that nobody else uses, to copy them once more. The copy's last
/// commit has to be `commit`, as was checked before.
pub(in crate::store) fn open_copy(folder: &Path, commit: Commit) -> Result<Arc<Rocks>> {
    let (data, making) = (folder.join(DATA), storage("making a backup"));
    let families = Rocks::list_families(&data).map_err(&making)?;
    let opened = Rocks::open(&data, Access::Copy, EngineBudget::new(COPY_BYTES), &described(&families));
    let (rocks, mut handles) = opened.map_err(&making)?;
    let last = LogSummary::read(&rocks, &take_default(&families, &mut handles)?, commit)?.last;
    match last == commit {
        true => Ok(rocks),
        false => Err(Error::corruption("a copy", format!("expected commit {commit} to be the last, got {last}"))),
    }
}

/// The folder, within a database's own, into which the database is copied on the way to a backup.
pub(crate) fn draft_of_copy(folder: &Path) -> PathBuf {
    folder.join("copy.unfinished")
}

/// Removes what an attempt to copy the database left within its folder.
pub(crate) fn clear_draft(folder: &Path) -> Result<()> {
    let draft = draft_of_copy(folder);
    match std::fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("clearing", draft, error)),
        _ => Ok(()),
    }
}

/// Removes files that RocksDB was writing when it was killed. RocksDB itself never removes them.
fn remove_drafts(data: &Path) -> Result<()> {
    let entries = std::fs::read_dir(data).map_err(|error| Error::io("reading", data, error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "dbtmp") {
            std::fs::remove_file(&path).map_err(|error| Error::io("removing", path, error))?;
        }
    }
    Ok(())
}

/// Takes the owner's lock. Makes a missing folder if the options allow it.
fn take_owner(folder: &Path, options: &Options) -> Result<Owner> {
    options.validate()?;
    address_space::check(options)?;
    let missing = || Error::DatabaseNotFound { path: folder.to_owned() };
    check_links(folder)?;
    if !folder.exists() {
        if !options.create_if_missing {
            return Err(missing());
        }
        std::fs::create_dir_all(folder).map_err(|error| Error::io("creating", folder, error))?;
        sync_parent(folder)?;
    }
    let foreign = foreign_file(folder)?;
    if !folder.join("superblock").exists() {
        if let Some(name) = foreign {
            let detail =
                format!("the folder has no superblock but holds {name:?}; expected a database or an empty folder");
            return Err(Error::corruption(folder.display().to_string(), detail));
        }
        if !options.create_if_missing {
            return Err(missing());
        }
    }
    Owner::take(folder)
}

/// The name of a file in the folder other than the lock and the superblock, finished or not.
fn foreign_file(folder: &Path) -> Result<Option<String>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io("reading", folder, error))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.into_iter().find(|name| !["owner", "superblock", "superblock.new"].contains(&name.as_str())))
}

/// Makes an empty database. The superblock says `creating` until the database is complete, so that
/// an open after a crash starts over.
fn create(folder: &Path, options: &Options, begun: Option<SuperblockFile>) -> Result<SuperblockFile> {
    let data = folder.join(DATA);
    let mut superblock = match begun {
        Some(begun) => begun,
        None => SuperblockFile::create(
            folder,
            Superblock {
                store: Uuid::new_v4(),
                durable: Commit(0),
                manifest: Manifest::default(),
                clean: false,
                creating: true,
            },
        )?,
    };
    failpoint::hit("create.begun");
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(|error| Error::io("clearing", &data, error))?;
    }
    std::fs::create_dir(&data).map_err(|error| Error::io("creating", &data, error))?;
    let budget = EngineBudget::new(options.memory_bytes);
    let families = described(&[DEFAULT_FAMILY.to_owned()]);
    let (rocks, handles) = Rocks::open(&data, Access::Create, budget, &families).map_err(storage("creating"))?;
    let mut batch = rocksdb::WriteBatch::default();
    batch.put(key::STORE, Identity { store: superblock.content().store }.encode());
    rocks.write(batch).map_err(storage("creating"))?;
    rocks.sync().map_err(storage("creating"))?;
    rocks.flush(handles.iter()).map_err(storage("creating"))?;
    drop((handles, rocks));
    sync_folder(folder)?;
    failpoint::hit("create.filled");
    let manifest = sync_manifest(&data)?;
    let content = Superblock { creating: false, clean: true, manifest, ..superblock.content() };
    superblock.write(content)?;
    Ok(superblock)
}

/// Number and length of the manifest that the database uses.
fn find_manifest(data: &Path) -> Result<Manifest> {
    open_manifest(data).map(|(manifest, _)| manifest)
}

/// Syncs the manifest. Returns its number, and a length that survives power loss.
///
/// RocksDB may append to the manifest meanwhile, so its length is taken before the sync.
pub(in crate::store) fn sync_manifest(data: &Path) -> Result<Manifest> {
    let (manifest, file) = open_manifest(data)?;
    file.sync_data().map_err(|error| Error::io("syncing the manifest in", data, error))?;
    // `CURRENT` itself may have been replaced a moment ago.
    sync_folder(data)?;
    failpoint::hit("manifest.synced");
    Ok(manifest)
}

fn open_manifest(data: &Path) -> Result<(Manifest, std::fs::File)> {
    const WHAT: &str = "the manifest";
    let name = std::fs::read_to_string(data.join("CURRENT")).map_err(|error| unreadable(WHAT, "CURRENT", error))?;
    let name = name.trim_end();
    let number = name.strip_prefix("MANIFEST-").and_then(|digits| digits.parse().ok());
    let number =
        number.ok_or_else(|| Error::corruption(WHAT, format!("expected its name in CURRENT, got {name:?}")))?;
    let opened = std::fs::File::open(data.join(name)).and_then(|file| Ok((file.metadata()?.len(), file)));
    let (length, file) = opened.map_err(|error| unreadable(WHAT, name, error))?;
    Ok((Manifest { number, length }, file))
}

/// The error for a file that has to be there and cannot be read: damage, unless no file can be
/// opened.
fn unreadable(what: &str, name: &str, error: std::io::Error) -> Error {
    match Error::io("reading", name, error) {
        Error::Io { source, .. } => Error::corruption(what, format!("{name} cannot be read: {source}")),
        other => other,
    }
}

/// Refuses a manifest that is older than the superblock says: it would hide files written since.
fn check_manifest(data: &Path, known: Manifest) -> Result<()> {
    let found = find_manifest(data)?;
    if found >= known {
        return Ok(());
    }
    let detail = format!(
        "expected number {} of {} bytes or a later state, got number {} of {} bytes",
        known.number, known.length, found.number, found.length
    );
    Err(Error::corruption("the manifest", detail))
}

fn described(families: &[String]) -> Vec<(String, RowShape)> {
    families.iter().map(|name| (name.clone(), Families::shape_of(name))).collect()
}

fn take_default(families: &[String], handles: &mut Vec<Family>) -> Result<Family> {
    let position = families.iter().position(|name| name == DEFAULT_FAMILY);
    position
        .map(|position| handles.remove(position))
        .ok_or_else(|| Error::corruption("the storage engine's files", "the default family is missing"))
}

fn check_identity(rocks: &Rocks, default: &Family, expected: Uuid) -> Result<()> {
    let row = rocks.get(default, None, key::STORE).map_err(storage("reading the store's identity"))?;
    let found = row.map(|bytes| Identity::decode(&bytes)).transpose()?;
    match found {
        Some(found) if found.store == expected => Ok(()),
        found => {
            let found = found.map_or_else(|| "none".to_owned(), |found| found.store.to_string());
            Err(Error::corruption("the store's identity", format!("expected {expected}, got {found}")))
        }
    }
}

/// Reads the catalog, and takes each collection's families out of `handles`.
fn read_catalog(
    rocks: &Rocks,
    default: &Family,
    families: &[String],
    handles: &mut Vec<Family>,
) -> Result<Vec<DryRunCollection>> {
    let mut rows = Vec::new();
    let (from, to) = key::catalog_range();
    let scanned = rocks.scan(default, None, (&from, &to), |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(ControlFlow::Continue(()))
    });
    scanned.map_err(storage("reading the catalog"))??;
    let mut collections: Vec<DryRunCollection> = Vec::new();
    for (key, bytes) in rows {
        let (id, entry) = (key::read_catalog(&key)?, CatalogEntry::decode(&bytes)?);
        let own = take_families(id, families, handles);
        if own.is_none() && entry.state == CatalogState::Active {
            let detail = format!("families of collection \"{}\" are missing", entry.name);
            return Err(Error::corruption("the storage engine's files", detail));
        }
        collections.push(DryRunCollection { id, entry, entry_crc: crc32c::crc32c(&bytes), families: own });
    }
    Ok(collections)
}

/// Compares the catalog with the log.
fn check_catalog(collections: &[DryRunCollection], summary: &LogSummary) -> Result<()> {
    let mut unseen: BTreeSet<CollectionId> =
        summary.catalog.iter().filter(|(_, (_, crc))| crc.is_some()).map(|(&id, _)| id).collect();
    for DryRunCollection { id, entry, entry_crc, .. } in collections {
        if summary.catalog.get(id).is_some_and(|(_, crc)| *crc != Some(*entry_crc)) {
            let detail = format!("the entry of collection \"{}\" is not the one the log says was written", entry.name);
            return Err(Error::corruption("the catalog", detail));
        }
        unseen.remove(id);
    }
    match unseen.first() {
        None => Ok(()),
        Some(id) => {
            Err(Error::corruption("the catalog", format!("the entry of collection number {} is missing", id.0)))
        }
    }
}

/// Refuses two collections in use with the same name: one would hide the other.
fn check_names(collections: &[DryRunCollection]) -> Result<()> {
    let mut names: BTreeMap<&str, CollectionId> = BTreeMap::new();
    for collection in collections.iter().filter(|collection| collection.active_families().is_some()) {
        if let Some(first) = names.insert(&collection.entry.name, collection.id) {
            let (name, second) = (&collection.entry.name, collection.id.0);
            let detail = format!(
                "expected one collection named \"{name}\", got numbers {} and {second}; \
                 `Options::accept_loss(true)` opens both, the second as \"{}\"",
                first.0,
                other_name(name, second)
            );
            return Err(Error::corruption("the catalog", detail));
        }
    }
    Ok(())
}

/// Renames each collection in use whose name one with a lower number has. Returns those.
fn rename_doubles(collections: &mut [DryRunCollection]) -> Vec<(CollectionId, CatalogEntry)> {
    let is_active = |collection: &&mut DryRunCollection| collection.active_families().is_some();
    let mut taken: BTreeSet<String> = collections.iter().map(|collection| collection.entry.name.clone()).collect();
    let (mut first, mut renamed) = (BTreeSet::new(), Vec::new());
    for collection in collections.iter_mut().filter(is_active) {
        if !first.insert(collection.entry.name.clone()) {
            let others = (collection.id.0..).map(|number| other_name(&collection.entry.name, number));
            let free = others.into_iter().find(|name| !taken.contains(name)).unwrap_or_default();
            taken.insert(free.clone());
            collection.entry.name = free;
            renamed.push((collection.id, collection.entry.clone()));
        }
    }
    renamed
}

/// A name for a collection whose name another one has.
fn other_name(name: &str, number: u32) -> String {
    format!("{name:.100}-{number}")
}

/// Takes a collection's families if all are there. Otherwise `handles` keeps them as orphans.
fn take_families(id: CollectionId, families: &[String], handles: &mut Vec<Family>) -> Option<Families> {
    let names: Vec<String> = Families::table(id).map(|(name, _)| name).collect();
    if !names.iter().all(|name| families.contains(name)) {
        return None;
    }
    let mut own = names.iter().filter_map(|name| {
        let position = handles.iter().position(|handle| handle.name() == name)?;
        Some(handles.swap_remove(position))
    });
    Families::collect(&mut own)
}

fn read_next_collection(rocks: &Rocks, default: &Family) -> Result<CollectionId> {
    let row = rocks.get(default, None, key::CATALOG_NEXT).map_err(storage("reading the catalog"))?;
    Ok(CollectionId(row.map(|bytes| read_u32("the next collection's number", &bytes)).transpose()?.unwrap_or(1)))
}

/// Wraps a fault of opening RocksDB. It becomes `Corruption` only if RocksDB found damage.
fn opening(fault: EngineFault) -> Error {
    if fault.is_out_of_descriptors() {
        Error::out_of_descriptors("opening the database", fault)
    } else if fault.is_corruption() {
        Error::corruption("the storage engine's files", fault.to_string())
    } else {
        Error::Storage { doing: "opening the database", source: Box::new(fault) }
    }
}
