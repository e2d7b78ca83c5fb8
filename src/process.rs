//! Fork detection: whether this process opened its databases itself, or was forked from one that
//! had opened some.
//!
//! A forked child has a copy of memory and all descriptors, but none of the other threads. Some
//! locks may stay held, background work never runs, and writes of the child to the engine's log
//! land between the records of its parent. So a child leaves alone what its parent opened. Each
//! call checks [`check`], and values that would be dropped at the end of a scope are leaked. The
//! check loads one flag.
//!
//! A handler that runs in the child sets the flag, within `fork`. The handler also closes the
//! descriptors that hold locks of the parent's databases ([`Kept`]). An `flock` ends with the last
//! descriptor of the opened file, so a child that outlives its parent would keep the database
//! locked. Handlers neither allocate nor wait.
//!
//! A process made without `fork` runs no handlers. `posix_spawn` and `vfork` lead to another
//! program, which inherits none of the descriptors.
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

/// The descriptor of an empty place.
const NONE: RawFd = -1;
/// Pause between two looks at the forks in progress.
const PATIENCE: Duration = Duration::from_micros(100);
/// Looks at the forks in progress, after which waiting ends: 1 s in all.
const MOST_LOOKS: usize = 10_000;

/// Whether this process was forked from one that used the library.
static IS_FORKED: AtomicBool = AtomicBool::new(false);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);
/// Forks of this process that began. A handler registered twice counts each fork twice, as does
/// [`N_ENDED`].
static N_BEGUN: AtomicUsize = AtomicUsize::new(0);
/// Forks of this process that ended.
static N_ENDED: AtomicUsize = AtomicUsize::new(0);
/// The list of descriptors that a child closes.
static PLACES: AtomicPtr<DescriptorCell> = AtomicPtr::new(ptr::null_mut());

/// A list entry for one descriptor. Entries are reused and never freed, so that the handler can
/// walk the list at any time.
struct DescriptorCell {
    descriptor: AtomicI32,
    next: *const DescriptorCell,
}

// Declared as in POSIX and glibc. `_exit` ends the process without running handlers.
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

/// Refuses with `Forked` in a process that was forked from one that used the library.
#[inline]
pub(crate) fn check() -> Result<()> {
    if is_forked() { Err(Error::Forked) } else { Ok(()) }
}

/// Whether this process was forked from one that used the library, so that it shares the parent's
/// databases.
#[inline]
pub(crate) fn is_forked() -> bool {
    IS_FORKED.load(Ordering::Relaxed)
}

/// Registers the handlers, so that children forked from now on set the flag. Comes before anything
/// a child must leave alone.
pub(crate) fn watch() -> io::Result<()> {
    if IS_WATCHED.load(Ordering::Acquire) {
        return Ok(());
    }
    // SAFETY: the handlers are never unloaded, and do only what is allowed within `fork`: they load
    // and store atomics, and close descriptors.
    let error = unsafe { pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    IS_WATCHED.store(true, Ordering::Release);
    Ok(())
}

/// Makes a forked child that ends by `exit` skip the exit handlers registered before this call. The
/// storage engine's handlers wait for threads that a child does not have.
pub(crate) fn end_children_quietly() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
        if !IS_REGISTERED.swap(true, Ordering::AcqRel) {
            // SAFETY: the handler is never unloaded and uses no argument.
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
    // Other threads may have been within `fork` too; the child does not have them.
    N_ENDED.store(N_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    each_place(|place| {
        let descriptor = place.descriptor.swap(NONE, Ordering::SeqCst);
        if descriptor != NONE {
            // SAFETY: the descriptor was inherited, and its owner never closes it in this process
            // (`Kept::drop`).
            unsafe { close(descriptor) };
        }
        false
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" fn at_exit(status: c_int, _argument: *mut c_void) {
    if is_forked() {
        // SAFETY: flushes all streams, which no other thread of this process uses; then ends the
        // process.
        unsafe {
            fflush(ptr::null_mut());
            _exit(status);
        }
    }
}

/// Shows each place to `take` until it returns true. Tells whether it did.
fn each_place(mut take: impl FnMut(&'static DescriptorCell) -> bool) -> bool {
    let mut next: *const DescriptorCell = PLACES.load(Ordering::SeqCst);
    // SAFETY: places are leaked, complete before they are linked, and `next` never changes.
    while let Some(place) = unsafe { next.as_ref() } {
        if take(place) {
            return true;
        }
        next = place.next;
    }
    false
}

/// A file that children do not inherit: in each child its descriptor is closed before `fork`
/// returns.
pub(crate) struct Kept {
    file: ManuallyDrop<File>,
}

impl Kept {
    /// Opens a file. If the process is forked meanwhile, `open` is called again. A lock may only be
    /// taken on the file that this returns.
    pub(crate) fn open(open: impl Fn() -> io::Result<File>) -> io::Result<Self> {
        watch()?;
        loop {
            let n_begun = settled();
            let kept = Kept { file: ManuallyDrop::new(open()?) };
            kept.note();
            // A child forked since may have inherited the descriptor unregistered.
            if N_BEGUN.load(Ordering::SeqCst) == n_begun {
                return Ok(kept);
            }
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Registers the descriptor for children to close.
    fn note(&self) {
        let descriptor = self.file.as_raw_fd();
        let put = |place: &DescriptorCell| {
            place.descriptor.compare_exchange(NONE, descriptor, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        if each_place(put) {
            return;
        }
        let mut first = PLACES.load(Ordering::SeqCst);
        loop {
            let place = Box::into_raw(Box::new(DescriptorCell { descriptor: AtomicI32::new(descriptor), next: first }));
            match PLACES.compare_exchange(first, place, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return,
                Err(now) => {
                    // SAFETY: the place was allocated here and never published.
                    drop(unsafe { Box::from_raw(place) });
                    first = now;
                }
            }
        }
    }
}

/// The number of forks begun, once none of them is in progress (or after `MOST_LOOKS` looks).
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
            // The handler closed the descriptor, and its number may belong to another file by now.
            return;
        }
        let descriptor = self.file.as_raw_fd();
        each_place(|place| {
            place.descriptor.compare_exchange(descriptor, NONE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        });
        // SAFETY: the file is dropped here and nowhere else.
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
