//! Opening a database after a kill: first read-only, then by its image, then by its rows.

use std::path::Path;

use vectrove::{Collection, Database, DocId, OpenedBy, Options, Residency, Strategy};

use super::script::{Script, Truth};
use super::{COLLECTION, Campaign, codes_of};
use crate::opening::Opening;
use crate::{Outcome, folder, watchdog};

/// Queries of each cluster. With a quarter of them, recall would vary by more than 0.01 by chance.
const N_QUERIES: u64 = 100;
const N_NEAREST: usize = 10;
/// Least recall with all linked and fitting codes, and right after an open whose codes were not
/// replaced later.
const LEAST_SETTLED: f64 = 0.98;
const LEAST_AT_ONCE: f64 = 0.95;

impl Campaign {
    /// Examines what a worker left, in each way. A fault ends the use of this database.
    pub(super) fn examine(&mut self) -> Outcome<()> {
        let (db, before, rows) = (self.folder.join("db"), self.folder.join("before"), self.folder.join("rows"));
        folder::remove(&before)?;
        folder::copy(&db, &before)?;
        let n_known = self.violations.len();
        self.note("read-only", |campaign| campaign.read_only(&db));
        self.note("opened", |campaign| campaign.open(&db, false));
        if self.rng.chance(50) {
            folder::remove(&rows)?;
            folder::copy(&before, &rows)?;
            folder::remove(&rows.join("images"))?;
            self.note("opened by rows", |campaign| campaign.open(&rows, true));
        }
        if self.violations.len() > n_known {
            let kept = self.folder.join(format!("violation-{}", self.run));
            folder::remove(&kept)?;
            std::fs::rename(&before, &kept).map_err(|error| format!("keeping {}: {error}", kept.display()))?;
            self.begin_database()?;
        } else if self.rng.chance(50) {
            // The next worker opens what the kill left.
            folder::remove(&db)?;
            std::fs::rename(&before, &db).map_err(|error| format!("going on with {}: {error}", before.display()))?;
        }
        Ok(())
    }

    fn note(&mut self, what: &str, look: impl FnOnce(&mut Self) -> vectrove::Result<Vec<String>>) {
        watchdog::step(format!("run {}, {what}", self.run));
        let faults = look(self).unwrap_or_else(|error| vec![format!("{:?}: {error}", error.kind())]);
        for fault in faults {
            self.violation(format!("run {}, {what}: {fault}", self.run));
        }
    }

    fn read_only(&mut self, db: &Path) -> vectrove::Result<Vec<String>> {
        let opened = Database::open_with(db, Options::new().memory_bytes(8 << 20).read_only(true))?;
        let faults = self.check_content(&opened)?;
        opened.close()?;
        Ok(faults)
    }

    fn open(&mut self, db: &Path, by_rows: bool) -> vectrove::Result<Vec<String>> {
        let opened = Database::open_with(db, Opening::draw(&mut self.rng).persisting().options())?;
        let Ok(collection) = opened.collection(COLLECTION) else { return self.check_content(&opened) };
        let at_once = self.recalls(&collection)?;
        let mut faults = self.check_content(&opened)?;
        opened.verify()?;
        collection.wait_indexed()?;
        let codes = codes_of(&opened)?;
        let stats = &opened.stats()?.collections[0];
        let (way, is_on_disk) = (stats.opening.way, stats.residency == Residency::Disk);
        let n_replaced = codes.map_or(0, |codes| codes.n_replaced);
        self.n_replaced += n_replaced as u64;
        self.n_images += u64::from(way == OpenedBy::Image);
        // If vectors may not be held, no codes fit the farthest cluster; the gauge reports this.
        let is_told = is_on_disk && codes.is_some_and(|codes| codes.code_recall.is_some_and(|recall| recall < 0.99));
        for (away, recall) in at_once.into_iter().filter(|_| n_replaced == 0 && !is_told) {
            if recall < LEAST_AT_ONCE {
                faults.push(format!("right after the open recall {recall:.3} at {away}, {codes:?}"));
            }
        }
        for (away, recall) in self.recalls(&collection)?.into_iter().filter(|_| !is_told) {
            self.least = self.least.min(recall);
            if recall < LEAST_SETTLED {
                faults.push(format!("recall {recall:.3} at {away}, {codes:?}"));
            }
        }
        if by_rows && way == OpenedBy::Image {
            faults.push("the image was removed, and taken up".to_owned());
        }
        opened.verify()?;
        opened.close()?;
        Ok(faults)
    }

    /// All acknowledged operations must be found, and the one after them wholly or not at all.
    fn check_content(&self, opened: &Database) -> vectrove::Result<Vec<String>> {
        let mut found = Truth::new();
        if let Ok(collection) = opened.collection(COLLECTION) {
            for document in collection.scroll().limit(usize::MAX).with_vector(true).run()?.documents {
                match document.id {
                    DocId::U64(number) => _ = found.insert(number, document.vector),
                    other => return Ok(vec![format!("nobody put {other}")]),
                }
            }
        }
        let next = (self.n_done + 1).min(Script::n_operations());
        let expected = [self.n_done, next].map(|n_operations| self.script.truth(n_operations));
        let is_right = expected.contains(&found);
        let fault = format!("{} documents, expected {} or {}", found.len(), expected[0].len(), expected[1].len());
        Ok(if is_right { Vec::new() } else { vec![fault] })
    }

    /// The recall of graph searches near each cluster.
    fn recalls(&self, collection: &Collection) -> vectrove::Result<Vec<(f64, f64)>> {
        let recall = |away: f64| -> vectrove::Result<(f64, f64)> {
            let (mut n_found, mut n_all) = (0, 0);
            for query in 0..N_QUERIES {
                let query = self.script.vector(u64::MAX - query, away);
                let search =
                    |strategy| collection.search(&query).limit(N_NEAREST).strategy(strategy).with_document(false).run();
                let (truth, found) = (search(Strategy::Exact)?, search(Strategy::Graph)?);
                let farthest = truth.iter().map(|hit| hit.distance).fold(0.0, f32::max) * 1.000_01;
                n_found += found.iter().filter(|hit| hit.distance <= farthest).count();
                n_all += truth.len();
            }
            Ok((away, if n_all == 0 { 1.0 } else { n_found as f64 / n_all as f64 }))
        };
        Script::clusters(self.n_done).map(recall).collect()
    }
}
