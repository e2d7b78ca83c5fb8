//! Mixed work on the index in memory, for a sanitizer to watch: `stress [SECONDS] [SEED]`.
//!
//! Threads link, search, kill and sweep at once, and check what they see. The library's own files
//! are compiled here, and their unit tests run here too.

#![allow(dead_code, unused_imports, reason = "the library's files are compiled here for a part of what they do")]

#[path = "../../src/arena/mod.rs"]
mod arena;
#[path = "../../src/distance/mod.rs"]
mod distance;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/graph/mod.rs"]
mod graph;
#[path = "../../src/id.rs"]
mod id;
#[path = "../../src/limits.rs"]
mod limits;
#[path = "../../src/quant/mod.rs"]
mod quant;
#[path = "../../src/sync.rs"]
mod sync;

mod work;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use self::distance::Metric;
use self::work::Job;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Ok(seconds), Ok(seed)) = (numbers.next().unwrap_or(Ok(10)), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: stress [SECONDS] [SEED]");
        return ExitCode::FAILURE;
    };
    let jobs = [(384, Metric::Cosine), (32, Metric::Euclidean)];
    let time = Duration::from_secs(seconds) / jobs.len() as u32;
    let mut all_well = true;
    for (dimension, metric) in jobs {
        let report = Job { dimension, metric, time, seed }.run();
        println!("{dimension} components, {metric}, seed {seed}: {report}");
        all_well &= report.is_well();
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
