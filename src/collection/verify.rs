//! Verification of an open collection: rows against rows, memory against rows. The rest is verified
//! where it is kept: postings ([`metadata`](super::metadata), [`fulltext`](super::fulltext)), and
//! the graph on disk ([`recovery`](super::recovery)).

use super::derived::source::RowSource;
use super::memory::Memory;
use super::open::OpenCollection;
use super::recovery::full_scan;
use super::slots::census::Census;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::id::{Commit, Slot};
use crate::schema::check::SchemaFault;
use crate::store::View;
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;
use crate::store::open::commit_log::Expected;

impl OpenCollection {
    /// Reads every row of the collection as of now and compares all with all. Returns the number of
    /// documents. The caller holds the committer section, so writes wait meanwhile.
    pub(crate) fn verify(&self, cancel: &Cancel) -> Result<usize> {
        let view = self.store.view();
        let source = RowSource { cancel: Some(cancel), ..self.source(Some(&view.snapshot)) };
        // This memory has no vectors and codes: those are compared row by row.
        let fresh = Memory::new(self.memory.vectors().without_vectors());
        let namespaces = source.names()?;
        full_scan::read_rows(source, &fresh, &namespaces, Expected::default(), view.commit)?;
        if *self.namespaces.read() != namespaces {
            return Err(Error::corruption("memory", "namespaces differ from those on disk"));
        }
        compare(&self.memory, &fresh)?;
        self.verify_vectors(source, &view)?;
        self.verify_ids(source)?;
        self.indexes.all().iter().try_for_each(|index| index.verify(source))?;
        self.memory.vectors().index.audit(&self.memory).map_err(|detail| Error::corruption("the graph", detail))?;
        self.saver().verify_graph(source)?;
        // A read of the graph that was cancelled may have been taken for harmless damage.
        cancel.check()?;
        Ok(self.memory.census().n_documents)
    }

    /// Checks that every held vector, every code and every sketch is what the row on disk makes it.
    fn verify_vectors(&self, source: RowSource<'_>, view: &View) -> Result<()> {
        let (exact, disk) = (self.reader(view), source.disk(self.memory.vectors().id));
        source.scan(&self.families.vectors, key::vector_range(), |key, value| {
            let (slot, row) = (key::read_vector(key)?.0, disk.decode(value)?);
            let is_other = exact.get(slot).is_some_and(|held| held != row);
            if is_other || !self.memory.vectors().index.has_code_of(slot, self.memory.slots.namespace(slot), &row) {
                let what = if is_other { "vector" } else { "code or sketch" };
                return Err(Error::corruption("memory", format!("the {what} of slot {} is another", slot.0)));
            }
            Ok(())
        })
    }

    /// Checks that every id is the one its document bears, that every document can be decoded, and
    /// that its metadata satisfies the schema.
    fn verify_ids(&self, source: RowSource<'_>) -> Result<()> {
        let schema = self.admission.present();
        source.scan(&self.families.documents, key::all_ids_range(), |key, value| {
            let ((namespace, id), slot) = (key::read_id(key)?, Slot(read_u32("an id's slot", value)?));
            let row = source
                .rocks
                .get(&self.families.documents, source.snapshot, &key::document(slot))
                .map_err(crate::store::storage("reading a document"))?
                .ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "no document"))?;
            let row = DocumentRow::decode(&row)?;
            if (row.namespace, &row.id) != (namespace, &id) {
                return Err(Error::corruption(format!("slot {}", slot.0), format!("expected id {id}, got {}", row.id)));
            }
            if let Some(SchemaFault { field, expected, got }) =
                schema.as_ref().and_then(|schema| schema.check(&row.metadata).err())
            {
                let detail = format!("expected {expected} in \"{field}\", as the schema says, got {got}");
                return Err(Error::corruption(format!("slot {}", slot.0), detail));
            }
            Ok(())
        })
    }
}

fn compare(memory: &Memory, fresh: &Memory) -> Result<()> {
    let (ours, theirs) = (&memory.slots, &fresh.slots);
    let (got, expected) = (memory.census(), fresh.census());
    if (Census { since: expected.since, n_slots: expected.n_slots, ..got }) != expected {
        let detail = format!("expected {expected:?}, got {got:?}");
        return Err(Error::corruption("memory", detail));
    }
    let newest = Commit(u64::MAX - 1);
    for slot in (0..theirs.n_slots() as u32).map(Slot) {
        let Some(namespace) = fresh.namespace_of(slot) else { continue };
        let same = ours.tenancy(slot) == theirs.tenancy(slot)
            && memory.namespace_of(slot) == Some(namespace)
            && ours.is_visible(slot, namespace, newest)
            && ours.identity(slot, newest) == theirs.identity(slot, newest);
        if !same {
            return Err(Error::corruption("memory", format!("slot {} differs from the row on disk", slot.0)));
        }
    }
    Ok(())
}
