//! Operations, performed through the public interface.

use vectrove::{
    Batch, Collection, Commit, Database, Document, Error, Namespace, Query, Receipt, Result, Update, field,
};

use crate::deed::{Change, Deed, Expectation, Profile, Step};
use crate::inspect::room;
use crate::rng::Rng;
use crate::state::has_text;
use crate::world::{FIXED, NAMESPACES, Stamp, churn_config};

/// The commit, the number of changed documents, and whether it was a repetition. Creating and
/// dropping have no commit.
type Told = (u64, usize, bool);

/// The version that a batch will expect; 0 if it expects none, or the document does not exist.
pub(crate) fn read_version(db: &Database, deed: &Deed) -> Result<u64> {
    let Some(spot) = deed.versioned() else { return Ok(0) };
    let stored = room(&db.collection(spot.collection)?, spot.namespace)?.get(spot.id())?;
    Ok(stored.map_or(0, |stored| stored.version.0))
}

pub(crate) fn perform(
    db: &Database,
    deed: &Deed,
    (stamp, seed, read): (Stamp, u64, u64),
    text_bytes: u64,
) -> Result<Told> {
    let writer = Writer { stamp: stamp.code(), read, text_bytes };
    let told = |receipt: Receipt| (receipt.commit.0, receipt.n_changed, receipt.repeated);
    match deed {
        Deed::Create(name) => db.create_collection(name, churn_config(stamp.code())).map(|_| (0, 0, false)),
        Deed::Drop(name) => db.drop_collection(name).map(|()| (0, 0, false)),
        Deed::DeleteWhere { collection, namespace, bucket } => {
            let mine = field("thread").eq(i64::from(stamp.thread)).and(field("bucket").eq(i64::from(*bucket)));
            room(&db.collection(collection)?, namespace)?.delete_where(mine).map(told)
        }
        Deed::Alone(step) => writer.alone(db, step).map(told),
        Deed::Many(steps) => writer.many(db, steps).map(told),
        Deed::Batch { steps, has_operation_id } => {
            let mut batch = db.batch();
            if *has_operation_id {
                batch.operation_id(stamp.operation_id(seed));
            }
            // All collections are looked up first, so that a missing one is refused before any
            // other fault.
            let places = steps.iter().map(|step| place(db, step)).collect::<Result<Vec<_>>>()?;
            for (step, (collection, namespace)) in steps.iter().zip(&places) {
                writer.add(&mut batch, step, collection, namespace);
            }
            batch.commit().map(told)
        }
    }
}

fn place(db: &Database, step: &Step) -> Result<(Collection, Namespace)> {
    let collection = db.collection(step.spot.collection)?;
    let namespace = room(&collection, step.spot.namespace)?;
    Ok((collection, namespace))
}

/// The target of one operation's writes.
struct Writer {
    stamp: u64,
    read: u64,
    text_bytes: u64,
}

impl Writer {
    fn document(&self, step: &Step, collection: &Collection) -> Document {
        let (spot, stamp) = (&step.spot, self.stamp);
        let document = Document::new(spot.vector(stamp, collection.config().dimension))
            .id(spot.id())
            .metadata(spot.metadata(stamp));
        if has_text(stamp) { document.text(spot.text(stamp, self.text_bytes)) } else { document }
    }

    fn update(&self, step: &Step, collection: &Collection) -> Update {
        let (spot, stamp) = (&step.spot, self.stamp);
        let vector = || spot.vector(stamp, collection.config().dimension);
        let merged = serde_json::json!({"merged": stamp});
        let update = Update::new(spot.id());
        match step.change {
            Change::Vector => update.vector(vector()),
            Change::Replace => update.replace(spot.metadata(stamp)),
            Change::Merge => update.merge(merged),
            Change::Text => update.text(spot.text(stamp, self.text_bytes)),
            Change::RemoveText => update.remove_text(),
            _ => update
                .vector(vector())
                .replace(spot.metadata(stamp))
                .merge(merged)
                .text(spot.text(stamp, self.text_bytes)),
        }
    }

    fn alone(&self, db: &Database, step: &Step) -> Result<Receipt> {
        let (collection, namespace) = place(db, step)?;
        match step.change {
            Change::Insert => namespace.insert(self.document(step, &collection)),
            Change::Upsert => namespace.upsert(self.document(step, &collection)),
            Change::Delete => namespace.delete(step.spot.id()),
            _ => namespace.update(self.update(step, &collection)),
        }
    }

    fn many(&self, db: &Database, steps: &[Step]) -> Result<Receipt> {
        let (collection, namespace) = place(db, &steps[0])?;
        let documents = steps.iter().map(|step| self.document(step, &collection));
        match steps[0].change {
            Change::Insert => namespace.insert_many(documents),
            Change::Upsert => namespace.upsert_many(documents),
            _ => namespace.delete_many(steps.iter().map(|step| step.spot.id())),
        }
    }

    fn add(&self, batch: &mut Batch, step: &Step, collection: &Collection, namespace: &Namespace) {
        let write = match step.change {
            Change::Insert => batch.insert(namespace, self.document(step, collection)),
            Change::Upsert => batch.upsert(namespace, self.document(step, collection)),
            Change::Delete => batch.delete(namespace, step.spot.id()),
            _ => batch.update(namespace, self.update(step, collection)),
        };
        match step.expectation {
            Some(Expectation::MustExist) => _ = write.must_exist(),
            Some(Expectation::MustNotExist) => _ = write.must_not_exist(),
            Some(Expectation::Version(more)) => _ = write.expect_version(Commit(self.read + more)),
            None => {}
        }
    }
}

/// Reads something, as an application does between writes.
pub(crate) fn look(db: &Database, rng: &mut Rng, profile: Profile) -> Result<()> {
    let collection = db.collection(rng.pick(&FIXED))?;
    let room = room(&collection, rng.pick(&NAMESPACES))?;
    let query: Vec<f32> = (0..collection.config().dimension).map(|_| rng.component() + 1.5).collect();
    let hits = match rng.below(3) {
        0 => room.search(query).limit(5).filter(field("bucket").eq(1)).run()?,
        _ => room.search(query).limit(5).run()?,
    };
    if !hits.iter().map(|hit| hit.distance).is_sorted() {
        panic!("hits are not nearest first: {hits:?}");
    }
    if let Some(hit) = hits.first() {
        let stored = room.get(&hit.id)?;
        if profile == Profile::Fill && stored.is_none() {
            panic!("a search found {}, which no one deletes, but getting it does not", hit.id);
        }
        match room.search(Query::like(&hit.id)).limit(3).run() {
            // Another thread may have deleted it meanwhile.
            Err(Error::DocumentNotFound { .. }) => {}
            outcome => drop(outcome?),
        }
    }
    room.count(None).map(drop)
}
