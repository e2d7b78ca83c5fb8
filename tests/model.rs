//! Random histories of all verbs, compared with the twin.
//!
//! Each history has a seed of its own. To repeat a failed one alone, set `SEED=<its seed>
//! HISTORIES=1`. `HISTORIES` and `STEPS` make a run longer or shorter.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use uuid::Uuid;
use vectrove::limits::MAX_EF;
use vectrove::{
    Batch, Collection, CollectionConfig, Commit, Cursor, Database, DocId, Document, Error, Filter, Hits, Index, Metric,
    Namespace, Options, Quantization, Query, Receipt, StoredDocument, Strategy, Update,
};

use common::generate::{self, one_in, pick};
use common::oracle::{
    self, Action, Change, Documents, Draft, Expectation, Near, Step, Twin, TwinCollection, TwinDocument, Write,
};
use common::{bits, check_error, label, number_from_env};

const NAMES: [&str; 4] = ["notes", "Notes", "a_1", "-no"];
const NAMESPACES: [&str; 3] = ["", "alice", "bob/ü"];

#[test]
fn random_histories_equal_the_twin() {
    let seed = common::seed();
    let (n_histories, n_steps) = (number_from_env("HISTORIES", 200), number_from_env("STEPS", 220));
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(0);
    let work = || {
        loop {
            let history = next.fetch_add(1, Ordering::Relaxed);
            if history >= n_histories || failed.load(Ordering::Relaxed) > 0 {
                return;
            }
            let seed = seed.wrapping_add(history);
            if catch_unwind(AssertUnwindSafe(|| run_history(seed, n_steps))).is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("a history failed; run it alone with SEED={seed} HISTORIES=1 STEPS={n_steps}");
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| _ = scope.spawn(work)));
    assert_eq!(failed.into_inner(), 0, "histories that failed");
}

fn run_history(seed: u64, n_steps: u64) {
    let mut history = History::begin(seed);
    for _ in 0..n_steps {
        history.step();
    }
    history.check_everything();
    history.reopen();
    history.check_everything();
}

/// A database, its twin, and a random generator.
struct History {
    random: StdRng,
    folder: TempDir,
    options: Options,
    db: Option<Database>,
    twin: Twin,
    n_copies: u64,
}

/// The collection and namespace of a document.
#[derive(Clone)]
struct Place {
    collection: String,
    namespace: String,
}

impl History {
    fn begin(seed: u64) -> Self {
        let (mut random, folder) = (common::random(seed), common::folder());
        let options = random_options(&mut random);
        let db = Database::open_with(folder.path().join("db"), options.clone()).unwrap();
        let mut history = History { random, folder, options, db: Some(db), twin: Twin::default(), n_copies: 0 };
        (0..2).for_each(|_| history.create_collection());
        history
    }

    fn step(&mut self) {
        if self.twin.collections.is_empty() {
            return self.create_collection();
        }
        match self.random.random_range(0..1_000) {
            0..450 => self.write(),
            450..490 => self.delete_where(),
            490..560 => self.get(),
            560..640 => self.count(),
            640..720 => self.scroll(),
            720..880 => self.search(),
            880..920 => self.search_many(),
            920..970 => self.refused_catalog_calls(),
            970..976 => self.create_collection(),
            976..980 => self.drop_collection(),
            980..986 => self.rename_collection(),
            986..989 => self.copy(),
            _ => self.reopen(),
        }
    }

    fn db(&self) -> &Database {
        self.db.as_ref().unwrap()
    }

    fn place(&mut self) -> Place {
        let names: Vec<&String> = self.twin.collections.keys().collect();
        let collection = (*pick(&mut self.random, &names)).clone();
        Place { collection, namespace: (*pick(&mut self.random, &NAMESPACES)).to_owned() }
    }

    fn handle(&self, place: &Place) -> Namespace {
        let collection = self.db().collection(&place.collection).unwrap();
        in_namespace(&collection, &place.namespace)
    }

    fn config(&self, place: &Place) -> CollectionConfig {
        self.twin.collections[&place.collection].config.clone()
    }

    fn documents(&self, place: &Place) -> Documents {
        self.twin.documents(&place.collection, &place.namespace)
    }

    fn check_commit(&self) {
        assert_eq!(self.db().stats().unwrap().commit, Commit(self.twin.commit));
    }

    /// Creating and dropping collections takes commits of its own, of which only the order is
    /// promised.
    fn follow_commit(&mut self) {
        let commit = self.db().stats().unwrap().commit.0;
        assert!(commit > self.twin.commit, "expected more than {}, got {commit}", self.twin.commit);
        self.twin.commit = commit;
    }
}

// Writing.

impl History {
    fn write(&mut self) {
        let place = self.place();
        let n_writes = self.random.random_range(0..6);
        let verb = self.random.random_range(0..12);
        match verb {
            0 => self.alone(&place, |history, place| Action::Insert(history.draft(place))),
            1 => self.alone(&place, |history, place| Action::Upsert(history.draft(place))),
            2 | 3 => self.alone(&place, |history, place| Action::Update(history.change(place))),
            4 => self.alone(&place, |history, _| Action::Delete(history.id())),
            5 => self.together(&place, n_writes, |history, place| Action::Insert(history.draft(place))),
            6 => self.together(&place, n_writes, |history, place| Action::Upsert(history.draft(place))),
            7 => self.together(&place, n_writes, |history, _| Action::Delete(history.id())),
            _ => self.batch(n_writes),
        }
    }

    /// One write through its own verb.
    fn alone(&mut self, place: &Place, action: impl Fn(&mut Self, &Place) -> Action) {
        let write = write_to(place, action(self, place));
        let handle = self.handle(place);
        let outcome = match write.action.clone() {
            Action::Insert(draft) => handle.insert(document(draft)),
            Action::Upsert(draft) => handle.upsert(document(draft)),
            Action::Update(change) => handle.update(update(change)),
            Action::Delete(id) => handle.delete(id),
        };
        let outcome = outcome.map_err(|error| format!("0 {}", label(&error)));
        self.check_outcome(&[write], None, outcome);
    }

    /// Several writes of one kind through the verb for many.
    fn together(&mut self, place: &Place, n_writes: usize, action: impl Fn(&mut Self, &Place) -> Action) {
        let writes: Vec<Write> = (0..n_writes).map(|_| write_to(place, action(self, place))).collect();
        let handle = self.handle(place);
        let drafts = || {
            writes.iter().filter_map(|write| match &write.action {
                Action::Insert(draft) | Action::Upsert(draft) => Some(document(draft.clone())),
                _ => None,
            })
        };
        let outcome = match writes.first().map(|write| &write.action) {
            Some(Action::Insert(_)) | None => handle.insert_many(drafts()),
            Some(Action::Upsert(_)) => handle.upsert_many(drafts()),
            Some(_) => handle.delete_many(writes.iter().filter_map(Write::id)),
        };
        self.check_outcome(&writes, None, outcome.map_err(|error| label(&error)));
    }

    /// Writes of all kinds over all collections, with expectations; sometimes committed twice with
    /// one operation id.
    fn batch(&mut self, n_writes: usize) {
        let writes: Vec<Write> = (0..n_writes).map(|_| self.any_write()).collect();
        let operation_id = one_in(&mut self.random, 3).then(Uuid::new_v4);
        let n_times = if operation_id.is_some() { 2 } else { 1 };
        for _ in 0..n_times {
            let outcome = self.filled_batch(&writes, operation_id).commit();
            self.check_outcome(&writes, operation_id, outcome.map_err(|error| label(&error)));
        }
    }

    fn any_write(&mut self) -> Write {
        let place = self.place();
        let action = match self.random.random_range(0..5) {
            0 => Action::Insert(self.draft(&place)),
            1 => Action::Upsert(self.draft(&place)),
            2 => Action::Delete(self.id()),
            _ => Action::Update(self.change(&place)),
        };
        let mut write = write_to(&place, action);
        if one_in(&mut self.random, 3) {
            let stored = write.id().and_then(|id| self.documents(&place).remove(id));
            write.expectations.push(self.expectation(stored.as_ref()));
        }
        write
    }

    /// An expectation about a document; mostly one that holds.
    fn expectation(&mut self, stored: Option<&TwinDocument>) -> Expectation {
        match (self.random.random_range(0..6), stored) {
            (0, _) => Expectation::MustExist,
            (1, _) => Expectation::MustNotExist,
            (2, _) => Expectation::Version(self.random.random_range(0..=self.twin.commit + 1)),
            (3, Some(_)) => Expectation::MustExist,
            (_, Some(document)) => Expectation::Version(document.version),
            (_, None) => Expectation::MustNotExist,
        }
    }

    fn filled_batch(&self, writes: &[Write], operation_id: Option<Uuid>) -> Batch {
        let mut batch = self.db().batch();
        for write in writes {
            let place = Place { collection: write.collection.clone(), namespace: write.namespace.clone() };
            let handle = self.handle(&place);
            let added = match write.action.clone() {
                Action::Insert(draft) => batch.insert(&handle, document(draft)),
                Action::Upsert(draft) => batch.upsert(&handle, document(draft)),
                Action::Update(change) => batch.update(&handle, update(change)),
                Action::Delete(id) => batch.delete(&handle, id),
            };
            for expectation in &write.expectations {
                match *expectation {
                    Expectation::MustExist => added.must_exist(),
                    Expectation::MustNotExist => added.must_not_exist(),
                    Expectation::Version(version) => added.expect_version(Commit(version)),
                };
            }
        }
        operation_id.into_iter().for_each(|id| _ = batch.operation_id(id));
        assert_eq!(batch.len(), writes.len());
        batch
    }

    /// Commits the same writes to the twin, and compares.
    fn check_outcome(&mut self, writes: &[Write], operation_id: Option<Uuid>, outcome: Result<Receipt, String>) {
        let given = |write: &Write| write.id().cloned().unwrap_or_else(DocId::generate);
        let ids = match &outcome {
            Ok(receipt) => receipt.ids.clone(),
            Err(_) => writes.iter().map(given).collect(),
        };
        assert_eq!(ids.len(), writes.len());
        for (id, write) in ids.iter().zip(writes) {
            assert!(write.id().map_or(is_generated(id), |given| given == id), "{id}");
        }
        let expected = self.twin.commit(writes, &ids, operation_id);
        let found = outcome.map(|receipt| oracle::TwinReceipt {
            commit: receipt.commit.0,
            n_changed: receipt.n_changed,
            repeated: receipt.repeated,
        });
        assert_eq!(found, expected, "{writes:#?}");
        self.check_commit();
        for (id, write) in ids.iter().zip(writes) {
            let place = Place { collection: write.collection.clone(), namespace: write.namespace.clone() };
            self.check_get(&place, id);
        }
    }

    fn delete_where(&mut self) {
        let (place, filter) = (self.place(), self.filter());
        let doomed = self.documents(&place).into_iter().filter(|(_, document)| document.matches(Some(&filter)));
        let writes: Vec<Write> = doomed.map(|(id, _)| write_to(&place, Action::Delete(id))).collect();
        let ids: Vec<DocId> = writes.iter().filter_map(|write| write.id().cloned()).collect();
        let receipt = self.handle(&place).delete_where(read(&filter)).unwrap();
        assert_eq!(receipt.ids, []);
        self.check_outcome(&writes, None, Ok(receipt_with(receipt, ids)));
    }
}

// Making what is written.

impl History {
    /// An id; now and then one that is refused.
    fn id(&mut self) -> DocId {
        match self.random.random_range(0..150) {
            0 => DocId::from(""),
            1 => DocId::from("x".repeat(513)),
            _ => generate::id(&mut self.random),
        }
    }

    /// A vector for a collection; now and then one that is refused.
    fn vector(&mut self, config: &CollectionConfig) -> Vec<f32> {
        let mut vector = generate::vector(&mut self.random, config.dimension);
        match self.random.random_range(0..150) {
            0 => vector.push(1.0),
            1 => vector[0] = *pick(&mut self.random, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
            2 => vector.fill(-0.0),
            _ => {}
        }
        vector
    }

    fn metadata(&mut self) -> Json {
        match self.random.random_range(0..100) {
            0 => json!([1]),
            1 => json!(null),
            _ => generate::metadata(&mut self.random),
        }
    }

    fn text(&mut self) -> Option<String> {
        one_in(&mut self.random, 2).then(|| (*pick(&mut self.random, &["", "LSM trees", "ß\0\n"])).to_owned())
    }

    fn draft(&mut self, place: &Place) -> Draft {
        let config = self.config(place);
        let id = (!one_in(&mut self.random, 8)).then(|| self.id());
        Draft { id, vector: self.vector(&config), metadata: self.metadata(), text: self.text() }
    }

    fn change(&mut self, place: &Place) -> Change {
        let config = self.config(place);
        let vector = one_in(&mut self.random, 3).then(|| self.vector(&config));
        let n_steps = self.random.random_range(0..3);
        let steps = (0..n_steps).map(|_| self.metadata_step()).collect();
        let text = one_in(&mut self.random, 4).then(|| self.text());
        Change { id: generate::id(&mut self.random), vector, steps, text }
    }

    fn metadata_step(&mut self) -> Step {
        let metadata = generate::metadata(&mut self.random);
        match self.random.random_range(0..3) {
            0 => Step::Merge(metadata),
            1 => Step::Replace(metadata),
            _ => Step::Remove(metadata.as_object().unwrap().keys().take(2).cloned().collect()),
        }
    }

    fn filter(&mut self) -> Json {
        let levels = self.random.random_range(1..4);
        generate::filter(&mut self.random, levels)
    }
}

// Reading.

impl History {
    fn get(&mut self) {
        let place = self.place();
        let ids: Vec<DocId> = (0..5).map(|_| generate::id(&mut self.random)).collect();
        let found = self.handle(&place).get_many(&ids).unwrap();
        let documents = self.documents(&place);
        assert_eq!(found.len(), ids.len());
        for (id, found) in ids.iter().zip(&found) {
            check_stored(found.as_ref(), id, documents.get(id), true);
        }
        assert_eq!(self.db().collection(&place.collection).unwrap().config(), &self.config(&place));
        check_error(self.handle(&place).get(""), "InvalidId");
    }

    fn check_get(&self, place: &Place, id: &DocId) {
        if matches!(id, DocId::Str(text) if !(1..=512).contains(&text.len())) {
            return;
        }
        let (handle, documents) = (self.handle(place), self.documents(place));
        check_stored(handle.get(id).unwrap().as_ref(), id, documents.get(id), true);
        assert_eq!(handle.contains(id).unwrap(), documents.contains_key(id), "{id}");
    }

    fn count(&mut self) {
        let (place, filter) = (self.place(), self.filter());
        let (handle, documents) = (self.handle(&place), self.documents(&place));
        let matching = documents.values().filter(|document| document.matches(Some(&filter))).count();
        assert_eq!(handle.count(None).unwrap(), documents.len());
        assert_eq!(handle.count(read(&filter)).unwrap(), matching, "{filter}");
        assert_eq!(handle.count(!read(&filter)).unwrap(), documents.len() - matching, "not {filter}");
        let again = Filter::from_json(&read(&filter).to_json()).unwrap();
        assert_eq!(handle.count(again).unwrap(), matching, "{filter}, written and read");
        let other = self.filter();
        let both = documents.values().filter(|document| document.matches(Some(&json!({"$and": [filter, other]}))));
        assert_eq!(handle.count(read(&filter) & read(&other)).unwrap(), both.count(), "{filter} and {other}");
        let collection = self.db().collection(&place.collection).unwrap();
        assert_eq!(collection.namespaces("").unwrap(), self.twin.namespaces(&place.collection));
    }

    fn scroll(&mut self) {
        let (place, with_vector) = (self.place(), self.random.random());
        let limit = *pick(&mut self.random, &[1, 2, 3, 7, 100, usize::MAX]);
        let filter = self.random.random::<bool>().then(|| self.filter());
        let start = one_in(&mut self.random, 3).then(|| generate::id(&mut self.random));
        let (handle, mut documents) = (self.handle(&place), self.documents(&place));
        documents.retain(|id, document| start.as_ref() < Some(id) && document.matches(filter.as_ref()));
        let mut expected = documents.iter();
        let mut after = start.clone().map(Cursor::after);
        loop {
            let scroll = handle.scroll().limit(limit).after(after).with_vector(with_vector);
            let page = scroll.filter(filter.as_ref().map(read).unwrap_or_default()).run().unwrap();
            assert!(page.documents.len() <= limit);
            for found in &page.documents {
                let (id, document) = expected.next().unwrap();
                check_stored(Some(found), id, Some(document), with_vector);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            assert_eq!(page.documents.len(), limit, "a page that is not the last is full");
        }
        assert_eq!(expected.next().map(|(id, _)| id), None, "scrolling stopped before it");
    }
}

/// The parameters of one search.
struct Wish {
    filter: Option<Json>,
    limit: usize,
    offset: usize,
    min_score: Option<f32>,
    max_distance: Option<f32>,
    fields: Option<Vec<String>>,
    with_vector: bool,
    /// Whether hits carry metadata and text.
    with_document: bool,
    /// Whether to search the graph, with a beam that holds all of it, so that it finds what a scan
    /// finds.
    walks: bool,
}

impl Wish {
    fn fill<Q>(&self, mut search: vectrove::Search<Q>) -> vectrove::Search<Q> {
        search = search.limit(self.limit).offset(self.offset).with_vector(self.with_vector);
        search = search.with_document(self.with_document);
        if self.walks {
            search = search.strategy(Strategy::Graph).ef(MAX_EF).oversampling(100.0);
        }
        if let Some(filter) = &self.filter {
            search = search.filter(read(filter));
        }
        if let Some(score) = self.min_score {
            search = search.min_score(score);
        }
        if let Some(distance) = self.max_distance {
            search = search.max_distance(distance);
        }
        if let Some(fields) = &self.fields {
            search = search.fields(fields);
        }
        search
    }
}

impl History {
    fn search(&mut self) {
        let place = self.place();
        let config = self.config(&place);
        let like = one_in(&mut self.random, 4).then(|| generate::id(&mut self.random));
        let query = self.vector(&config);
        let stored = like.as_ref().map(|id| self.documents(&place).remove(id));
        let (vector, refusal) = match (&stored, oracle::check_vector(&config, &query)) {
            (Some(None), _) => (query.clone(), Some("DocumentNotFound".to_owned())),
            (Some(Some(document)), _) => (document.vector.clone(), None),
            (None, checked) => (query.clone(), checked.err()),
        };
        let mut wish = self.wish();
        let mut nearest = if refusal.is_none() { self.nearest(&place, &vector, &wish) } else { Vec::new() };
        nearest.retain(|near| Some(&near.id) != like.as_ref());
        self.set_bounds(&mut wish, config.metric, &mut nearest);
        let search = match like {
            Some(id) => self.handle(&place).search(Query::like(id)),
            None => self.handle(&place).search(&query),
        };
        let outcome = wish.fill(search).run();
        match refusal {
            Some(refusal) => _ = check_error(outcome, &refusal),
            None => self.check_hits(&place, &wish, &nearest, &outcome.unwrap()),
        }
    }

    fn search_many(&mut self) {
        let (place, wish) = (self.place(), self.wish());
        let config = self.config(&place);
        let queries: Vec<Vec<f32>> = (0..self.random.random_range(0..4)).map(|_| self.vector(&config)).collect();
        let refused: Vec<String> = (queries.iter().enumerate())
            .filter_map(|(index, query)| Some(format!("{index} {}", oracle::check_vector(&config, query).err()?)))
            .collect();
        match wish.fill(self.handle(&place).search_many(&queries)).run() {
            Err(error) => assert!(refused.contains(&label(&error)), "{error}, not one of {refused:?}"),
            Ok(answers) => {
                assert_eq!((refused, answers.len()), (Vec::new(), queries.len()));
                for (query, hits) in queries.iter().zip(&answers) {
                    self.check_hits(&place, &wish, &self.nearest(&place, query, &wish), hits);
                }
            }
        }
    }

    fn wish(&mut self) -> Wish {
        let fields = one_in(&mut self.random, 4).then(|| vec!["tag".to_owned(), "a.b".to_owned(), "absent".to_owned()]);
        Wish {
            filter: one_in(&mut self.random, 2).then(|| self.filter()),
            limit: *pick(&mut self.random, &[0, 1, 2, 3, 5, 10, 10, 10, usize::MAX]),
            offset: *pick(&mut self.random, &[0, 0, 0, 0, 1, 4, 1_000, usize::MAX]),
            min_score: None,
            max_distance: None,
            fields,
            with_vector: self.random.random(),
            with_document: !one_in(&mut self.random, 4),
            walks: self.random.random(),
        }
    }

    fn nearest(&self, place: &Place, query: &[f32], wish: &Wish) -> Vec<Near> {
        self.twin.collections[&place.collection].nearest(&place.namespace, query, wish.filter.as_ref())
    }

    /// Sets a bound at which rounding cannot decide, and drops the documents beyond it.
    fn set_bounds(&mut self, wish: &mut Wish, metric: Metric, nearest: &mut Vec<Near>) {
        if nearest.len() < 2 || !one_in(&mut self.random, 3) {
            return;
        }
        let cut = self.random.random_range(1..nearest.len());
        let (inside, outside) = (nearest[cut - 1].distance, nearest[cut].distance);
        if outside - inside < 1e-2 {
            return;
        }
        let bound = (inside + outside) / 2.0;
        match self.random.random() {
            true => wish.max_distance = Some(bound as f32),
            false => wish.min_score = Some(oracle::score(metric, bound) as f32),
        }
        nearest.truncate(cut);
    }

    fn check_hits(&self, place: &Place, wish: &Wish, nearest: &[Near], hits: &Hits) {
        let (config, documents) = (self.config(place), self.documents(place));
        let expected: Vec<&Near> = nearest.iter().skip(wish.offset).take(wish.limit).collect();
        assert_eq!(hits.commit, Commit(self.twin.commit));
        assert_eq!(hits.len(), expected.len(), "{config:?}: {hits:?}, expected {expected:?}");
        assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance && a.score >= b.score), "{hits:?}");
        let in_order = |a: &vectrove::Hit, b: &vectrove::Hit| a.distance < b.distance || a.id < b.id;
        assert!(hits.is_sorted_by(in_order), "{hits:?}");
        let ids: std::collections::BTreeSet<&DocId> = hits.iter().map(|hit| &hit.id).collect();
        assert_eq!(ids.len(), hits.len(), "a document is found once");
        for (hit, at_this_place) in hits.iter().zip(expected) {
            let own = nearest.iter().find(|near| near.id == hit.id).map(|near| near.distance);
            let own = own.unwrap_or_else(|| panic!("{} is no candidate", hit.id));
            assert!(oracle::close(f64::from(hit.distance), own), "{config:?}: expected {own}, got {hit:?}");
            assert!(
                oracle::close(own, at_this_place.distance),
                "{config:?}, {:?}: expected {at_this_place:?}, got {hit:?}",
                hits.stats
            );
            let score = oracle::score(config.metric, own);
            assert!(oracle::close(f64::from(hit.score), score), "{config:?}: expected {score}, got {hit:?}");
            let document = &documents[&hit.id];
            let mut metadata = document.metadata.clone();
            metadata.retain(|key, _| wish.fields.as_ref().is_none_or(|fields| fields.contains(key)));
            let (metadata, text) = match wish.with_document {
                true => (metadata, document.text.clone()),
                false => Default::default(),
            };
            assert_eq!(hit.metadata, Json::Object(metadata).into());
            assert_eq!((&hit.text, hit.version), (&text, Commit(document.version)));
            assert_eq!(hit.vector.as_deref().map(bits), wish.with_vector.then(|| bits(&document.vector)));
        }
    }
}

// Collections, and the life of the database.

impl History {
    fn random_config(&mut self) -> CollectionConfig {
        let dimension = *pick(&mut self.random, &[1, 2, 2, 3, 8, 17]);
        let metric = *pick(&mut self.random, &Metric::ALL);
        let config = CollectionConfig::new(dimension).metric(metric).normalize(one_in(&mut self.random, 3));
        let config =
            config.m(*pick(&mut self.random, &[2, 4, 16])).ef_construction(*pick(&mut self.random, &[16, 100]));
        match self.random.random_range(0..6) {
            0 => config.index(Index::Flat),
            1 => config.quantization(Quantization::None),
            _ => config,
        }
    }

    fn create_collection(&mut self) {
        let (name, config) = (*pick(&mut self.random, &NAMES[..3]), self.random_config());
        if self.twin.collections.contains_key(name) {
            return;
        }
        let created = match self.random.random() {
            true => self.db().create_collection(name, config.clone()),
            false => self.db().get_or_create_collection(name, config.clone()),
        };
        assert_eq!(created.unwrap().name(), name);
        self.twin.collections.insert(name.to_owned(), TwinCollection::new(config));
        self.follow_commit();
    }

    fn refused_catalog_calls(&mut self) {
        let (place, other) = (self.place(), self.random_config());
        let (name, config) = (place.collection.as_str(), self.config(&place));
        let db = self.db();
        check_error(db.create_collection(name, config.clone()), "CollectionExists");
        assert_eq!(db.get_or_create_collection(name, config.clone()).unwrap().config(), &config);
        let shape = |config: &CollectionConfig| {
            let CollectionConfig { dimension, metric, index, quantization, m, ef_construction, .. } = *config;
            (dimension, metric, index, quantization, m, ef_construction)
        };
        let same = shape(&other) == shape(&config)
            && oracle::compares_directions(&other) == oracle::compares_directions(&config);
        match db.get_or_create_collection(name, other) {
            Ok(_) => assert!(same),
            Err(error) => assert!(!same && label(&error) == "ConfigConflict", "{error}"),
        }
        check_error(db.create_collection(NAMES[3], config), "InvalidName");
        check_error(db.collection("nowhere"), "CollectionNotFound");
        check_error(db.drop_collection("nowhere"), "CollectionNotFound");
        check_error(db.rename_collection("nowhere", "somewhere"), "CollectionNotFound");
        for taken in self.twin.collections.keys().filter(|taken| *taken != name) {
            check_error(db.rename_collection(name, taken), "CollectionExists");
        }
        self.check_commit();
    }

    fn drop_collection(&mut self) {
        let place = self.place();
        let handle = self.handle(&place);
        self.db().drop_collection(&place.collection).unwrap();
        self.twin.collections.remove(&place.collection);
        self.follow_commit();
        check_error(handle.count(None), "CollectionNotFound");
        check_error(handle.delete("a"), "CollectionNotFound");
        check_error(self.db().collection(&place.collection), "CollectionNotFound");
    }

    fn rename_collection(&mut self) {
        let (place, to) = (self.place(), *pick(&mut self.random, &NAMES[..3]));
        if self.twin.collections.contains_key(to) {
            return;
        }
        let collection = self.db().collection(&place.collection).unwrap();
        self.db().rename_collection(&place.collection, to).unwrap();
        let moved = self.twin.collections.remove(&place.collection).unwrap();
        self.twin.collections.insert(to.to_owned(), moved);
        self.follow_commit();
        assert_eq!(
            (collection.name(), collection.count(None).unwrap()),
            (to.to_owned(), self.twin.documents(to, "").len())
        );
    }

    /// Makes a copy and compares all of it.
    fn copy(&mut self) {
        self.n_copies += 1;
        let path = self.folder.path().join(format!("copy-{}", self.n_copies));
        let commit = self.db().checkpoint(&path).unwrap();
        assert_eq!(commit, Commit(self.twin.commit));
        let copy = Database::open_with(&path, self.options.clone()).unwrap();
        check_all(&copy, &self.twin);
        copy.close().unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }

    /// Closes the database, or only drops all handles; then opens it, perhaps with other options.
    fn reopen(&mut self) {
        let outlived = self.twin.collections.keys().next().map(|name| self.db().collection(name).unwrap());
        let db = self.db.take().unwrap();
        match (self.random.random(), outlived) {
            (true, Some(handle)) => {
                db.close().unwrap();
                check_error(handle.count(None), "Closed");
            }
            (_, outlived) => drop((db, outlived)),
        }
        self.options = random_options(&mut self.random);
        self.db = Some(Database::open_with(self.folder.path().join("db"), self.options.clone()).unwrap());
        self.check_commit();
    }

    fn check_everything(&self) {
        check_all(self.db(), &self.twin);
        let verified = self.db().verify().unwrap();
        assert_eq!(verified.commit, Commit(self.twin.commit));
        assert_eq!(verified.n_collections, self.twin.collections.len());
        let documents = |collection: &TwinCollection| collection.namespaces.values().map(Documents::len).sum::<usize>();
        assert_eq!(verified.n_documents, self.twin.collections.values().map(documents).sum::<usize>());
    }
}

/// Compares everything a database holds with the twin.
fn check_all(db: &Database, twin: &Twin) {
    assert_eq!(db.collections().unwrap(), twin.collections.keys().cloned().collect::<Vec<_>>());
    for (name, expected) in &twin.collections {
        let collection = db.collection(name).unwrap();
        assert_eq!(collection.config(), &expected.config);
        assert_eq!(collection.namespaces("").unwrap(), twin.namespaces(name));
        for namespace in NAMESPACES {
            let handle = in_namespace(&collection, namespace);
            let page = handle.scroll().limit(usize::MAX).with_vector(true).run().unwrap();
            let documents = twin.documents(name, namespace);
            assert_eq!(page.documents.len(), documents.len(), "{name}/{namespace}");
            for (found, (id, document)) in page.documents.iter().zip(&documents) {
                check_stored(Some(found), id, Some(document), true);
            }
        }
        let stats = db.stats().unwrap().collections.into_iter().find(|stats| stats.name == *name).unwrap();
        let inhabited = expected.namespaces.values().filter(|documents| !documents.is_empty());
        assert_eq!(stats.n_namespaces, inhabited.clone().count());
        assert_eq!(stats.n_documents, inhabited.map(Documents::len).sum::<usize>());
    }
}

#[track_caller]
fn check_stored(found: Option<&StoredDocument>, id: &DocId, expected: Option<&TwinDocument>, with_vector: bool) {
    let (Some(found), Some(expected)) = (found, expected) else {
        assert_eq!(found.map(|found| &found.id), expected.map(|_| id));
        return;
    };
    let vector = if with_vector { bits(&expected.vector) } else { Vec::new() };
    assert_eq!((&found.id, bits(&found.vector)), (id, vector));
    assert_eq!(found.metadata, expected.value(), "{id}");
    assert_eq!((&found.text, found.version), (&expected.text, Commit(expected.version)), "{id}");
    assert!(found.created_at_ms <= found.updated_at_ms, "{id}");
}

fn random_options(random: &mut StdRng) -> Options {
    let options = common::quick().memory_bytes(*pick(random, &[8 << 20, 64 << 20]));
    options.log_retention(*pick(random, &[0, 5, 1_000]))
}

fn in_namespace(collection: &Collection, namespace: &str) -> Namespace {
    match namespace {
        "" => (**collection).clone(),
        named => collection.namespace(named).unwrap(),
    }
}

/// A write without expectations.
fn write_to(place: &Place, action: Action) -> Write {
    let Place { collection, namespace } = place.clone();
    Write { collection, namespace, action, expectations: Vec::new() }
}

fn read(filter: &Json) -> Filter {
    Filter::from_json(filter).unwrap()
}

fn document(draft: Draft) -> Document {
    let mut document = Document::new(draft.vector).metadata(draft.metadata);
    if let Some(id) = draft.id {
        document = document.id(id);
    }
    match draft.text {
        Some(text) => document.text(text),
        None => document,
    }
}

fn update(change: Change) -> Update {
    let mut update = Update::new(change.id);
    if let Some(vector) = change.vector {
        update = update.vector(vector);
    }
    for step in change.steps {
        update = match step {
            Step::Merge(metadata) => update.merge(metadata),
            Step::Replace(metadata) => update.replace(metadata),
            Step::Remove(keys) => update.remove(keys),
        };
    }
    match change.text {
        Some(Some(text)) => update.text(text),
        Some(None) => update.remove_text(),
        None => update,
    }
}

fn is_generated(id: &DocId) -> bool {
    matches!(id, DocId::Uuid(uuid) if uuid.get_version_num() == 7)
}

/// The receipt of a deletion by filter, with the ids that it leaves out.
fn receipt_with(mut receipt: Receipt, ids: Vec<DocId>) -> Receipt {
    receipt.ids = ids;
    receipt
}

/// Labels are compared as text; this checks that they have the expected form.
#[test]
fn labels_name_variants_and_positions() {
    assert_eq!(label(&Error::Closed), "Closed");
    let inner = Box::new(Error::InvalidId { reason: String::new() });
    assert_eq!(label(&Error::InBatch { index: 3, id: String::new(), source: inner }), "3 InvalidId");
}
