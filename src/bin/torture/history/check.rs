//! Comparing an answer with the twin at one commit. `hits` compares searches.

use std::fmt::Debug;

use vectrove::{Cursor, Error, ErrorKind, FacetCount, Page, StoredDocument};

use super::condition::Condition;
use super::document::{id_of, in_id_order, index_of, place_of};
use super::hits;
use super::question::{Field, Ordered, Question, Search, Wanted};
use super::source::Answer;
use super::twin::{Documents, Lifetime, NAMESPACES, Replica};

/// The error in an answer.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) expected: String,
    pub(super) got: String,
}

pub(super) type Verdict = Result<(), Complaint>;

/// A complaint that shows the expected and the actual value.
pub(super) fn complain<T>(expected: impl Debug, got: impl Debug) -> Result<T, Complaint> {
    Err(Complaint { expected: format!("{expected:#?}"), got: format!("{got:#?}") })
}

/// Complains unless two things are equal.
pub(super) fn expect<T: PartialEq + Debug>(what: &str, expected: T, got: T) -> Verdict {
    match expected == got {
        true => Ok(()),
        false => Err(Complaint { expected: format!("{what}: {expected:?}"), got: format!("{got:?}") }),
    }
}

/// The state that an answer is compared with: one namespace of a collection at one commit.
pub(super) struct Scene<'s> {
    pub(super) lifetime: &'s Lifetime,
    pub(super) replica: &'s Replica,
    pub(super) namespace: usize,
}

impl<'s> Scene<'s> {
    pub(super) fn documents(&self) -> &'s Documents {
        self.replica.documents(self.namespace)
    }

    /// Whether the answer, or the error, is the right one for the commit.
    pub(super) fn check(&self, question: &Question, answer: &Result<Answer, Error>) -> Verdict {
        match answer {
            Ok(answer) => self.check_answer(question, answer),
            Err(error) => self.check_error(question, error),
        }
    }

    fn check_error(&self, question: &Question, error: &Error) -> Verdict {
        let is_legitimate = match error.kind() {
            ErrorKind::NotFound if is_of_document(error) => {
                matches!(question, Question::Search(search) if self.lacks_example(search))
            }
            ErrorKind::NotFound => self.lifetime.is_dropping(),
            _ => false,
        };
        match is_legitimate {
            true => Ok(()),
            false => complain("an answer", error),
        }
    }

    /// Whether an example document does not exist.
    fn lacks_example(&self, search: &Search) -> bool {
        let documents = self.documents();
        search.wanted.iter().any(|wanted| match wanted {
            Wanted::Examples { positive, negative } => {
                positive.iter().chain(negative).any(|index| documents.get(*index).is_none())
            }
            _ => false,
        })
    }

    fn check_answer(&self, question: &Question, answer: &Answer) -> Verdict {
        let documents = self.documents();
        match (question, answer) {
            (Question::Get { index }, Answer::Documents(read)) => check_read(documents, &[*index], read),
            (Question::GetMany { indexes }, Answer::Documents(read)) => check_read(documents, indexes, read),
            (Question::Contains { index }, Answer::Flag(got)) => {
                expect("whether it exists", documents.get(*index).is_some(), *got)
            }
            (Question::Count { condition }, Answer::Number(got)) => {
                expect("documents", documents.count(condition), *got)
            }
            (Question::Facet { field, condition, limit }, Answer::Facets(got)) => {
                check_facets(documents, *field, condition, *limit, got)
            }
            (Question::Scroll { condition, after, limit, with_vector }, Answer::Page(page)) => {
                check_page(documents, condition, *after, *limit, *with_vector, page)
            }
            (Question::Ordered(ordered), Answer::Page(page)) => check_ordered(documents, ordered, page),
            (Question::Sample { n, condition, with_vector }, Answer::Sampled(sampled)) => {
                check_sample(documents, *n, condition, *with_vector, sampled)
            }
            (Question::Namespaces, Answer::Names(got)) => {
                let inhabited = (1..NAMESPACES.len()).filter(|namespace| self.replica.documents(*namespace).len() > 0);
                expect("namespaces", inhabited.map(|namespace| NAMESPACES[namespace].to_owned()).collect(), got.clone())
            }
            (Question::Search(search), Answer::Hits(all)) => hits::check(self, search, all),
            (question, answer) => complain(question, answer),
        }
    }
}

/// Whether an error says that a document does not exist.
fn is_of_document(error: &Error) -> bool {
    match error {
        Error::DocumentNotFound { .. } => true,
        Error::InQuery { source, .. } => is_of_document(source),
        _ => false,
    }
}

/// The document that was read, if the twin has it too.
fn check_document(documents: &Documents, index: u32, read: &StoredDocument, with_vector: bool) -> Verdict {
    match documents.get(index) {
        Some(stored) if read.id == id_of(index) && stored.is_read_as(read, with_vector) => Ok(()),
        stored => complain(stored, read),
    }
}

fn check_read(documents: &Documents, indexes: &[u32], read: &[Option<StoredDocument>]) -> Verdict {
    expect("documents", indexes.len(), read.len())?;
    indexes.iter().zip(read).try_for_each(|(&index, read)| match read {
        Some(read) => check_document(documents, index, read, true),
        None => expect("a document", documents.get(index).is_some(), false),
    })
}

fn check_facets(
    documents: &Documents,
    field: Field,
    condition: &Condition,
    limit: usize,
    got: &[FacetCount],
) -> Verdict {
    let mut counts = [0usize; 256];
    for (_, stored) in documents.iter().filter(|(_, stored)| condition.matches(stored)) {
        let values = field.of(stored);
        for (place, value) in values.iter().enumerate() {
            // A repeated element counts once.
            counts[usize::from(*value)] += usize::from(!values[..place].contains(value));
        }
    }
    let mut expected: Vec<(usize, u8)> = (0..=u8::MAX).map(|value| (counts[usize::from(value)], value)).collect();
    expected.retain(|(n, _)| *n > 0);
    expected.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    expected.truncate(limit);
    let is_same =
        |((n, value), got): (&(usize, u8), &FacetCount)| *n == got.n_documents && field.value(*value) == got.value;
    match expected.len() == got.len() && expected.iter().zip(got).all(is_same) {
        true => Ok(()),
        false => complain(expected, got),
    }
}

fn check_page(
    documents: &Documents,
    condition: &Condition,
    after: Option<u32>,
    limit: usize,
    with_vector: bool,
    page: &Page,
) -> Verdict {
    let after = after.map(place_of);
    let matches = |index: &u32| documents.get(*index).is_some_and(|stored| condition.matches(stored));
    let expected = in_id_order(documents.bound()).filter(|index| after.is_none_or(|after| place_of(*index) > after));
    let mut expected: Vec<u32> = expected.filter(matches).take(limit + 1).collect();
    let is_more = expected.len() > limit;
    expected.truncate(limit);
    check_documents(documents, &expected, with_vector, &page.documents)?;
    let next = expected.last().filter(|_| is_more).map(|last| Cursor::after(id_of(*last)));
    expect("the next page", next, page.next.clone())
}

/// Whether these documents were read, in this order, and no others.
fn check_documents(documents: &Documents, expected: &[u32], with_vector: bool, read: &[StoredDocument]) -> Verdict {
    if read.len() != expected.len() || read.iter().zip(expected).any(|(read, index)| read.id != id_of(*index)) {
        let expected: Vec<_> = expected.iter().map(|index| id_of(*index)).collect();
        let got: Vec<_> = read.iter().map(|read| &read.id).collect();
        return Err(Complaint { expected: format!("{expected:?}"), got: format!("{got:?}") });
    }
    expected.iter().zip(read).try_for_each(|(index, read)| check_document(documents, *index, read, with_vector))
}

fn check_ordered(documents: &Documents, ordered: &Ordered, page: &Page) -> Verdict {
    let Ordered { field, is_descending, condition, after, limit } = ordered;
    let key = |values: &[u8]| match is_descending {
        true => values.iter().copied().max(),
        false => values.iter().copied().min(),
    };
    let matching = documents.iter().filter(|(_, stored)| condition.matches(stored));
    let mut expected: Vec<(u8, (u8, u32))> =
        matching.filter_map(|(index, stored)| Some((key(field.of(stored))?, place_of(index)))).collect();
    expected.sort_unstable();
    if *is_descending {
        expected.reverse();
    }
    if let Some((_, value, index)) = after {
        let last = (*value, place_of(*index));
        expected.retain(|place| if *is_descending { *place < last } else { *place > last });
    }
    let is_more = expected.len() > *limit;
    let expected: Vec<u32> = expected.into_iter().take(*limit).map(|(_, (_, index))| index).collect();
    check_documents(documents, &expected, false, &page.documents)?;
    let next = expected.last().filter(|_| is_more).map(|last| id_of(*last));
    expect("the next page", next.as_ref(), page.next.as_ref().map(Cursor::id))
}

fn check_sample(
    documents: &Documents,
    n: usize,
    condition: &Condition,
    with_vector: bool,
    sampled: &[StoredDocument],
) -> Verdict {
    expect("documents drawn", documents.count(condition).min(n), sampled.len())?;
    let mut indexes = Vec::with_capacity(sampled.len());
    for read in sampled {
        match index_of(&read.id).and_then(|index| Some((index, documents.get(index)?))) {
            Some((index, stored)) if condition.matches(stored) && stored.is_read_as(read, with_vector) => {
                indexes.push(index);
            }
            found => return complain(found, read),
        }
    }
    expect_distinct(indexes)
}

/// Complains of repeated documents.
pub(super) fn expect_distinct(mut indexes: Vec<u32>) -> Verdict {
    indexes.sort_unstable();
    match indexes.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => complain("no document twice", id_of(pair[0])),
    }
}
