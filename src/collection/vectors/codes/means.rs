//! The members of each region, and the centres from which codes of their vectors are measured.
//!
//! A namespace with links has its own centre, the mean of its documents. All others share one, the
//! mean of their documents. While they have too few, the shared centre is the default namespace's
//! own.

use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::bounds::{LEAST_DOCUMENTS, MOST_READ, MOST_TRIED};
use super::watch::LOOSE;
use crate::cancel::Stop;
use crate::collection::vectors::HnswIndex;
use crate::collection::vectors::linking_context::LinkContext;
use crate::collection::vectors::random::SplitMix;
use crate::error::Result;
use crate::id::{NamespaceId, Slot};
use crate::quant::Centres;

/// The least number of documents for a mean, or all there are, if vectors are in memory.
const LEAST_AVERAGED: usize = 1_024;
/// The least number of documents for a mean if vectors are on disk.
const LEAST_READ: usize = 256;
/// Loose documents examined to find a namespace with enough documents.
const N_PICKS: usize = 16;

/// The documents of one namespace, as of the commit that the linker looks at.
pub(in crate::collection::vectors) struct Members {
    pub(in crate::collection::vectors) namespace: NamespaceId,
    /// In ascending order.
    pub(in crate::collection::vectors) slots: Vec<u32>,
    /// The number of documents of the region.
    pub(in crate::collection::vectors) n_documents: usize,
}

impl Members {
    /// The documents by which a region is measured. For [`LOOSE`] one namespace stands for all
    /// without links: that of the newest document, or of one chosen at random. `None` if it finds
    /// none with enough documents.
    pub(in crate::collection::vectors) fn of(
        index: &HnswIndex,
        context: &LinkContext<'_>,
        region: NamespaceId,
        newest: &[Slot],
        salt: u64,
    ) -> Option<Self> {
        let namespace = if region == LOOSE { index.pick_loose(context, newest, salt)? } else { region };
        let mut slots = context.memory.still().members(namespace).to_vec();
        slots.retain(|&slot| context.memory.slots.is_visible(slot, namespace, context.commit));
        slots.sort_unstable();
        let slots: Vec<u32> = slots.into_iter().map(|slot| slot.0).collect();
        let n_documents = if region == LOOSE { index.n_loose() } else { slots.len() };
        Some(Members { namespace, slots, n_documents })
    }
}

impl HnswIndex {
    /// About how many documents a region has.
    pub(super) fn n_documents_of(&self, context: &LinkContext<'_>, region: NamespaceId) -> usize {
        if region == LOOSE { self.n_loose() } else { context.memory.n_members(region) }
    }

    /// Whether codes may be compared instead of vectors in a namespace. False if it has no links
    /// and codes do not fit namespaces without links.
    pub(in crate::collection::vectors) fn trusts_codes_of(&self, namespace: NamespaceId) -> bool {
        !self.misfits_loose.load(Ordering::Acquire) || self.links(namespace)
    }

    fn pick_loose(&self, context: &LinkContext<'_>, newest: &[Slot], salt: u64) -> Option<NamespaceId> {
        let (loose, mut random) = (self.loose_slots(), SplitMix(salt));
        let random = (0..N_PICKS).filter_map(|_| loose.get(random.below(loose.len())).copied());
        let namespaces =
            newest.last().copied().into_iter().chain(random).map(|slot| context.memory.slots.namespace(slot));
        let mut small = namespaces.filter(|namespace| !self.links(*namespace));
        small.find(|&namespace| context.memory.n_members(namespace) >= LEAST_DOCUMENTS)
    }

    /// The centres for codes that are made now.
    pub(in crate::collection::vectors) fn centres(&self, context: &LinkContext<'_>) -> Result<Centres> {
        let mut regions = self.linked_namespaces();
        let shared = self.loose_centre(context)?;
        // If no others share it, the shared centre is the default namespace's.
        if shared.is_some() {
            regions.push(NamespaceId::default());
        }
        let n_averaged = (MOST_TRIED / (regions.len() + 1)).max(LEAST_AVERAGED);
        let of_region = |&region: &NamespaceId| -> Result<Option<(NamespaceId, Vec<f32>)>> {
            Ok(mean_of_members(context, region, n_averaged)?.map(|mean| (region, mean)))
        };
        let own: Vec<_> = context.pool.install(|| regions.par_iter().map(of_region).collect::<Result<_>>())?;
        let shared = match shared {
            Some(shared) => shared,
            None => mean_of_members(context, NamespaceId::default(), n_averaged)?.unwrap_or_default(),
        };
        Ok(Centres { shared, own: own.into_iter().flatten().collect() })
    }

    /// The mean of documents of namespaces without links; `None` if they are few.
    pub(super) fn loose_centre(&self, context: &LinkContext<'_>) -> Result<Option<Vec<f32>>> {
        if self.n_loose() < LEAST_DOCUMENTS {
            return Ok(None);
        }
        let mut loose = self.loose_slots();
        loose.retain(|&slot| context.memory.slots.exists_at(slot, context.commit));
        mean(context, &spread(&loose, MOST_TRIED))
    }
}

fn mean_of_members(context: &LinkContext<'_>, namespace: NamespaceId, n_averaged: usize) -> Result<Option<Vec<f32>>> {
    let mut slots = spread(context.memory.still().members(namespace), n_averaged);
    slots.retain(|&slot| context.memory.slots.is_visible(slot, namespace, context.commit));
    mean(context, &slots)
}

/// About `n` of the slots, evenly spread.
fn spread(slots: &[Slot], n: usize) -> Vec<Slot> {
    slots.iter().copied().step_by(slots.len().div_ceil(n).max(1)).collect()
}

/// The mean of the vectors in `slots`; `None` below `LEAST_DOCUMENTS`.
fn mean(context: &LinkContext<'_>, slots: &[Slot]) -> Result<Option<Vec<f32>>> {
    let is_held = context.exact.complete().is_some();
    let from_disk = spread(slots, (MOST_READ * slots.len() / MOST_TRIED).max(LEAST_READ));
    let slots = if is_held { slots } else { &from_disk };
    if slots.len() < LEAST_DOCUMENTS {
        return Ok(None);
    }
    let mut sums = vec![0.0f64; context.memory.vectors().full.dimension()];
    context
        .exact
        .each(Stop::NEVER, slots, |_, row| sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x)))?;
    Ok(Some(sums.into_iter().map(|sum| (sum / slots.len() as f64) as f32).collect()))
}
