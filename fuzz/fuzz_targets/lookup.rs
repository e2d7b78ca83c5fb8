//! A filter told from postings, evaluated, and evaluated by its twin. A byte says what the index lacks, the first line is
//! the filter, every other line a document's metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| vectrove_fuzz::lookup::check(input));
