//! Term frequencies: how often a document has each word.

use super::analyzer::{Analysis, FORM, Token};
use super::bag::Bag;

/// The words of a document in order, with their frequencies: stems, characters, pairs of them, and
/// after [`FORM`] the forms that differ from their stems.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WordCounts {
    /// The words, one right after the other.
    text: String,
    /// The end of each word in `text`, and how often the document has it; `u16::MAX` stands for
    /// more.
    counts: Vec<(usize, u16)>,
    /// How many words the document has in all. Pairs do not count.
    pub(crate) length: u32,
}

impl WordCounts {
    /// Counts the words of a document's texts.
    pub(crate) fn of<'t>(analysis: &Analysis, texts: impl Iterator<Item = &'t str>) -> Self {
        let (mut bag, mut length) = (Bag::default(), 0u32);
        let mut add = |token: Token<&str>| {
            length = length.saturating_add(token.length());
            match token {
                Token::Word { stem, form, .. } => {
                    bag.push(["", stem], ());
                    if form != stem {
                        bag.push([FORM, form], ());
                    }
                }
                Token::Unit(word) | Token::Pair(word) => bag.push(["", word], ()),
            }
        };
        texts.for_each(|text| analysis.each_token(text, &mut add));
        bag.sort();
        let mut counts = WordCounts { length, ..WordCounts::default() };
        for (word, group) in bag.groups() {
            counts.text += word;
            counts.counts.push((counts.text.len(), u16::try_from(group.len()).unwrap_or(u16::MAX)));
        }
        counts
    }

    /// The number of different words, and their bytes together.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.counts.len(), self.text.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u16)> {
        let mut start = 0;
        self.counts.iter().map(move |&(end, n_times)| {
            let word = &self.text[start..end];
            start = end;
            (word, n_times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::analyzer::{Analyzer, Language};

    #[track_caller]
    fn check(analyzer: Analyzer, texts: &[&str], expected: &[(&str, u16)], length: u32) {
        let counts = WordCounts::of(&Analysis::new(analyzer), texts.iter().copied());
        assert_eq!((counts.iter().collect::<Vec<_>>(), counts.length), (expected.to_vec(), length), "{texts:?}");
    }

    #[test]
    fn words_are_counted() {
        check(Analyzer::new(), &[], &[], 0);
        check(Analyzer::new(), &["a b a", "A c"], &[("a", 3), ("b", 1), ("c", 1)], 5);
        check(Analyzer::new(), &["日本日本"], &[("日", 2), ("日本", 2), ("本", 2), ("本日", 1)], 4);
        let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
        let expected = [("\u{1}indexes", 1), ("\u{1}indexing", 1), ("a", 1), ("index", 3), ("the", 1)];
        check(english, &["the index, indexes", "a indexing"], &expected, 5);
        check(Analyzer::new(), &["a ".repeat(70_000).as_str()], &[("a", u16::MAX)], 70_000);
    }
}
