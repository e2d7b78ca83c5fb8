//! Value counts: a field's values with the slots that have each, for counting without reading rows.

/// Values in the order of their terms, and their slots, each written one after the other.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ValueCounts {
    terms: Vec<u8>,
    slots: Vec<u32>,
    /// For each term, the end of its bytes in `terms` and of its slots in `slots`.
    ends: Vec<(u32, u32)>,
}

impl ValueCounts {
    /// Adds a slot of a term. Terms come in order.
    pub(super) fn push(&mut self, term: &[u8], slot: u32) {
        let (begin, _) = self.ends.len().checked_sub(2).map_or((0, 0), |at| self.ends[at]);
        if self.ends.is_empty() || self.terms[begin as usize..] != *term {
            self.terms.extend(term);
            self.ends.push((self.terms.len() as u32, 0));
        }
        self.slots.push(slot);
        if let Some((_, end)) = self.ends.last_mut() {
            *end = self.slots.len() as u32;
        }
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.terms.len() + size_of_val(&*self.slots) + size_of_val(&*self.ends)
    }

    /// Every term with its slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u32])> {
        let begins = std::iter::once((0, 0)).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|((term, slot), (term_end, slot_end))| {
            (&self.terms[term as usize..*term_end as usize], &self.slots[slot as usize..*slot_end as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_out_as_they_went_in() {
        let mut value_counts = ValueCounts::default();
        assert_eq!(value_counts.iter().count(), 0);
        for (term, slot) in [(&b""[..], 4), (b"a", 1), (b"a", 7), (b"ab", 1), (b"b", 0)] {
            value_counts.push(term, slot);
        }
        let all: Vec<(&[u8], &[u32])> = value_counts.iter().collect();
        assert_eq!(all, [(&b""[..], &[4][..]), (b"a", &[1, 7]), (b"ab", &[1]), (b"b", &[0])]);
        assert_eq!(value_counts.n_bytes(), 4 + 5 * 4 + 4 * 8);
    }
}
