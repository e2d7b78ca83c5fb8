//! Rows of words, and merging what changes in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| vectrove_fuzz::store::merge_words(bytes));
