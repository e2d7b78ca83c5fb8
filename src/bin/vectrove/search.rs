//! Searching: by vectors of a file, by vectors from stdin, by a stored document.
//!
//! Each query is answered by one line of JSON, or by a table. Queries of a file are searched
//! several at a time. Those of stdin are searched one by one, each answered before the next is
//! read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use vectrove::json::Vector;
use vectrove::limits::MAX_CANDIDATES;
use vectrove::{Database, Error, GroupBy, Hit, Hits, Mmr, Namespace, Query, SearchCursor, SearchParams, Strategy};

use crate::args;
use crate::catalog;
use crate::failure::Failure;
use crate::lines::{Unmarked, is_stdin};
use crate::output::{Output, cut, grouped, note_absent};
use crate::vectors::VectorFile;

/// Queries searched at once.
const AT_ONCE: usize = 64;

/// Candidates of MMR for each hit.
const MMR_CANDIDATES: usize = 5;

/// Widest column of ids.
const ID_WIDTH: usize = 36;

/// A query and its number in its source, from 1.
type Numbered = (u64, Query);

/// Queries in the order of their source.
type Queries = Box<dyn Iterator<Item = Result<Numbered, Failure>>>;

/// Searches as the arguments ask.
pub(crate) fn search(db: &Database, args: args::Search, output: &mut Output) -> Result<(), Failure> {
    let collection = catalog::open(db, &args.target.collection)?;
    let namespace = catalog::namespace(&collection, args.target.namespace.as_deref())?;
    let has_vectors = args.vectors.is_some() || args.vector.is_some();
    let shape = Shape { alone: !has_vectors || args.row.len() == 1, fields: args.fields.is_some() };
    let at_once = if args.vector.as_deref().is_some_and(is_stdin) { 1 } else { AT_ONCE };
    let pages = if args.pages || args.after.is_some() { Some(cursor(args.after.as_deref())?) } else { None };
    let mut queries = queries(&args)?;
    if let Some(text) = args.text.clone().filter(|_| has_vectors || !args.like.is_empty()) {
        queries = Box::new(queries.map(move |query| query.map(|(number, query)| (number, query.with_text(&*text)))));
    }
    let params = params(args);
    if let Some(after) = pages {
        return page(&namespace, queries, params, after, |number, hits| {
            note_absent(&hits.absent_fields);
            show(output, number, hits, shape)
        });
    }
    let mut noted = Vec::new();
    loop {
        let (chunk, failure) = take(&mut queries, at_once);
        if !chunk.is_empty() {
            answer(&namespace, chunk, &params, |number, hits| {
                if noted != hits.absent_fields {
                    noted.clone_from(&hits.absent_fields);
                    note_absent(&noted);
                }
                show(output, number, hits, shape)
            })?;
            output.flush()?;
        } else if failure.is_none() {
            return Ok(());
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
}

/// The cursor of `--after`: its text, or a file that holds it.
fn cursor(after: Option<&str>) -> Result<Option<SearchCursor>, Failure> {
    let Some(text) = after else { return Ok(None) };
    let text = match text.strip_prefix('@').map(Path::new) {
        Some(path) => fs::read_to_string(path).map_err(|error| Failure::file("reading", path, &error))?,
        None => text.to_owned(),
    };
    Ok(Some(text.trim().parse()?))
}

/// Prints one page of the answer to a single query.
fn page(
    namespace: &Namespace,
    mut queries: Queries,
    params: SearchParams,
    after: Option<SearchCursor>,
    show: impl FnOnce(u64, &Hits) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Some((number, query)) = queries.next().transpose()? else { return Ok(()) };
    if queries.next().transpose()?.is_some() {
        return Err(Failure::failed("expected one query for pages, got several").hint("choose one with --row"));
    }
    let hits = namespace.search(query).params(params).after(after).run()?;
    show(number, &hits)
}

fn queries(args: &args::Search) -> Result<Queries, Failure> {
    match (&args.vectors, &args.vector) {
        _ if !args.like.is_empty() => {
            let query = Query::recommend(&args.like).negative(&args.unlike);
            Ok(Box::new(std::iter::once(Ok((1, query)))))
        }
        (Some(path), _) => from_vector_file(path, &args.row),
        (_, Some(path)) if is_stdin(path) => Ok(from_arrays("stdin".into(), io::stdin())),
        (_, Some(path)) => {
            let file = File::open(path).map_err(|error| Failure::file("opening", path, &error))?;
            Ok(from_arrays(path.display().to_string(), file))
        }
        (None, None) => match &args.text {
            Some(text) => Ok(Box::new(std::iter::once(Ok((1, Query::text(&**text)))))),
            None => Err(Failure::failed("expected --like, --vectors, --vector or --text")),
        },
    }
}

/// All vectors of a file, or those of some rows.
fn from_vector_file(path: &Path, rows: &[u64]) -> Result<Queries, Failure> {
    let mut file = VectorFile::open(path)?;
    let n_rows = file.n_rows();
    if let Some(row) = rows.iter().find(|&&row| row > n_rows) {
        return Err(Failure::failed(format!("{} has no row {row}, only {}", path.display(), grouped(n_rows))));
    }
    let wanted = if rows.is_empty() { (1..=n_rows).collect() } else { rows.to_vec() };
    Ok(Box::new(wanted.into_iter().filter_map(move |row| {
        let vector = file.seek(row - 1).and_then(|()| file.read());
        vector.map(|vector| Some((row, Query::from(vector?)))).transpose()
    })))
}

/// JSON arrays, one after the other.
fn from_arrays(name: String, source: impl Read + 'static) -> Queries {
    let arrays = serde_json::Deserializer::from_reader(Unmarked::new(source)).into_iter::<Vector>();
    Box::new((1..).zip(arrays).map(move |(number, vector)| {
        match vector {
            Ok(Vector(vector)) => Ok((number, Query::from(vector))),
            Err(error) => Err(Failure::failed(format!("query {number} of {name} is bad: {error}"))
                .hint("a query is a JSON array of numbers")),
        }
    }))
}

fn params(args: args::Search) -> SearchParams {
    let mut params = SearchParams::default();
    params.limit = args.limit;
    params.offset = args.offset;
    params.filter = args.filter.unwrap_or_default();
    params.min_score = args.min_score;
    params.max_distance = args.max_distance;
    params.with_vector = args.with_vector;
    params.fields = args.fields;
    params.ef = args.ef;
    params.strategy = args.exact.then_some(Strategy::Exact);
    params.explain = args.explain;
    params.group_by = args.group_by.map(|field| GroupBy::new(field, args.per_group));
    let n_candidates = args.offset.saturating_add(args.limit).saturating_mul(MMR_CANDIDATES).clamp(1, MAX_CANDIDATES);
    params.mmr = args.mmr.map(|lambda| Mmr::new(lambda, n_candidates));
    params
}

/// Takes the next queries, and the failure that ends them early.
fn take(queries: &mut Queries, at_once: usize) -> (Vec<Numbered>, Option<Failure>) {
    let mut chunk = Vec::new();
    while chunk.len() < at_once {
        match queries.next() {
            Some(Ok(query)) => chunk.push(query),
            Some(Err(failure)) => return (chunk, Some(failure)),
            None => break,
        }
    }
    (chunk, None)
}

/// Searches for all queries of a chunk and prints the hits, in the order of the queries.
fn answer(
    namespace: &Namespace,
    chunk: Vec<Numbered>,
    params: &SearchParams,
    mut show: impl FnMut(u64, &Hits) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (numbers, queries): (Vec<u64>, Vec<Query>) = chunk.into_iter().unzip();
    let answers = namespace.search_many(queries).params(params.clone()).run();
    let answers = answers.map_err(|error| match error {
        Error::InQuery { index, source } => match numbers.get(index) {
            Some(number) if numbers.len() > 1 || *number > 1 => {
                Failure::from(*source).about(&format!("query {number}"))
            }
            _ => Failure::from(*source),
        },
        error => Failure::from(error),
    })?;
    numbers.into_iter().zip(&answers).try_for_each(|(number, hits)| show(number, hits))
}

/// The columns of a table.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Whether there is only one query, which needs no number.
    alone: bool,
    /// Whether the query asked for metadata fields.
    fields: bool,
}

fn show(output: &mut Output, number: u64, hits: &Hits, shape: Shape) -> Result<(), Failure> {
    if output.json {
        return output.object(hits);
    }
    if !shape.alone {
        output.line(format_args!("query {number}"))?;
    }
    if hits.is_empty() {
        return output.line("no hits");
    }
    let ids: Vec<String> = hits.iter().map(|hit| cut(&hit.id.to_string(), ID_WIDTH)).collect();
    let id_width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
    for (hit, id) in hits.iter().zip(ids) {
        let score = format!("{:8.4}", hit.score);
        let room = output.width.saturating_sub(score.len() + id_width + 4).max(10);
        let line = format!("{score}  {id:id_width$}  {}", cut(&about(hit, shape), room));
        output.line(line.trim_end())?;
    }
    hits.explanation.as_deref().map_or(Ok(()), |explanation| output.line(explanation))?;
    hits.next.as_ref().map_or(Ok(()), |next| output.line(format_args!("more: --after {next}")))
}

/// The text of a hit in a table: the fields asked for and the document's text, or else its
/// metadata.
fn about(hit: &Hit, shape: Shape) -> String {
    match &hit.text {
        Some(text) if shape.fields => format!("{}  {text}", hit.metadata),
        Some(text) => text.clone(),
        None => hit.metadata.to_string(),
    }
}
