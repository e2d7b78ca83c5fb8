//! Ends the program when a step takes longer than its limit: a hang is a violation.

use std::sync::Mutex;
use std::time::{Duration, Instant};

const MOST: Duration = Duration::from_secs(60);

static STEP: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// Starts watching.
pub(crate) fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let step = STEP.lock().map(|step| step.clone()).unwrap_or_default();
            if let Some((began, what)) = step
                && began.elapsed() > MOST
            {
                eprintln!("VIOLATION: {what} took longer than {} s", MOST.as_secs());
                std::process::exit(1);
            }
        }
    });
}

/// Begins a step, with its own time limit.
pub(crate) fn step(what: impl Into<String>) {
    if let Ok(mut step) = STEP.lock() {
        *step = Some((Instant::now(), what.into()));
    }
}

/// Ends the last step; no limit applies.
pub(crate) fn rest() {
    if let Ok(mut step) = STEP.lock() {
        *step = None;
    }
}
