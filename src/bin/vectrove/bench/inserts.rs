//! Inserting and searching at the same time: one writer and one searcher, each at full speed.
//!
//! New documents are rows of the base file that were not loaded, and then its rows once more, moved
//! a little. Their ids lie beyond those of the base. New documents crowd the nearest, so recall
//! counts hits from the base only: of `n` such hits, how many are among the `n` nearest base rows.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use vectrove::{Collection, Database, Document, Durability, Metric};

use super::build::wait_until_linked;
use super::folder::Folder;
use super::sweep::{join, percentile, round};
use super::truth::{Recall, ids_of};
use super::{COLLECTION, Exam, go_on, options, tail_length};
use crate::args;
use crate::failure::Failure;
use crate::vectors::VectorFile;

/// Ids of new documents.
const FIRST_ID: u64 = 1 << 40;

/// The searches' `ef`.
const EF: usize = 64;

/// Inserts between two looks at the tail.
const GLANCE: usize = 50;

/// Inserts between two searches for the last inserted document.
const CHECK: usize = 10;

/// Distance that a row is moved, as a part of its length.
const MOVE: f32 = 0.3;

/// Time of searches alone, as a part of the seconds of inserting.
const IDLE: f64 = 0.3;

/// The figures of inserting.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) seconds: f64,
    /// Acknowledged inserts a second, without the time of the searches after each tenth.
    pub(super) inserts_per_s: f64,
    /// Documents linked a second.
    pub(super) links_per_s: f64,
    pub(super) all: Times,
    /// Inserts that cannot have waited for the linker.
    pub(super) below_bound: Times,
    pub(super) tail: Lengths,
    pub(super) idle: Searches,
    pub(super) busy: Searches,
    /// Rate of searches beside inserts, as a part of the rate without them.
    pub(super) qps_ratio: f64,
    pub(super) fresh: Freshness,
}

/// Times from an insert to its acknowledgement.
#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) n: usize,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) max_us: f64,
}

/// Numbers of documents that waited to be linked.
#[derive(Debug, Serialize)]
pub(super) struct Lengths {
    pub(super) bound: usize,
    pub(super) mean: f64,
    pub(super) max: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Searches {
    pub(super) qps: f64,
    pub(super) recall: f64,
}

/// Searches for a document right after its insert.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Freshness {
    pub(super) n_checked: usize,
    /// Searches that found nothing as near as the document itself.
    pub(super) n_missed: usize,
}

/// Inserts one by one.
struct Writer<'a> {
    db: &'a Database,
    collection: &'a Collection,
    source: Source,
    bound: usize,
    times: Vec<Duration>,
    times_below_bound: Vec<Duration>,
    tails: Vec<usize>,
    /// Length of the tail at the last look, and inserts since. The tail is no longer than their
    /// sum.
    longest_tail: usize,
    fresh: Freshness,
}

/// The source of new vectors.
struct Source {
    file: VectorFile,
    /// Whether the source has begun to repeat loaded rows.
    repeats: bool,
    random: u64,
}

/// Most documents that may wait to be linked.
pub(super) fn tail_bound(db: &Database) -> Result<usize, Failure> {
    Ok(db.stats()?.collections.first().map_or(0, |collection| collection.tail_bound))
}

/// Opens the database again, with acknowledgement by the operating system. Measures searches alone
/// for a while, then searches and inserts.
pub(super) fn measure(args: &args::Bench, folder: &Folder, exam: Exam, bound: usize) -> Result<Figures, Failure> {
    let options = options(args).durability(Durability::Wal).tail_bound(bound);
    let db = Database::open_with(folder.path(), options)?;
    let exam = Exam { collection: db.collection(COLLECTION)?, ..exam };
    wait_until_linked(&db, &exam.collection)?;
    let time = Duration::from_secs(args.seconds.into());
    let idle = search_until(&exam, Instant::now() + time.mul_f64(IDLE))?;
    let source = Source::open(args, &db)?;
    let mut writer = Writer::new(&db, &exam.collection, source, bound);
    let begin = Instant::now();
    let (written, busy) = thread::scope(|scope| {
        let written = scope.spawn(|| writer.run(begin + time).map(|()| begin.elapsed().as_secs_f64()));
        let busy = search_until(&exam, begin + time);
        (join(written), busy)
    });
    let figures = writer.figures(written?, idle, busy?);
    db.close()?;
    Ok(figures)
}

/// Searches for one query after the other until `deadline`.
fn search_until(exam: &Exam, deadline: Instant) -> Result<Searches, Failure> {
    let (begin, mut n_searches, mut recall) = (Instant::now(), 0, Recall::default());
    while Instant::now() < deadline {
        go_on()?;
        let query = n_searches % exam.queries.len();
        let hits = exam.search(query, EF).run()?;
        let found: Vec<u64> = ids_of(&hits).filter(|&id| id < FIRST_ID).collect();
        recall.add(exam.truth.recall(query, found.len(), &found));
        n_searches += 1;
    }
    let qps = n_searches as f64 / begin.elapsed().as_secs_f64();
    Ok(Searches { qps: round(qps, 1), recall: round(recall.rate(), 4) })
}

impl<'a> Writer<'a> {
    fn new(db: &'a Database, collection: &'a Collection, source: Source, bound: usize) -> Self {
        Writer {
            db,
            collection,
            source,
            bound,
            times: Vec::new(),
            times_below_bound: Vec::new(),
            tails: Vec::new(),
            longest_tail: 0,
            fresh: Freshness::default(),
        }
    }

    fn run(&mut self, deadline: Instant) -> Result<(), Failure> {
        while Instant::now() < deadline {
            go_on()?;
            if self.times.len().is_multiple_of(GLANCE) {
                self.glance()?;
            }
            let vector = self.source.next()?;
            let id = FIRST_ID + self.times.len() as u64;
            self.insert(id, vector.clone())?;
            if self.times.len().is_multiple_of(CHECK) {
                self.check(id, &vector)?;
            }
        }
        self.glance()
    }

    fn glance(&mut self) -> Result<(), Failure> {
        self.longest_tail = tail_length(self.db)?;
        self.tails.push(self.longest_tail);
        Ok(())
    }

    fn insert(&mut self, id: u64, vector: Vec<f32>) -> Result<(), Failure> {
        let document = Document::new(vector).id(id);
        let begin = Instant::now();
        self.collection.insert(document)?;
        let took = begin.elapsed();
        self.times.push(took);
        if self.longest_tail < self.bound {
            self.times_below_bound.push(took);
        }
        self.longest_tail += 1;
        Ok(())
    }

    /// Looks for a document by its own vector.
    fn check(&mut self, id: u64, vector: &[f32]) -> Result<(), Failure> {
        let hits = self.collection.search(vector).limit(1).with_document(false).run()?;
        let own = distance_to_itself(self.collection.config().metric, vector);
        // As near as rounding lets us tell.
        let near = own + 8.0 * f32::EPSILON * own.abs().max(1.0);
        let is_found = hits.first().is_some_and(|hit| hit.id == id.into() || hit.distance <= near);
        self.fresh.n_checked += 1;
        self.fresh.n_missed += usize::from(!is_found);
        Ok(())
    }

    fn figures(self, seconds: f64, idle: Searches, busy: Searches) -> Figures {
        let n_linked = self.times.len().saturating_sub(self.longest_tail);
        let mean = self.tails.iter().sum::<usize>() as f64 / self.tails.len().max(1) as f64;
        let max = self.tails.iter().max().copied().unwrap_or(0);
        Figures {
            seconds: round(seconds, 3),
            inserts_per_s: round(self.times.len() as f64 / seconds, 1),
            links_per_s: round(n_linked as f64 / seconds, 1),
            all: Times::of(self.times),
            below_bound: Times::of(self.times_below_bound),
            tail: Lengths { bound: self.bound, mean: round(mean, 1), max },
            qps_ratio: round(busy.qps / idle.qps, 3),
            idle,
            busy,
            fresh: self.fresh,
        }
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |part| percentile(&times, part);
        Times { n: times.len(), p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
    }
}

impl Source {
    /// Begins after the rows that are loaded.
    fn open(args: &args::Bench, db: &Database) -> Result<Self, Failure> {
        let mut file = VectorFile::open(&args.base)?;
        let n_loaded = db.stats()?.collections.first().map_or(0, |collection| collection.n_documents);
        file.seek(n_loaded as u64)?;
        Ok(Source { file, repeats: false, random: FIRST_ID })
    }

    fn next(&mut self) -> Result<Vec<f32>, Failure> {
        let mut vector = match self.file.read()? {
            Some(vector) => vector,
            None => {
                self.file.seek(0)?;
                self.repeats = true;
                self.file.read()?.ok_or_else(|| Failure::failed("the base file is empty now"))?
            }
        };
        if self.repeats {
            self.shift(&mut vector);
        }
        Ok(vector)
    }

    /// Moves a row somewhere near.
    fn shift(&mut self, vector: &mut [f32]) {
        let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        // Numbers between -1 and 1 have a mean square of a third.
        let step = MOVE * norm * (3.0 / vector.len() as f32).sqrt();
        vector.iter_mut().for_each(|x| *x += step * self.next_random());
    }

    /// A number between -1 and 1, by SplitMix64.
    fn next_random(&mut self) -> f32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// How far a document is from its own vector.
fn distance_to_itself(metric: Metric, vector: &[f32]) -> f32 {
    match metric {
        Metric::Dot => -vector.iter().map(|x| x * x).sum::<f32>(),
        _ => 0.0,
    }
}
