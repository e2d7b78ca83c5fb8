//! Text as words: split by the rules of Unicode, in lower case, and if wished without stop words and reduced to their
//! stems.
//!
//! A document and a query are taken apart by the same code. When its results change, [`VERSION`] does, and what was
//! indexed before is indexed anew.

use std::borrow::Cow;
use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use crate::limits::MAX_WORD_BYTES;

/// By which rules text was taken apart.
pub(crate) const VERSION: u8 = 1;

/// How the text of a collection is taken apart into words, for ever.
///
/// Words are those of Unicode (UAX #29), normalised (NFKC) and in lower case; of a longer one only the first 64 bytes
/// count. Languages that are written without spaces are split into single characters where Unicode does so, as Chinese
/// is.
///
/// ```
/// use vectrove::{Analyzer, CollectionConfig, Language};
/// let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
/// let config = CollectionConfig::new(384).analyzer(english);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Analyzer {
    /// The language by whose rules words are reduced to their stems (the Snowball algorithms), so that "indexing" finds
    /// "indexes". Default: none; words are found as they are.
    pub stem: Option<Language>,
    /// The language whose most frequent words are left out (the stop words of the `iso` collection). Default: none.
    pub stop_words: Option<Language>,
}

impl Analyzer {
    /// Whether words are taken as they are.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Analyzer::default()
    }

    /// Words as they are, in lower case.
    pub fn new() -> Self {
        Analyzer::default()
    }

    /// Reduces words to their stems. Default: no.
    #[must_use]
    pub fn stem(mut self, language: Language) -> Self {
        self.stem = Some(language);
        self
    }

    /// Leaves out the most frequent words of a language. Default: none.
    #[must_use]
    pub fn stop_words(mut self, language: Language) -> Self {
        self.stop_words = Some(language);
        self
    }

    /// The words of a text in order, as they are indexed and searched for.
    ///
    /// ```
    /// use vectrove::{Analyzer, Language};
    /// assert_eq!(Analyzer::new().words("Hello, World!"), ["hello", "world"]);
    /// assert_eq!(Analyzer::new().stem(Language::English).words("indexing"), ["index"]);
    /// ```
    pub fn words(&self, text: &str) -> Vec<String> {
        Analysis::new(*self).words(text).into_iter().map(String::from).collect()
    }
}

/// Names each language by the name that stems go by, and by the code (ISO 639-1) that stop words go by.
macro_rules! languages {
    ($($name:ident $code:literal,)*) => {
        /// A language, as far as stems and stop words go.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Language {
            $(#[doc = concat!(stringify!($name), ".")] $name),*
        }

        impl Language {
            /// All of them.
            pub const ALL: &'static [Language] = &[$(Language::$name),*];

            fn algorithm(self) -> Algorithm {
                match self {
                    $(Language::$name => Algorithm::$name),*
                }
            }

            fn stop_words(self) -> &'static [&'static str] {
                match self {
                    $(Language::$name => stop_words::get($code)),*
                }
            }
        }
    };
}

languages!(
    Arabic "ar",
    Danish "da",
    Dutch "nl",
    English "en",
    Finnish "fi",
    French "fr",
    German "de",
    Greek "el",
    Hungarian "hu",
    Italian "it",
    Norwegian "no",
    Portuguese "pt",
    Romanian "ro",
    Russian "ru",
    Spanish "es",
    Swedish "sv",
    Turkish "tr",
);

/// An analyzer made ready.
pub(crate) struct Analysis {
    stemmer: Option<Stemmer>,
    stop_words: HashSet<&'static str>,
}

impl Analysis {
    pub(crate) fn new(analyzer: Analyzer) -> Self {
        Analysis {
            stemmer: analyzer.stem.map(|language| Stemmer::create(language.algorithm())),
            stop_words: analyzer.stop_words.map(Language::stop_words).into_iter().flatten().copied().collect(),
        }
    }

    /// Shows the words of a text in order.
    pub(crate) fn each_word(&self, text: &str, mut show: impl FnMut(&str)) {
        let mut lower = String::new();
        for word in normalized(text).unicode_words() {
            lower_into(word, &mut lower);
            if self.stop_words.contains(&*lower) {
                continue;
            }
            match &self.stemmer {
                Some(stemmer) => show(cut(&stemmer.stem(&lower))),
                None => show(cut(&lower)),
            }
        }
    }

    /// The words of a text in order.
    pub(crate) fn words(&self, text: &str) -> Vec<Box<str>> {
        let mut words = Vec::new();
        self.each_word(text, |word| words.push(word.into()));
        words
    }

    /// The words of a text in order, the last of which is only the beginning of one: it is neither left out nor
    /// reduced.
    pub(crate) fn words_and_beginning(&self, text: &str) -> (Vec<Box<str>>, Option<Box<str>>) {
        let text = normalized(text);
        let Some((at, last)) = text.unicode_word_indices().next_back() else { return (Vec::new(), None) };
        let mut lower = String::new();
        lower_into(last, &mut lower);
        (self.words(&text[..at]), Some(cut(&lower).into()))
    }
}

fn normalized(text: &str) -> Cow<'_, str> {
    match text.is_ascii() || is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.nfkc().collect()),
    }
}

fn lower_into(word: &str, lower: &mut String) {
    lower.clear();
    match word.is_ascii() {
        true => {
            lower.push_str(word);
            lower.make_ascii_lowercase();
        }
        false => lower.push_str(&word.to_lowercase()),
    }
}

/// The beginning of a word that is too long.
fn cut(word: &str) -> &str {
    let ends = (0..=word.len().min(MAX_WORD_BYTES)).rev();
    ends.into_iter().find_map(|end| word.get(..end)).unwrap_or_default()
}

/// The words of a document with how often it has each, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WordCounts {
    pub(crate) counts: Vec<(Box<str>, u16)>,
    /// How many words there are in all.
    pub(crate) length: u32,
}

impl WordCounts {
    /// Of a document's texts.
    pub(crate) fn of<'t>(analysis: &Analysis, texts: impl Iterator<Item = &'t str>) -> Self {
        let mut words: Vec<Box<str>> = Vec::new();
        texts.for_each(|text| analysis.each_word(text, |word| words.push(word.into())));
        let length = u32::try_from(words.len()).unwrap_or(u32::MAX);
        words.sort_unstable();
        let mut counts: Vec<(Box<str>, u16)> = Vec::new();
        for word in words {
            match counts.last_mut() {
                Some((last, n)) if *last == word => *n = n.saturating_add(1),
                _ => counts.push((word, 1)),
            }
        }
        WordCounts { counts, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(analyzer: Analyzer, text: &str) -> Vec<String> {
        Analysis::new(analyzer).words(text).into_iter().map(String::from).collect()
    }

    #[test]
    fn text_becomes_words() {
        for (text, expected) in [
            ("", &[][..]),
            (" -- !? ", &[]),
            ("Hello, World! hello", &["hello", "world", "hello"]),
            ("can't stop", &["can't", "stop"]),
            ("x86_64 v1.2.3 a-b", &["x86_64", "v1.2.3", "a", "b"]),
            ("Straße ÉCOLE e\u{301}cole ﬁn", &["straße", "école", "école", "fin"]),
            ("日本語", &["日", "本", "語"]),
            ("\0a\u{200b}b\r\n", &["a", "b"]),
        ] {
            assert_eq!(words(Analyzer::new(), text), expected, "{text:?}");
        }
    }

    #[test]
    fn stems_and_stop_words_are_a_language_s() {
        let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
        assert_eq!(words(english, "The indexes were indexing"), ["index", "index"]);
        assert_eq!(words(Analyzer::new().stem(Language::German), "Häuser der Haus"), ["haus", "der", "haus"]);
        for language in Language::ALL {
            let analyzer = Analyzer::new().stem(*language).stop_words(*language);
            assert!(!Analysis::new(analyzer).stop_words.is_empty(), "{language:?}");
            assert_eq!(words(analyzer, "zyzzyvaq 42"), words(analyzer, "ZYZZYVAQ 42"), "{language:?}");
        }
    }

    #[test]
    fn a_long_word_is_cut_between_characters() {
        let word = format!("a{}", "é".repeat(40));
        let expected = format!("a{}", "é".repeat(31));
        assert_eq!(words(Analyzer::new(), &word), [expected]);
        let counts = WordCounts::of(&Analysis::new(Analyzer::new()), ["a b a", "A c"].into_iter());
        let expected = [("a", 3), ("b", 1), ("c", 1)].map(|(word, n)| (Box::from(word), n));
        assert_eq!((counts.counts, counts.length), (expected.to_vec(), 5));
    }
}
