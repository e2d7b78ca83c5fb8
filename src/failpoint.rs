//! Named points at which the crash harness stops the process.
//!
//! Without the feature `failpoints` a point is nothing at all. With it, the environment variable `VECTROVE_FAILPOINT`
//! names a point, and optionally after a colon how many passes it lets by first; there the process is killed as by
//! `kill -9`. `VECTROVE_FREEZE` names kinds of derived writes, each with how many times it may still happen, as in
//! `delta=10,save=0`; those beyond do not happen, as if the disk had refused them. `VECTROVE_PAUSE` names a point and,
//! after a colon, the milliseconds that each pass takes there. `VECTROVE_LEAST_LINKED` is the size from which on
//! namespaces have links of their own, `VECTROVE_LEAST_CHANGED` how many slots change at least before an image is written
//! in the background.
//!
//! A test in the same process names points at which work is refused, until it says otherwise ([`refuse_at`],
//! [`allow_at`]), and points at which whoever comes by stays for a while ([`pause_at`]).

use crate::error::Result;

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn hit(_name: &str) {}

#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn allows(_name: &str) -> bool {
    true
}

/// A size that tests may make smaller.
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

/// How many slots have to change before an image is written in the background, which tests may make fewer.
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

/// Refuses where a test wants work to fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn refuse(_name: &str) -> Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
static REFUSED: std::sync::Mutex<std::collections::BTreeMap<String, u64>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

/// Has a point refuse work in this process after `n_passes` more passes, until [`allow_at`].
#[cfg(feature = "failpoints")]
pub fn refuse_at(name: &str, n_passes: u64) {
    if let Ok(mut refused) = REFUSED.lock() {
        refused.insert(name.to_owned(), n_passes);
    }
}

/// Has a point let work pass again.
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

/// Has the next thread of this process that passes a point stay there.
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
