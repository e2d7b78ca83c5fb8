//! Reading the whole content of a database, and comparing its ways of reading with each other.

use std::collections::BTreeMap;

use vectrove::{
    Collection, CollectionConfig, Database, DocId, Metric, Namespace, Result, StoredDocument, Value, field,
};

use crate::rng::Rng;
use crate::walks::is_close;
use crate::world::{BUCKETS, NAMESPACES};

/// The content of a database.
pub(crate) struct Found {
    pub(crate) commit: u64,
    pub(crate) collections: BTreeMap<String, CollectionConfig>,
    /// The documents of each namespace that has any, by collection and namespace.
    pub(crate) rooms: BTreeMap<(String, String), Vec<StoredDocument>>,
}

impl Found {
    pub(crate) fn n_documents(&self) -> usize {
        self.rooms.values().map(Vec::len).sum()
    }

    /// A digest of all collections and documents.
    pub(crate) fn digest(&self) -> u64 {
        let names = self.collections.iter().map(|(name, config)| digest_of_collection(name, config));
        let rooms = self.rooms.iter().flat_map(|((collection, namespace), documents)| {
            documents.iter().map(|document| digest_of(collection, namespace, document))
        });
        names.chain(rooms).fold(0, u64::wrapping_add)
    }
}

/// The digest of a collection without its documents.
pub(crate) fn digest_of_collection(name: &str, config: &CollectionConfig) -> u64 {
    digest_of_bytes(format!("{name} {config:?}").as_bytes())
}

fn digest_of(collection: &str, namespace: &str, document: &StoredDocument) -> u64 {
    let StoredDocument { id, vector, metadata, text, version, .. } = document;
    digest_of_parts((collection, namespace), id, (vector, metadata, text.as_deref()), version.0)
}

/// The digest of one document; that of a database is the sum over its documents.
pub(crate) fn digest_of_parts(
    (collection, namespace): (&str, &str),
    id: &DocId,
    (vector, metadata, text): (&[f32], &Value, Option<&str>),
    version: u64,
) -> u64 {
    let mut bytes = format!("{collection}\0{namespace}\0{id:?}\0{metadata}\0{text:?}\0{version}\0").into_bytes();
    vector.iter().for_each(|component| bytes.extend(component.to_bits().to_le_bytes()));
    digest_of_bytes(&bytes)
}

fn digest_of_bytes(bytes: &[u8]) -> u64 {
    let state = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    crate::rng::mix(&[state, bytes.len() as u64])
}

/// Reads everything.
pub(crate) fn read(db: &Database) -> Result<Found> {
    let mut found = Found { commit: db.stats()?.commit.0, collections: BTreeMap::new(), rooms: BTreeMap::new() };
    for name in db.collections()? {
        let collection = db.collection(&name)?;
        found.collections.insert(name.clone(), collection.config().clone());
        for namespace in std::iter::once(String::new()).chain(collection.namespaces("")?) {
            let documents = scroll(&room(&collection, &namespace)?)?;
            if !documents.is_empty() {
                found.rooms.insert((name.clone(), namespace), documents);
            }
        }
    }
    Ok(found)
}

/// One of a collection's namespaces; the empty name is the default one.
pub(crate) fn room(collection: &Collection, namespace: &str) -> Result<Namespace> {
    match namespace {
        "" => Ok((**collection).clone()),
        name => collection.namespace(name),
    }
}

fn scroll(room: &Namespace) -> Result<Vec<StoredDocument>> {
    let (mut documents, mut after) = (Vec::new(), None);
    loop {
        let page = room.scroll().limit(70).with_vector(true).after(after).run()?;
        documents.extend(page.documents);
        after = page.next;
        if after.is_none() {
            return Ok(documents);
        }
    }
}

/// Compares gets, counts and exact searches with the documents that scrolling found. Returns the
/// differences.
pub(crate) fn cross_check(db: &Database, found: &Found, rng: &mut Rng) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, config) in &found.collections {
        let collection = db.collection(name)?;
        for namespace in NAMESPACES {
            let room_faults = RoomCheck::of((&collection, name, namespace), config, found)?.run(rng)?;
            faults.extend(room_faults.into_iter().map(|fault| format!("{name}/{namespace}: {fault}")));
        }
    }
    let counted: usize = db.stats()?.collections.iter().map(|collection| collection.n_documents).sum();
    if counted != found.n_documents() {
        faults.push(format!("statistics count {counted} documents, scrolling found {}", found.n_documents()));
    }
    Ok(faults)
}

/// A namespace whose ways of reading are compared.
pub(crate) struct RoomCheck<'f> {
    pub(crate) room: Namespace,
    pub(crate) config: &'f CollectionConfig,
    pub(crate) documents: &'f [StoredDocument],
    commit: u64,
}

impl<'f> RoomCheck<'f> {
    pub(crate) fn of(
        (collection, name, namespace): (&Collection, &str, &str),
        config: &'f CollectionConfig,
        found: &'f Found,
    ) -> Result<Self> {
        let documents = found.rooms.get(&(name.to_owned(), namespace.to_owned())).map_or(&[][..], Vec::as_slice);
        Ok(RoomCheck { room: room(collection, namespace)?, config, documents, commit: found.commit })
    }

    /// A query vector.
    pub(crate) fn query(&self, rng: &mut Rng) -> Vec<f32> {
        (0..self.config.dimension).map(|_| rng.component() + 1.5).collect()
    }
}

impl RoomCheck<'_> {
    fn run(&self, rng: &mut Rng) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        self.check_gets(rng, &mut faults)?;
        self.check_counts(rng, &mut faults)?;
        self.check_search(rng, &mut faults)?;
        self.check_selves(rng, &mut faults)?;
        self.check_walk(rng, &mut faults)?;
        Ok(faults)
    }

    fn check_gets(&self, rng: &mut Rng, faults: &mut Vec<String>) -> Result<()> {
        for document in self.documents {
            let got = self.room.get(&document.id)?;
            if got.as_ref() != Some(document) {
                faults.push(format!("scrolling found {document:?}, getting {got:?}"));
            }
        }
        let absent = DocId::from(format!("absent {}", rng.next()));
        if self.room.contains(&absent)? || self.room.get(&absent)?.is_some() {
            faults.push(format!("{absent} is there"));
        }
        Ok(())
    }

    fn check_counts(&self, rng: &mut Rng, faults: &mut Vec<String>) -> Result<()> {
        let counted = self.room.count(None)?;
        if counted != self.documents.len() {
            faults.push(format!("counted {counted}, scrolling found {}", self.documents.len()));
        }
        let bucket = rng.below(u64::from(BUCKETS)) as i64;
        let matching = self.documents.iter().filter(|document| document.metadata["bucket"].as_i64() == Some(bucket));
        let (expected, counted) = (matching.count(), self.room.count(field("bucket").eq(bucket))?);
        if counted != expected {
            faults.push(format!("counted {counted} in bucket {bucket}, scrolling found {expected}"));
        }
        Ok(())
    }

    /// A search for more hits than documents must return each document, nearest first, at its right
    /// distance.
    fn check_search(&self, rng: &mut Rng, faults: &mut Vec<String>) -> Result<()> {
        let query = self.query(rng);
        let hits = self.room.search(&query).limit(self.documents.len() + 7).with_vector(true).run()?;
        let expected: BTreeMap<&DocId, &StoredDocument> =
            self.documents.iter().map(|document| (&document.id, document)).collect();
        let got: BTreeMap<&DocId, f32> = hits.iter().map(|hit| (&hit.id, hit.distance)).collect();
        if got.len() != hits.len() || !got.keys().eq(expected.keys()) || hits.commit.0 != self.commit {
            let (n_hits, n_documents) = (hits.len(), expected.len());
            faults.push(format!("a search found {n_hits} at {}, scrolling {n_documents}", hits.commit));
            return Ok(());
        }
        for hit in &hits {
            let document = expected[&hit.id];
            let distance = distance(self.config, &query, &document.vector);
            if !is_close(hit.distance, distance) {
                faults.push(format!("{}: expected distance {distance}, got {}", hit.id, hit.distance));
            }
            let same =
                (&hit.metadata, &hit.text, hit.version) == (&document.metadata, &document.text, document.version);
            if !same || hit.vector.as_ref() != Some(&document.vector) {
                faults.push(format!("a search found {hit:?}, scrolling {document:?}"));
            }
        }
        if !hits.iter().map(|hit| hit.distance).is_sorted() {
            faults.push("hits are not nearest first".to_owned());
        }
        Ok(())
    }
}

/// The distance, computed in the obvious way.
pub(crate) fn distance(config: &CollectionConfig, a: &[f32], b: &[f32]) -> f64 {
    let scale = |vector: &[f32]| -> Vec<f64> {
        let norm = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let norm = if config.normalize || config.metric == Metric::Cosine { norm } else { 1.0 };
        vector.iter().map(|&x| f64::from(x) / norm).collect()
    };
    let (a, b) = (scale(a), scale(b));
    let pairs = || a.iter().zip(&b);
    let dot: f64 = pairs().map(|(x, y)| x * y).sum();
    match config.metric {
        Metric::Cosine => 1.0 - dot,
        Metric::Dot => -dot,
        Metric::Euclidean => pairs().map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt(),
        _ => pairs().map(|(x, y)| (x - y).abs()).sum(),
    }
}
