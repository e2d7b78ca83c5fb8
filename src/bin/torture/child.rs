//! Starting workers, following their lines, and killing them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vectrove::Outcome::Unknown;

use crate::Outcome;
use crate::deed::Profile;
use crate::ledger::{Ledger, Retry};
use crate::line::Line;

/// Settings of a worker that is about to start.
pub(crate) struct Start {
    command: Command,
}

/// Progress of a worker, read while it runs.
#[derive(Default)]
pub(crate) struct Progress {
    ready: AtomicBool,
    n_done: AtomicU64,
    n_failed: AtomicU64,
    n_unknown: AtomicU64,
}

/// A worker that runs, and the ledger that its lines go into.
pub(crate) struct Worker {
    child: Child,
    // Closing it asks the worker to stop.
    input: Option<ChildStdin>,
    reader: JoinHandle<Ledger>,
    progress: Arc<Progress>,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Killed { was_ready: bool },
    Closed,
}

impl Start {
    pub(crate) fn new(profile: Profile, folder: &Path, seed: u64, run: u32) -> Outcome<Self> {
        let mut command = myself()?;
        command.arg("worker").args(["--profile", profile.name()]).arg("--dir").arg(folder);
        command.args(["--seed", &seed.to_string(), "--run", &run.to_string()]);
        Ok(Start { command })
    }

    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.command.arg(format!("--{name}")).arg(value.to_string());
        self
    }

    pub(crate) fn retries(mut self, retries: &[Retry]) -> Self {
        for Retry { stamp, read, .. } in retries {
            self = self.set("retry", format!("{}.{}.{}.{read}", stamp.run, stamp.thread, stamp.n));
        }
        self
    }

    /// Has the worker killed at a named point, after `passes` passes of it.
    pub(crate) fn failpoint(mut self, name: &str, passes: u64) -> Self {
        self.command.env("VECTROVE_FAILPOINT", format!("{name}:{passes}"));
        self
    }

    /// Makes each pass of a named point take `millis` milliseconds.
    pub(crate) fn pause(mut self, name: &str, millis: u64) -> Self {
        self.command.env("VECTROVE_PAUSE", format!("{name}:{millis}"));
        self
    }

    /// Limits the derived writes of each kind, as in `delta=10,save=0`; further ones do not happen.
    pub(crate) fn freeze(mut self, limits: &str) -> Self {
        self.command.env("VECTROVE_FREEZE", limits);
        self
    }

    pub(crate) fn spawn(mut self, ledger: Ledger) -> Outcome<Worker> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = self.command.spawn().map_err(|error| format!("starting a worker: {error}"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or("a worker without output")?;
        let progress = Arc::new(Progress::default());
        let watched = progress.clone();
        let reader = std::thread::spawn(move || follow(BufReader::new(output), ledger, &watched));
        Ok(Worker { child, input, reader, progress })
    }
}

/// This program, to be started once more.
pub(crate) fn myself() -> Outcome<Command> {
    let program = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let mut command = Command::new(program);
    command.env_remove("VECTROVE_FAILPOINT").env_remove("VECTROVE_PAUSE").env_remove("VECTROVE_FREEZE");
    Ok(command)
}

fn follow(mut output: impl BufRead, mut ledger: Ledger, progress: &Progress) -> Ledger {
    let mut text = String::new();
    while output.read_line(&mut text).is_ok_and(|n_bytes| n_bytes > 0) {
        // A last line without its end was never reported.
        if let Some(whole) = text.strip_suffix('\n') {
            match Line::parse(whole) {
                Some(line) => {
                    progress.note(&line);
                    ledger.take(line);
                }
                None => ledger.violation(format!("a worker said {whole:?}")),
            }
        }
        text.clear();
    }
    ledger
}

impl Progress {
    fn note(&self, line: &Line) {
        match line {
            Line::Ready { .. } => self.ready.store(true, Ordering::Relaxed),
            Line::Done { .. } => _ = self.n_done.fetch_add(1, Ordering::Relaxed),
            Line::Failed { kind, outcome, .. } if kind == "Unavailable" => {
                self.n_failed.fetch_add(1, Ordering::Relaxed);
                self.n_unknown.fetch_add(u64::from(*outcome == Unknown), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn n_done(&self) -> u64 {
        self.n_done.load(Ordering::Relaxed)
    }

    /// Number of writes that failed with an unknown outcome.
    pub(crate) fn n_unknown(&self) -> u64 {
        self.n_unknown.load(Ordering::Relaxed)
    }

    /// Number of writes that were refused, or failed, because of the disk.
    pub(crate) fn n_failed(&self) -> u64 {
        self.n_failed.load(Ordering::Relaxed)
    }
}

impl Worker {
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Waits until a condition holds, the worker has ended, or `most` has passed. Returns whether
    /// the condition holds.
    pub(crate) fn wait_until(&mut self, most: Duration, holds: impl Fn(&Progress) -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < most && !holds(&self.progress) && self.child.try_wait().is_ok_and(|end| end.is_none()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        holds(&self.progress)
    }

    /// Runs an action while the worker is stopped.
    pub(crate) fn while_stopped<T>(&self, action: impl FnOnce() -> T) -> T {
        let signal = |signal| {
            if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, signal);
            }
        };
        signal(Signal::STOP);
        // The signal takes effect at each thread's next step out of the kernel.
        std::thread::sleep(Duration::from_millis(5));
        let outcome = action();
        signal(Signal::CONT);
        outcome
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    pub(crate) fn ask_to_stop(&mut self) {
        drop(self.input.take());
    }

    /// Waits for the worker's end, and for all its lines.
    pub(crate) fn finish(mut self) -> Outcome<(Ledger, Option<End>)> {
        let status = self.child.wait().map_err(|error| format!("waiting for a worker: {error}"))?;
        let mut ledger = self.reader.join().map_err(|_| "following a worker panicked")?;
        let was_ready = self.progress.ready();
        let end = match status.signal() {
            Some(9) => Some(End::Killed { was_ready }),
            None if status.success() => Some(End::Closed),
            _ => None,
        };
        if end.is_none() {
            ledger.violation(format!("a worker ended by itself: {}", describe(status)));
        }
        Ok((ledger, end))
    }
}

pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
