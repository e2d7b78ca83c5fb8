//! Scrolling in the order of a field's values.
//!
//! Postings are in that order already. They are read value by value, from where the page before
//! ended. Documents whose values are not all indexed are read themselves, as are all if the field
//! is not indexed.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::read::Scroll;
use crate::collection::check;
use crate::collection::matching::Matching;
use crate::collection::metadata::lookup::Lookup;
use crate::collection::moment::{Listing, Moment};
use crate::error::{Error, Result};
use crate::filter::extract::values_of;
use crate::filter::term::{Term, order_of};
use crate::hit::Page;
use crate::id::{DocId, FieldId, Slot};
use crate::paging::{Cursor, Digest, OrderedValue};
use crate::store::format::postings::read_chunk;
use crate::value::Value;

/// Where a document stands: the bytes that order its value, and its id.
type OrderKey = (Box<[u8]>, DocId);

/// The order of values and documents: ascending or descending.
#[derive(Clone, Copy)]
struct Direction {
    is_back: bool,
}

impl Direction {
    fn compare<T: Ord + ?Sized>(self, a: &T, b: &T) -> Ordering {
        if self.is_back { b.cmp(a) } else { a.cmp(b) }
    }

    /// A digest that tells the order by a field from others.
    fn digest(self, path: &str) -> u128 {
        let mut digest = Digest::new();
        digest.add(path.as_bytes());
        digest.add(&[u8::from(self.is_back)]);
        digest.finish()
    }

    /// The bytes that order a document by a field; `None` if no value there has an order.
    fn order(self, metadata: &Value, path: &str) -> Option<Box<[u8]>> {
        let values = values_of(metadata, path);
        let orders = values.iter().map(Term::bytes).filter_map(order_of);
        orders.reduce(|a, b| if self.compare(a, b).is_le() { a } else { b }).map(Into::into)
    }
}

/// The page found so far, in order. It has one document more if there is a next page.
struct OrderedPage {
    direction: Direction,
    after: Option<OrderKey>,
    n_most: usize,
    places: Vec<(OrderKey, Slot)>,
}

impl OrderedPage {
    /// Adds documents, in any order, that come after all that were added before.
    fn extend(&mut self, mut places: Vec<(OrderKey, Slot)>) {
        let direction = self.direction;
        places.retain(|(place, _)| self.after.as_ref().is_none_or(|after| direction.compare(place, after).is_gt()));
        places.sort_unstable_by(|(a, _), (b, _)| direction.compare(a, b));
        places.truncate(self.n_most - self.places.len());
        self.places.append(&mut places);
    }

    fn is_full(&self) -> bool {
        self.places.len() >= self.n_most
    }
}

impl Scroll {
    pub(super) fn run_in_order(self) -> Result<Page> {
        let path = self.order_by.as_deref().unwrap_or_default();
        check::path(path)?;
        let direction = Direction { is_back: self.descending };
        let order = direction.digest(path);
        let foreign = |got: &str| {
            let reason = format!("expected a cursor of this order, got one of {got}");
            Err(Error::InvalidConfig { field: "after", reason })
        };
        let after = match self.after.clone() {
            None => None,
            Some(Cursor { value: None, .. }) => return foreign("ids alone"),
            Some(Cursor { value: Some(value), .. }) if value.order != order => return foreign("another"),
            Some(Cursor { id, value: Some(value) }) => {
                if order_of(&value.bytes) != Some(&*value.bytes) {
                    return foreign("no value");
                }
                Some((value.bytes, id))
            }
        };
        let moment = self.place.moment(Listing::IfFew)?;
        let matching = moment.matching(&self.filter, &self.stop)?;
        let found = || OrderedPage {
            direction,
            after: after.clone(),
            n_most: self.limit.saturating_add(1),
            places: Vec::new(),
        };
        let told = moment.told_of_field(path, |lookup, field| {
            let mut found = found();
            self.find_by_postings(&moment, &matching, (lookup, field), &mut found)?;
            Ok(found)
        })?;
        let found = match told {
            Some(found) => found,
            None => {
                let (mut found, mut places) = (found(), Vec::new());
                moment.each_of(&matching, &self.stop, |slot, row| {
                    if self.is_hit(&moment, &matching, slot, &row)
                        && let Some(order) = direction.order(&row.metadata, path)
                    {
                        places.push(((order, row.id), slot));
                    }
                    Ok(())
                })?;
                found.extend(places);
                found
            }
        };
        let mut places = found.places;
        let is_more = places.len() > self.limit;
        places.truncate(self.limit);
        let next = match places.last() {
            Some(((value, id), _)) if is_more => {
                Some(Cursor { id: id.clone(), value: Some(OrderedValue { order, bytes: value.clone() }) })
            }
            // An empty page gets no further.
            None if is_more => self.after.clone(),
            _ => None,
        };
        let slots: Vec<Slot> = places.iter().map(|(_, slot)| *slot).collect();
        let rows = moment.fetch_unless(&self.stop, &slots)?;
        let stored = |(slot, row)| self.stop.check().and_then(|()| moment.stored(slot, row, self.with_vector));
        let documents = rows.into_iter().map(stored);
        Ok(Page { documents: documents.collect::<Result<_>>()?, next, commit: moment.commit() })
    }

    fn is_hit(
        &self,
        moment: &Moment,
        matching: &Matching,
        slot: Slot,
        row: &crate::store::format::record::DocumentRow,
    ) -> bool {
        matching.is_sure_of(slot) || moment.words().match_filter(&self.filter, row)
    }

    fn find_by_postings(
        &self,
        moment: &Moment,
        matching: &Matching,
        (lookup, field): (&Lookup<'_>, FieldId),
        found: &mut OrderedPage,
    ) -> Result<()> {
        let path = self.order_by.as_deref().unwrap_or_default();
        let direction = found.direction;
        let is_wanted = |slot: &u32| matching.possible.bits().contains(*slot) && moment.has(Slot(*slot));
        // Documents with values that are not indexed are read themselves, and added where they
        // belong.
        let incomplete = &*lookup.term(field, &Term::incomplete())? | &*lookup.overflowing()?;
        let doubtful: Vec<Slot> = incomplete.iter().filter(is_wanted).map(Slot).collect();
        let mut others: Vec<(OrderKey, Slot)> = Vec::new();
        for (slot, row) in moment.fetch_unless(&self.stop, &doubtful)? {
            if let Some(order) =
                direction.order(&row.metadata, path).filter(|_| self.is_hit(moment, matching, slot, &row))
            {
                others.push(((order, row.id), slot));
            }
        }
        others.sort_unstable_by(|(a, _), (b, _)| direction.compare(b, a));
        // Of `others`, documents that come before `order` are added, and those that have it are
        // returned.
        let mut take_others = |found: &mut OrderedPage, order: Option<&[u8]>| -> Vec<(OrderKey, Slot)> {
            let mut same = Vec::new();
            while let Some((place, slot)) = others.pop() {
                match order.map(|order| direction.compare(&*place.0, order)) {
                    Some(Ordering::Greater) => {
                        others.push((place, slot));
                        break;
                    }
                    Some(Ordering::Equal) => same.push((place, slot)),
                    Some(Ordering::Less) | None if !found.is_full() => found.extend(vec![(place, slot)]),
                    Some(Ordering::Less) | None => {}
                }
            }
            same
        };
        // The value being read, and its slots.
        let (mut order, mut slots) = (Box::<[u8]>::default(), RoaringBitmap::new());
        let start = found.after.as_ref().map(|(value, _)| value.clone());
        let mut settle = |found: &mut OrderedPage, order: &[u8], slots: &mut RoaringBitmap| -> Result<()> {
            let mut places = take_others(found, Some(order));
            let own: Vec<Slot> =
                slots.iter().filter(|slot| !incomplete.contains(*slot)).filter(is_wanted).map(Slot).collect();
            slots.clear();
            if !found.is_full() {
                places.extend(self.places_of(moment, matching, order, &own, direction)?);
                found.extend(places);
            }
            Ok(())
        };
        let visit = |term: &[u8], chunk: u16, row: &[u8]| -> Result<ControlFlow<()>> {
            self.stop.check()?;
            let Some(own) = order_of(term) else { return Ok(ControlFlow::Continue(())) };
            if *own != *order {
                if !slots.is_empty() {
                    settle(found, &order, &mut slots)?;
                }
                if found.is_full() {
                    return Ok(ControlFlow::Break(()));
                }
                order = own.into();
            }
            read_chunk(row, chunk, &mut slots)?;
            Ok(ControlFlow::Continue(()))
        };
        lookup.each_row_from(field, start.as_deref(), direction.is_back, visit)?;
        if !slots.is_empty() {
            settle(found, &order, &mut slots)?;
        }
        take_others(found, None);
        Ok(())
    }

    /// The places of those slots that have the value `order` and none that comes before it.
    fn places_of(
        &self,
        moment: &Moment,
        matching: &Matching,
        order: &[u8],
        slots: &[Slot],
        direction: Direction,
    ) -> Result<Vec<(OrderKey, Slot)>> {
        let path = self.order_by.as_deref().unwrap_or_default();
        let mut places = Vec::new();
        for (slot, row) in moment.fetch_unless(&self.stop, slots)? {
            let is_own = direction.order(&row.metadata, path).is_some_and(|own| *own == *order);
            if is_own && self.is_hit(moment, matching, slot, &row) {
                places.push(((order.into(), row.id), slot));
            }
        }
        Ok(places)
    }
}
