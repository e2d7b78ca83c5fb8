//! Lines of a file or of stdin, read by a thread of their own.
//!
//! The thread lets a signal end the command while it waits for a pipe. Blank lines are counted and
//! skipped. So is the byte-order mark that a file may begin with.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::failure::Failure;
use crate::interrupt;

/// Longest line, in bytes: the largest document as JSON, and room to spare.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Lines read ahead.
const AHEAD: usize = 32;

/// The byte-order mark that some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Time between two looks for a signal.
const PATIENCE: Duration = Duration::from_millis(50);

/// A line without its end.
pub(crate) struct Line {
    /// Its number in the file, from 1.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The next line, or why there is none.
pub(crate) enum Next {
    Line(Line),
    End,
    Interrupted,
}

/// Lines in their order.
pub(crate) struct Lines {
    receiver: Receiver<io::Result<Line>>,
}

impl Lines {
    /// Starts to read a file; stdin if its name is `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        Ok(match is_stdin(path) {
            true => Self::start(io::stdin()),
            false => Self::start(File::open(path).map_err(|error| Failure::file("opening", path, &error))?),
        })
    }

    fn start(source: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        // The thread is never joined. It may wait for a pipe that is never written to, and ends
        // with the process.
        thread::spawn(move || forward(source, &sender));
        Lines { receiver }
    }

    /// The next line that is not blank.
    pub(crate) fn next(&self) -> io::Result<Next> {
        loop {
            if interrupt::requested() {
                return Ok(Next::Interrupted);
            }
            match self.receiver.recv_timeout(PATIENCE) {
                Ok(line) => return line.map(Next::Line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
            }
        }
    }
}

/// A reader that skips the byte-order mark at its beginning.
pub(crate) struct Unmarked<R> {
    source: BufReader<R>,
    has_begun: bool,
}

impl<R: Read> Unmarked<R> {
    pub(crate) fn new(source: R) -> Self {
        Unmarked { source: BufReader::new(source), has_begun: false }
    }
}

impl<R: Read> Read for Unmarked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !self.has_begun && self.source.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            self.source.consume(BYTE_ORDER_MARK.len());
        }
        self.has_begun = true;
        self.source.read(bytes)
    }
}

/// A text without the byte-order mark that it may begin with.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether a name stands for stdin.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// How many lines of a file are not blank.
pub(crate) fn count(path: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::file("reading", path, &error);
    let mut reader = Reader::new(File::open(path).map_err(failed)?);
    let mut n_lines = 0;
    while reader.read().map_err(failed)?.is_some() {
        if interrupt::requested() {
            break;
        }
        n_lines += 1;
    }
    Ok(n_lines)
}

fn forward(source: impl Read, sender: &SyncSender<io::Result<Line>>) {
    let mut reader = Reader::new(source);
    loop {
        let line = match reader.read() {
            Ok(Some(line)) => Ok(line),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let failed = line.is_err();
        if sender.send(line).is_err() || failed {
            return;
        }
    }
}

struct Reader<R> {
    source: BufReader<R>,
    number: u64,
}

impl<R: Read> Reader<R> {
    fn new(source: R) -> Self {
        Reader { source: BufReader::with_capacity(1 << 18, source), number: 0 }
    }

    /// The next line that is not blank.
    fn read(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            if self.source.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            self.number += 1;
            if self.number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.len() > MAX_LINE_BYTES {
                return Err(io::Error::other(format!("line {} is longer than {MAX_LINE_BYTES} bytes", self.number)));
            }
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            if !blank {
                let end = bytes.trim_ascii_end().len();
                bytes.truncate(end);
                return Ok(Some(Line { number: self.number, bytes }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_counted_and_left_out() {
        let mut reader = Reader::new(&b"\n{1}\r\n  \n{2}"[..]);
        let mut lines = Vec::new();
        while let Some(line) = reader.read().unwrap() {
            lines.push((line.number, line.bytes));
        }
        assert_eq!(lines, [(2, b"{1}".to_vec()), (4, b"{2}".to_vec())]);
    }

    #[test]
    fn a_byte_order_mark_is_left_out_where_a_file_begins() {
        let all = |source: &'static [u8]| {
            let mut reader = Reader::new(source);
            std::iter::from_fn(move || reader.read().unwrap().map(|line| (line.number, line.bytes))).collect::<Vec<_>>()
        };
        let rows = [(1, b"{1}".to_vec()), (2, b"{2}".to_vec())];
        assert_eq!(all(b"\xef\xbb\xbf{1}\r\n{2}\r\n"), rows);
        assert_eq!(all(b"\xef\xbb\xbf{1}\n{2}"), rows);
        assert_eq!(all(b"\xef\xbb\xbf\r\n{2}"), rows[1..], "alone on its line it is blank");
        assert_eq!(all(b"\xef\xbb\xbf"), []);
        assert_eq!(all(b"{1}\n\xef\xbb\xbf{2}")[1].1, b"\xef\xbb\xbf{2}", "elsewhere it is no mark");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let refused = Reader::new(io::repeat(b'x')).read();
        assert!(refused.is_err_and(|error| error.to_string().starts_with("line 1 is longer")));
    }
}
