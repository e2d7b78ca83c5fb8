//! The JSON of answers to searches, scrolls and writes. Other answers derive theirs.

use serde::{Serialize, Serializer};

use crate::document::StoredDocument;
use crate::hit::{Hit, Hits, Page, Receipt};
use crate::id::{Commit, DocId};
use crate::paging::{Cursor, SearchCursor};
use crate::route::{Explanation, SearchStats};

#[derive(Serialize)]
struct HitsFields<'a> {
    hits: &'a [Hit],
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a SearchCursor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a Explanation>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    absent_fields: &'a [String],
    commit: Commit,
    stats: SearchStats,
}

impl Serialize for Hits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Hits { items: hits, commit, stats, next, explanation, absent_fields } = self;
        let (commit, stats) = (*commit, *stats);
        let (next, explanation) = (next.as_ref(), explanation.as_deref());
        HitsFields { hits, next, explanation, absent_fields, commit, stats }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct PageFields<'a> {
    documents: &'a [StoredDocument],
    next: Option<&'a Cursor>,
    commit: Commit,
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Page { documents, next, commit } = self;
        PageFields { documents, next: next.as_ref(), commit: *commit }.serialize(serializer)
    }
}

#[derive(Serialize)]
struct ReceiptFields<'a> {
    commit: Commit,
    n_changed: usize,
    ids: &'a [DocId],
    repeated: bool,
}

impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Receipt { commit, ids, n_changed, repeated } = self;
        let (commit, n_changed, repeated) = (*commit, *n_changed, *repeated);
        ReceiptFields { commit, n_changed, ids, repeated }.serialize(serializer)
    }
}
