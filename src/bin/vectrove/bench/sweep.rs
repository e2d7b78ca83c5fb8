//! Rate and recall of searches for one `ef` after the other, up to a recall near 1.
//!
//! Client threads share the queries. The fastest of several passes over all queries counts, with
//! its latencies. Recall and interpolation are those of the usual comparisons of index libraries,
//! so that curves can be compared.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use vectrove::SearchStats;

use super::truth::{Recall, ids_of};
use super::{Exam, go_on};
use crate::args;
use crate::failure::Failure;

const N_PASSES: usize = 3;

/// Recall at which larger `ef` are not measured.
const ENOUGH: f64 = 0.9985;

/// The figures of one `ef`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    pub(super) ef: usize,
    pub(super) recall: f64,
    /// Searches a second, of all client threads together.
    pub(super) qps: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Steps of a graph search, on average; 0 for a scan.
    pub(super) hops: f64,
    /// Points that a graph search compared, on average.
    pub(super) visited: f64,
    /// Time of a search divided by the points it compared; `None` without a graph search.
    pub(super) ns_per_visited: Option<f64>,
}

/// One search.
struct Answer {
    query: usize,
    took: Duration,
    stats: SearchStats,
    ids: Vec<u64>,
}

/// The work of one client thread in a pass.
struct Share {
    begin: Instant,
    end: Instant,
    answers: Vec<Answer>,
}

/// Measures and prints each `ef`, from the smallest on.
pub(super) fn sweep(
    args: &args::Bench,
    exam: &Exam,
    mut show: impl FnMut(&Point) -> Result<(), Failure>,
) -> Result<Vec<Point>, Failure> {
    let mut efs = args.ef.clone();
    efs.sort_unstable();
    efs.dedup();
    let mut curve = Vec::new();
    for ef in efs {
        let point = measure(exam, ef, args.threads)?;
        show(&point)?;
        let is_enough = point.recall > ENOUGH;
        curve.push(point);
        if is_enough {
            break;
        }
    }
    Ok(curve)
}

/// The rate at a recall, log-interpolated between the two points around it; `None` if it was never
/// reached.
pub(super) fn qps_at(curve: &[Point], recall: f64) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = curve.iter().map(|point| (point.recall, point.qps)).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let reached = points.iter().position(|point| point.0 >= recall)?;
    let (above, qps) = points[reached];
    let below = reached.checked_sub(1).map(|index| points[index]).filter(|below| above > below.0);
    let qps = below.map_or(qps, |(below, qps_below)| {
        let t = (recall - below) / (above - below);
        (qps_below.ln() * (1.0 - t) + qps.ln() * t).exp()
    });
    Some(round(qps, 1))
}

/// The value below which the given part of sorted durations lies, in microseconds.
pub(super) fn percentile(sorted: &[Duration], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    let duration = sorted.get(rank.max(1) - 1).or(sorted.last()).copied().unwrap_or_default();
    round(duration.as_nanos() as f64 / 1e3, 1)
}

pub(super) fn round(x: f64, n_digits: i32) -> f64 {
    let unit = 10f64.powi(n_digits);
    (x * unit).round() / unit
}

fn measure(exam: &Exam, ef: usize, n_threads: usize) -> Result<Point, Failure> {
    let mut best: Option<(f64, Vec<Answer>)> = None;
    for _ in 0..N_PASSES {
        let (seconds, answers) = pass(exam, ef, n_threads)?;
        if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
            best = Some((seconds, answers));
        }
    }
    let (seconds, answers) = best.unwrap_or_default();
    Ok(point(exam, ef, seconds, &answers))
}

/// Searches once for every query; the seconds from the first thread's start to the last one's end.
fn pass(exam: &Exam, ef: usize, n_threads: usize) -> Result<(f64, Vec<Answer>), Failure> {
    let n_threads = n_threads.min(exam.queries.len());
    let start = Barrier::new(n_threads);
    let shares = thread::scope(|scope| {
        let client = |number| run_client(exam, ef, (number..exam.queries.len()).step_by(n_threads), &start);
        let clients: Vec<_> = (0..n_threads).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().map(join).collect::<Result<Vec<Share>, Failure>>()
    })?;
    let begin = shares.iter().map(|share| share.begin).min();
    let end = shares.iter().map(|share| share.end).max();
    let seconds = begin.zip(end).map_or(0.0, |(begin, end)| (end - begin).as_secs_f64());
    Ok((seconds, shares.into_iter().flat_map(|share| share.answers).collect()))
}

/// The result of a thread. Its panic continues in the thread that waits.
pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run_client(
    exam: &Exam,
    ef: usize,
    queries: impl ExactSizeIterator<Item = usize> + Clone,
    start: &Barrier,
) -> Result<Share, Failure> {
    let mut answers = Vec::with_capacity(queries.len());
    // The first search of a new thread allocates memory that later ones use.
    let warmed = queries.clone().next().map(|query| answer(exam, ef, query));
    start.wait();
    warmed.transpose()?;
    let begin = Instant::now();
    for query in queries {
        go_on()?;
        answers.push(answer(exam, ef, query)?);
    }
    Ok(Share { begin, end: Instant::now(), answers })
}

fn answer(exam: &Exam, ef: usize, query: usize) -> Result<Answer, Failure> {
    let begin = Instant::now();
    let hits = exam.search(query, ef).run();
    let took = begin.elapsed();
    let hits = hits.map_err(|error| Failure::from(error).about(&format!("query {}", query + 1)))?;
    Ok(Answer { query, took, stats: hits.stats, ids: ids_of(&hits).collect() })
}

fn point(exam: &Exam, ef: usize, seconds: f64, answers: &[Answer]) -> Point {
    let mut recall = Recall::default();
    answers.iter().for_each(|answer| recall.add(exam.truth.recall(answer.query, exam.truth.k(), &answer.ids)));
    let mut times: Vec<Duration> = answers.iter().map(|answer| answer.took).collect();
    times.sort_unstable();
    let n_answers = answers.len() as f64;
    let n_hops: usize = answers.iter().map(|answer| answer.stats.n_hops).sum();
    let n_visited: usize = answers.iter().map(|answer| answer.stats.n_visited).sum();
    let n_nanoseconds = times.iter().sum::<Duration>().as_nanos() as f64;
    Point {
        ef,
        recall: round(recall.rate(), 4),
        qps: round(n_answers / seconds, 1),
        p50_us: percentile(&times, 0.5),
        p99_us: percentile(&times, 0.99),
        hops: round(n_hops as f64 / n_answers, 1),
        visited: round(n_visited as f64 / n_answers, 1),
        ns_per_visited: (n_visited > 0).then(|| round(n_nanoseconds / n_visited as f64, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<Point> {
        let point = |&(recall, qps): &(f64, f64)| Point {
            ef: 0,
            recall,
            qps,
            p50_us: 0.0,
            p99_us: 0.0,
            hops: 0.0,
            visited: 0.0,
            ns_per_visited: None,
        };
        points.iter().map(point).collect()
    }

    #[test]
    fn rates_are_interpolated_by_their_logarithms() {
        let points = curve(&[(0.8, 4000.0), (0.96, 1000.0), (0.99, 500.0)]);
        assert_eq!(qps_at(&points, 0.88), Some(2000.0));
        assert_eq!(qps_at(&points, 0.96), Some(1000.0));
        assert_eq!(qps_at(&points, 0.7), Some(4000.0), "the first point is no lower bound");
        assert_eq!(qps_at(&points, 0.995), None);
        assert_eq!(qps_at(&curve(&[(0.9, 10.0), (0.9, 20.0)]), 0.9), Some(10.0), "points of one recall");
        assert_eq!(qps_at(&[], 0.9), None);
    }

    #[test]
    fn percentiles_are_measured_values() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!((percentile(&times, 0.5), percentile(&times, 0.99)), (100.0, 198.0));
        assert_eq!((percentile(&times[..1], 0.99), percentile(&[], 0.5)), (1.0, 0.0));
    }
}
