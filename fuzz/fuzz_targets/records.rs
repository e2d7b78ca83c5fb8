//! Every key and record decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vectrove_fuzz::store::read_records(bytes));
