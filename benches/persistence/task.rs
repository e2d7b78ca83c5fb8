//! Measuring in a process of its own: this program again, with a task in place of its arguments.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::bytes::Checkpoint;
use crate::import::Import;
use crate::memory::{Cycle, Soak};
use crate::open::Open;
use crate::residency::Search;

/// The argument before a task.
pub(crate) const WORD: &str = "task";

/// The work of a process.
#[derive(Serialize, Deserialize)]
pub(crate) enum Task {
    Import(Import),
    Checkpoint(Checkpoint),
    Open(Open),
    Search(Search),
    Cycle(Cycle),
    Soak(Soak),
}

impl Task {
    pub(crate) fn read(text: &str) -> Self {
        serde_json::from_str(text).expect("a task")
    }

    /// Performs the task here, and prints its answer.
    pub(crate) fn answer(self) {
        let answer = match self {
            Task::Import(task) => task.run(),
            Task::Checkpoint(task) => task.run(),
            Task::Open(task) => task.run(),
            Task::Search(task) => task.run(),
            Task::Cycle(task) => task.run(),
            Task::Soak(task) => task.run(),
        };
        println!("{answer}");
    }

    /// Performs the task in a new process. Returns its answer.
    pub(crate) fn run(&self) -> Json {
        let output = self.start();
        assert!(output.status.success(), "a process failed: {}", output.status);
        serde_json::from_slice(&output.stdout).expect("an answer")
    }

    /// Performs the task in a new process, which kills itself at the end.
    pub(crate) fn run_to_its_death(&self) {
        let status = self.start().status;
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "expected to be killed, got {status}");
    }

    fn start(&self) -> Output {
        let program = std::env::current_exe().expect("this program");
        let task = serde_json::to_string(self).expect("JSON");
        let mut command = Command::new(program);
        command.args([WORD, &task]).stderr(Stdio::inherit()).output().expect("starts")
    }
}

/// Ends this process as `kill -9` does.
pub(crate) fn die() -> ! {
    kill_process(getpid(), Signal::KILL).expect("is killed");
    unreachable!("killed")
}

/// Waits until all writes are on disk, so that no measurement waits for them.
pub(crate) fn settle_disk() {
    let _ = Command::new("sync").status();
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        match path.is_dir() {
            true => copy(&path, &target),
            false => _ = std::fs::copy(&path, &target).expect("a file"),
        }
    }
}
