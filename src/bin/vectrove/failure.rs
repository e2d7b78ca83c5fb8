//! Failures of a command: a message, a hint, an exit code.
//!
//! This module alone turns the library's errors into messages of the command line.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use vectrove::{Error, ErrorKind};

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
}

/// Exit statuses of a failed command; the help lists their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Failed,
    NotFound,
    Busy,
    Damaged,
    Interrupted,
    /// The reader of stdout is gone, which is no failure of this program.
    Unread,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Failure { status, message: message.into(), hint: None }
    }

    /// A failure without a status of its own.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Failure::new(Status::Failed, message)
    }

    /// A signal asked for an early end.
    pub(crate) fn interrupted() -> Self {
        Failure::new(Status::Interrupted, "interrupted")
    }

    /// Adds a hint to an interruption; an earlier hint stays.
    pub(crate) fn hint_if_interrupted(self, hint: &str) -> Self {
        if self.status == Status::Interrupted { self.hint(hint) } else { self }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let status = if error.kind() == io::ErrorKind::NotFound { Status::NotFound } else { Status::Failed };
        Failure::new(status, format!("{doing} {}: {error}", path.display()))
    }

    /// A line that could not be written to stdout.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Status::Unread, ""),
            _ => Failure::failed(format!("writing to stdout: {error}")),
        }
    }

    /// Adds a hint; an earlier hint stays.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = self.hint.or_else(|| Some(hint.into()));
        self
    }

    /// Puts the subject before the message.
    pub(crate) fn about(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Puts the progress so far before the message.
    pub(crate) fn after(mut self, so_far: &str) -> Self {
        self.message = format!("{so_far}; {}", self.message);
        self
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.status == Status::Unread
    }

    /// Prints the failure on stderr. Returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_unread() {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(match self.status {
            Status::Unread => 0,
            Status::Failed => 1,
            Status::NotFound => 3,
            Status::Busy => 4,
            Status::Damaged => 5,
            Status::Interrupted => 130,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => Status::NotFound,
            ErrorKind::Busy => Status::Busy,
            ErrorKind::Corruption => Status::Damaged,
            ErrorKind::Cancelled => Status::Interrupted,
            _ => Status::Failed,
        };
        Failure { status, hint: hint_for(&error), message: message_of(&error) }
    }
}

/// The library's message, except for errors that name its calls.
fn message_of(error: &Error) -> String {
    match error {
        Error::DatabaseNotFound { path } => format!("no database at {}", path.display()),
        Error::DataLoss { from, to } => {
            format!("data loss: commits {from} to {to} were durable and are missing; nothing was changed")
        }
        Error::Cancelled => "interrupted".to_owned(),
        error => error.to_string(),
    }
}

fn hint_for(error: &Error) -> Option<String> {
    let hint = match error {
        Error::DatabaseNotFound { .. } => {
            "`vectrove create NAME --dimension N` makes one; --db DIR names another folder".to_owned()
        }
        Error::BackupNotFound { id: Some(_), .. } => "`vectrove backups DIR` lists those there are".to_owned(),
        Error::BackupNotFound { .. } => "`vectrove backup DIR` makes one".to_owned(),
        Error::DanglingLink { .. } => "make what the link names, or remove the link".to_owned(),
        Error::OutOfDescriptors { .. } => "`ulimit -Hn` shows how far the limit may be raised".to_owned(),
        Error::CollectionExists { name } => {
            format!("use it as it is, or `vectrove drop {name} --yes` first; `vectrove collections` shows all")
        }
        Error::DimensionMismatch { got, .. } => format!(
            "a collection's dimension is for ever; `vectrove create NAME --dimension {got}` makes one for these vectors"
        ),
        Error::Busy { .. } => "a database belongs to one process at a time: wait for that one, or stop it".to_owned(),
        Error::DataLoss { .. } | Error::ForeignRecords { .. } => {
            "restore a backup; a program can open what is left with `Options::accept_loss(true)`".to_owned()
        }
        Error::Corruption { .. } => {
            "nothing was changed; `vectrove restore` makes a database of a whole backup".to_owned()
        }
        Error::UnsupportedFormat { .. } => "a newer vectrove wrote it; use that one".to_owned(),
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vectrove::Commit;

    #[test]
    fn damage_and_absence_have_exit_codes_of_their_own() {
        for (error, status) in [
            (Error::CollectionNotFound { name: "a".into() }, Status::NotFound),
            (Error::BackupNotFound { path: "b".into(), id: Some(3) }, Status::NotFound),
            (Error::Busy { path: "db".into(), holder: "process 1".into() }, Status::Busy),
            (Error::DataLoss { from: Commit(3), to: Commit(4) }, Status::Damaged),
            (Error::Corruption { what: "a".into(), detail: "b".into() }, Status::Damaged),
            (Error::Cancelled, Status::Interrupted),
            (Error::Closed, Status::Failed),
        ] {
            assert_eq!(Failure::from(error).status, status);
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        assert!(Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe)).is_unread());
        assert!(!Failure::stdout(&io::Error::from(io::ErrorKind::StorageFull)).is_unread());
    }
}
