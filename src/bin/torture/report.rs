//! The end of a campaign: its one line on standard output, and the exit status.

use std::process::ExitCode;

/// The violations that a campaign found.
pub(crate) struct Report {
    campaign: &'static str,
    seed: u64,
    n_violations: usize,
}

impl Report {
    pub(crate) fn begin(campaign: &'static str, seed: u64) -> Self {
        eprintln!("{campaign}: seed {seed}");
        Report { campaign, seed, n_violations: 0 }
    }

    /// Prints a violation in full.
    pub(crate) fn violation(&mut self, text: &str) {
        eprintln!("VIOLATION: {text}");
        self.n_violations += 1;
    }

    /// Counts violations that were printed when they were found.
    pub(crate) fn count(&mut self, n_violations: usize) {
        self.n_violations += n_violations;
    }

    pub(crate) fn n_violations(&self) -> usize {
        self.n_violations
    }

    pub(crate) fn finish(self, summary: &str) -> ExitCode {
        println!("{}: {summary}, {} violations (seed {})", self.campaign, self.n_violations, self.seed);
        if self.n_violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Reports clearly that a campaign cannot run here.
pub(crate) fn skipped(campaign: &str, reason: &str) -> ExitCode {
    println!("{campaign}: SKIPPED: {reason}");
    ExitCode::from(77)
}

/// A number with commas between groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
