//! What time it is, as the program that opened the database says.
//!
//! The only place that reads the system's clock. A clock may stand before 1970 and may go back: whatever it says is
//! brought within what can be stored, and nothing here fails. How long something takes is not measured by it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::id::DocId;

/// Bits of an id that count within a millisecond.
const COUNTER_BITS: u32 = 12;
/// Bits of an id that are random.
const RANDOM_BITS: u32 = 62;
/// The last time of an id, in milliseconds since 1970. An id has 48 bits for it; some are left for counting on.
const LAST_ID_MS: u64 = (1 << 48) - (1 << 32);

/// The time and counter of the last id. They order the ids of this process also where the clock stands or goes back.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

type Now = dyn Fn() -> SystemTime + Send + Sync;

/// Where a database takes the time from: that of documents and collections, that of generated ids, and that from which
/// a [`Boost::decay`](crate::Boost::decay) counts. Set with [`Options::clock`](crate::Options::clock).
///
/// The default is the system's clock. Times before 1970 are stored as 1970. An id that is generated follows those
/// generated before it in the same process, whatever the clock does.
#[derive(Clone, Default)]
pub struct Clock {
    now: Option<Arc<Now>>,
}

impl Clock {
    /// A clock that says what the function returns. It is called from any thread.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Clock { now: Some(Arc::new(now)) }
    }

    /// What the clock says.
    pub fn now(&self) -> SystemTime {
        self.now.as_ref().map_or_else(SystemTime::now, |now| now())
    }

    /// Milliseconds since 1970; 0 before.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds since 1970, negative before: as times are compared.
    pub(crate) fn now_ns(&self) -> i128 {
        let nanos = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        match self.now().duration_since(UNIX_EPOCH) {
            Ok(since) => nanos(since),
            Err(before) => -nanos(before.duration()),
        }
    }

    /// A new id that orders by the time it was made at.
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
    /// A new time-ordered id (UUIDv7), as given to a document inserted without one. It follows those generated before
    /// it in this process, also where the system's clock goes back or stands before 1970.
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
    /// Equal are the system's clock and itself, and clocks that share one function.
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

    /// Times at the ends of what there is and around those of what can be stored.
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
