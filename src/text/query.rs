//! What is asked for in words: single ones, phrases in quotation marks, and beginnings of words with an asterisk.

use super::analyzer::Analysis;

/// A query in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) items: Vec<Item>,
}

/// Something that a text may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Word(Box<str>),
    /// One word or more, one after the other. A text must have it.
    Phrase(Vec<Box<str>>),
    /// Any word that begins so.
    Beginning(Box<str>),
}

impl Parsed {
    /// What stands between quotation marks is a phrase, the last one need not be closed; `word*` is a beginning.
    pub(crate) fn new(analysis: &Analysis, text: &str) -> Self {
        let mut items = Vec::new();
        for (number, part) in text.split('"').enumerate() {
            if number % 2 == 1 {
                let words = analysis.words(part);
                if !words.is_empty() {
                    items.push(Item::Phrase(words));
                }
                continue;
            }
            for piece in part.split_whitespace() {
                match piece.strip_suffix('*') {
                    Some(piece) => {
                        let (words, beginning) = analysis.words_and_beginning(piece);
                        items.extend(words.into_iter().map(Item::Word));
                        items.extend(beginning.map(Item::Beginning));
                    }
                    None => items.extend(analysis.words(piece).into_iter().map(Item::Word)),
                }
            }
        }
        Parsed { items }
    }

    /// The phrases.
    pub(crate) fn phrases(&self) -> impl Iterator<Item = &[Box<str>]> {
        self.items.iter().filter_map(|item| match item {
            Item::Phrase(words) => Some(&**words),
            Item::Word(_) | Item::Beginning(_) => None,
        })
    }

    /// Whether it takes a look at texts to know whether they have its phrases.
    pub(crate) fn has_long_phrases(&self) -> bool {
        self.phrases().any(|phrase| phrase.len() > 1)
    }

    /// Whether texts, each as its words in order, have everything that is asked for. Without anything they do not.
    pub(crate) fn is_all_in(&self, texts: &[Vec<Box<str>>]) -> bool {
        !self.items.is_empty() && self.items.iter().all(|item| texts.iter().any(|words| item.is_in(words)))
    }

    /// Whether texts have all of its phrases.
    pub(crate) fn has_phrases_in(&self, texts: &[Vec<Box<str>>]) -> bool {
        self.phrases().all(|phrase| texts.iter().any(|words| has_phrase(words, phrase)))
    }
}

impl Item {
    fn is_in(&self, words: &[Box<str>]) -> bool {
        match self {
            Item::Word(wanted) => words.contains(wanted),
            Item::Phrase(wanted) => has_phrase(words, wanted),
            Item::Beginning(wanted) => words.iter().any(|word| word.starts_with(&**wanted)),
        }
    }
}

fn has_phrase(words: &[Box<str>], phrase: &[Box<str>]) -> bool {
    words.windows(phrase.len()).any(|window| window == phrase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::analyzer::{Analyzer, Language};

    fn parse(text: &str) -> Vec<Item> {
        Parsed::new(&Analysis::new(Analyzer::new()), text).items
    }

    fn word(word: &str) -> Item {
        Item::Word(word.into())
    }

    #[test]
    fn queries_are_words_phrases_and_beginnings() {
        let phrase = |words: &[&str]| Item::Phrase(words.iter().map(|word| (*word).into()).collect());
        let beginning = |word: &str| Item::Beginning(word.into());
        for (text, expected) in [
            ("", vec![]),
            ("* \"\" \"!\" ?*", vec![]),
            ("Big RED", vec![word("big"), word("red")]),
            ("a \"b c\" d", vec![word("a"), phrase(&["b", "c"]), word("d")]),
            ("\"one\" \"not closed", vec![phrase(&["one"]), phrase(&["not", "closed"])]),
            ("Pre* x-Y*", vec![beginning("pre"), word("x"), beginning("y")]),
            ("a*b", vec![word("a"), word("b")]),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        let english = Analysis::new(Analyzer::new().stem(Language::English).stop_words(Language::English));
        assert_eq!(Parsed::new(&english, "the indexes ind*").items, [word("index"), beginning("ind")]);
    }

    #[test]
    fn a_text_has_all_or_not() {
        let analysis = Analysis::new(Analyzer::new());
        let texts = [analysis.words("the quick brown fox"), analysis.words("jumps over")];
        for (query, all) in [
            ("fox quick", true),
            ("fox jumps", true),
            ("fox cat", false),
            ("\"quick brown\" over", true),
            ("\"brown quick\"", false),
            ("\"fox jumps\"", false),
            ("qu* ju*", true),
            ("x*", false),
            ("", false),
        ] {
            assert_eq!(Parsed::new(&analysis, query).is_all_in(&texts), all, "{query}");
        }
    }
}
