//! Cursors as strings.

use serde::de::Deserializer;
use serde::ser::{Serialize, Serializer};

use super::read::{Read, Trace};
use crate::paging::{Cursor, SearchCursor};

impl Serialize for SearchCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Read for SearchCursor {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        String::read(from, trace)?.parse().map_err(|error| trace.refuse(error))
    }
}

impl Read for Cursor {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> Result<Self, D::Error> {
        String::read(from, trace)?.parse().map_err(|error| trace.refuse(error))
    }
}
