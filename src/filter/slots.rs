//! Sets of slots, and the bounds of a filter's matches before documents are read.

use std::sync::Arc;

use roaring::{MultiOps, RoaringBitmap};

/// A set of slots: `Only` these (a Roaring bitmap), or `AllBut` these.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SlotSet {
    Only(Arc<RoaringBitmap>),
    AllBut(Arc<RoaringBitmap>),
}

use SlotSet::{AllBut, Only};

impl SlotSet {
    pub(crate) fn none() -> Self {
        Only(Arc::default())
    }

    pub(crate) fn all() -> Self {
        AllBut(Arc::default())
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        match self {
            Only(slots) => slots.contains(slot),
            AllBut(slots) => !slots.contains(slot),
        }
    }

    /// Whether the set is certainly empty.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Only(slots) if slots.is_empty())
    }

    fn is_all(&self) -> bool {
        matches!(self, AllBut(slots) if slots.is_empty())
    }

    /// The slots that are not in the set.
    pub(crate) fn complement(self) -> Self {
        match self {
            Only(slots) => AllBut(slots),
            AllBut(slots) => Only(slots),
        }
    }

    /// The slots that are in both sets.
    pub(crate) fn and(self, other: Self) -> Self {
        if self.is_none() || other.is_all() {
            return self;
        }
        if other.is_none() || self.is_all() {
            return other;
        }
        match (self, other) {
            (Only(a), Only(b)) => Only(Arc::new(&*a & &*b)),
            (Only(a), AllBut(b)) | (AllBut(b), Only(a)) => Only(Arc::new(&*a - &*b)),
            (AllBut(a), AllBut(b)) => AllBut(Arc::new(&*a | &*b)),
        }
    }

    /// The slots that are in either set.
    pub(crate) fn or(self, other: Self) -> Self {
        self.complement().and(other.complement()).complement()
    }

    /// The slots that are in any of the sets.
    pub(crate) fn any(sets: impl IntoIterator<Item = Self>) -> Self {
        let (mut lists, mut rest) = (Vec::new(), SlotSet::none());
        for set in sets.into_iter().filter(|set| !set.is_none()) {
            match set {
                Only(slots) => lists.push(slots),
                AllBut(_) => rest = rest.or(set),
            }
        }
        rest.or(Only(match lists.as_slice() {
            [one] => one.clone(),
            // Uniting many bitmaps at once is faster than one by one.
            _ => Arc::new(lists.iter().map(|slots| &**slots).union()),
        }))
    }
}

/// A set of slots with one bit for each, for many lookups of single slots.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    /// Whether slots of the set have a bit of zero; slots beyond the end are then in the set.
    is_inverse: bool,
}

impl Bits {
    pub(crate) fn new(slots: &SlotSet) -> Self {
        match slots {
            Only(slots) => Bits { words: words_of(slots), is_inverse: false },
            AllBut(slots) => Bits { words: words_of(slots), is_inverse: true },
        }
    }

    #[inline(always)]
    pub(crate) fn contains(&self, slot: u32) -> bool {
        self.word(slot / 64) >> (slot % 64) & 1 == 1
    }

    /// The first slot of the set from `slot` on and below `end`.
    pub(crate) fn first_from(&self, slot: u32, end: u32) -> Option<u32> {
        let mut word = self.word(slot / 64) & !0 << (slot % 64);
        for at in slot / 64..end.div_ceil(64) {
            if word != 0 {
                return Some(at * 64 + word.trailing_zeros()).filter(|found| *found < end);
            }
            word = self.word(at + 1);
        }
        None
    }

    /// Adds the slots of the set in word `at`, which has 64 slots, to `slots`.
    #[inline(always)]
    pub(crate) fn take_word(&self, at: u32, slots: &mut Vec<u32>) {
        const FEW: u32 = 12;
        let mut left = self.word(at);
        let mut next = || {
            let slot = at * 64 + left.trailing_zeros();
            left &= left.wrapping_sub(1);
            slot
        };
        let n = self.word(at).count_ones();
        if n <= FEW {
            (0..n).for_each(|_| slots.push(next()));
            return;
        }
        let mut buffer = [0; 64];
        buffer[..n as usize].iter_mut().for_each(|slot| *slot = next());
        // The whole buffer is appended and then cut, since a copy of constant size is faster.
        slots.extend_from_slice(&buffer);
        slots.truncate(slots.len() - 64 + n as usize);
    }

    /// Word `at`: the bits of 64 slots, set for those in the set.
    #[inline(always)]
    fn word(&self, at: u32) -> u64 {
        let word = self.words.get(at as usize).copied().unwrap_or(0);
        if self.is_inverse { !word } else { word }
    }
}

/// Words of 64 bits in a chunk of 65,536 slots.
const CHUNK_WORDS: usize = 1_024;

fn words_of(slots: &RoaringBitmap) -> Vec<u64> {
    let n_words = slots.max().map_or(0, |last| last as usize / 64 + 1);
    let mut words = vec![0u64; n_words.next_multiple_of(CHUNK_WORDS)];
    if copy_chunks(slots, &mut words).is_none() {
        slots.iter().for_each(|slot| words[slot as usize / 64] |= 1 << (slot % 64));
    }
    words
}

/// Copies whole chunks out of the portable Roaring format, which is many times faster than going
/// through slots. Returns `None` if it finds anything but lists and bitmaps, such as runs. The bits
/// set until then are right.
fn copy_chunks(slots: &RoaringBitmap, words: &mut [u64]) -> Option<()> {
    const WITHOUT_RUNS: u32 = 12_346;
    const MOST_LISTED: usize = 4_096;
    let mut bytes = Vec::with_capacity(slots.serialized_size());
    slots.serialize_into(&mut bytes).ok()?;
    let (&cookie, rest) = bytes.split_first_chunk::<4>()?;
    let (&n_chunks, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(cookie) != WITHOUT_RUNS {
        return None;
    }
    let n_chunks = u32::from_le_bytes(n_chunks) as usize;
    let (heads, rest) = rest.split_at_checked(n_chunks * 4)?;
    let mut rest = rest.get(n_chunks * 4..)?;
    for head in heads.as_chunks::<4>().0 {
        let chunk = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let n_slots = usize::from(u16::from_le_bytes([head[2], head[3]])) + 1;
        let own = words.get_mut(chunk * CHUNK_WORDS..(chunk + 1) * CHUNK_WORDS)?;
        if n_slots <= MOST_LISTED {
            let (list, behind) = rest.split_at_checked(n_slots * 2)?;
            for place in list.as_chunks::<2>().0.iter().map(|place| u16::from_le_bytes(*place)) {
                own[usize::from(place) / 64] |= 1 << (place % 64);
            }
            rest = behind;
        } else {
            let (bits, behind) = rest.split_at_checked(CHUNK_WORDS * 8)?;
            own.iter_mut().zip(bits.as_chunks::<8>().0).for_each(|(word, bits)| *word = u64::from_le_bytes(*bits));
            rest = behind;
        }
    }
    Some(())
}

/// The definite and the possible matches of a filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bounds {
    /// The definite matches.
    pub(crate) sure: SlotSet,
    /// The possible matches, with the definite ones; `None` if all are definite.
    pub(crate) possible: Option<SlotSet>,
}

impl Bounds {
    /// Exactly these slots match.
    pub(crate) fn exactly(slots: SlotSet) -> Self {
        Bounds { sure: slots, possible: None }
    }

    /// No slot matches for sure, and only these may.
    pub(crate) fn at_most(slots: SlotSet) -> Self {
        if slots.is_none() { Bounds::exactly(slots) } else { Bounds { sure: SlotSet::none(), possible: Some(slots) } }
    }

    /// All slots that may match.
    pub(crate) fn possible(&self) -> &SlotSet {
        self.possible.as_ref().unwrap_or(&self.sure)
    }

    /// Adds slots that may match.
    pub(crate) fn or_perhaps(self, slots: SlotSet) -> Self {
        if slots.is_none() {
            return self;
        }
        let possible = self.possible().clone().or(slots);
        Bounds { possible: (possible != self.sure).then_some(possible), ..self }
    }

    pub(crate) fn complement(self) -> Self {
        match self.possible {
            None => Bounds::exactly(self.sure.complement()),
            Some(possible) => Bounds { sure: possible.complement(), possible: Some(self.sure.complement()) },
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        self.join(other, SlotSet::and)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.join(other, SlotSet::or)
    }

    /// The bounds of a disjunction.
    pub(crate) fn any(each: &[Self]) -> Self {
        let sure = SlotSet::any(each.iter().map(|bounds| bounds.sure.clone()));
        if each.iter().all(|bounds| bounds.possible.is_none()) {
            return Bounds::exactly(sure);
        }
        let possible = SlotSet::any(each.iter().map(|bounds| bounds.possible().clone()));
        Bounds { possible: (possible != sure).then_some(possible), sure }
    }

    fn join(self, other: Self, join: impl Fn(SlotSet, SlotSet) -> SlotSet) -> Self {
        if self.possible.is_none() && other.possible.is_none() {
            return Bounds::exactly(join(self.sure, other.sure));
        }
        let possible = join(self.possible().clone(), other.possible().clone());
        let sure = join(self.sure, other.sure);
        Bounds { possible: (possible != sure).then_some(possible), sure }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of the slots 0 to 2, in both forms.
    fn sets() -> Vec<SlotSet> {
        let bitmaps = (0..8u32).map(|bits| Arc::new((0..3).filter(|slot| bits >> slot & 1 == 1).collect()));
        bitmaps.flat_map(|slots: Arc<RoaringBitmap>| [Only(slots.clone()), AllBut(slots)]).collect()
    }

    #[test]
    fn sets_join_slot_by_slot() {
        for a in sets() {
            for b in sets() {
                for slot in 0..4 {
                    let (x, y) = (a.contains(slot), b.contains(slot));
                    assert_eq!(a.clone().and(b.clone()).contains(slot), x && y);
                    assert_eq!(a.clone().or(b.clone()).contains(slot), x || y);
                    for c in sets() {
                        let any = SlotSet::any([a.clone(), b.clone(), c.clone()]);
                        assert_eq!(any.contains(slot), x || y || c.contains(slot));
                    }
                    assert_eq!(a.clone().complement().contains(slot), !x);
                }
            }
        }
    }

    #[test]
    fn bits_tell_what_a_set_tells() {
        let mut sparse: RoaringBitmap = (0..200_000).filter(|slot| slot % 977 == 0).collect();
        sparse.extend(70_000..90_000);
        let mut runs = sparse.clone();
        runs.optimize();
        for slots in [RoaringBitmap::new(), RoaringBitmap::from([5]), sparse, runs, (0..70_000).collect()] {
            let slots = Arc::new(slots);
            for set in [Only(slots.clone()), AllBut(slots)] {
                let bits = Bits::new(&set);
                assert!((0..210_000).all(|slot| bits.contains(slot) == set.contains(slot)));
                assert_eq!(bits.contains(u32::MAX), set.contains(u32::MAX));
                let (mut taken, n_words) = (Vec::new(), 3_280);
                (0..n_words).for_each(|at| bits.take_word(at, &mut taken));
                assert!(taken.into_iter().eq((0..n_words * 64).filter(|slot| set.contains(*slot))));
            }
        }
    }

    #[test]
    fn bounds_hold_whatever_the_answer_is() {
        let pairs = || {
            let within = |sure: &SlotSet, possible: &SlotSet| (0..4).all(|s| !sure.contains(s) || possible.contains(s));
            let all = sets();
            let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (a.clone(), b.clone())));
            pairs.filter(|(a, b)| within(a, b)).step_by(3).collect::<Vec<_>>()
        };
        let of =
            |(sure, possible): (SlotSet, SlotSet)| Bounds { possible: (sure != possible).then_some(possible), sure };
        for a in pairs() {
            for b in pairs() {
                let (a, b) = (of(a.clone()), of(b));
                for slot in 0..4 {
                    let state = |bounds: &Bounds| (bounds.sure.contains(slot), bounds.possible().contains(slot));
                    let ((low, high), (lower, higher)) = (state(&a), state(&b));
                    assert_eq!(state(&a.clone().and(b.clone())), (low && lower, high && higher));
                    assert_eq!(state(&a.clone().or(b.clone())), (low || lower, high || higher));
                    assert_eq!(Bounds::any(&[a.clone(), b.clone()]), a.clone().or(b.clone()));
                    assert_eq!(state(&a.clone().complement()), (!high, !low));
                    assert_eq!(state(&a.clone().or_perhaps(b.sure.clone())), (low, high || lower));
                }
            }
        }
    }
}
