//! Whether this process opened its databases itself, or was forked from one that had opened some.
//!
//! A forked child has a copy of memory and every descriptor, but none of the other threads. Locks may be held that
//! nobody lets go of, work in the background never runs, and what the child writes to the storage engine's log lands
//! between the records of its parent. So a child leaves alone what its parent opened: every verb asks [`check`], and
//! what goes at the end of a scope there is leaked. The check is one load of a flag.
//!
//! The flag is set within `fork`, by a handler that runs in the child. The handler also closes the descriptors that
//! hold locks of the parent's databases ([`Kept`]): an `flock` is let go with the last descriptor of the opened file,
//! and a child that lives longer than its parent would keep the database locked. Handlers neither allocate nor wait.
//!
//! A process that is made without `fork` runs no handlers. `posix_spawn` and `vfork` lead to another program, which
//! gets none of the descriptors.
#![expect(unsafe_code, reason = "fork and exit handlers are registered with the C library, which alone knows of them")]

use std::ffi::c_int;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

/// A place that holds no descriptor.
const NONE: RawFd = -1;
/// How long one waits for forks under way, and how often one looks.
const PATIENCE: Duration = Duration::from_micros(100);
const MOST_LOOKS: usize = 10_000;

/// Whether this process was forked from one that used the library.
static IS_FORKED: AtomicBool = AtomicBool::new(false);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);
/// Forks of this process that were begun, and those of them that are over. Registered twice, handlers count both twice.
static N_BEGUN: AtomicUsize = AtomicUsize::new(0);
static N_ENDED: AtomicUsize = AtomicUsize::new(0);
/// Descriptors that a child closes.
static PLACES: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());

/// Room for a descriptor. Places are used again and never freed, so that the handler can go through them at any time.
struct Place {
    descriptor: AtomicI32,
    next: *const Place,
}

// As POSIX and glibc declare them. `_exit` ends the process without handlers.
unsafe extern "C" {
    fn pthread_atfork(
        prepare: Option<unsafe extern "C" fn()>,
        parent: Option<unsafe extern "C" fn()>,
        child: Option<unsafe extern "C" fn()>,
    ) -> c_int;
    fn close(descriptor: c_int) -> c_int;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn on_exit(handler: unsafe extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn fflush(stream: *mut c_void) -> c_int;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn _exit(status: c_int) -> !;
}

/// Refuses in a process that was forked from one that used the library.
#[inline]
pub(crate) fn check() -> Result<()> {
    if is_forked() { Err(Error::Forked) } else { Ok(()) }
}

/// Whether this process was forked from one that used the library: what it has of that is not its own.
#[inline]
pub(crate) fn is_forked() -> bool {
    IS_FORKED.load(Ordering::Relaxed)
}

/// From now on children that are forked know of it. Comes before anything that a child must leave alone.
pub(crate) fn watch() -> io::Result<()> {
    if IS_WATCHED.load(Ordering::Acquire) {
        return Ok(());
    }
    // SAFETY: the handlers live for ever, and do only what is allowed within `fork`: they load and store atomics, and
    // close descriptors.
    let error = unsafe { pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    IS_WATCHED.store(true, Ordering::Release);
    Ok(())
}

/// From now on a forked child that ends by `exit` passes over the exit handlers registered before this call. Those of
/// the storage engine wait for threads that a child does not have.
pub(crate) fn end_children_quietly() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
        if !IS_REGISTERED.swap(true, Ordering::AcqRel) {
            // SAFETY: the handler lives for ever and uses no argument.
            let error = unsafe { on_exit(at_exit, ptr::null_mut()) };
            if error != 0 {
                tracing::debug!("a forked child of this process may hang in exit");
            }
        }
    }
}

unsafe extern "C" fn before() {
    N_BEGUN.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn in_parent() {
    N_ENDED.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn in_child() {
    IS_FORKED.store(true, Ordering::SeqCst);
    // Other threads may have been within `fork` too; here they are not.
    N_ENDED.store(N_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    each_place(|place| {
        let descriptor = place.descriptor.swap(NONE, Ordering::SeqCst);
        if descriptor != NONE {
            // SAFETY: the descriptor was inherited, and who owns it here never closes it (`Kept::drop`).
            unsafe { close(descriptor) };
        }
        false
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn at_exit(status: c_int, _argument: *mut c_void) {
    if is_forked() {
        // SAFETY: flushes all streams, which no other thread of this process uses; then ends it.
        unsafe {
            fflush(ptr::null_mut());
            _exit(status);
        }
    }
}

/// Shows all places until one is taken. Returns whether one was.
fn each_place(mut take: impl FnMut(&'static Place) -> bool) -> bool {
    let mut next: *const Place = PLACES.load(Ordering::SeqCst);
    // SAFETY: places are leaked, whole before they are linked, and `next` never changes.
    while let Some(place) = unsafe { next.as_ref() } {
        if take(place) {
            return true;
        }
        next = place.next;
    }
    false
}

/// A file that children do not inherit: one forked at any moment has it closed before `fork` returns there.
pub(crate) struct Kept {
    file: ManuallyDrop<File>,
}

impl Kept {
    /// Opens a file. It may be opened more than once, where the process is forked meanwhile: a lock is only to be taken
    /// of what this returns.
    pub(crate) fn open(open: impl Fn() -> io::Result<File>) -> io::Result<Self> {
        watch()?;
        loop {
            let n_begun = settled();
            let kept = Kept { file: ManuallyDrop::new(open()?) };
            kept.note();
            // A child that was forked since may have the descriptor without knowing of it.
            if N_BEGUN.load(Ordering::SeqCst) == n_begun {
                return Ok(kept);
            }
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Has children close the descriptor.
    fn note(&self) {
        let descriptor = self.file.as_raw_fd();
        let put = |place: &Place| {
            place.descriptor.compare_exchange(NONE, descriptor, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        if each_place(put) {
            return;
        }
        let mut first = PLACES.load(Ordering::SeqCst);
        loop {
            let place = Box::into_raw(Box::new(Place { descriptor: AtomicI32::new(descriptor), next: first }));
            match PLACES.compare_exchange(first, place, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(now) => {
                    // SAFETY: the place was made here and nobody has seen it.
                    drop(unsafe { Box::from_raw(place) });
                    first = now;
                }
            }
        }
    }
}

/// How many forks were begun, none of which is under way.
fn settled() -> usize {
    let mut n_looks = 0;
    loop {
        let n_begun = N_BEGUN.load(Ordering::SeqCst);
        if N_ENDED.load(Ordering::SeqCst) == n_begun || n_looks == MOST_LOOKS {
            return n_begun;
        }
        n_looks += 1;
        std::thread::sleep(PATIENCE);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if is_forked() {
            // It was closed, and its number may be another file's by now.
            return;
        }
        let descriptor = self.file.as_raw_fd();
        each_place(|place| {
            place.descriptor.compare_exchange(descriptor, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        });
        // SAFETY: dropped here and nowhere else.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted() -> Vec<RawFd> {
        let mut noted = Vec::new();
        each_place(|place| {
            noted.push(place.descriptor.load(Ordering::SeqCst));
            false
        });
        noted
    }

    #[test]
    fn descriptors_are_noted_as_long_as_they_are_kept() {
        let kept: Vec<Kept> = (0..5).map(|_| Kept::open(tempfile::tempfile).unwrap()).collect();
        let descriptors: Vec<RawFd> = kept.iter().map(|kept| kept.file().as_raw_fd()).collect();
        assert!(descriptors.iter().all(|descriptor| noted().contains(descriptor)));
        let n_places = noted().len();
        drop(kept);
        let again: Vec<Kept> = (0..5).map(|_| Kept::open(tempfile::tempfile).unwrap()).collect();
        assert!(noted().len() <= n_places + 5, "places are used again");
        assert!(again.iter().all(|kept| noted().contains(&kept.file().as_raw_fd())));
        assert!(check().is_ok());
    }
}
