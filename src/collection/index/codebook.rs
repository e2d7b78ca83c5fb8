//! What codes are made by and how far they can be trusted, together, as it is written down.

use super::gauge::Gauge;
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::quant::{Book, CodeKind};
use crate::store::graph::CodebookRow;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Codebook {
    pub(crate) book: Book,
    pub(crate) gauge: Option<Gauge>,
}

impl Codebook {
    /// For a collection that nothing is known of.
    pub(crate) fn begin(config: &CollectionConfig) -> Self {
        Codebook { book: Book::of_dimension(config.dimension), gauge: None }
    }

    pub(crate) fn row(&self) -> CodebookRow {
        let Book { kind, generation, centre } = self.book.clone();
        let kind = match kind {
            CodeKind::Sq8 => 0,
            CodeKind::Sq8Centred => 1,
            CodeKind::Sq16 => 2,
            CodeKind::F32 => 3,
        };
        let Gauge { code_recall, recall, n_documents } = self.gauge.unwrap_or_default();
        CodebookRow { kind, generation, n_measured: n_documents as u64, code_recall, recall, centre }
    }

    pub(crate) fn of_row(row: CodebookRow, dimension: usize) -> Result<Self> {
        const WHAT: &str = "the codebook";
        let CodebookRow { kind, generation, n_measured, code_recall, recall, centre } = row;
        let kind = match kind {
            0 => CodeKind::Sq8,
            1 => CodeKind::Sq8Centred,
            2 => CodeKind::Sq16,
            3 => CodeKind::F32,
            other => return Err(Error::corruption(WHAT, format!("expected a kind of codes up to 3, got {other}"))),
        };
        if !centre.is_empty() && centre.len() != dimension {
            let detail = format!("expected a centre of {dimension} components, got {}", centre.len());
            return Err(Error::corruption(WHAT, detail));
        }
        let gauge = Gauge { code_recall, recall, n_documents: n_measured as usize };
        let gauge = (n_measured > 0).then_some(gauge);
        Ok(Codebook { book: Book { kind, generation, centre }, gauge })
    }
}
