//! Operations of a worker, drawn from the seed and the stamp alone, so that the parent can derive
//! them from the stamp.

use crate::rng::Rng;
use crate::world::{BUCKETS, CHURN, CHURN_THREAD, FIXED, NAMESPACES, Spot, Stamp};

/// A mix of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// All operations, from eight threads, on few documents.
    Crash,
    /// Documents of one thread, without creating or dropping collections, so that each commit is
    /// known.
    Lay,
    /// New large documents, until the disk is full.
    Fill,
    /// Documents of four threads.
    Power,
    /// Many documents of one thread, in large batches.
    Freeze,
}

impl Profile {
    const ALL: [(Profile, &'static str); 5] = [
        (Profile::Crash, "crash"),
        (Profile::Lay, "lay"),
        (Profile::Fill, "fill"),
        (Profile::Power, "power"),
        (Profile::Freeze, "freeze"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(profile, _)| *profile == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(profile, _)| *profile)
    }

    pub(crate) fn n_threads(self) -> u8 {
        match self {
            Profile::Crash => 8,
            Profile::Lay | Profile::Freeze => 1,
            Profile::Fill | Profile::Power => 4,
        }
    }

    /// Most bytes of a text.
    pub(crate) fn text_bytes(self) -> u64 {
        match self {
            Profile::Crash => 600,
            Profile::Lay => 1_500,
            Profile::Fill => 24_000,
            Profile::Power => 2_000,
            Profile::Freeze => 100,
        }
    }

    /// Documents that one thread has in a namespace.
    fn n_indexes(self) -> u64 {
        match self {
            Profile::Lay => 24,
            Profile::Freeze => 600,
            _ => 12,
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// A single write through its own verb.
    Alone(Step),
    /// Writes through `insert_many`, `upsert_many` or `delete_many`: all of one kind, in one
    /// namespace.
    Many(Vec<Step>),
    /// Writes through a batch, with an operation id or without.
    Batch {
        steps: Vec<Step>,
        has_operation_id: bool,
    },
    /// Deletes the thread's own documents of one bucket.
    DeleteWhere {
        collection: &'static str,
        namespace: &'static str,
        bucket: u32,
    },
    Create(&'static str),
    Drop(&'static str),
}

/// A write to one document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) spot: Spot,
    pub(crate) change: Change,
    pub(crate) expectation: Option<Expectation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Insert,
    Upsert,
    Delete,
    Vector,
    Replace,
    Merge,
    Text,
    RemoveText,
    All,
}

impl Change {
    /// Whether it gives a document another vector.
    pub(crate) fn puts_vector(self) -> bool {
        matches!(self, Change::Insert | Change::Upsert | Change::Vector | Change::All)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expectation {
    MustExist,
    MustNotExist,
    /// The version that the worker read before, plus a number: 0 must hold, 1 must not.
    Version(u64),
}

impl Deed {
    pub(crate) fn draw(profile: Profile, seed: u64, stamp: Stamp) -> Deed {
        let mut draw = Draw { profile, stamp, rng: Rng::of(&[seed, stamp.code()]) };
        match profile {
            Profile::Fill => draw.fill(),
            Profile::Freeze => draw.flood(),
            Profile::Crash if stamp.thread == CHURN_THREAD && draw.rng.chance(60) => draw.churn(),
            Profile::Crash if draw.rng.chance(4) => draw.stray(),
            _ => draw.ordinary(),
        }
    }

    /// Writes to documents, in order; empty for operations on collections and for `DeleteWhere`.
    pub(crate) fn steps(&self) -> &[Step] {
        match self {
            Deed::Alone(step) => std::slice::from_ref(step),
            Deed::Many(steps) | Deed::Batch { steps, .. } => steps,
            Deed::DeleteWhere { .. } | Deed::Create(_) | Deed::Drop(_) => &[],
        }
    }

    pub(crate) fn has_operation_id(&self) -> bool {
        matches!(self, Deed::Batch { has_operation_id: true, .. })
    }

    /// The document whose version the batch expects.
    pub(crate) fn versioned(&self) -> Option<Spot> {
        let expects = |step: &&Step| matches!(step.expectation, Some(Expectation::Version(_)));
        self.steps().iter().find(expects).map(|step| step.spot)
    }
}

impl Step {
    /// Whether this writes a document into another thread's collection, which may be dropped at any
    /// moment. Whether the document stays is not followed. The document and its batch must be
    /// whole.
    pub(crate) fn is_stray(&self) -> bool {
        CHURN.contains(&self.spot.collection) && self.spot.thread != CHURN_THREAD
    }
}

struct Draw {
    profile: Profile,
    stamp: Stamp,
    rng: Rng,
}

impl Draw {
    fn spot_in(&mut self, collection: &'static str, namespace: &'static str) -> Spot {
        let n_indexes = self.profile.n_indexes();
        // Half of all writes go to a quarter of the documents.
        let bound = if self.rng.chance(50) { n_indexes / 4 } else { n_indexes };
        Spot { collection, namespace, thread: self.stamp.thread, index: self.rng.below(bound) as u32 }
    }

    fn room(&mut self) -> (&'static str, &'static str) {
        (self.rng.pick(&FIXED), self.rng.pick(&NAMESPACES))
    }

    fn spot(&mut self) -> Spot {
        let (collection, namespace) = self.room();
        self.spot_in(collection, namespace)
    }

    fn change(&mut self) -> Change {
        use Change::{All, Delete, Insert, Merge, RemoveText, Replace, Text, Upsert, Vector};
        let changes = [Insert, Insert, Upsert, Upsert, Upsert, Delete, Vector, Replace, Merge, Text, RemoveText, All];
        self.rng.pick(&changes)
    }

    fn step(&mut self) -> Step {
        Step { spot: self.spot(), change: self.change(), expectation: None }
    }

    fn ordinary(&mut self) -> Deed {
        match self.rng.below(100) {
            0..55 => Deed::Alone(self.step()),
            55..82 => self.batch(),
            82..95 => self.many(),
            _ => {
                let (collection, namespace) = self.room();
                Deed::DeleteWhere { collection, namespace, bucket: self.rng.below(u64::from(BUCKETS)) as u32 }
            }
        }
    }

    fn batch(&mut self) -> Deed {
        let n_steps = if self.rng.chance(4) { 80 } else { self.rng.between(2, 10) };
        let mut steps: Vec<Step> = (0..n_steps).map(|_| self.step()).collect();
        // Long lists of changes to existing documents would hardly ever succeed.
        for step in &mut steps {
            let may_fail = self.rng.chance(15);
            if !may_fail && !matches!(step.change, Change::Upsert | Change::Delete) {
                step.change = if self.rng.chance(70) { Change::Upsert } else { Change::Delete };
            }
        }
        if self.rng.chance(30) {
            steps[0].expectation = Some(match self.rng.below(6) {
                0 => Expectation::MustExist,
                1 => Expectation::MustNotExist,
                2 => Expectation::Version(1),
                _ => Expectation::Version(0),
            });
        }
        Deed::Batch { steps, has_operation_id: self.rng.chance(40) }
    }

    fn many(&mut self) -> Deed {
        let (collection, namespace) = self.room();
        let change = self.rng.pick(&[Change::Insert, Change::Upsert, Change::Upsert, Change::Delete]);
        let n_steps = if change == Change::Insert { self.rng.between(1, 3) } else { self.rng.between(2, 20) };
        let step = |draw: &mut Self| Step { spot: draw.spot_in(collection, namespace), change, expectation: None };
        Deed::Many((0..n_steps).map(|_| step(self)).collect())
    }

    /// Creates or drops a collection, or writes to it together with a permanent one.
    fn churn(&mut self) -> Deed {
        let name = self.rng.pick(&CHURN);
        match self.rng.below(100) {
            0..12 => Deed::Create(name),
            12..20 => Deed::Drop(name),
            _ => {
                let (mut there, here) = (self.step(), self.step());
                there.spot = self.spot_in(name, there.spot.namespace);
                (there.change, there.expectation) = (Change::Upsert, None);
                let steps = vec![Step { change: Change::Upsert, ..here }, there];
                Deed::Batch { steps, has_operation_id: self.rng.chance(40) }
            }
        }
    }

    /// A batch of one of the thread's own documents and a stray.
    fn stray(&mut self) -> Deed {
        let (own, collection) = (self.spot(), self.rng.pick(&CHURN));
        let stray = Spot { collection, namespace: own.namespace, thread: own.thread, index: self.stamp.n };
        let step = |spot| Step { spot, change: Change::Upsert, expectation: None };
        Deed::Batch { steps: vec![step(own), step(stray)], has_operation_id: false }
    }

    /// Puts many documents and deletes some; existing ones get other vectors.
    fn flood(&mut self) -> Deed {
        let (collection, namespace) = self.room();
        match self.rng.below(100) {
            0..55 => {
                let n_steps = self.rng.between(5, 60);
                let change = |draw: &mut Self| if draw.rng.chance(85) { Change::Upsert } else { Change::Delete };
                let step = |draw: &mut Self| Step { change: change(draw), ..draw.step() };
                Deed::Batch { steps: (0..n_steps).map(|_| step(self)).collect(), has_operation_id: false }
            }
            55..80 => {
                let n_steps = self.rng.between(5, 60);
                let step = |draw: &mut Self| Step {
                    spot: draw.spot_in(collection, namespace),
                    change: Change::Upsert,
                    expectation: None,
                };
                Deed::Many((0..n_steps).map(|_| step(self)).collect())
            }
            80..97 => Deed::Alone(self.step()),
            _ => Deed::DeleteWhere { collection, namespace, bucket: self.rng.below(u64::from(BUCKETS)) as u32 },
        }
    }

    /// Puts documents that no other operation touches.
    fn fill(&mut self) -> Deed {
        let (collection, namespace) = self.room();
        let n_steps = if self.rng.chance(30) { 4 } else { 1 };
        let spot =
            |step: u32| Spot { collection, namespace, thread: self.stamp.thread, index: self.stamp.n * 4 + step };
        let steps: Vec<Step> =
            (0..n_steps).map(|step| Step { spot: spot(step), change: Change::Upsert, expectation: None }).collect();
        Deed::Batch { steps, has_operation_id: false }
    }
}
