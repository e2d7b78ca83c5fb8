//! A bag of words in any order, each with a value: gathered in one buffer, then sorted.

/// Words, each with a value.
#[derive(Debug, Clone)]
pub(crate) struct Bag<T> {
    text: String,
    entries: Vec<BagEntry<T>>,
}

/// A word of a bag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BagEntry<T> {
    /// The word's first 8 bytes as a number, so that most comparisons need not read the word.
    head: u64,
    /// The place in `text` at which the word begins.
    start: usize,
    n_bytes: u8,
    pub(crate) with: T,
}

impl<T> Default for Bag<T> {
    fn default() -> Self {
        Bag { text: String::new(), entries: Vec::new() }
    }
}

impl<T: Copy + Ord> Bag<T> {
    /// Reserves room for `n_words` more words, of `n_bytes` bytes together.
    pub(crate) fn reserve(&mut self, n_words: usize, n_bytes: usize) {
        self.entries.reserve(n_words);
        self.text.reserve(n_bytes);
    }

    /// Adds a word of at most 255 bytes, which may be given in two parts.
    pub(crate) fn push(&mut self, [front, back]: [&str; 2], with: T) {
        let start = self.text.len();
        self.text += front;
        self.text += back;
        let word = &self.text[start..];
        let n_bytes = u8::try_from(word.len()).expect("words are cut to far less");
        self.entries.push(BagEntry { head: head(word), start, n_bytes, with });
    }

    /// Sorts by word, and equal words by value.
    pub(crate) fn sort(&mut self) {
        let text = &self.text;
        self.entries.sort_unstable_by(|a, b| {
            a.head.cmp(&b.head).then_with(|| word(text, a).cmp(word(text, b))).then_with(|| a.with.cmp(&b.with))
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Each word once, with all of its entries. The bag must be sorted.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&str, &[BagEntry<T>])> {
        let is_same = |a: &BagEntry<T>, b: &BagEntry<T>| a.head == b.head && word(&self.text, a) == word(&self.text, b);
        self.entries.chunk_by(is_same).map(|group| (word(&self.text, &group[0]), group))
    }

    /// The entries of a word. The bag must be sorted.
    pub(crate) fn find(&self, wanted: &str) -> &[BagEntry<T>] {
        let from = self.first_from(wanted);
        let n = self.entries[from..].iter().take_while(|entry| word(&self.text, entry) == wanted).count();
        &self.entries[from..from + n]
    }

    /// Whether any word begins with `beginning`. The bag must be sorted.
    pub(crate) fn has_beginning(&self, beginning: &str) -> bool {
        let first = self.entries.get(self.first_from(beginning));
        first.is_some_and(|entry| word(&self.text, entry).starts_with(beginning))
    }

    /// The place of the first word that is not less than `wanted`.
    fn first_from(&self, wanted: &str) -> usize {
        let of_wanted = head(wanted);
        let is_less =
            |entry: &BagEntry<T>| entry.head.cmp(&of_wanted).then_with(|| word(&self.text, entry).cmp(wanted)).is_lt();
        self.entries.partition_point(is_less)
    }
}

fn word<'t, T>(text: &'t str, entry: &BagEntry<T>) -> &'t str {
    &text[entry.start..entry.start + usize::from(entry.n_bytes)]
}

fn head(word: &str) -> u64 {
    let mut head = [0; 8];
    let n_bytes = word.len().min(8);
    head[..n_bytes].copy_from_slice(&word.as_bytes()[..n_bytes]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn a_bag_is_a_sorted_list() {
        let mut rng = StdRng::seed_from_u64(5);
        for round in 0..100 {
            let mut word = || {
                let length = rng.random_range(0..12);
                let letter = |_| *["a", "b", "ß", "語", "\u{1}"].get(rng.random_range(0..5)).unwrap_or(&"");
                (0..length / 2).map(letter).collect::<String>() + &"a".repeat(length)
            };
            let mut expected: Vec<(String, usize)> = (0..50 * round).map(|n| (word(), n % 7)).collect();
            let mut bag = Bag::default();
            for (n, (word, with)) in expected.iter().enumerate() {
                let half = (0..=word.len() / 2).rev().find(|at| word.is_char_boundary(*at)).unwrap_or(0);
                let (front, back) = word.split_at(if n % 2 == 0 { 0 } else { half });
                bag.push([front, back], *with);
            }
            bag.sort();
            expected.sort();
            let all = |(word, group): (&str, &[BagEntry<usize>])| {
                assert!(!group.is_empty());
                group.iter().map(|entry| (word.to_owned(), entry.with)).collect::<Vec<_>>()
            };
            assert_eq!(bag.groups().flat_map(all).collect::<Vec<_>>(), expected);
            assert_eq!(bag.len(), expected.len());
            for wanted in ["", "a", "aa", "ba", "語", "aaaaaaaaa", "zz", "\u{1}"] {
                let n = expected.iter().filter(|(word, _)| word == wanted).count();
                assert_eq!(bag.find(wanted).len(), n, "{wanted:?}");
                assert_eq!(bag.has_beginning(wanted), expected.iter().any(|(word, _)| word.starts_with(wanted)));
            }
        }
    }
}
