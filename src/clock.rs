//! The time, as the program that opened the database supplies it.
//!
//! Only this module reads the system's clock. A clock may show a time before 1970, and it may go
//! back. Its times are brought into the range that can be stored, so no function here fails.
//! Durations are not measured with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::id::DocId;

/// Bits of an id that count ids within one millisecond.
const COUNTER_BITS: u32 = 12;
/// Random bits of an id.
const RANDOM_BITS: u32 = 62;
/// Largest time of an id, in milliseconds since 1970. An id has 48 bits for its time; the last 2^32
/// values are left for ids counted onwards from here.
const LAST_ID_MS: u64 = (1 << 48) - (1 << 32);

/// Time and counter of the last id. They keep the ids of this process ascending while the clock
/// stands still or goes back.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

type TimeSource = dyn Fn() -> SystemTime + Send + Sync;

/// The clock of a database. It supplies the times of documents and collections, the times in
/// generated ids, and the time that a [`Boost::decay`](crate::Boost::decay) counts from. Set with
/// [`Options::clock`](crate::Options::clock).
///
/// The default is the system's clock. A time before 1970 is stored as 1970. Generated ids ascend
/// within a process, even if the clock goes back.
#[derive(Clone, Default)]
pub struct Clock {
    now: Option<Arc<TimeSource>>,
}

impl Clock {
    /// A clock that shows what `now` returns. Any thread may call `now`.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Clock { now: Some(Arc::new(now)) }
    }

    /// The current time of this clock.
    pub fn now(&self) -> SystemTime {
        self.now.as_ref().map_or_else(SystemTime::now, |now| now())
    }

    /// Milliseconds since 1970; 0 for earlier times.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since 1970, negative for earlier times: the unit in which filters and boosts
    /// compare times.
    pub(crate) fn now_ns(&self) -> i128 {
        let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        match self.now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }

    /// A new id (UUIDv7) that sorts by the time of its creation.
    pub(crate) fn new_id(&self) -> Uuid {
        let begin = self.now_ms().min(LAST_ID_MS) << COUNTER_BITS;
        let after = |last: u64| begin.max(last + 1);
        let mut last = LAST_ID.load(Ordering::Relaxed);
        while let Err(now) = LAST_ID.compare_exchange_weak(last, after(last), Ordering::Relaxed, Ordering::Relaxed) {
            last = now;
        }
        let (ms, counter) = (after(last) >> COUNTER_BITS, after(last) & ((1 << COUNTER_BITS) - 1));
        let random = Uuid::new_v4().as_u128() & ((1 << RANDOM_BITS) - 1);
        // RFC 9562: time, version, counter, variant, random bits.
        Uuid::from_u128(u128::from(ms) << 80 | 7 << 76 | u128::from(counter) << 64 | 0b10 << RANDOM_BITS | random)
    }
}

impl DocId {
    /// A new time-ordered id (UUIDv7), like the id of a document inserted without one. It sorts
    /// after all ids generated before it in this process, even if the system's clock goes back or
    /// shows a time before 1970.
    pub fn generate() -> Self {
        DocId::Uuid(Clock::default().new_id())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.now.is_some() { "Clock(custom)" } else { "Clock(system)" })
    }
}

impl PartialEq for Clock {
    /// Two system clocks are equal, and so are clocks that share one function.
    fn eq(&self, other: &Self) -> bool {
        match (&self.now, &other.now) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            _ => false,
        }
    }
}

impl Eq for Clock {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The earliest and latest times of the system, and times around the ends of what can be
    /// stored.
    fn odd_times() -> Vec<SystemTime> {
        let most = (0..64).rev().map(|bit| Duration::from_secs(1 << bit));
        let (later, earlier) = (
            most.clone().find_map(|most| UNIX_EPOCH.checked_add(most)),
            most.clone().find_map(|most| UNIX_EPOCH.checked_sub(most)),
        );
        let year = Duration::from_secs(31_557_600);
        let mut times = vec![later.unwrap(), earlier.unwrap(), UNIX_EPOCH, UNIX_EPOCH - 48 * year];
        for ms in [1, 999, LAST_ID_MS - 1, LAST_ID_MS, LAST_ID_MS + 1, 1 << 48] {
            times.extend([UNIX_EPOCH + Duration::from_millis(ms), UNIX_EPOCH - Duration::from_millis(ms)]);
        }
        times
    }

    #[test]
    fn ids_ascend_whatever_the_clock_says() {
        let times = odd_times();
        let mut last = Uuid::nil();
        for time in times.iter().chain(times.iter().rev()) {
            let (time, clock) = (
                *time,
                Clock::new({
                    let time = *time;
                    move || time
                }),
            );
            assert_eq!(clock.now(), time);
            let (ms, ns) = (clock.now_ms(), clock.now_ns());
            assert_eq!(ms == 0, ns < 1_000_000, "{time:?}");
            for _ in 0..3 {
                let id = clock.new_id();
                assert!(id > last, "{time:?}: {id} after {last}");
                assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
                last = id;
            }
        }
    }

    #[test]
    fn ids_of_several_threads_differ() {
        let make = || (0..5_000).map(|_| Clock::new(|| UNIX_EPOCH).new_id()).collect::<Vec<Uuid>>();
        let all: Vec<Vec<Uuid>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|ids| ids.is_sorted()));
        let distinct: std::collections::HashSet<Uuid> = all.into_iter().flatten().collect();
        assert_eq!(distinct.len(), 20_000);
    }

    #[test]
    fn a_clock_equals_itself() {
        let fixed = Clock::new(|| UNIX_EPOCH);
        assert_eq!(Clock::default(), Clock::default());
        assert_eq!(fixed, fixed.clone());
        assert_ne!(fixed, Clock::new(|| UNIX_EPOCH));
        assert_ne!(fixed, Clock::default());
    }
}
