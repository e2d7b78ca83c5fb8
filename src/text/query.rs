//! Parses full-text queries: words, phrases in quotation marks, and beginnings with an asterisk.

use super::analyzer::{Analysis, Token};
use super::fold::is_unspaced;

/// A parsed query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) items: Vec<QueryItem>,
}

/// A part of a query, which a text may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QueryItem {
    Word(Box<str>),
    /// A text must have it to be a hit.
    Phrase(Phrase),
    /// Any word that begins with `form`, and any that has the stem `stem`.
    Beginning {
        form: Box<str>,
        stem: Box<str>,
    },
}

/// One or more words in order. A text may have up to `MOST_BETWEEN` stop words between two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    in_order: Vec<Box<str>>,
    /// The indexed words by which texts with the phrase are found.
    pub(crate) words: Vec<Box<str>>,
}

/// Most stop words that a text may have between two words of a phrase.
const MOST_BETWEEN: usize = 8;

impl Parsed {
    /// Parses a query: text in quotation marks is a phrase, and `word*` is a beginning. Stop words
    /// count only if the query has nothing else.
    pub(crate) fn new(analysis: &Analysis, text: &str) -> Self {
        let (mut items, mut stop_words) = (Vec::new(), Vec::new());
        for part in parts(text) {
            match part {
                QueryPart::Quoted(text) => items.extend(Phrase::new(analysis.tokens(text)).map(QueryItem::Phrase)),
                QueryPart::Plain(text) => {
                    for piece in text.split_whitespace() {
                        let (tokens, beginning) = read(analysis, piece);
                        for (word, is_stop) in words_of(tokens) {
                            let words = if is_stop { &mut stop_words } else { &mut items };
                            words.push(QueryItem::Word(word));
                        }
                        items.extend(beginning);
                    }
                }
            }
        }
        Parsed { items: if items.is_empty() { stop_words } else { items } }
    }

    /// The phrases.
    pub(crate) fn phrases(&self) -> impl Iterator<Item = &Phrase> {
        self.items.iter().filter_map(|item| match item {
            QueryItem::Phrase(phrase) => Some(phrase),
            QueryItem::Word(_) | QueryItem::Beginning { .. } => None,
        })
    }

    /// Whether a text must be read to know whether it has the query's phrases.
    pub(crate) fn has_long_phrases(&self) -> bool {
        self.phrases().any(|phrase| phrase.in_order.len() > 1)
    }

    /// Whether texts have everything that the query asks for. An empty query matches nothing.
    pub(crate) fn is_all_in(&self, texts: &[Vec<Token<Box<str>>>]) -> bool {
        !self.items.is_empty() && self.items.iter().all(|item| item.is_in(texts))
    }

    /// Whether texts that have all words of the phrases have the phrases too.
    pub(crate) fn has_phrases_in(&self, texts: &[Vec<Token<Box<str>>>]) -> bool {
        self.phrases().all(|phrase| phrase.is_in(texts))
    }
}

impl QueryItem {
    fn is_in(&self, texts: &[Vec<Token<Box<str>>>]) -> bool {
        let has = |is: &dyn Fn(&Token<Box<str>>) -> bool| texts.iter().flatten().any(is);
        match self {
            QueryItem::Word(word) => has(&|token| token.is(word)),
            QueryItem::Phrase(phrase) => {
                phrase.words.iter().all(|word| has(&|token| token.is(word))) && phrase.is_in(texts)
            }
            QueryItem::Beginning { form, stem } => has(&|token| token.begins(form, stem)),
        }
    }
}

impl Phrase {
    fn new(tokens: Vec<Token<Box<str>>>) -> Option<Self> {
        let in_order: Vec<_> = tokens.iter().filter_map(Token::in_order).map(|(word, _)| word.into()).collect();
        let words = words_of(tokens).into_iter().map(|(word, _)| word).collect();
        (!in_order.is_empty()).then_some(Phrase { in_order, words })
    }

    fn is_in(&self, texts: &[Vec<Token<Box<str>>>]) -> bool {
        texts.iter().any(|text| {
            let text: Vec<_> = text.iter().filter_map(Token::in_order).collect();
            (0..text.len()).any(|at| self.is_at_the_beginning_of(&text[at..]))
        })
    }

    fn is_at_the_beginning_of(&self, text: &[(&str, bool)]) -> bool {
        let mut rest = text;
        self.in_order.iter().enumerate().all(|(n, wanted)| {
            let most_between = if n == 0 { 0 } else { MOST_BETWEEN };
            let between = rest.iter().take(most_between).take_while(|(word, is_stop)| *is_stop && *word != &**wanted);
            let at = between.count();
            let is_there = rest.get(at).is_some_and(|(word, _)| *word == &**wanted);
            rest = rest.get(at + 1..).unwrap_or_default();
            is_there
        })
    }
}

/// A piece of a query.
#[derive(Debug, PartialEq, Eq)]
enum QueryPart<'q> {
    Quoted(&'q str),
    Plain(&'q str),
}

/// Splits a query at its quotations. A quotation mark opens a quotation where no word ends, and
/// closes one where no word begins. Any other is punctuation, such as that of `24"` or one without
/// a counterpart.
fn parts(text: &str) -> Vec<QueryPart<'_>> {
    let is_of_word = |c: char| c.is_alphanumeric() && !is_unspaced(c);
    let (mut parts, mut done, mut open) = (Vec::new(), 0, None);
    for (at, _) in text.match_indices('"') {
        let (inside, after) = (at + 1, &text[at + 1..]);
        match open {
            Some(begins) if !after.starts_with(is_of_word) => {
                parts.push(QueryPart::Plain(&text[done..begins - 1]));
                parts.push(QueryPart::Quoted(&text[begins..at]));
                (done, open) = (inside, None);
            }
            _ if !text[done..at].ends_with(is_of_word) => open = Some(inside),
            _ => {}
        }
    }
    parts.push(QueryPart::Plain(&text[done..]));
    parts
}

/// The tokens of a piece of a query without spaces, except for the beginning that it may end with.
fn read(analysis: &Analysis, piece: &str) -> (Vec<Token<Box<str>>>, Option<QueryItem>) {
    let is_beginning = piece.trim_end_matches(|c: char| c.is_ascii_punctuation() && c != '*').ends_with('*');
    let mut tokens = analysis.tokens(piece);
    // Characters and pairs need no beginning: they find every text that has them.
    match tokens.pop_if(|token| is_beginning && matches!(token, Token::Word { .. })) {
        Some(Token::Word { stem, form, .. }) => (tokens, Some(QueryItem::Beginning { form, stem })),
        _ => (tokens, None),
    }
}

/// The indexed words by which a text is found, and whether each is a stop word. Pairs replace the
/// characters in them.
fn words_of(tokens: Vec<Token<Box<str>>>) -> Vec<(Box<str>, bool)> {
    let mut words: Vec<Token<Box<str>>> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if matches!(token, Token::Pair(_)) {
            // The pair replaces its second character, and its first one if no pair has replaced it.
            words.pop();
            words.pop_if(|token| matches!(token, Token::Unit(_)));
        }
        words.push(token);
    }
    let word = |token| match token {
        Token::Word { stem, is_stop, .. } => (stem, is_stop),
        Token::Unit(word) | Token::Pair(word) => (word, false),
    };
    words.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::analyzer::{Analyzer, Language};

    /// Shows phrases in quotation marks, and beginnings with an asterisk.
    #[track_caller]
    fn check(analyzer: Analyzer, text: &str, expected: &str) {
        let shown = |item: QueryItem| match item {
            QueryItem::Word(word) => word.into(),
            QueryItem::Phrase(phrase) => format!("\"{}\"", phrase.words.join(" ")),
            QueryItem::Beginning { form, stem } if form == stem => format!("{form}*"),
            QueryItem::Beginning { form, stem } => format!("{form}*{stem}"),
        };
        let items = Parsed::new(&Analysis::new(analyzer), text).items;
        assert_eq!(items.into_iter().map(shown).collect::<Vec<_>>().join(" "), expected, "{text:?}");
    }

    fn english() -> Analyzer {
        Analyzer::new().stem(Language::English).stop_words(Language::English)
    }

    #[test]
    fn queries_are_words_phrases_and_beginnings() {
        for (text, expected) in [
            ("", ""),
            ("* \"\" \"!\" ?*", ""),
            ("Big RED", "big red"),
            ("a \"b c\" d", "a \"b c\" d"),
            ("a,\"b c\".d (\"e f\")", "a \"b c\" d \"e f\""),
            ("Pre* x-Y*", "pre* x y*"),
            ("index*, (rust*) a*!", "index* rust* a*"),
            ("a*b", "a b"),
            ("北京* 日本語", "北京 日本 本語"),
            ("C语言 语", "c 语言 语"),
            ("东京塔 京都x 都", "东京 京塔 京都 x 都"),
            ("我们\"北京大学\"学习", "我们 \"北京 京大 大学\" 学习"),
            ("🔥 🔥*", "🔥 🔥*"),
        ] {
            check(Analyzer::new(), text, expected);
        }
        check(english(), "indexes organiz*", "index organiz*");
        check(english(), "indexing* \"the indexes\"", "indexing*index \"the index\"");
    }

    #[test]
    fn a_quotation_mark_that_quotes_nothing_is_punctuation() {
        for (text, expected) in [
            ("24\" monitor", "24 monitor"),
            ("24\" or 27\" monitor", "24 or 27 monitor"),
            ("\"24\" monitor", "\"24\" monitor"),
            ("a 24\" \"wide monitor\"", "a 24 \"wide monitor\""),
            ("\"a 24\" monitor\"", "\"a 24\" monitor"),
            ("what does \"borrow mean", "what does borrow mean"),
            ("what \"does \"borrow mean\"", "what does \"borrow mean\""),
            ("\"one\" \"not closed", "\"one\" not closed"),
            ("say\"hello\"now", "say hello now"),
            ("\"", ""),
            ("\"\"\"", ""),
            ("\" a", "a"),
            ("a \"", "a"),
            ("a\"*", "a*"),
            ("צה\"ל", "צה\"ל"),
        ] {
            check(Analyzer::new(), text, expected);
        }
    }

    #[test]
    fn stop_words_count_where_nothing_else_is_asked_for() {
        for (text, expected) in [
            ("IT help", "help"),
            ("it", "it"),
            ("the who", "the who"),
            ("to be or not to be", "to be or not to be"),
            ("the who*", "who*"),
            ("the \"who\"", "\"who\""),
            ("the \"who is\" here", "\"who is\""),
            ("the 北京", "北京"),
        ] {
            check(english().stop_words(Language::English), text, expected);
        }
        check(Analyzer::new(), "the index", "the index");
        check(Analyzer::new().stop_words(Language::Turkish), "ve the", "ve the");
    }

    #[track_caller]
    fn check_all_in(analyzer: Analyzer, texts: &[&str], query: &str, expected: bool) {
        let analysis = Analysis::new(analyzer);
        let texts: Vec<_> = texts.iter().map(|text| analysis.tokens(text)).collect();
        assert_eq!(Parsed::new(&analysis, query).is_all_in(&texts), expected, "{query}");
    }

    #[test]
    fn a_text_has_all_or_not() {
        let texts = ["the quick brown fox", "jumps over"];
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
            check_all_in(Analyzer::new(), &texts, query, all);
        }
    }

    #[test]
    fn phrases_are_in_order_but_for_stop_words_of_the_text() {
        let texts = ["the indexes were being built by the bank of America; vitamin C", "我们在北京大学学习，京都"];
        for (query, all) in [
            ("\"index built\"", true),
            ("\"indexing was built\"", false),
            ("\"indexes were built\"", true),
            ("\"index bank\"", false),
            ("\"bank of america\"", true),
            ("\"bank america\"", true),
            ("\"bank in america\"", false),
            ("\"vitamin a\"", false),
            ("\"the indexes were being built by the bank\"", true),
            ("\"by the\"", true),
            ("\"the by\"", false),
            ("\"北京大学\"", true),
            ("\"北京 大学\"", true),
            ("\"北大\"", false),
            ("\"京大学\" 京都", true),
            ("北京都", true),
            ("\"北京都\"", false),
            ("京北", false),
        ] {
            check_all_in(english(), &texts, query, all);
        }
        let many = format!("fast {} cars", "and ".repeat(MOST_BETWEEN));
        check_all_in(english(), &[&many], "\"fast cars\"", true);
        check_all_in(english(), &[&many.replacen("and", "and and", 1)], "\"fast cars\"", false);
        check_all_in(Analyzer::new(), &["fast and cars"], "\"fast cars\"", false);
    }

    #[test]
    fn beginnings_are_of_forms_and_of_stems() {
        let texts = ["generalization of organizations, indexing twice"];
        for (query, all) in [
            ("organiz*", true),
            ("organizations*", true),
            ("organizing*", true),
            ("organizationz*", false),
            ("indexing* index* indexed*", true),
            ("generali*", true),
            ("izations*", false),
        ] {
            check_all_in(english(), &texts, query, all);
        }
        check_all_in(Analyzer::new(), &texts, "indexed*", false);
        check_all_in(Analyzer::new(), &texts, "organiz*", true);
    }
}
