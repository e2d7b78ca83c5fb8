//! Checks of graph searches: whether they find all documents.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use vectrove::{Collection, Database, DocId, Hits, Namespace, Result, StoredDocument, Strategy, limits::MAX_EF};

use crate::inspect::{Found, RoomCheck, distance};
use crate::rng::Rng;
use crate::world::NAMESPACES;

/// Documents of a namespace that must find themselves.
const SAMPLE: usize = 12;
/// Time until graph searches must reach all documents: dead points may still be swept, and lost
/// links replaced.
const PATIENCE: Duration = Duration::from_secs(10);

impl RoomCheck<'_> {
    /// A graph search for more hits than documents must return each document, nearest first, at its
    /// right distance.
    pub(crate) fn check_walk(&self, rng: &mut Rng, faults: &mut Vec<String>) -> Result<()> {
        let query = self.query(rng);
        let hits = walk(&self.room, &query, self.documents.len() + 7)?;
        let expected: BTreeMap<&DocId, &StoredDocument> =
            self.documents.iter().map(|document| (&document.id, document)).collect();
        let got: BTreeMap<&DocId, f32> = hits.iter().map(|hit| (&hit.id, hit.distance)).collect();
        if got.len() != hits.len() || !got.keys().eq(expected.keys()) {
            faults.push(format!("a walk found {}, scrolling {}", hits.len(), expected.len()));
            return Ok(());
        }
        for (id, got) in got {
            let distance = distance(self.config, &query, &expected[id].vector);
            if !is_close(got, distance) {
                faults.push(format!("a walk: {id}: expected distance {distance}, got {got}"));
            }
        }
        if !hits.iter().map(|hit| hit.distance).is_sorted() {
            faults.push("hits of a walk are not nearest first".to_owned());
        }
        Ok(())
    }

    /// A graph search for one hit must find the nearest document: itself, or one as near.
    pub(crate) fn check_selves(&self, rng: &mut Rng, faults: &mut Vec<String>) -> Result<()> {
        for _ in 0..SAMPLE.min(self.documents.len()) {
            let document = &self.documents[rng.below(self.documents.len() as u64) as usize];
            let distances = self.documents.iter().map(|other| distance(self.config, &document.vector, &other.vector));
            let nearest = distances.fold(f64::INFINITY, f64::min);
            let hits = walk(&self.room, &document.vector, 1)?;
            let got = hits.first().map(|hit| hit.distance);
            if !got.is_some_and(|got| is_close(got, nearest)) {
                let id = &document.id;
                let text = format!("a walk from {id}: expected the nearest at {nearest}, got {got:?}");
                // While points around it get other links, no link may lead to it for a moment.
                match self.found_after(&document.vector, nearest)? {
                    Some(after) => eprintln!("{text}; found {} ms later", after.as_millis()),
                    None => faults.push(text),
                }
            }
        }
        Ok(())
    }
}

impl RoomCheck<'_> {
    /// Time until a graph search finds a document that an earlier one missed; `None` if none does.
    fn found_after(&self, query: &[f32], nearest: f64) -> Result<Option<Duration>> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if walk(&self.room, query, 1)?.first().is_some_and(|hit| is_close(hit.distance, nearest)) {
                return Ok(Some(began.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(None)
    }
}

/// Searches with the widest beam, which passes each point that can be reached.
fn walk(room: &Namespace, query: &[f32], limit: usize) -> Result<Hits> {
    room.search(query).limit(limit).strategy(Strategy::Graph).ef(MAX_EF).oversampling(2.0).run()
}

pub(crate) fn is_close(got: f32, expected: f64) -> bool {
    (f64::from(got) - expected).abs() <= 1e-4 * expected.abs().max(1.0)
}

/// Whether graph searches find all documents. Returns those that they do not find.
pub(crate) fn check(db: &Database, found: &Found, rng: &mut Rng) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, config) in &found.collections {
        let collection = db.collection(name)?;
        for namespace in NAMESPACES {
            let check = RoomCheck::of((&collection, name, namespace), config, found)?;
            let mut here = Vec::new();
            check.check_selves(rng, &mut here)?;
            check.check_walk(rng, &mut here)?;
            faults.extend(here.into_iter().map(|fault| format!("{name}/{namespace}: {fault}")));
        }
    }
    Ok(faults)
}

/// Waits until all documents are linked. Then graph searches alone, without a scan for what they
/// missed, must find all.
pub(crate) fn check_linked(db: &Database, found: &Found, rng: &mut Rng) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (name, config) in &found.collections {
        let collection = db.collection(name)?;
        collection.wait_indexed()?;
        for namespace in NAMESPACES {
            let check = RoomCheck::of((&collection, name, namespace), config, found)?;
            if !check.documents.is_empty() && !reaches_all(&check, namespace, rng)? {
                faults.push(format!("{name}/{namespace}: a walk does not reach every document"));
            }
        }
        if let Some(fault) = waiting(db, name, &collection)? {
            faults.push(fault);
        }
    }
    Ok(faults)
}

/// A small namespace has no links. Its documents are compared one by one, without a graph search
/// that was given up before.
fn reaches_all(check: &RoomCheck<'_>, namespace: &str, rng: &mut Rng) -> Result<bool> {
    let began = Instant::now();
    loop {
        let search_stats = walk(&check.room, &check.query(rng), check.documents.len() + 7)?.stats;
        if !search_stats.gave_up && (search_stats.strategy == Strategy::Graph || !namespace.is_empty()) {
            return Ok(true);
        }
        if began.elapsed() > PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Documents that still wait after all should be linked.
fn waiting(db: &Database, name: &str, collection: &Collection) -> Result<Option<String>> {
    collection.wait_indexed()?;
    let stats = db.stats()?;
    let n_waiting = stats.collections.iter().find(|stats| stats.name == name).map_or(0, |stats| stats.tail_length);
    Ok((n_waiting > 0).then(|| format!("{name}: {n_waiting} documents wait after waiting for all to be linked")))
}
