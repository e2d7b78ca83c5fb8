//! Rows and queries, each held in one piece of memory that goes back to the system as a whole.

use std::path::Path;

use crate::args;
use crate::failure::Failure;
use crate::output::grouped;
use crate::vectors::VectorFile;

/// Rows of a file.
pub(super) struct Rows {
    n_columns: usize,
    components: Vec<f32>,
}

/// Number and size of the rows to be loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) n_rows: usize,
    pub(super) dimension: usize,
}

impl Rows {
    /// The first rows of a file, or all.
    pub(super) fn read(path: &Path, limit: Option<usize>) -> Result<Self, Failure> {
        let mut file = VectorFile::open(path)?;
        let (n_rows, n_columns) = (n_wanted(&file, limit), file.n_columns());
        let mut components = Vec::with_capacity(n_rows * n_columns);
        for _ in 0..n_rows {
            components.extend(file.read()?.into_iter().flatten());
        }
        Ok(Rows { n_columns, components })
    }

    pub(super) fn len(&self) -> usize {
        self.components.len() / self.n_columns
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.components[row * self.n_columns..][..self.n_columns]
    }
}

/// Refuses files that do not belong together, reading only their heads.
pub(super) fn check(args: &args::Bench, queries: &Rows) -> Result<Shape, Failure> {
    let base = VectorFile::open(&args.base)?;
    let shape = Shape { n_rows: n_wanted(&base, args.limit), dimension: base.n_columns() };
    let (base, query) = (args.base.display(), args.query.display());
    if queries.n_columns != shape.dimension {
        let (expected, got) = (shape.dimension, queries.n_columns);
        return Err(Failure::failed(format!(
            "dimension mismatch: {base} has {expected} components, {query} has {got}"
        )));
    }
    if queries.len() == 0 {
        return Err(Failure::failed(format!("{query} has no rows")));
    }
    if args.k > shape.n_rows {
        let n_rows = grouped(shape.n_rows as u64);
        return Err(Failure::failed(format!("expected --k of at most {n_rows}, the rows of {base}, got {}", args.k)));
    }
    Ok(shape)
}

fn n_wanted(file: &VectorFile, limit: Option<usize>) -> usize {
    let n_rows = usize::try_from(file.n_rows()).unwrap_or(usize::MAX);
    limit.map_or(n_rows, |limit| limit.min(n_rows))
}
