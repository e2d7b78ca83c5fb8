//! The schemas that writes must satisfy: the present one, and the next one as soon as it is
//! announced.
//!
//! Knows nothing of documents.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::error::Result;
use crate::schema::Schema;
use crate::schema::check::SchemaFault;
use crate::value::Value;

/// The schemas that a collection's writes have to satisfy.
pub(crate) struct Admission {
    pub(in crate::collection) rules: RwLock<Rules>,
    /// Held while the schema is changed, from the first look until the change is on disk.
    pub(in crate::collection) changing: Mutex<()>,
}

/// The schemas that metadata has to satisfy.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// The committed schema.
    pub(in crate::collection) present: Option<Arc<Schema>>,
    /// The announced schema.
    pub(in crate::collection) next: Option<Arc<Schema>>,
}

impl Rules {
    pub(crate) fn check(&self, metadata: &Value) -> Result<(), SchemaFault> {
        [&self.present, &self.next].into_iter().flatten().try_for_each(|schema| schema.check(metadata))
    }
}

impl Admission {
    pub(crate) fn new(schema: Option<Schema>) -> Self {
        Admission { rules: Rules { present: schema.map(Arc::new), next: None }.into(), changing: Mutex::default() }
    }

    /// The schemas to satisfy. Nobody changes them while the caller is in the committer section.
    pub(crate) fn rules(&self) -> Rules {
        self.rules.read().clone()
    }

    /// The committed schema.
    pub(crate) fn present(&self) -> Option<Arc<Schema>> {
        self.rules.read().present.clone()
    }
}

/// An announced schema. Dropping this withdraws it, unless it was committed.
pub(in crate::collection) struct Announced<'a>(pub(in crate::collection) &'a Admission);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.rules.write().next = None;
    }
}
