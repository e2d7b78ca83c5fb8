//! Writes that are about to be made: how each is put into a batch, and its effect.

use std::sync::Arc;

use vectrove::{Batch, Namespace, Result, Update};

use super::document::{Content, Stored, TAGS, id_of, text_of};
use super::round::Site;
use super::twin::{Effect, NAMESPACES, Patch, Step};

/// A write that is about to be made; its version is not known yet.
pub(super) enum Draft {
    Put { namespace: usize, index: u32, content: Content },
    Other(Effect),
}

/// A namespace of a collection.
pub(super) fn place(site: &Site, namespace: usize) -> Result<Namespace> {
    match NAMESPACES[namespace] {
        "" => Ok(Namespace::clone(&site.collection)),
        name => site.collection.namespace(name),
    }
}

impl Draft {
    /// Puts the write into a batch.
    pub(super) fn add(&self, batch: &mut Batch, site: &Site) -> Result<()> {
        match self {
            Draft::Put { namespace, index, content } => {
                batch.upsert(&place(site, *namespace)?, content.document(*index));
            }
            Draft::Other(Effect::Delete { namespace, index }) => {
                batch.delete(&place(site, *namespace)?, id_of(*index));
            }
            Draft::Other(Effect::Update { namespace, index, patch }) => {
                batch.update(&place(site, *namespace)?, patch.update(*index));
            }
            Draft::Other(Effect::Put { .. } | Effect::DeleteWhere { .. }) => {}
        }
        Ok(())
    }

    /// The effect of the write, once its commit is known.
    pub(super) fn effect(self, commit: u64) -> Effect {
        match self {
            Draft::Put { namespace, index, content } => {
                Effect::Put { namespace, index, stored: Arc::new(Stored::new(content, commit)) }
            }
            Draft::Other(effect) => effect,
        }
    }
}

impl Patch {
    fn update(&self, index: u32) -> Update {
        let update = Update::new(id_of(index));
        let update = match &self.metadata {
            Some(Step::Merge { tag, n }) => {
                let (tag, n) = (TAGS[usize::from(*tag)], u32::from(*n));
                update.merge(serde_json::json!({ "tag": tag, "n": n }))
            }
            Some(Step::RemoveTag) => update.remove(["tag"]),
            Some(Step::Replace(facts)) => update.replace(facts.metadata()),
            None => update,
        };
        let update = match &self.vector {
            Some(vector) => update.vector(vector.clone()),
            None => update,
        };
        match &self.words {
            Some(Some(words)) => update.text(text_of(words)),
            Some(None) => update.remove_text(),
            None => update,
        }
    }
}
