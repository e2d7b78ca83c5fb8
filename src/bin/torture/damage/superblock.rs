//! The superblock on disk, read without the library: the durable commit of the newest slot that is
//! whole.

const SLOT_BYTES: usize = 4096;
const CRC_OFFSET: usize = SLOT_BYTES - 4;

/// The durable commit; `None` if no slot is whole.
pub(super) fn durable(bytes: &[u8]) -> Option<u64> {
    let (slots, _) = bytes.as_chunks::<SLOT_BYTES>();
    let whole = slots.iter().take(2).filter_map(read);
    whole.max_by_key(|(sequence, _)| *sequence).map(|(_, durable)| durable)
}

/// The sequence number and durable commit of a slot that is whole.
fn read(slot: &[u8; SLOT_BYTES]) -> Option<(u64, u64)> {
    let u64_at = |at: usize| slot[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
    let crc = u64_at(CRC_OFFSET - 4) >> 32;
    let whole = slot.starts_with(b"VECTROVE") && crc == u64::from(crc32c::crc32c(&slot[..CRC_OFFSET]));
    whole.then(|| (u64_at(16), u64_at(48)))
}
