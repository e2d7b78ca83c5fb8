//! Which fields a collection indexes, their numbers, and which of them are still being built.

use std::collections::HashMap;

use crate::config::CollectionConfig;
use crate::filter::lookup::Coverage;
use crate::filter::term::TERMS_VERSION;
use crate::id::{Commit, FieldId};
use crate::limits::MAX_INDEXED_FIELDS;
use crate::store::format::postings::{IndexRow, IndexRule};

/// The field catalog of a collection.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldCatalog {
    numbers: HashMap<Box<str>, FieldId>,
    next: u32,
    pub(super) row: IndexRow,
    /// The commit from which on every field that is not being built is indexed.
    pub(super) since: Commit,
}

impl FieldCatalog {
    /// The catalog of a collection without documents, which has nothing to build.
    pub(crate) fn begin(config: &CollectionConfig) -> Self {
        let only = config.index_only.as_ref().map(|paths| paths.iter().cloned().collect());
        let rule = IndexRule { only, never: config.no_index.iter().cloned().collect(), ..IndexRule::default() };
        FieldCatalog { row: IndexRow { terms_version: TERMS_VERSION, cursor: 0, rule }, ..FieldCatalog::default() }
    }

    /// How far the index is, as it is stored.
    pub(crate) fn row(&self) -> &IndexRow {
        &self.row
    }

    /// The catalog as it was stored. Without a `row`, or with one of another `TERMS_VERSION`,
    /// everything is rebuilt.
    pub(crate) fn read(fields: Vec<(String, FieldId)>, row: Option<IndexRow>, config: &CollectionConfig) -> Self {
        let mut catalog = FieldCatalog::begin(config);
        match row {
            Some(row) if row.terms_version == TERMS_VERSION => catalog.row = row,
            Some(_) | None => catalog.begin_rebuild(),
        }
        fields.into_iter().for_each(|(path, id)| catalog.insert(path.into(), id));
        catalog
    }

    /// A catalog with the same rule, nothing built and no field known.
    pub(super) fn forgotten(&self) -> Self {
        let mut rebuilt = FieldCatalog { row: self.row.clone(), ..FieldCatalog::default() };
        rebuilt.begin_rebuild();
        rebuilt
    }

    /// Marks everything to be built.
    fn begin_rebuild(&mut self) {
        self.row.rule.building = [String::new()].into();
        (self.row.cursor, self.row.terms_version) = (0, TERMS_VERSION);
    }

    /// Adds a path to the indexed ones, to be built. Returns false if it was indexed already. Fails
    /// with the path above it, if that one is not indexed.
    pub(super) fn add(&mut self, path: &str) -> Result<bool, String> {
        let rule = &mut self.row.rule;
        if let Some(above) = rule.never.iter().find(|above| *above != path && is_within(path, above)) {
            return Err(above.clone());
        }
        let was_wanted = wants(rule, path) && !rule.never.iter().any(|below| is_within(below, path));
        if was_wanted {
            return Ok(false);
        }
        rule.never.retain(|below| !is_within(below, path));
        if let Some(only) = &mut rule.only {
            only.retain(|below| !is_within(below, path));
            if !only.iter().any(|above| is_within(path, above)) {
                only.insert(path.to_owned());
            }
        }
        rule.building.insert(path.to_owned());
        self.row.cursor = 0;
        Ok(true)
    }

    /// Stops indexing a path and those below it. Returns the fields that lose their postings.
    pub(super) fn remove(&mut self, path: &str) -> Vec<FieldId> {
        let rule = &mut self.row.rule;
        rule.only.iter_mut().for_each(|only| only.retain(|below| !is_within(below, path)));
        rule.never.retain(|below| !is_within(below, path));
        rule.building.retain(|below| !is_within(below, path));
        if wants(rule, path) {
            rule.never.insert(path.to_owned());
        }
        let below = self.numbers.iter().filter(|(known, _)| is_within(known, path));
        below.map(|(_, field)| *field).collect()
    }

    pub(super) fn insert(&mut self, path: Box<str>, id: FieldId) {
        self.next = self.next.max(id.0);
        self.numbers.insert(path, id);
    }

    /// The number of a path.
    pub(super) fn find(&self, path: &str) -> Option<FieldId> {
        self.numbers.get(path).copied()
    }

    /// The `n`th free number, counted from 0; `None` if the collection has `MAX_INDEXED_FIELDS`.
    pub(super) fn free(&self, n: usize) -> Option<FieldId> {
        (self.numbers.len() + n < MAX_INDEXED_FIELDS).then(|| FieldId(self.next + 1 + n as u32))
    }

    /// Paths and numbers, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, FieldId)> {
        self.numbers.iter().map(|(path, id)| (&**path, *id))
    }

    pub(super) fn is_building(&self) -> bool {
        !self.row.rule.building.is_empty()
    }

    /// How postings cover a path at a commit.
    pub(super) fn coverage(&self, path: &str, commit: Commit) -> Coverage {
        if commit < self.since || !wants(&self.row.rule, path) || is_building(&self.row.rule, path) {
            return Coverage::Unindexed;
        }
        self.find(path).map_or(Coverage::Absent, Coverage::Indexed)
    }
}

/// Whether a path is indexed.
pub(super) fn wants(rule: &IndexRule, path: &str) -> bool {
    let lies_in = |set: &std::collections::BTreeSet<String>| set.iter().any(|above| is_within(path, above));
    !lies_in(&rule.never) && rule.only.as_ref().is_none_or(lies_in)
}

/// Whether a path is still being built.
pub(super) fn is_building(rule: &IndexRule, path: &str) -> bool {
    rule.building.iter().any(|above| is_within(path, above))
}

/// Whether a path equals `above` or lies below it; every path lies below the empty one.
pub(super) fn is_within(path: &str, above: &str) -> bool {
    above.is_empty() || path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_for_what_is_below() {
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let rule = IndexRule { only: Some(set(&["a", "b.c"])), never: set(&["a.x"]), ..IndexRule::default() };
        let wanted = ["a", "a.b", "b.c", "b.c.d"].map(|path| wants(&rule, path));
        assert_eq!(wanted, [true; 4]);
        let unwanted = ["a.x", "a.x.y", "b", "b.cd", "ab"].map(|path| wants(&rule, path));
        assert_eq!(unwanted, [false; 5]);
        assert!(
            wants(&IndexRule::default(), "x")
                && !wants(&IndexRule { only: Some(set(&[])), ..IndexRule::default() }, "x")
        );
    }

    #[test]
    fn a_rule_changes_path_by_path() {
        let mut catalog = FieldCatalog::begin(&CollectionConfig::new(1).no_index("a").no_index("b.c"));
        catalog.insert("b".into(), FieldId(1));
        catalog.insert("b.c".into(), FieldId(2));
        assert_eq!(catalog.add("a.x"), Err("a".to_owned()), "what is above is not indexed");
        assert_eq!((catalog.add("d"), catalog.add("b.d")), (Ok(false), Ok(false)));
        assert_eq!(catalog.add("b"), Ok(true));
        assert!(wants(&catalog.row.rule, "b.c") && catalog.is_building());
        assert_eq!(catalog.coverage("b", Commit(0)), Coverage::Unindexed);
        let mut gone = catalog.remove("b");
        gone.sort();
        assert_eq!(gone, [FieldId(1), FieldId(2)]);
        assert!(!wants(&catalog.row.rule, "b") && !wants(&catalog.row.rule, "b.c") && !catalog.is_building());

        let mut catalog = FieldCatalog::begin(&CollectionConfig::new(1).index_only(["a.b"]));
        assert_eq!((catalog.add("a"), catalog.add("a.c"), catalog.add("z")), (Ok(true), Ok(false), Ok(true)));
        catalog.remove("a.b");
        let wanted = ["a", "a.b", "a.c", "z", "y"].map(|path| wants(&catalog.row.rule, path));
        assert_eq!(wanted, [true, false, true, true, false]);
    }

    #[test]
    fn terms_of_another_version_are_rebuilt() {
        let config = CollectionConfig::new(1);
        let row = |terms_version| IndexRow { terms_version, cursor: 7, rule: IndexRule::default() };
        let fields = || vec![("a".to_owned(), FieldId(1))];
        let kept = FieldCatalog::read(fields(), Some(row(TERMS_VERSION)), &config);
        assert!(!kept.is_building() && kept.row().cursor == 7);
        let rebuilt = FieldCatalog::read(fields(), Some(row(TERMS_VERSION - 1)), &config);
        assert!(rebuilt.is_building() && rebuilt.row().cursor == 0 && rebuilt.row().terms_version == TERMS_VERSION);
        assert_eq!(rebuilt.coverage("a", Commit(9)), Coverage::Unindexed);
    }

    #[test]
    fn numbers_are_given_out_once() {
        let config = CollectionConfig::new(1).index_only(["a", "b", "c"]);
        let mut catalog = FieldCatalog::begin(&config);
        assert_eq!(catalog.free(0), Some(FieldId(1)));
        catalog.insert("a".into(), FieldId(1));
        catalog.insert("b".into(), FieldId(7));
        assert_eq!((catalog.free(0), catalog.free(1)), (Some(FieldId(8)), Some(FieldId(9))));
        assert_eq!(catalog.free(MAX_INDEXED_FIELDS - 2), None);
        assert_eq!(catalog.coverage("a", Commit(0)), Coverage::Indexed(FieldId(1)));
        assert_eq!(catalog.coverage("c", Commit(0)), Coverage::Absent);
        catalog.begin_rebuild();
        assert_eq!(catalog.coverage("a", Commit(0)), Coverage::Unindexed);
        assert_eq!(FieldCatalog::read(Vec::new(), None, &config).coverage("a", Commit(9)), Coverage::Unindexed);
    }
}
