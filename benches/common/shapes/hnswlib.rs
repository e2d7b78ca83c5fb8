//! The recall of hnswlib on the same rows, from a stored table, and the recall asked of us.

/// Recall may be this much below hnswlib's. From build to build hnswlib's own varies by less than
/// .002, except on `wildnorms` (.008) and `mips_bias` (.02).
pub(crate) const TOLERANCE: f64 = 0.005;

/// Recall that is asked on `mips_bias`, where hnswlib finds little more than half.
const BAR_OF_BIAS: f64 = 0.9;

/// Recall at 10 of hnswlib on `n_rows` rows of a set; `None` if the table has no such line.
pub(crate) fn recall(name: &str, n_rows: usize) -> Option<f64> {
    let lines = include_str!("hnswlib.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut rows = lines.map(|line| line.split('\t').collect::<Vec<_>>());
    let row = rows.find(|row| row[0] == name && row[1].parse() == Ok(n_rows))?;
    Some(row[2].parse().expect("a recall"))
}

/// The least recall that is good enough; `None` if the table has no such line.
pub(crate) fn bar(name: &str, n_rows: usize) -> Option<f64> {
    let least = recall(name, n_rows)? - TOLERANCE;
    Some(if name == "mips_bias" { least.max(BAR_OF_BIAS) } else { least })
}
