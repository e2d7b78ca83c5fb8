//! Ctrl-C, and the signal that asks a process to end (`SIGTERM`). `SIGHUP` keeps its effect, so
//! that `nohup` works.
//!
//! The first signal asks for an orderly stop. The second ends the process at once, which loses no
//! acknowledged write.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use vectrove::Cancel;

use crate::failure::Failure;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// The exit code of an interrupted command.
const INTERRUPTED: i32 = 130;

/// Notes signals from now on, instead of ending the process.
pub(crate) fn watch() -> Result<(), Failure> {
    let note = |signal| -> io::Result<()> {
        // Handlers run in the order of their registration. The first one sees whether an earlier
        // signal was noted.
        flag::register_conditional_shutdown(signal, INTERRUPTED, REQUESTED.clone())?;
        flag::register(signal, REQUESTED.clone())?;
        Ok(())
    };
    let noted = [SIGINT, SIGTERM].into_iter().try_for_each(note);
    noted.map_err(|error| Failure::failed(format!("watching for signals: {error}")))
}

/// The flag that ends the library's long calls after a signal.
pub(crate) fn cancel() -> Cancel {
    Cancel::from(REQUESTED.clone())
}

/// Fails if a signal asked for an early end.
pub(crate) fn check() -> Result<(), Failure> {
    if requested() { Err(Failure::interrupted()) } else { Ok(()) }
}

/// Whether there was a signal.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
