//! The command line: a sub-command and `--name value` pairs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Outcome;

pub(crate) struct Args {
    pub(crate) command: String,
    values: BTreeMap<String, Vec<String>>,
}

impl Args {
    pub(crate) fn read() -> Outcome<Self> {
        let mut words = std::env::args().skip(1);
        let command = words.next().unwrap_or_default();
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("expected --name, got {word:?}"))?;
            let value = words.next().ok_or_else(|| format!("expected a value after --{name}"))?;
            values.entry(name.to_owned()).or_default().push(value);
        }
        Ok(Args { command, values })
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.last().map(String::as_str)
    }

    /// Every value given under a name, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values.get(name).into_iter().flatten().map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Outcome<Option<u64>> {
        let parse = |text: &str| text.parse().map_err(|_| format!("--{name}: expected a number, got {text:?}"));
        self.text(name).map(parse).transpose()
    }

    pub(crate) fn number_or(&self, name: &str, default: u64) -> Outcome<u64> {
        Ok(self.number(name)?.unwrap_or(default))
    }

    /// The seed given, or one from the clock.
    pub(crate) fn seed(&self) -> Outcome<u64> {
        let clock = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            now.as_nanos() as u64 % 1_000_000_000
        };
        Ok(self.number("seed")?.unwrap_or_else(clock))
    }

    /// The folder given, or one of this process among the system's temporary files.
    pub(crate) fn folder(&self, parent: PathBuf) -> PathBuf {
        let own = || parent.join(format!("vectrove-torture-{}-{}", self.command, std::process::id()));
        self.text("dir").map_or_else(own, PathBuf::from)
    }
}
