//! Failpoints: named points in the code at which a test or the crash harness interferes.
//!
//! Without the feature `failpoints` they compile to nothing. With it, these environment variables
//! are read once:
//!
//! - `VECTROVE_FAILPOINT=name:passes` kills the process at a point, as `kill -9` does, after
//!   `passes` passes (default 0).
//! - `VECTROVE_FREEZE=delta=10,save=0` lets each named kind of derived write happen the given
//!   number of times. Further writes of this kind do not happen, as if the disk had refused them.
//! - `VECTROVE_PAUSE=name:milliseconds` makes each pass of a point take this time.
//! - `VECTROVE_LEAST_LINKED` is the size from which namespaces have links of their own.
//! - `VECTROVE_LEAST_CHANGED` is the number of slots that must change before the background writes
//!   an image.
//!
//! A test in the same process uses functions: [`refuse_at`] makes a point refuse work until
//! [`allow_at`], and [`pause_at`] holds up the next thread at a point.

use crate::error::Result;

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn hit(_name: &str) {}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn allows(_name: &str) -> bool {
    true
}

/// Documents from which a namespace has links of its own; tests may lower `usual`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn least_linked(usual: usize) -> usize {
    usual
}

#[cfg(feature = "failpoints")]
pub(crate) fn least_linked(usual: usize) -> usize {
    static TOLD: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("VECTROVE_LEAST_LINKED").ok()?.parse().ok());
    TOLD.unwrap_or(usual)
}

/// Slots that must change before the background writes an image; tests may lower `usual`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn least_changed(usual: usize) -> usize {
    usual
}

#[cfg(feature = "failpoints")]
pub(crate) fn least_changed(usual: usize) -> usize {
    static TOLD: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("VECTROVE_LEAST_CHANGED").ok()?.parse().ok());
    TOLD.unwrap_or(usual)
}

/// Refuses with `ReadOnly` where a test wants work to fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn refuse(_name: &str) -> Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
static REFUSED: std::sync::Mutex<std::collections::BTreeMap<String, u64>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

/// Makes a point refuse work in this process, from `n_passes` passes later until [`allow_at`].
#[cfg(feature = "failpoints")]
pub fn refuse_at(name: &str, n_passes: u64) {
    if let Ok(mut refused) = REFUSED.lock() {
        refused.insert(name.to_owned(), n_passes);
    }
}

/// Lets work pass a point again.
#[cfg(feature = "failpoints")]
pub fn allow_at(name: &str) {
    if let Ok(mut refused) = REFUSED.lock() {
        refused.remove(name);
    }
}

#[cfg(feature = "failpoints")]
pub(crate) fn refuse(name: &str) -> Result<()> {
    let mut refused = REFUSED.lock().map_err(|_| crate::error::Error::Closed)?;
    match refused.get_mut(name) {
        None => Ok(()),
        Some(0) => {
            let reason = format!("refused at \"{name}\" (No space left on device, as a test wants it)");
            Err(crate::error::Error::ReadOnly { reason })
        }
        Some(n_left) => {
            *n_left -= 1;
            Ok(())
        }
    }
}

#[cfg(feature = "failpoints")]
static PAUSED: std::sync::Mutex<std::collections::BTreeMap<String, std::time::Duration>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

/// Makes the next thread of this process that passes a point sleep there for `pause`.
#[cfg(feature = "failpoints")]
pub fn pause_at(name: &str, pause: std::time::Duration) {
    if let Ok(mut paused) = PAUSED.lock() {
        paused.insert(name.to_owned(), pause);
    }
}

#[cfg(feature = "failpoints")]
pub(crate) fn allows(name: &str) -> bool {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static LEFT: LazyLock<HashMap<String, AtomicU64>> = LazyLock::new(|| {
        let text = std::env::var("VECTROVE_FREEZE").unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.filter_map(|(name, n)| Some((name.to_owned(), AtomicU64::new(n.parse().ok()?)))).collect()
    });
    let take =
        |left: &AtomicU64| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    LEFT.get(name).is_none_or(take)
}

#[cfg(feature = "failpoints")]
pub(crate) fn hit(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn told(variable: &str) -> Option<(String, u64)> {
        let text = std::env::var(variable).ok()?;
        let (name, number) = text.split_once(':').unwrap_or((&text, "0"));
        Some((name.to_owned(), number.parse().unwrap_or(0)))
    }

    let pause = PAUSED.lock().ok().and_then(|mut paused| paused.remove(name));
    if let Some(pause) = pause {
        std::thread::sleep(pause);
    }

    static SLOW: LazyLock<Option<(String, u64)>> = LazyLock::new(|| told("VECTROVE_PAUSE"));
    static CHOSEN: LazyLock<Option<(String, AtomicU64)>> =
        LazyLock::new(|| told("VECTROVE_FAILPOINT").map(|(name, passes)| (name, AtomicU64::new(passes))));

    if let Some((slow, millis)) = &*SLOW
        && slow == name
    {
        std::thread::sleep(Duration::from_millis(*millis));
    }
    if let Some((chosen, passes)) = &*CHOSEN
        && chosen == name
        && passes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    {
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    }
}
