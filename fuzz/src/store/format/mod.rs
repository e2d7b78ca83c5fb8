//! The layouts of rows.

#[path = "../../../../src/store/format/codec.rs"]
mod codec;
#[path = "../../../../src/store/format/graph.rs"]
pub(crate) mod graph;
#[path = "../../../../src/store/format/key.rs"]
pub(crate) mod key;
#[path = "../../../../src/store/format/record.rs"]
pub(crate) mod record;
#[path = "../../../../src/store/format/words.rs"]
pub(crate) mod words;
