//! Long verbs of the command end in order after Ctrl-C: earlier content stays, and the message
//! names the next step.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longest time of a command for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest stay of a command at the point where it is interrupted, in milliseconds.
const PAUSE_MS: u32 = 700;

struct Shell {
    folder: TempDir,
}

impl Shell {
    /// A shell with a database of some rows.
    fn new() -> Self {
        let shell = Shell { folder: tempfile::tempdir().unwrap() };
        shell.good(&["create", "c", "--dimension", "2"]);
        let rows: String = (0..1_000).map(|n| format!("{{\"id\": {n}, \"vector\": [1, {n}]}}\n")).collect();
        fs::write(shell.path("rows.jsonl"), rows).unwrap();
        shell.good(&["import", "c", "rows.jsonl"]);
        shell.good(&["backup", "backups"]);
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vectrove"));
        command.args(args).current_dir(self.folder.path()).env("VECTROVE_DB", "db");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Interrupts a command while it stays at a failpoint, and checks its end.
    #[track_caller]
    fn check(&self, args: &[&str], point: &str, said: &str) {
        let began = Instant::now();
        let child = self.command(args).env("VECTROVE_PAUSE", format!("{point}:{PAUSE_MS}")).spawn().unwrap();
        wait_until_it_watches(&child);
        // Waits until the command is at the failpoint.
        thread::sleep(Duration::from_millis(200));
        let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(130), "{args:?}: {stderr}");
        assert!(stderr.contains("error: interrupted") && stderr.contains(said), "{args:?}: {stderr}");
        assert!(began.elapsed() < PATIENCE);
        self.good(&["verify"]);
        assert_eq!(self.good(&["count", "c"]), "1000\n");
    }
}

/// Waits until a process catches SIGINT.
fn wait_until_it_watches(child: &Child) {
    let began = Instant::now();
    let catches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        caught.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 2 != 0)
    };
    while !catches() {
        assert!(began.elapsed() < PATIENCE, "it does not watch for signals");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains("unfinished"))
}

#[test]
fn verifying_can_be_interrupted() {
    let shell = Shell::new();
    shell.check(&["verify"], "verify.begun", "hint: nothing was changed");
    // While the database is opened, before it is changed.
    shell.check(&["verify"], "open.rehearsing", "hint: nothing was changed");
}

#[test]
fn a_backup_can_be_interrupted() {
    let shell = Shell::new();
    shell.check(&["backup", "backups"], "verify.begun", "hint: no backup was added");
    assert_eq!(shell.good(&["backups", "backups", "--json"]).lines().count(), 1);
    assert!(is_empty(&shell.path("db")));
    shell.good(&["backup", "backups"]);
    assert_eq!(shell.good(&["backups", "backups", "--json"]).lines().count(), 2);
}

#[test]
fn copies_can_be_interrupted() {
    let shell = Shell::new();
    shell.check(&["checkpoint", "copy"], "verify.begun", "hint: no copy was left");
    shell.check(&["restore", "backups", "restored"], "verify.begun", "hint: nothing was left of it");
    assert!(!shell.path("copy").exists() && !shell.path("restored").exists() && is_empty(shell.folder.path()));
    shell.good(&["checkpoint", "copy"]);
    shell.good(&["restore", "backups", "restored"]);
    assert_eq!(shell.good(&["count", "c", "--db", "restored"]), "1000\n");
}

#[test]
fn an_export_can_be_interrupted() {
    let shell = Shell::new();
    fs::write(shell.path("rows.out"), "as it was").unwrap();
    shell.check(&["export", "c", "rows.out"], "moment.viewed", "hint: a file that was there is as it was");
    assert_eq!(fs::read_to_string(shell.path("rows.out")).unwrap(), "as it was");
    assert!(!shell.path("rows.out.partial").exists());
    shell.good(&["export", "c", "rows.out"]);
    assert_eq!(fs::read_to_string(shell.path("rows.out")).unwrap().lines().count(), 1_000);
}

#[test]
fn an_import_that_is_interrupted_before_its_first_row_left_nothing() {
    let shell = Shell::new();
    fs::write(shell.path("more.jsonl"), "{\"vector\": [1, 2]}\n").unwrap();
    shell.check(&["import", "c", "more.jsonl"], "open.rehearsing", "hint: nothing was imported");
}
