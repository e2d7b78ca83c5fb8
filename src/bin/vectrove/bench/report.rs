//! Figures as tables for people, or lines of JSON for programs, printed as soon as they are known.

use serde::Serialize;
use serde_json::{Map, json};
use vectrove::Database;
use vectrove::Metric;

use super::build::{Built, Memory};
use super::data::Shape;
use super::inserts::{Figures, Times};
use super::sweep::{Point, qps_at};
use crate::args::{self, Codes};
use crate::failure::Failure;
use crate::output::{Output, grouped};

/// Recalls at which the rate is printed.
const RECALLS: [f64; 4] = [0.9, 0.95, 0.98, 0.99];

/// The configuration, and the figures of building.
#[derive(Serialize)]
struct Build<'a> {
    #[serde(flatten)]
    built: &'a Built,
    base: String,
    metric: Metric,
    m: usize,
    ef_construction: usize,
    codes: Codes,
    k: usize,
    threads: usize,
}

/// Prints the configuration for people; JSON carries it with the first figures.
pub(super) fn heading(args: &args::Bench, db: &Database, shape: Shape, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return Ok(());
    }
    let Shape { n_rows, dimension } = shape;
    let args::Bench { metric, m, ef_construction, codes, k, threads, .. } = args;
    let (base, n_rows) = (args.base.display(), grouped(n_rows as u64));
    output.line(format_args!("{base}: {n_rows} rows of {dimension} components, {metric}"))?;
    output.line(format_args!(
        "m {m}, ef_construction {ef_construction}, codes {codes}; k {k}, client threads {threads}, {}",
        db.stats()?.instruction_set
    ))?;
    output.flush()
}

pub(super) fn built(args: &args::Bench, built: &Built, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        let &args::Bench { metric, m, ef_construction, codes, k, threads, .. } = args;
        let base = args.base.display().to_string();
        output.object(&Build { built, base, metric, m, ef_construction, codes, k, threads })?;
        return output.flush();
    }
    let rate = grouped((built.n as f64 / built.build_s) as u64);
    output.line(format_args!("built in {:.2} s, on the disk and linked: {rate} rows a second\n", built.build_s))?;
    output.line(format_args!("{:14}  {:>15}  {:>12}", "memory", "bytes", "per vector"))?;
    let Memory { codes, links, vectors, rest, engine, resident } = built.memory;
    let parts = [("codes", codes), ("links", links), ("exact vectors", vectors), ("rest", rest)];
    let parts = parts.map(|(name, n_bytes)| (name, Some(n_bytes as u64)));
    for (name, n_bytes) in parts.into_iter().chain([("engine", Some(engine)), ("resident", resident)]) {
        let shown = n_bytes.map_or_else(|| "unknown".to_owned(), grouped);
        let per_vector = n_bytes.map_or_else(String::new, |n_bytes| format!("{:.1}", n_bytes as f64 / built.n as f64));
        output.line(format_args!("{name:14}  {shown:>15}  {per_vector:>12}"))?;
    }
    output.line("")?;
    output.line("   ef  recall         QPS    p50 µs    p99 µs    hops   visited  ns/visited")?;
    output.flush()
}

pub(super) fn point(point: &Point, output: &mut Output) -> Result<(), Failure> {
    let &Point { ef, recall, qps, p50_us, p99_us, hops, visited, ns_per_visited } = point;
    let each = ns_per_visited.map_or_else(|| "-".to_owned(), |ns| format!("{ns:.1}"));
    let line = format!(
        "{ef:>5}  {recall:.4}  {qps:>10.1}  {p50_us:>8.1}  {p99_us:>8.1}  {hops:>6.1}  {visited:>8.1}  {each:>10}"
    );
    output.answer(point, line)?;
    output.flush()
}

/// The rates at some recalls.
pub(super) fn rates(curve: &[Point], output: &mut Output) -> Result<(), Failure> {
    let rates = RECALLS.map(|recall| (recall, qps_at(curve, recall)));
    if output.json {
        let object: Map<_, _> = rates.iter().map(|(recall, qps)| (format!("qps@{recall}"), json!(qps))).collect();
        output.object(&object)?;
    } else {
        let shown = |qps: Option<f64>| qps.map_or_else(|| "-".to_owned(), |qps| format!("{qps:.1}"));
        let rates = rates.map(|(recall, qps)| format!("{recall}: {}", shown(qps)));
        output.line(format_args!("\nQPS at recall  {}", rates.join("   ")))?;
    }
    output.flush()
}

pub(super) fn inserts(figures: &Figures, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return output.object(&json!({"inserts": figures}));
    }
    let Figures { seconds, inserts_per_s, links_per_s, tail, idle, busy, qps_ratio, fresh, .. } = figures;
    output.line(format_args!("\none writer and one searcher, {seconds:.1} s"))?;
    output.line(format_args!("inserts a second  {inserts_per_s:.0} acknowledged, {links_per_s:.0} linked"))?;
    output.line(times("one insert", &figures.all))?;
    output.line(times("… below bound", &figures.below_bound))?;
    output.line(format_args!("tail              mean {:.0}, max {}, bound {}", tail.mean, tail.max, tail.bound))?;
    output.line(format_args!("searches, idle    {:.1} QPS, recall {:.4}", idle.qps, idle.recall))?;
    output.line(format_args!(
        "… with inserts    {:.1} QPS, recall {:.4}: {qps_ratio:.3} of idle",
        busy.qps, busy.recall
    ))?;
    output.line(format_args!("just inserted     {} searched for, {} missed", fresh.n_checked, fresh.n_missed))
}

fn times(name: &str, times: &Times) -> String {
    let &Times { n, p50_us, p99_us, max_us } = times;
    format!("{name:16}  p50 {p50_us:.1} µs, p99 {p99_us:.1} µs, max {max_us:.1} µs, of {}", grouped(n as u64))
}
