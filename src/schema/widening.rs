//! Whether one schema admits all that another admits, decided from the schemas alone.
//!
//! A yes is certain. A no may be wrong where two rules say the same in different ways; then
//! documents decide.

use super::rule::{FieldRule, Type};
use super::{Schema, above};

/// A schema's statement about a path.
enum Said<'s> {
    /// The path is declared.
    Declared(&'s FieldRule),
    /// The path leads to a declared field: its value is an object, or missing.
    Leads,
    /// The schema says nothing: any value may be there.
    Nothing,
    /// No value may be there.
    Closed,
}

impl Schema {
    /// Whether all metadata that satisfies the other schema is known to satisfy this one.
    pub(crate) fn includes(&self, other: &Schema) -> bool {
        let paths = self.fields.keys().flat_map(|path| above(path).chain([path.as_str()]));
        let mut admits_values = paths.map(|path| (self.said_of(path), other.said_of(path)));
        admits_values.all(|(ours, theirs)| ours.includes(&theirs)) && self.knows_all_of(other)
    }

    /// Whether this schema knows all fields that the other admits.
    fn knows_all_of(&self, other: &Schema) -> bool {
        let knows = |(path, theirs): (&String, &FieldRule)| match self.said_of(path) {
            Said::Declared(ours) => ours.is_open() || !theirs.is_open(),
            Said::Leads => !theirs.is_open(),
            Said::Nothing => true,
            Said::Closed => false,
        };
        !self.strict || (other.strict && other.fields.iter().all(knows))
    }

    fn said_of(&self, path: &str) -> Said<'_> {
        if let Some(rule) = self.fields.get(path) {
            Said::Declared(rule)
        } else if self.leads_on(&format!("{path}.")) {
            Said::Leads
        } else if !self.strict || self.is_open_above(path) {
            Said::Nothing
        } else {
            Said::Closed
        }
    }
}

impl Said<'_> {
    /// Whether all values that `other` admits are admitted.
    fn includes(&self, other: &Said<'_>) -> bool {
        match (self, other) {
            (Said::Declared(ours), Said::Declared(theirs)) => ours.includes(theirs),
            (Said::Declared(ours), Said::Leads) => !ours.required && ours.is_open(),
            (Said::Declared(ours), Said::Nothing) => !ours.required && ours.kind == Type::Any && !ours.array,
            (Said::Declared(ours), Said::Closed) => !ours.required,
            (Said::Leads, Said::Declared(theirs)) => theirs.leads_on(),
            (Said::Leads, Said::Leads | Said::Closed) => true,
            (Said::Leads, Said::Nothing) => false,
            (Said::Nothing | Said::Closed, _) => true,
        }
    }
}

impl FieldRule {
    fn includes(&self, other: &FieldRule) -> bool {
        let is_anything = self.kind == Type::Any && !self.array;
        let has_type = is_anything || (self.array == other.array && self.kind.includes(other.kind));
        let has_choices = match (&self.one_of, &other.one_of) {
            (None, _) => true,
            (Some(ours), Some(theirs)) => theirs.is_subset(ours),
            (Some(_), None) => false,
        };
        (!self.required || other.required) && has_type && has_choices
    }
}
