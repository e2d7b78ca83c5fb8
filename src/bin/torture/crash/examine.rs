//! Opening a database after a kill, and comparing it with its worker's acknowledgements.

use std::path::Path;

use vectrove::Database;

use super::Campaign;
use crate::inspect::{self, Found};
use crate::opening::Opening;
use crate::{Outcome, folder, walks, watchdog};

impl Campaign {
    /// Opens the database and compares it with the ledger. A fault ends the use of this database.
    pub(super) fn examine(&mut self) -> Outcome<()> {
        watchdog::step(format!("examining after run {}", self.run));
        let n_known = self.ledger.violations.len();
        let (db, before) = (self.folder.join("db"), self.folder.join("before"));
        folder::remove(&before)?;
        if !db.exists() {
            return Ok(());
        }
        folder::copy(&db, &before)?;
        if let Err(error) = self.examine_open(&db) {
            self.ledger.violation(format!("after run {}: {:?}: {error}", self.run, error.kind()));
        }
        self.examine_copies()?;
        eprintln!(
            "crash: {} kills, commit {}, {} documents",
            self.n_kills,
            self.ledger.commit(),
            self.ledger.state.docs.len()
        );
        if self.ledger.violations.len() > n_known {
            let kept = self.folder.join(format!("violation-{}", self.run));
            std::fs::rename(&before, &kept).map_err(|error| format!("keeping {}: {error}", kept.display()))?;
            self.begin_database()?;
        }
        Ok(())
    }

    fn examine_open(&mut self, db: &Path) -> vectrove::Result<()> {
        let opened = Database::open_with(db, Opening::draw(&mut self.rng).options())?;
        let found = self.examine_one(&opened)?;
        let strays = folder::strays(db).unwrap_or_else(|error| vec![error]);
        if !strays.is_empty() {
            self.ledger.violation(format!("the folder of an open database holds {strays:?}"));
        }
        let n_images = folder::n_images(db).unwrap_or(0);
        if n_images > found.collections.len() {
            self.ledger.violation(format!("{n_images} images of {} collections", found.collections.len()));
        }
        opened.close()?;
        let mut again = vec![("the database opened again", db.to_owned())];
        if self.rng.chance(25) {
            let copy = self.folder.join("copy");
            if folder::remove(&copy).and_then(|()| folder::copy(&self.folder.join("before"), &copy)).is_ok() {
                again.push(("a copy of it as the kill left it", copy));
            }
        }
        for (what, path) in again {
            let opened = Database::open_with(path, Opening::draw(&mut self.rng).options())?;
            let same = inspect::read(&opened)?;
            if (same.commit, same.digest()) != (found.commit, found.digest()) {
                self.ledger.violation(format!("{what} differs: commit {}, was {}", same.commit, found.commit));
            }
            for fault in walks::check(&opened, &same, &mut self.rng)? {
                self.ledger.violation(format!("{what}: {fault}"));
            }
            opened.verify()?;
            opened.close()?;
        }
        Ok(())
    }

    fn examine_one(&mut self, opened: &Database) -> vectrove::Result<Found> {
        let found = inspect::read(opened)?;
        self.retries = self.ledger.settle(&found);
        // Checks first while documents are being linked, and later after all are.
        let faults = walks::check(opened, &found, &mut self.rng)?;
        let verification = opened.verify()?;
        if (verification.n_documents, verification.commit.0) != (found.n_documents(), found.commit) {
            self.ledger.violation(format!("{verification:?}, scrolling found {} documents", found.n_documents()));
        }
        let checked = inspect::cross_check(opened, &found, &mut self.rng)?;
        let linked = walks::check_linked(opened, &found, &mut self.rng)?;
        opened.verify()?;
        faults.into_iter().chain(checked).chain(linked).for_each(|fault| self.ledger.violation(fault));
        Ok(found)
    }

    /// Checks that each checkpoint is complete or absent.
    fn examine_copies(&mut self) -> Outcome<()> {
        let copies = self.folder.join("copies");
        for entry in std::fs::read_dir(&copies).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "unfinished") {
                continue;
            }
            let options = Opening::draw(&mut self.rng).options();
            let verified = Database::open_with(entry.path(), options).and_then(|copy| {
                inspect::cross_check(&copy, &inspect::read(&copy)?, &mut self.rng).and_then(|faults| {
                    copy.verify()?;
                    copy.close()?;
                    Ok(faults)
                })
            });
            match verified {
                Ok(faults) => faults.into_iter().for_each(|fault| self.ledger.violation(format!("a copy: {fault}"))),
                Err(error) => self.ledger.violation(format!("a copy: {:?}: {error}", error.kind())),
            }
        }
        folder::remove(&copies)
    }
}
