//! Compares a filter's answer from postings, its evaluation, and its twin's. A byte chooses what
//! the index lacks; the first line is the filter, and each other line a document's metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vectrove_fuzz::lookup::check(input));
