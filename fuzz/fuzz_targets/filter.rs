//! Filter JSON: read it, write it, read it again, evaluate it. The first line is the filter, the
//! rest the metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vectrove_fuzz::filter::Filter;
use vectrove_fuzz::value::Value;

fuzz_target!(|input: &str| {
    let (text, metadata) = input.split_once('\n').unwrap_or((input, "{}"));
    let Ok(filter) = text.parse::<Filter>() else { return };
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    let again = Filter::from_json(&filter.to_json()).expect("a filter reads what it wrote");
    assert_eq!(filter.matches(&metadata), again.matches(&metadata), "{text}");
});
