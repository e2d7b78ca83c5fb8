//! Users' own distances.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A distance of your own, registered with [`Options::distance`](crate::Options::distance). Any
/// function of two slices is one.
///
/// Many threads call it, a search hundreds of times. Smaller means nearer; NaN counts as infinitely
/// far. Where it breaks the triangle inequality badly, a graph search finds less.
pub trait Distance: Send + Sync {
    /// The distance of two vectors, both of the collection's dimension.
    fn distance(&self, a: &[f32], b: &[f32]) -> f32;

    /// The score of a hit; larger is nearer. Default: `1 / (1 + distance)`, for distances from 0
    /// up.
    fn score(&self, distance: f32) -> f32 {
        1.0 / (1.0 + distance.max(0.0))
    }
}

impl<F: Fn(&[f32], &[f32]) -> f32 + Send + Sync> Distance for F {
    fn distance(&self, a: &[f32], b: &[f32]) -> f32 {
        self(a, b)
    }
}

/// Distances by name.
#[derive(Clone, Default)]
pub struct Distances {
    by_name: BTreeMap<String, Arc<dyn Distance>>,
}

impl Distances {
    /// Registers a distance, and replaces one of the same name.
    pub fn register(&mut self, name: String, distance: impl Distance + 'static) {
        self.by_name.insert(name, Arc::new(distance));
    }

    /// The registered names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn Distance>> {
        self.by_name.get(name).cloned()
    }
}

impl fmt::Debug for Distances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl PartialEq for Distances {
    /// Equal if the same functions have the same names.
    fn eq(&self, other: &Self) -> bool {
        let pairs = || self.by_name.iter().zip(&other.by_name);
        self.by_name.len() == other.by_name.len()
            && pairs().all(|((ours, one), (theirs, other))| ours == theirs && Arc::ptr_eq(one, other))
    }
}

impl Eq for Distances {}
