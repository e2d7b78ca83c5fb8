//! Readers: threads that ask, and compare each answer with their own replica of the twin.
//!
//! A search names the commit of its answer. Another answer must be right at some commit between two
//! that were looked up before and after it. Several questions are asked before the first answer is
//! checked, so that readers wait for writes in progress only once.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::time::{Duration, Instant};

use vectrove::{Collection, Error, Namespace};

use super::check::{Complaint, Scene};
use super::condition::Condition;
use super::document::{TAGS, index_of};
use super::kind::Kind;
use super::question::{Field, Ordered, Question};
use super::round::{Round, Site};
use super::source::{Answer, Source};
use super::twin::{NAMESPACES, NOBODY, Replica};
use crate::rng::Rng;

/// Questions that are asked before the first answer is checked.
const AT_ONCE: usize = 12;
/// Such questions, where each takes long.
const AT_ONCE_OF_MANY: usize = 2;
/// Such questions to one snapshot, whose state is already replayed.
const AT_ONCE_OF_SNAPSHOT: usize = 24;
/// Snapshots that a reader holds.
const MOST_HELD: usize = 3;
/// Lines of the expected and of the actual answer that a violation shows.
const MOST_LINES: usize = 20;

/// The commits between which an answer was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A question that was answered and is still to be checked.
struct Asked {
    kind: Kind,
    namespace: usize,
    question: Question,
    answer: Result<Answer, Error>,
    moment: Moment,
}

/// One reader.
pub(super) struct Reader<'r> {
    round: &'r Round<'r>,
    thread: usize,
    rng: Rng,
    /// By the numbers of lifetimes.
    replicas: HashMap<u64, Replica>,
    counts: BTreeMap<Kind, u64>,
    held: Vec<Held>,
}

/// A snapshot that is kept, and the twin's state at its commit.
struct Held {
    site: Site,
    namespace: usize,
    source: Source,
    commit: u64,
    replica: Replica,
    until: Instant,
}

impl<'r> Reader<'r> {
    pub(super) fn new(round: &'r Round<'r>, thread: usize) -> Self {
        let rng = Rng::of(&[round.findings.seed, round.number, thread as u64]);
        Reader { round, thread, rng, replicas: HashMap::new(), counts: BTreeMap::new(), held: Vec::new() }
    }

    /// Asks until the round ends. While exact vectors are loaded, readers with `asks_loading` ask
    /// only about loading.
    pub(super) fn run(mut self, asks_loading: bool) {
        let percent = if asks_loading { 100 } else { 0 };
        while !self.round.is_over() {
            self.round.beat(self.thread);
            if self.round.kinds == [Kind::Copy] {
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if asks_loading && self.round.is_loading() {
                // The thread that loads has a lower priority than readers.
                std::thread::sleep(Duration::from_millis(self.rng.below(60)));
            }
            let Some(site) = self.round.draw_site(&mut self.rng, percent) else { continue };
            if self.round.kinds != [Kind::Snapshot] {
                self.ask_some(&site, None);
            }
            if self.round.kinds.contains(&Kind::Snapshot) {
                self.ask_snapshots(&site);
            }
        }
    }

    pub(super) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// Asks a collection some questions and checks the answers. `fixed` is the commit of all
    /// answers, if known.
    pub(super) fn ask_some(&mut self, site: &Site, fixed: Option<u64>) {
        let asked = self.gather(site, fixed);
        self.round.progress.wait();
        let mut replica = self.replicas.remove(&site.lifetime.number).unwrap_or_else(|| site.lifetime.replica());
        for asked in asked {
            self.check(site, &mut replica, asked);
        }
        self.replicas.insert(site.lifetime.number, replica);
    }

    /// Asks the kept snapshots, and now and then takes another one of a collection.
    fn ask_snapshots(&mut self, site: &Site) {
        if self.held.len() < MOST_HELD && self.rng.chance(20) && !site.lifetime.is_large() {
            let held = self.hold(site);
            self.held.extend(held);
        }
        self.held.retain(|held| held.until > Instant::now());
        if self.held.is_empty() {
            return;
        }
        let mut held = self.held.swap_remove(self.rng.below(self.held.len() as u64) as usize);
        // A snapshot does not list namespaces.
        let kinds = Kind::ALL.map(|(kind, ..)| kind).into_iter().filter(|kind| *kind != Kind::Namespaces);
        let kinds: Vec<Kind> = kinds.collect();
        for _ in 0..AT_ONCE_OF_SNAPSHOT {
            let kind = Kind::draw(&mut self.rng, &kinds);
            let question = Question::draw(&mut self.rng, kind, &held.site.lifetime, held.namespace);
            let answer = held.source.ask(&held.site.collection, &question);
            let moment = Moment { from: held.commit, to: held.commit };
            let asked = Asked { kind: Kind::Snapshot, namespace: held.namespace, question, answer, moment };
            self.check(&held.site, &mut held.replica, asked);
        }
        self.held.push(held);
    }

    /// Takes a snapshot.
    fn hold(&mut self, site: &Site) -> Option<Held> {
        let namespace = self.rng.below(NAMESPACES.len() as u64 + 1) as usize;
        let Source::Namespace(place) = source_of(&site.collection, namespace)? else { return None };
        let snapshot = place.snapshot().ok()?;
        let commit = snapshot.commit().0;
        self.round.progress.wait();
        let replica = self.replicas.entry(site.lifetime.number).or_insert_with(|| site.lifetime.replica());
        replica.advance(&site.lifetime, commit);
        let (replica, source) = (replica.clone(), Source::Snapshot(snapshot));
        let until = Instant::now() + Duration::from_millis(self.rng.between(50, 3_000));
        Some(Held { site: site.clone(), namespace, source, commit, replica, until })
    }

    /// Asks some questions. Answers given after the collection was dropped are left out.
    fn gather(&mut self, site: &Site, fixed: Option<u64>) -> Vec<Asked> {
        let n = if site.lifetime.is_large() { AT_ONCE_OF_MANY } else { AT_ONCE };
        let (mut asked, mut next) = (Vec::with_capacity(n), None);
        let Some(mut from) = fixed.or_else(|| commit_of(&site.collection)) else { return asked };
        while asked.len() < n {
            let (kind, namespace, question) = next.take().unwrap_or_else(|| self.draw(site));
            let Some(source) = source_of(&site.collection, namespace) else { break };
            let answer = source.ask(&site.collection, &question);
            let Some(to) = fixed.or_else(|| commit_of(&site.collection)) else { break };
            if let Ok(answer) = &answer
                && self.rng.chance(70)
            {
                next = follow_up(&question, answer).map(|question| (kind, namespace, question));
            }
            asked.push(Asked { kind, namespace, question, answer, moment: Moment { from, to } });
            from = to;
        }
        asked
    }

    /// Compares all documents of a collection with the twin, while no thread writes to it. `fixed`,
    /// if given, is the commit that it stays at, and the kind that the questions count for.
    pub(super) fn compare_all(&mut self, site: &Site, fixed: Option<(Kind, u64)>) {
        let commit = fixed.map(|(_, commit)| commit);
        let Some(from) = commit.or_else(|| commit_of(&site.collection)) else { return };
        let mut replica = site.lifetime.replica();
        for namespace in 0..=NAMESPACES.len() {
            let Some(source) = source_of(&site.collection, namespace) else { return };
            let (condition, limit) = (Condition::Everything, usize::MAX - 1);
            let scroll = Question::Scroll { condition: condition.clone(), after: None, limit, with_vector: true };
            let all = [
                (Kind::Scroll, scroll),
                (Kind::Count, Question::Count { condition }),
                (Kind::Namespaces, Question::Namespaces),
            ];
            for (kind, question) in all {
                let answer = source.ask(&site.collection, &question);
                // Indexes may still be built, each piece in a commit of its own.
                let Some(to) = commit.or_else(|| commit_of(&site.collection)) else { return };
                let (kind, moment) = (fixed.map_or(kind, |(kind, _)| kind), Moment { from, to });
                self.check(site, &mut replica, Asked { kind, namespace, question, answer, moment });
            }
        }
    }

    fn draw(&mut self, site: &Site) -> (Kind, usize, Question) {
        let (rng, lifetime) = (&mut self.rng, &site.lifetime);
        let kind = match lifetime.is_large() {
            true => self.round.draw_simple(rng),
            false => Kind::draw(rng, self.round.kinds),
        };
        let namespace = match rng.below(100) {
            0..5 => NAMESPACES.len(),
            5..45 => rng.pick_some(&lifetime.inhabited()).unwrap_or_default(),
            _ => rng.below(NAMESPACES.len() as u64) as usize,
        };
        let namespace = if lifetime.is_large() { 0 } else { namespace };
        (kind, namespace, Question::draw(rng, kind, lifetime, namespace))
    }

    fn check(&mut self, site: &Site, replica: &mut Replica, asked: Asked) {
        let Asked { kind, namespace, question, answer, mut moment } = asked;
        *self.counts.entry(kind).or_default() += answer.as_ref().map_or(1, Answer::n_answers);
        let lifetime = &*site.lifetime;
        if let Some(commit) = answer.as_ref().ok().and_then(Answer::commit) {
            if !(moment.from..=moment.to).contains(&commit) {
                let complaint = Complaint { expected: format!("a commit of {moment:?}"), got: commit.to_string() };
                self.report(site, namespace, &question, moment, kind, &complaint);
            }
            moment = Moment { from: commit, to: commit };
        }
        replica.advance(lifetime, moment.from);
        let mut first = None;
        loop {
            let verdict = Scene { lifetime, replica, namespace }.check(&question, &answer);
            let Err(complaint) = verdict else { return };
            first.get_or_insert(complaint);
            if !replica.step(lifetime, moment.to) {
                break;
            }
        }
        if let Some(complaint) = first {
            self.report(site, namespace, &question, moment, kind, &complaint);
        }
    }

    fn report(
        &self,
        site: &Site,
        namespace: usize,
        question: &Question,
        moment: Moment,
        kind: Kind,
        complaint: &Complaint,
    ) {
        let Round { number, findings, .. } = self.round;
        let name = NAMESPACES.get(namespace).unwrap_or(&NOBODY);
        let (config, collection) = (&site.lifetime.config, site.collection.name());
        let mut text = format!("round {number}, thread {}, collection {collection:?}, namespace {name:?}", self.thread);
        let Complaint { expected, got } = complaint;
        let Moment { from, to } = moment;
        _ = write!(
            text,
            ", commit {from} to {to}\nconfiguration: {config:?}\nquestion: {}",
            short(&format!("{question:?}"))
        );
        _ = write!(text, "\nexpected: {}\ngot: {}", short(expected), short(got));
        findings.wrong(kind, &text);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.round.findings.count(&self.counts);
    }
}

impl Round<'_> {
    /// Draws a kind of question whose check is fast for many documents.
    fn draw_simple(&self, rng: &mut Rng) -> Kind {
        const SIMPLE: [Kind; 6] = [Kind::Get, Kind::Contains, Kind::Plain, Kind::Graph, Kind::Count, Kind::Loading];
        let asked: Vec<Kind> = SIMPLE.into_iter().filter(|kind| self.kinds.contains(kind)).collect();
        match rng.pick_some(&asked) {
            Some(_) if self.is_loading() && asked.contains(&Kind::Loading) && rng.chance(50) => Kind::Loading,
            Some(kind) => kind,
            None => Kind::draw(rng, self.kinds),
        }
    }
}

/// The source of questions for the namespace with this number.
fn source_of(collection: &Collection, namespace: usize) -> Option<Source> {
    match NAMESPACES.get(namespace) {
        Some(&"") => Some(Source::Namespace(Namespace::clone(collection))),
        Some(name) => collection.namespace(name).ok().map(Source::Namespace),
        None => collection.namespace(NOBODY).ok().map(Source::Namespace),
    }
}

/// The last commit, from a search of an empty namespace, which is much faster than `stats`. `None`
/// if the collection is gone.
fn commit_of(collection: &Collection) -> Option<u64> {
    let nobody = collection.namespace(NOBODY).ok()?;
    let hits = nobody.search(vec![1.0; collection.config().dimension]).run().ok()?;
    Some(hits.commit.0)
}

/// The question for the next page.
fn follow_up(question: &Question, answer: &Answer) -> Option<Question> {
    let Answer::Page(page) = answer else { return None };
    let (cursor, last) = (page.next.clone()?, page.documents.last()?);
    let index = index_of(&last.id)?;
    match question {
        Question::Scroll { .. } => {
            let mut question = question.clone();
            if let Question::Scroll { after, .. } = &mut question {
                *after = Some(index);
            }
            Some(question)
        }
        Question::Ordered(ordered) => {
            let values = numbers_of(ordered.field, last.metadata.get(ordered.field.path())?);
            let value = if ordered.is_descending { values.max() } else { values.min() };
            Some(Question::Ordered(Ordered { after: Some((cursor, value?, index)), ..ordered.clone() }))
        }
        _ => None,
    }
}

/// The values of a field as numbers of the same order.
fn numbers_of(field: Field, value: &vectrove::Value) -> impl DoubleEndedIterator<Item = u8> {
    let number = move |value: &vectrove::Value| match field {
        Field::Tag => TAGS.iter().position(|tag| value.as_str() == Some(tag)).map(|place| place as u8),
        _ => value.as_u64().map(|number| number as u8),
    };
    let values = value.as_array().map_or_else(|| vec![value.clone()], <[vectrove::Value]>::to_vec);
    values.into_iter().filter_map(move |value| number(&value))
}

/// The part of a text that a violation shows.
fn short(text: &str) -> String {
    const MOST_COLUMNS: usize = 1_500;
    let line = |line: &str| line.chars().take(MOST_COLUMNS).collect::<String>();
    let mut lines: Vec<String> = text.lines().take(MOST_LINES).map(line).collect();
    if text.lines().count() > MOST_LINES {
        lines.push("…".to_owned());
    }
    lines.join("\n")
}
