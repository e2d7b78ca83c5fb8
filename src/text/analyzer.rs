//! Text analysis: splits text into words by the rules of Unicode, in lower case, and reduces them
//! to stems if asked to.
//!
//! The same code takes documents and queries apart. When its results change, [`VERSION`] does, and
//! older indexes are rebuilt. All words are indexed; queries leave out stop words (`query.rs`).

use std::borrow::Cow;
use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use super::fold::{folded, is_picture, is_unspaced};
use crate::limits::MAX_WORD_BYTES;

/// The version of the rules by which text is split. 2: every word is indexed. So are pairs of
/// characters in scripts without spaces, emoji, and forms beside their stems. Marks and invisible
/// characters are left out.
pub(crate) const VERSION: u8 = 2;

/// Stands before a form that is indexed beside its stem. No word begins with it.
pub(crate) const FORM: &str = "\u{1}";

/// How a collection splits its text into words. It is fixed when the collection is created.
///
/// Words are those of Unicode (UAX #29), normalised (NFKC) and in lower case. Only the first 64
/// bytes of a longer word count. An emoji is a word. Soft hyphens and other invisible characters
/// are left out. So are marks that texts may omit: points of Hebrew and Arabic, and accents for
/// which there is no composed letter.
///
/// Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer are indexed by single characters and by
/// pairs of neighbours (bigrams). A query searches for its pairs, and for a single character where
/// that stands alone.
///
/// ```
/// use vectrove::{Analyzer, CollectionConfig, Language};
/// let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
/// let config = CollectionConfig::new(384).analyzer(english);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Analyzer {
    /// The language whose stemmer (Snowball) reduces words, so that "indexing" finds "indexes".
    /// French and Italian words are also split at apostrophes, so that "homme" finds "l'homme".
    /// Default: none; words are found as they are.
    pub stem: Option<Language>,
    /// The language whose stop words, such as "the", a query leaves out if it has other words. They
    /// are indexed like any word. They are found in phrases, and by queries that have no other
    /// words. The lists are the Snowball project's as NLTK has them, of 94 to 313 words.
    /// [`Language::has_stop_words`] tells which languages have one. Default: none.
    pub stop_words: Option<Language>,
}

impl Analyzer {
    /// Whether words are taken as they are.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Analyzer::default()
    }

    /// An analyzer that leaves words as they are, in lower case.
    pub fn new() -> Self {
        Analyzer::default()
    }

    /// Reduces words to their stems. Default: no.
    #[must_use]
    pub fn stem(mut self, language: Language) -> Self {
        self.stem = Some(language);
        self
    }

    /// Leaves the stop words of a language out of queries that have other words. Default: none.
    #[must_use]
    pub fn stop_words(mut self, language: Language) -> Self {
        self.stop_words = Some(language);
        self
    }

    /// The words of a text in order, as they are indexed and as phrases are matched.
    ///
    /// ```
    /// use vectrove::{Analyzer, Language};
    /// assert_eq!(Analyzer::new().words("Hello, World!"), ["hello", "world"]);
    /// assert_eq!(Analyzer::new().words("日本 🔥"), ["日", "本", "🔥"]);
    /// assert_eq!(Analyzer::new().stem(Language::English).words("the indexing"), ["the", "index"]);
    /// ```
    pub fn words(&self, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let add = |token: Token<&str>| words.extend(token.in_order().map(|(word, _)| word.to_owned()));
        Analysis::new(*self).each_token(text, add);
        words
    }
}

/// Declares languages by the names of their stemmers. Each has the code (ISO 639-1) of its list of
/// stop words, if it has one.
macro_rules! languages {
    ($($name:ident $code:expr,)*) => {
        /// A language for stems and stop words.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[non_exhaustive]
        pub enum Language {
            $(#[doc = concat!(stringify!($name), ".")] $name),*
        }

        impl Language {
            /// All languages.
            pub const ALL: &'static [Language] = &[$(Language::$name),*];

            fn algorithm(self) -> Algorithm {
                match self {
                    $(Language::$name => Algorithm::$name),*
                }
            }

            fn stop_words(self) -> &'static [&'static str] {
                let code: Option<&str> = match self {
                    $(Language::$name => $code),*
                };
                code.and_then(stop_words::lookup).unwrap_or_default()
            }
        }
    };
}

languages!(
    Arabic None,
    Danish Some("da"),
    Dutch Some("nl"),
    English Some("en"),
    Finnish Some("fi"),
    French Some("fr"),
    German Some("de"),
    Greek None,
    Hungarian Some("hu"),
    Italian Some("it"),
    Norwegian Some("no"),
    Portuguese Some("pt"),
    Romanian None,
    Russian Some("ru"),
    Spanish Some("es"),
    Swedish Some("sv"),
    Turkish None,
);

impl Language {
    /// Whether there is a list of the language's stop words. Arabic, Greek, Romanian and Turkish
    /// have none: queries keep all of their words.
    pub fn has_stop_words(self) -> bool {
        !self.stop_words().is_empty()
    }

    /// Whether the language puts a word before another with an apostrophe (elision).
    fn elides(self) -> bool {
        matches!(self, Language::French | Language::Italian)
    }
}

/// A token: a piece of text as it is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<S> {
    /// A word by its stem, and its form in the text.
    Word { stem: S, form: S, is_stop: bool },
    /// A character of a script that is written without spaces.
    Unit(S),
    /// Two such characters that are neighbours. The pair follows the second of them.
    Pair(S),
}

impl<S: AsRef<str>> Token<S> {
    /// The token's word in the order of a text, and whether that is a stop word; `None` for a pair.
    pub(crate) fn in_order(&self) -> Option<(&str, bool)> {
        match self {
            Token::Word { stem, is_stop, .. } => Some((stem.as_ref(), *is_stop)),
            Token::Unit(unit) => Some((unit.as_ref(), false)),
            Token::Pair(_) => None,
        }
    }

    /// How much the token adds to the length of a document.
    pub(crate) fn length(&self) -> u32 {
        self.in_order().is_some().into()
    }

    /// Whether the token is this indexed word.
    pub(crate) fn is(&self, word: &str) -> bool {
        match self {
            Token::Word { stem: own, .. } | Token::Unit(own) | Token::Pair(own) => own.as_ref() == word,
        }
    }

    /// Whether the token matches `form*`: its form or stem begins with `form`, or it has the stem
    /// `stem`.
    pub(crate) fn begins(&self, form: &str, stem: &str) -> bool {
        match self {
            Token::Word { stem: own, form: own_form, .. } => {
                own_form.as_ref().starts_with(form) || stem_begins(own.as_ref(), form, stem)
            }
            Token::Unit(own) | Token::Pair(own) => stem_begins(own.as_ref(), form, stem),
        }
    }

    fn to_boxed(&self) -> Token<Box<str>> {
        let boxed = |word: &S| Box::from(word.as_ref());
        match self {
            Token::Word { stem, form, is_stop } => {
                Token::Word { stem: boxed(stem), form: boxed(form), is_stop: *is_stop }
            }
            Token::Unit(unit) => Token::Unit(boxed(unit)),
            Token::Pair(pair) => Token::Pair(boxed(pair)),
        }
    }
}

/// Whether a word with the stem `own` matches `form*` by that stem alone.
pub(crate) fn stem_begins(own: &str, form: &str, stem: &str) -> bool {
    own.starts_with(form) || own == stem
}

/// An analyzer with its stemmer and stop words loaded.
pub(crate) struct Analysis {
    stemmer: Option<Stemmer>,
    stop_words: HashSet<&'static str>,
    /// Whether words are split at apostrophes.
    elides: bool,
}

impl Analysis {
    pub(crate) fn new(analyzer: Analyzer) -> Self {
        Analysis {
            stemmer: analyzer.stem.map(|language| Stemmer::create(language.algorithm())),
            stop_words: analyzer.stop_words.map(Language::stop_words).into_iter().flatten().copied().collect(),
            elides: analyzer.stem.or(analyzer.stop_words).is_some_and(Language::elides),
        }
    }

    /// Shows the tokens of a text, in order.
    pub(crate) fn each_token(&self, text: &str, mut show: impl FnMut(Token<&str>)) {
        let text = folded(text);
        if text.is_ascii() {
            return text.unicode_words().for_each(|word| self.show_word(word, &mut show));
        }
        // The character of a script without spaces that ends right here, and a buffer for a pair.
        let (mut before, mut pair) = (None::<&str>, String::new());
        for piece in text.split_word_bounds().flat_map(pieces) {
            if !piece.starts_with(is_unspaced) {
                before = None;
                if piece.contains(|c: char| c.is_alphanumeric() || is_picture(c)) {
                    self.show_word(piece, &mut show);
                }
                continue;
            }
            for unit in piece.graphemes(true) {
                if !unit.contains(char::is_alphanumeric) {
                    before = None;
                    continue;
                }
                let unit = cut(unit);
                show(Token::Unit(unit));
                if let Some(before) = before {
                    pair.clear();
                    pair += before;
                    pair += unit;
                    show(Token::Pair(cut(&pair)));
                }
                before = Some(unit);
            }
        }
    }

    fn show_word(&self, word: &str, show: &mut impl FnMut(Token<&str>)) {
        let parts = word.split(|c| c == '\'' && self.elides).filter(|part| !part.is_empty());
        for form in parts.map(cut) {
            show(Token::Word { stem: &self.stem(form), form, is_stop: self.stop_words.contains(form) });
        }
    }

    /// The stem of a word; without a stemmer the word itself.
    pub(crate) fn stem<'w>(&self, form: &'w str) -> Cow<'w, str> {
        match self.stemmer.as_ref().map(|stemmer| stemmer.stem(form)) {
            Some(Cow::Owned(stem)) if !stem.is_empty() => Cow::Owned(cut(&stem).to_owned()),
            Some(Cow::Borrowed(stem)) if !stem.is_empty() => Cow::Borrowed(cut(stem)),
            _ => Cow::Borrowed(form),
        }
    }

    /// Whether words have stems.
    pub(crate) fn stems(&self) -> bool {
        self.stemmer.is_some()
    }

    /// The tokens of a text, in order.
    pub(crate) fn tokens(&self, text: &str) -> Vec<Token<Box<str>>> {
        let mut tokens = Vec::new();
        self.each_token(text, |token| tokens.push(token.to_boxed()));
        tokens
    }
}

/// Cuts a piece of text wherever a script without spaces begins or ends.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let is_first_unspaced = is_unspaced(text.chars().next()?);
        let end = text.find(|c| is_unspaced(c) != is_first_unspaced).unwrap_or(text.len());
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}

/// The first `MAX_WORD_BYTES` bytes of a word, cut between characters.
fn cut(word: &str) -> &str {
    let ends = (0..=word.len().min(MAX_WORD_BYTES)).rev();
    ends.into_iter().find_map(|end| word.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(analyzer: Analyzer, text: &str) -> Vec<String> {
        analyzer.words(text)
    }

    /// Shows pairs in parentheses, stop words in braces, forms after a colon.
    fn tokens(analyzer: Analyzer, text: &str) -> String {
        let shown = |token: Token<Box<str>>| match token {
            Token::Word { stem, is_stop: true, .. } => format!("{{{stem}}}"),
            Token::Word { stem, form, .. } if stem == form => stem.into(),
            Token::Word { stem, form, .. } => format!("{stem}:{form}"),
            Token::Unit(unit) => unit.into(),
            Token::Pair(pair) => format!("({pair})"),
        };
        Analysis::new(analyzer).tokens(text).into_iter().map(shown).collect::<Vec<_>>().join(" ")
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
            ("🔥, 🔥🔥! 👩\u{200d}💻 🇩🇪🇫🇷", &["🔥", "🔥", "🔥", "👩", "💻", "🇩🇪", "🇫🇷"]),
            ("24\" x 36\"", &["24", "x", "36"]),
            ("צה\"ל", &["צה\"ל"]),
            ("हिन्दी में", &["हिन्दी", "में"]),
        ] {
            assert_eq!(words(Analyzer::new(), text), expected, "{text:?}");
        }
    }

    #[test]
    fn scripts_without_spaces_become_characters_and_pairs() {
        for (text, expected) in [
            ("北", "北"),
            ("北京，大学", "北 京 (北京) 大 学 (大学)"),
            ("东京 塔", "东 京 (东京) 塔"),
            ("ベクトル検索", "ベ ク (ベク) ト (クト) ル (トル) 検 (ル検) 索 (検索)"),
            ("ﾃﾞｰﾀ", "デ ー (デー) タ (ータ)"),
            ("ジョン・スミス", "ジ ョ (ジョ) ン (ョン) ス ミ (スミ) ス (ミス)"),
            ("검색에서", "검 색 (검색) 에 (색에) 서 (에서)"),
            ("AI모델은 2024년", "ai 모 델 (모델) 은 (델은) 2024 년"),
            ("C语言与Rust", "c 语 言 (语言) 与 (言与) rust"),
            ("ไทยที่", "ไ ท (ไท) ย (ทย) ที่ (ยที่)"),
        ] {
            assert_eq!(tokens(Analyzer::new(), text), expected, "{text:?}");
        }
    }

    #[test]
    fn stems_and_stop_words_are_a_language_s() {
        let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
        assert_eq!(words(english, "The indexes were indexing"), ["the", "index", "were", "index"]);
        assert_eq!(tokens(english, "The indexes, AI"), "{the} index:indexes ai");
        assert_eq!(words(Analyzer::new().stem(Language::German), "Häuser der Haus"), ["haus", "der", "haus"]);
        let french = Analyzer::new().stem(Language::French).stop_words(Language::French);
        assert_eq!(tokens(french, "L’homme d'État"), "{l} homm:homme {d} état");
        assert_eq!(words(Analyzer::new().stop_words(Language::Italian), "dell'università"), ["dell", "università"]);
        for language in Language::ALL {
            let analyzer = Analyzer::new().stem(*language).stop_words(*language);
            let (n, has) = (Analysis::new(analyzer).stop_words.len(), language.has_stop_words());
            assert!(if has { (90..330).contains(&n) } else { n == 0 }, "{language:?}: {n}");
            assert_eq!(words(analyzer, "zyzzyvaq 42"), words(analyzer, "ZYZZYVAQ 42"), "{language:?}");
        }
        let without = Language::ALL.iter().filter(|language| !language.has_stop_words());
        assert_eq!(
            without.map(|language| format!("{language:?}")).collect::<Vec<_>>().join(" "),
            "Arabic Greek Romanian Turkish"
        );
    }

    #[test]
    fn words_that_matter_are_no_stop_words() {
        let english = Analysis::new(Analyzer::new().stop_words(Language::English));
        let text = "ai ml go js fix test system information home page web site order number value index computer work \
                    problem file open help desk state world group case fact area large small great";
        assert!(text.split(' ').all(|word| !english.stop_words.contains(word)));
    }

    #[test]
    fn a_long_word_is_cut_between_characters() {
        let word = format!("a{}", "é".repeat(40));
        let expected = format!("a{}", "é".repeat(31));
        assert_eq!(words(Analyzer::new(), &word), [expected]);
        // The word is cut before it is reduced to its stem.
        let stems = |word: String| words(Analyzer::new().stem(Language::English), &word);
        assert_eq!(stems("ba".repeat(30) + "ing"), ["ba".repeat(30)]);
        assert_eq!(stems("ba".repeat(31) + "ing"), ["ba".repeat(31) + "in"]);
    }
}
