//! The director: the thread that changes collections while other threads ask and write.
//!
//! It decides which namespaces have documents, and empties the others. It drops and creates the
//! collection that comes and goes. It changes schemas and indexes, which must change no answer.

use std::sync::Arc;
use std::time::Duration;

use vectrove::{Error, ErrorKind};

use super::condition::Condition;
use super::draft::Draft;
use super::round::{Round, Site};
use super::shapes::{CHURN, CHURN_CAPACITY, churn_config, schema};
use super::twin::{Effect, Lifetime, NAMESPACES};
use super::writers::Writer;

/// Directs until the round is over.
pub(super) fn run(round: &Round<'_>, thread: usize) {
    let mut writer = Writer::new(round, thread);
    while !round.is_over() {
        round.beat(thread);
        writer.direct();
        let pause = Duration::from_millis(writer.rng.between(20, 160));
        std::thread::sleep(pause);
    }
}

impl Writer<'_> {
    fn direct(&mut self) {
        let Some(site) = self.round.draw_site(&mut self.rng, 0).filter(|site| !site.lifetime.is_large()) else {
            return self.create();
        };
        match self.rng.below(100) {
            0..70 => self.inhabit(&site),
            70..78 => self.churn(),
            78..82 => self.rename(),
            82..88 => {
                let schema = schema(self.rng.next());
                self.settle("set_schema", &site, site.collection.set_schema(schema));
            }
            88..92 => self.settle("add_index", &site, site.collection.add_index("raw")),
            92..96 => self.settle("drop_index", &site, site.collection.drop_index("raw")),
            96..98 => self.settle("rebuild_index", &site, site.collection.rebuild_index()),
            _ => self.settle("flush", &site, self.round.db.flush()),
        }
    }

    /// Lets some namespaces of a collection have documents, and empties the others.
    fn inhabit(&mut self, site: &Site) {
        let one = 1 << self.rng.below(NAMESPACES.len() as u64);
        let bits = match self.rng.below(100) {
            0..45 => one,
            45..55 => 0,
            55..70 => one | 1 << self.rng.below(NAMESPACES.len() as u64),
            _ => (1 << NAMESPACES.len()) - 1,
        };
        site.lifetime.set_inhabited(bits);
        // A writer may still be writing to a namespace that it drew before.
        std::thread::sleep(Duration::from_millis(1));
        self.round.progress.wait();
        let is_inhabited = |namespace: &usize| bits >> namespace & 1 == 1;
        let (inhabited, others): (Vec<usize>, Vec<usize>) = (0..NAMESPACES.len()).partition(is_inhabited);
        self.empty(site, &others);
        for namespace in inhabited {
            if self.rng.chance(70) {
                self.fill(site, namespace);
            }
        }
    }

    /// Deletes all documents of some namespaces, in one of several ways.
    fn empty(&mut self, site: &Site, namespaces: &[usize]) {
        match self.rng.below(3) {
            0 => {
                let all = |namespace: &usize| {
                    let (namespace, capacity) = (*namespace, site.lifetime.capacity(*namespace));
                    (0..capacity).map(move |index| Draft::Other(Effect::Delete { namespace, index }))
                };
                self.commit(vec![(site.clone(), namespaces.iter().flat_map(all).collect())]);
            }
            1 => {
                for &namespace in namespaces {
                    self.delete_where(site, namespace, Condition::Everything);
                }
            }
            _ => {
                for &namespace in namespaces {
                    let condition = Condition::Tag(self.rng.below(3) as u8);
                    self.delete_where(site, namespace, condition.clone());
                    self.delete_where(site, namespace, Condition::Not(Box::new(condition)));
                }
            }
        }
    }

    /// Drops the collection that comes and goes, and often creates the next at once.
    fn churn(&mut self) {
        let Some(site) = self.round.churn.write().take() else { return self.create() };
        site.lifetime.begin_drop();
        self.settle("drop_collection", &site, self.round.db.drop_collection(&site.collection.name()));
        if self.rng.chance(80) {
            self.create();
        }
    }

    fn create(&mut self) {
        if self.round.churn.read().is_some() {
            return;
        }
        let number = self.rng.next();
        let config = churn_config(&mut self.rng, number);
        match self.round.db.create_collection(self.rng.pick(&CHURN), config.clone()) {
            Ok(collection) => {
                let lifetime = Arc::new(Lifetime::new(number, config, (CHURN_CAPACITY, CHURN_CAPACITY)));
                let site = Site { lifetime, collection };
                self.fill(&site, 0);
                *self.round.churn.write() = Some(site);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => self.round.violation(&format!("create_collection: {error}")),
        }
    }

    fn rename(&mut self) {
        let Some(site) = self.round.churn.read().clone() else { return };
        let name = site.collection.name();
        let other = CHURN.into_iter().find(|other| *other != name).unwrap_or(CHURN[0]);
        self.settle("rename_collection", &site, self.round.db.rename_collection(&name, other));
    }

    /// Reports a call that should not have been refused.
    fn settle(&self, verb: &str, site: &Site, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(Error::CollectionNotFound { .. }) if site.lifetime.is_dropping() => {}
            Err(error) => self.round.violation(&format!("{verb} of {:?}: {error}", site.collection.name())),
        }
    }
}
