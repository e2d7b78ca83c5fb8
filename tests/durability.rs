//! Acknowledged writes survive kills at any moment, damaged files, full disks and power losses.
//! Derived data is restored, wherever writing it stopped. During writes, each answer belongs to one
//! commit and one namespace.
//!
//! Each test starts a campaign of `vectrove-torture` as a child and prints its summary.
//! `VECTROVE_KILLS`, `VECTROVE_CODE_KILLS`, `VECTROVE_TRIALS` and `VECTROVE_HISTORY_SECONDS` make
//! the first three and the last longer. `VECTROVE_SEED` repeats a printed seed.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Documents from which a campaign's namespaces have links of their own; some grow and shrink past
/// this size.
const LEAST_LINKED: &str = "16";
/// Slots that change in a campaign before the background writes an image.
const LEAST_CHANGED: &str = "32";

/// The exit status of a campaign that this machine cannot run.
const SKIPPED: i32 = 77;

fn check_campaign(campaign: &str, size: &str, count: u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectrove-torture"));
    command.arg(campaign).args([size, &count.to_string()]);
    if std::env::var_os("VECTROVE_LEAST_LINKED").is_none() {
        command.env("VECTROVE_LEAST_LINKED", LEAST_LINKED);
    }
    if std::env::var_os("VECTROVE_LEAST_CHANGED").is_none() {
        command.env("VECTROVE_LEAST_CHANGED", LEAST_CHANGED);
    }
    if let Ok(seed) = std::env::var("VECTROVE_SEED") {
        command.args(["--seed", &seed]);
    }
    let output = command.stderr(Stdio::piped()).output().expect("the harness starts");
    let summary = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    println!("{summary}");
    if output.status.code() == Some(SKIPPED) {
        shout(&summary);
        return;
    }
    let details = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{campaign} ended with {}: {summary}\n{details}", output.status);
}

/// Prints a line even if the test passes: past the capture of its output.
fn shout(line: &str) {
    if let Ok(descriptor) = std::io::stderr().as_fd().try_clone_to_owned() {
        let _ = File::from(descriptor).write_all(format!("\n!!! {line}\n").as_bytes());
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn killed_processes_lose_nothing() {
    check_campaign("crash", "--kills", from_environment("VECTROVE_KILLS", 50));
}

#[test]
fn codes_survive_kills() {
    check_campaign("codes", "--kills", from_environment("VECTROVE_CODE_KILLS", 12));
}

#[test]
fn damage_is_refused_or_made_up_for() {
    check_campaign("damage", "--trials", from_environment("VECTROVE_TRIALS", 500));
}

#[test]
fn a_graph_that_was_not_written_down_comes_back() {
    check_campaign("freeze", "--trials", 8);
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    check_campaign("disk-full", "--rounds", 3);
}

#[test]
fn power_loss_takes_nothing_that_was_synced() {
    check_campaign("power", "--trials", 20);
}

#[test]
fn every_answer_is_of_one_commit_and_one_namespace() {
    check_campaign("history", "--seconds", from_environment("VECTROVE_HISTORY_SECONDS", 120));
}
