//! Filter JSON to plan to evaluation: what postings of some documents tell, what evaluating each says, and what a naive
//! evaluator says. The first line is the filter, the others are documents.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| vectrove_fuzz::lookup::check(input));
