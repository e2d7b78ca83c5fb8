//! Stdout: lines for people, or JSON for programs.
//!
//! Text from the database is printed with its control characters replaced, so that a document
//! cannot control the terminal.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Width of a table, in characters, unless the environment sets one.
const WIDTH: usize = 100;

/// The output of answers.
pub(crate) struct Output {
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// Most characters in a line of a table.
    pub(crate) width: usize,
    out: BufWriter<Stdout>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = told.filter(|&columns: &usize| columns > 0).unwrap_or(WIDTH);
        Output { json, width, out: BufWriter::new(io::stdout()) }
    }

    /// One line of text.
    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| Failure::stdout(&error))
    }

    /// One line of JSON.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        write_row(&mut self.out, object).map_err(|error| Failure::stdout(&error))
    }

    /// JSON for programs, one line of text for people.
    pub(crate) fn answer(&mut self, object: &impl Serialize, line: impl Display) -> Result<(), Failure> {
        if self.json { self.object(object) } else { self.line(line) }
    }

    /// Passes all output on to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }
}

/// Says on stderr which fields of a filter no document has.
pub(crate) fn note_absent(fields: &[String]) {
    for field in fields {
        eprintln!("note: no document has the field \"{}\"", cut(field, WIDTH));
    }
}

/// Writes one line of JSON.
pub(crate) fn write_row(mut out: impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut out, object)?;
    out.write_all(b"\n")
}

/// A count as people write it: 12,345.
pub(crate) fn grouped(count: impl TryInto<u64>) -> String {
    let digits = count.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text on one line, without control characters, cut to a width.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let mut shown: String = text.chars().take(width + 1).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if shown.chars().count() > width {
        shown = shown.chars().take(width.saturating_sub(1)).collect();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_from_the_right() {
        let shown: Vec<_> = [0u64, 999, 1_000, 1_234_567].map(grouped).into();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn cutting_counts_characters_and_drops_control() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("a\u{1b}[31m\n", 10), "a [31m ");
    }
}
