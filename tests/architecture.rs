//! The structure of the source, compared with `src/lib.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Source as tokens, without comments, strings and tests. Lifetimes and literals are left out.
type Tokens = Vec<String>;

/// The modules of the crate's root in the order of its floors.
struct Floors(Vec<Vec<String>>);

// Reading source.

/// Cuts source into words and single signs.
fn tokens(source: &str) -> Tokens {
    let chars: Vec<char> = source.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let end = match (chars[at], chars.get(at + 1).copied().unwrap_or(' ')) {
            ('/', '/') => end_of_line(&chars, at),
            ('/', '*') => end_of_comment(&chars, at),
            ('"', _) => end_of_string(&chars, at),
            ('r', '"' | '#') if end_of_raw_string(&chars, at).is_some() => end_of_raw_string(&chars, at).unwrap(),
            ('\'', _) => end_of_char(&chars, at),
            (sign, _) if sign.is_whitespace() => at + 1,
            (letter, _) if is_word(letter) => {
                let length = chars[at..].iter().take_while(|letter| is_word(**letter)).count();
                tokens.push(chars[at..at + length].iter().collect());
                at + length
            }
            (sign, _) => {
                tokens.push(sign.to_string());
                at + 1
            }
        };
        at = end;
    }
    tokens
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    from + chars[from..].iter().take_while(|letter| **letter != '\n').count()
}

fn end_of_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (1, from + 2);
    while depth > 0 && at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn end_of_raw_string(chars: &[char], from: usize) -> Option<usize> {
    let n_hashes = chars[from + 1..].iter().take_while(|letter| **letter == '#').count();
    let begin = from + 1 + n_hashes;
    if chars.get(begin) != Some(&'"') {
        return None;
    }
    let closes =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take_while(|sign| **sign == '#').count() >= n_hashes;
    Some((begin + 1..chars.len()).find(closes)? + 1 + n_hashes)
}

/// The end of a character, or of a lifetime's tick.
fn end_of_char(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => from + 3 + chars[from + 3..].iter().take_while(|letter| **letter != '\'').count() + 1,
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// Takes out every item under `#[cfg(test)]`.
fn without_tests(tokens: Tokens) -> Tokens {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if starts_with(&tokens[at..], &MARK) {
            at = end_of_item(&tokens, at + MARK.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn starts_with(tokens: &[String], wanted: &[&str]) -> bool {
    tokens.len() >= wanted.len() && tokens.iter().zip(wanted).all(|(token, wanted)| token == wanted)
}

/// The end of an item: after its semicolon, or after its closing brace.
fn end_of_item(tokens: &[String], from: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The first names of all paths that begin at the crate's root, in a file `depth` modules below it.
fn names_from_root(tokens: &[String], depth: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for at in 0..tokens.len() {
        if at >= 2 && tokens[at - 1] == ":" && tokens[at] != "{" {
            continue;
        }
        let up = ["super", ":", ":"].repeat(depth);
        for root in [&["crate", ":", ":"][..], &["$", "crate", ":", ":"], &up] {
            if !root.is_empty() && starts_with(&tokens[at..], root) {
                names.extend(first_names(&tokens[at + root.len()..]));
            }
        }
    }
    names
}

/// The name that follows, or each first name of the group that follows.
fn first_names(tokens: &[String]) -> Vec<String> {
    if tokens.first().is_none_or(|token| token != "{") {
        return tokens.first().cloned().into_iter().collect();
    }
    let (mut names, mut depth) = (Vec::new(), 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return names,
            "}" => depth -= 1,
            word if depth == 1 && word != "," && ["{", ","].contains(&tokens[at - 1].as_str()) => {
                names.push(word.to_owned())
            }
            _ => {}
        }
    }
    names
}

// The floors.

impl Floors {
    /// Reads the `mod` lines of `lib.rs`. A comment that begins with `// Floor` begins a floor.
    fn read(lib: &str) -> Self {
        let mut floors: Vec<Vec<String>> = Vec::new();
        for line in lib.lines() {
            let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
            match words.as_slice() {
                ["//", "Floor", ..] => floors.push(Vec::new()),
                ["mod", name] | ["pub", "mod", name] | ["pub(crate)", "mod", name] => {
                    floors.last_mut().expect("a floor before the first module").push((*name).to_owned());
                }
                _ => {}
            }
        }
        Floors(floors)
    }

    fn floor_of(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|floor| floor.iter().any(|name| name == module))
    }

    /// The faults in the names that a module uses from the root.
    fn faults(&self, module: &str, names: &BTreeSet<String>) -> Vec<String> {
        let own = self.floor_of(module).unwrap_or_else(|| panic!("lib.rs does not declare {module}"));
        let fault = |name: &String| match self.floor_of(name) {
            Some(floor) if floor <= own => None,
            Some(floor) => Some(format!("{module}, on floor {own}, uses {name}, on floor {floor}")),
            None => Some(format!("{module} uses crate::{name}, which is no module: name the module it comes from")),
        };
        names.iter().filter_map(fault).collect()
    }
}

/// Modules of one floor that use each other in a circle, each with those it uses.
fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let mut left = uses.clone();
    // A module that uses no remaining one, or that none uses, is in no circle.
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let used: BTreeSet<String> = left.values().flatten().cloned().collect();
        left.retain(|name, uses| {
            uses.retain(|used| names.contains(used) && used != name);
            !uses.is_empty() && used.contains(name)
        });
        if left.len() == names.len() {
            return left;
        }
    }
}

// The files.

struct File {
    /// The path below `src`.
    path: String,
    /// The root module it belongs to; empty for `lib.rs` and programs.
    module: String,
    /// Number of modules between it and the root.
    depth: usize,
    tokens: Tokens,
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file that is not a test.
fn files() -> Vec<File> {
    let mut pending = vec![source_folder()];
    let mut files = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.extend(read_file(&path));
        }
    }
    assert!(files.len() > 30, "the source was found");
    files
}

fn read_file(path: &Path) -> Option<File> {
    let name = path.strip_prefix(source_folder()).unwrap().to_str().unwrap().to_owned();
    let stem = name.trim_end_matches(".rs");
    if stem.ends_with("/tests") || stem.ends_with("_tests") || stem.contains("/tests/") {
        return None;
    }
    let modules: Vec<&str> = stem.split('/').filter(|part| *part != "mod").collect();
    let inside = !["lib", "bin"].contains(&modules[0]);
    let module = if inside { modules[0].to_owned() } else { String::new() };
    let tokens = without_tests(tokens(&std::fs::read_to_string(path).unwrap()));
    Some(File { module, depth: modules.len(), tokens, path: name })
}

fn check_nowhere_but(files: &[File], words: &[&str], allowed: impl Fn(&str) -> bool) {
    for file in files.iter().filter(|file| !allowed(&file.path)) {
        let found: Vec<_> = file.tokens.iter().filter(|token| words.contains(&token.as_str())).collect();
        assert!(found.is_empty(), "src/{} names {found:?}", file.path);
    }
}

#[test]
fn modules_use_only_what_stands_above_them() {
    let floors = Floors::read(&std::fs::read_to_string(source_folder().join("lib.rs")).unwrap());
    let (mut faults, mut uses) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    for file in files().iter().filter(|file| !file.module.is_empty()) {
        let names = names_from_root(&file.tokens, file.depth);
        faults
            .extend(floors.faults(&file.module, &names).into_iter().map(|fault| format!("src/{}: {fault}", file.path)));
        let beside = names.into_iter().filter(|name| floors.floor_of(name) == floors.floor_of(&file.module));
        uses.entry(file.module.clone()).or_default().extend(beside);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let circles = circles(&uses);
    assert!(circles.is_empty(), "modules of one floor use each other in a circle: {circles:?}");
}

/// Modules that answer questions. A `Moment` has all that they need.
const READERS: [&str; 6] = [
    "collection/verbs/read.rs",
    "collection/verbs/facet.rs",
    "collection/verbs/sample.rs",
    "collection/verbs/scroll_ordered.rs",
    "collection/matching/",
    "collection/search/",
];
/// Names of a collection's present state, which these modules may not use.
const CURRENT: [&str; 12] = [
    "open",
    "opened",
    "OpenCollection",
    "memory",
    "Memory",
    "census",
    "still",
    "members_of",
    "is_alive",
    "tenancy",
    "namespaces",
    "oldest_view",
];

#[test]
fn who_answers_does_not_ask_for_what_is_current() {
    let files = files();
    let readers = |path: &str| READERS.iter().any(|reader| path.starts_with(reader));
    assert!(files.iter().filter(|file| readers(&file.path)).count() > 15, "the readers were found");
    check_nowhere_but(&files, &CURRENT, |path| !readers(path));
}

#[test]
fn only_the_store_names_the_engine() {
    let within_store = |path: &str| path.starts_with("store/");
    check_nowhere_but(&files(), &["rocksdb", "librocksdb_sys", "bincode"], within_store);
}

/// Files with `unsafe`, beside the engine's wrapper and the kernels: fork detection, the C
/// library's allocator, arrays whose elements never move, and code that reads and writes their
/// elements in place.
const UNSAFE: [&str; 11] = [
    "heap.rs",
    "process.rs",
    "arena/rows.rs",
    "quant/codes.rs",
    "quant/scalar.rs",
    "quant/wide.rs",
    "collection/vectors/full.rs",
    "collection/memory.rs",
    "collection/open/residency.rs",
    "collection/recovery/full_scan.rs",
    "collection/vectors/layer.rs",
];

#[test]
fn unsafe_code_of_the_library_is_fenced() {
    let kernel =
        |path: &str| path.starts_with("distance/") && !["distance/isa.rs", "distance/custom.rs"].contains(&path);
    let engine = |path: &str| path.starts_with("store/rocks/");
    check_nowhere_but(&files(), &["unsafe"], |path| {
        UNSAFE.contains(&path) || engine(path) || kernel(path) || path.starts_with("bin/")
    });
}

#[test]
fn only_the_clock_knows_what_time_it_is() {
    check_nowhere_but(&files(), &["SystemTime", "UNIX_EPOCH", "now_v7", "now_utc"], |path| {
        path == "clock.rs" || path.starts_with("bin/")
    });
}

/// Pairs that break the rule so far: the first part uses the second, which is declared below it. Of
/// memory, the vector index needs only slots and members. Iterating over candidates needs slots and
/// a commit, not a moment.
const NOT_YET: [(&str, &str); 2] = [("vectors", "matching"), ("vectors", "memory")];

/// The modules that a `mod.rs` declares, in their order.
fn declared(tokens: &[String]) -> Vec<String> {
    let names = tokens.windows(3).filter(|tokens| tokens[0] == "mod" && [";", "{"].contains(&tokens[2].as_str()));
    names.map(|tokens| tokens[1].clone()).collect()
}

/// The first names of all paths that begin in `collection`, in a file `depth` modules below the
/// root.
fn names_from_collection(tokens: &[String], depth: usize) -> BTreeSet<String> {
    const FOLDER: [&str; 6] = ["crate", ":", ":", "collection", ":", ":"];
    let up = ["super", ":", ":"].repeat(depth - 1);
    let mut names = BTreeSet::new();
    for at in 0..tokens.len() {
        // The folder itself, where it says who may see something, is no use of it.
        let is_within = at >= 1 && tokens[at - 1] == "in";
        let is_inside = at >= 2 && tokens[at - 1] == ":";
        for root in [&FOLDER[..], &up] {
            if !is_within && !is_inside && !root.is_empty() && starts_with(&tokens[at..], root) {
                names.extend(first_names(&tokens[at + root.len()..]));
            }
        }
    }
    // One more step up leads out of the folder.
    names.remove("super");
    names
}

/// What is wrong with the names that a part of a collection takes from the others, and which pairs
/// point upward.
fn upward(order: &[String], part: &str, names: &BTreeSet<String>) -> (Vec<String>, BTreeSet<(String, String)>) {
    let place = |name: &str| order.iter().position(|other| other == name);
    let own = place(part).unwrap_or_else(|| panic!("collection/mod.rs does not declare {part}"));
    let (known, unknown): (Vec<_>, Vec<_>) = names.iter().partition(|name| place(name).is_some());
    let faults = unknown.iter().map(|name| format!("{part} uses {name} of collection/, which is no module of it"));
    let pairs = known.into_iter().filter(|name| place(name) > Some(own)).map(|name| (part.to_owned(), name.clone()));
    (faults.collect(), pairs.collect())
}

#[test]
fn parts_of_a_collection_use_only_what_is_declared_above_them() {
    let files = files();
    let root = files.iter().find(|file| file.path == "collection/mod.rs").unwrap();
    let order = declared(&root.tokens);
    let only_declares = ["pub", "(", "crate", ")", "mod", ";"];
    let others = root.tokens.iter().filter(|token| !only_declares.contains(&token.as_str()) && !order.contains(token));
    assert_eq!(others.count(), 0, "collection/mod.rs declares modules and has nothing else that could be used");
    let (mut faults, mut found) = (Vec::new(), BTreeMap::<_, Vec<&str>>::new());
    for file in files.iter().filter(|file| file.module == "collection" && file.depth > 1) {
        let part = file.path.split('/').nth(1).unwrap().trim_end_matches(".rs");
        let (wrong, pairs) = upward(&order, part, &names_from_collection(&file.tokens, file.depth));
        faults.extend(wrong.into_iter().map(|fault| format!("src/{}: {fault}", file.path)));
        pairs.into_iter().for_each(|pair| found.entry(pair).or_default().push(&file.path));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    for ((part, used), files) in &found {
        let is_known = NOT_YET.contains(&(part.as_str(), used.as_str()));
        assert!(is_known, "{part} uses {used}, which collection/mod.rs declares below it: {files:?}");
    }
    for (part, used) in NOT_YET {
        let is_needed = found.contains_key(&(part.to_owned(), used.to_owned()));
        assert!(is_needed, "{part} does not use {used} any more: take the pair off the list");
    }
}

// Documents.

/// All files of the repository that documents speak of, and their folders, by their paths from its
/// root.
fn all_paths() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pending: Vec<PathBuf> =
        ["src", "tests", "benches", "examples", "fuzz", "stress", "docs"].map(|name| root.join(name)).into();
    let mut paths = BTreeSet::new();
    while let Some(path) = pending.pop() {
        paths.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if path.is_dir() && !path.ends_with("fixtures") && !path.ends_with("target") {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    paths
}

/// Paths of files and folders of the source that stand between backticks.
fn named_paths(text: &str) -> Vec<String> {
    const TOPS: [&str; 10] =
        ["src/", "tests/", "benches/", "examples/", "fuzz/", "stress/", "docs/", "collection/", "store/", "db/"];
    let is_plain = |word: &str| word.chars().all(|sign| is_word(sign) || "./-".contains(sign));
    let is_path = |word: &str| word.ends_with(".rs") || TOPS.iter().any(|top| word.starts_with(top) && word != *top);
    // Blocks of code have fences of three, of which the inner two are empty pieces.
    let words = text.split('`').skip(1).step_by(2);
    words.filter(|word| is_plain(word) && is_path(word)).map(|word| word.trim_end_matches('/').to_owned()).collect()
}

/// The lines of a file's `//!`.
fn inner_docs(source: &str) -> String {
    source.lines().filter_map(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_file_that_documents_name_is_there() {
    let (root, paths) = (Path::new(env!("CARGO_MANIFEST_DIR")), all_paths());
    let is_there = |named: &str| paths.iter().any(|path| path == named || path.ends_with(&format!("/{named}")));
    let documents = paths.iter().filter(|path| path.starts_with("docs/") && path.ends_with(".md"));
    let documents = documents.map(String::as_str).chain(["ARCHITECTURE.md", "README.md"]);
    let sources = paths.iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs")).map(String::as_str);
    let mut n_named = 0;
    for path in documents.chain(sources) {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        let named = named_paths(&if path.ends_with(".rs") { inner_docs(&text) } else { text });
        n_named += named.len();
        let missing: Vec<_> = named.iter().filter(|named| !is_there(named)).collect();
        assert!(missing.is_empty(), "{path} names {missing:?}, which are not there");
    }
    assert!(n_named > 50, "the names were found");
}

#[test]
fn every_module_of_collection_and_store_has_a_line_in_its_table() {
    let is_folder =
        |path: &str| path.ends_with("/mod.rs") && ["collection/", "store/"].iter().any(|top| path.starts_with(top));
    let files: Vec<_> = files().into_iter().filter(|file| is_folder(&file.path)).collect();
    assert!(files.len() > 10, "the folders were found");
    for file in files {
        let docs = inner_docs(&std::fs::read_to_string(source_folder().join(&file.path)).unwrap());
        let has_line =
            |name: &String| docs.contains(&format!("[`{name}`]")) || docs.contains(&format!("[`mod@{name}`]"));
        let missing: Vec<_> = declared(&file.tokens).into_iter().filter(|name| !has_line(name)).collect();
        assert!(missing.is_empty(), "src/{} does not say what these own: {missing:?}", file.path);
    }
    let architecture = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let floors = architecture.lines().filter(|line| line.starts_with(|sign: char| sign.is_ascii_digit()));
    let names: BTreeSet<_> = floors.flat_map(|line| line.split(|sign| !is_word(sign))).collect();
    for module in Floors::read(&std::fs::read_to_string(source_folder().join("lib.rs")).unwrap()).0.concat() {
        let has_row = names.contains(module.as_str());
        assert!(has_row, "ARCHITECTURE.md does not name {module} on a floor");
    }
}

#[test]
fn nothing_outside_tests_unwraps() {
    for file in files() {
        let n_unwraps = file.tokens.windows(4).filter(|tokens| starts_with(tokens, &[".", "unwrap", "(", ")"])).count();
        assert_eq!(n_unwraps, 0, "src/{} unwraps", file.path);
    }
}

#[test]
fn features_are_chosen_where_modules_are_declared() {
    for file in files().iter().filter(|file| !["lib.rs", "failpoint.rs"].contains(&file.path.as_str())) {
        let stray = stray_features(&file.tokens);
        assert!(stray.is_empty(), "src/{} chooses features inside code: {stray:?}", file.path);
    }
}

/// Places that ask for a feature without declaring a module.
fn stray_features(tokens: &[String]) -> Vec<String> {
    let begins = (0..tokens.len())
        .filter(|&at| starts_with(&tokens[at..], &["#", "[", "cfg"]) || starts_with(&tokens[at..], &["cfg", "!"]));
    let stray = |at: &usize| {
        let close = |open: usize| open + tokens[open..].iter().position(|token| token == "]").unwrap_or(0);
        let end = close(*at);
        let asks = tokens[*at..].iter().take(12).any(|token| token == "feature");
        let mut after = tokens[end + 1..].iter().filter(|token| !["pub", "(", "crate", ")"].contains(&token.as_str()));
        asks && after.next().is_none_or(|token| token != "mod")
    };
    begins.filter(stray).map(|at| tokens[at..].iter().take(20).cloned().collect::<Vec<_>>().join(" ")).collect()
}

// These tests, tested.

const LIB: &str = "
// Floor 0: words.
mod error;
pub mod limits;

// Floor 1: bytes.
mod store;
// Floor 2: the database.
mod db;
pub use crate::db::Database;
";

#[track_caller]
fn check_faults(module: &str, depth: usize, source: &str, expected: &[&str]) {
    let names = names_from_root(&without_tests(tokens(source)), depth);
    let faults = Floors::read(LIB).faults(module, &names);
    assert_eq!(faults.len(), expected.len(), "{source}: {faults:?}");
    for (fault, expected) in faults.iter().zip(expected) {
        assert!(fault.contains(expected), "{source}: {fault}");
    }
}

#[test]
fn an_upward_import_is_reported() {
    check_faults("store", 1, "use crate::error::Error; use crate::limits;", &[]);
    check_faults("store", 1, "use crate::store::key;", &[]);
    check_faults("store", 1, "use crate::db::Engine;", &["uses db"]);
    check_faults("store", 2, "fn f() { crate::db::open() }", &["uses db"]);
    check_faults("store", 2, "use crate::{error::{Error, Result}, db::{self, Engine}, limits};", &["uses db"]);
    check_faults("store", 2, "use super::super::db; use super::db;", &["uses db"]);
    check_faults("store", 1, "macro_rules! m { () => { $crate::db::open() } }", &["uses db"]);
    check_faults("error", 1, "use crate::Database; use crate::db;", &["uses crate::Database", "uses db"]);
}

#[test]
fn what_is_no_import_is_not_reported() {
    check_faults(
        "store",
        1,
        "/// See [`Database`](crate::Database).\n// crate::db\n/* crate::db /* crate::db */ */",
        &[],
    );
    check_faults("store", 1, "const A: &str = \"crate::db \\\" crate::db\"; const B: &str = r#\"crate::db\"#;", &[]);
    check_faults("store", 1, "#[cfg(test)] mod tests { use crate::db; fn f() { if true {} } }", &[]);
    check_faults("store", 1, "#[cfg(test)] #[path = \"x.rs\"] mod tests; use crate::db;", &["uses db"]);
    check_faults(
        "store",
        1,
        "fn f<'a>(x: &'a str) -> char { '\"' } const C: char = '\\''; use crate::db;",
        &["uses db"],
    );
}

#[test]
fn an_upward_use_within_a_collection_is_reported() {
    let order = declared(&tokens("mod slots; pub(crate) mod open; mod verbs;"));
    assert_eq!(order, ["slots", "open", "verbs"]);
    let check = |part: &str, depth: usize, source: &str, n_faults: usize, expected: &[&str]| {
        let names = names_from_collection(&without_tests(tokens(source)), depth);
        let (faults, pairs) = upward(&order, part, &names);
        assert_eq!(faults.len(), n_faults, "{source}: {faults:?}");
        let used: Vec<_> = pairs.into_iter().map(|(_, used)| used).collect();
        assert_eq!(used, expected, "{source}");
    };
    check("open", 2, "use super::slots::Slot; use super::{open, slots}; use crate::store::verbs;", 0, &[]);
    check("open", 2, "use super::verbs::Batch;", 0, &["verbs"]);
    check("open", 3, "use super::verbs; use super::super::verbs; use super::super::super::verbs;", 0, &["verbs"]);
    check("slots", 3, "fn f() { crate::collection::open::open() }", 0, &["open"]);
    check("slots", 3, "use crate::collection::{open::Live, verbs};", 0, &["open", "verbs"]);
    check(
        "slots",
        3,
        "pub(in crate::collection) fn f() {} #[cfg(test)] mod tests { use crate::collection::open; }",
        0,
        &[],
    );
    check("slots", 2, "use super::Live;", 1, &[]);
}

#[test]
fn paths_in_documents_are_told_from_words() {
    let text = "`heap.rs` and `src/bin/torture`, `store/rocks/`; `images/c1`, and/or, heap.rs, `x` `a b.rs`";
    assert_eq!(named_paths(text), ["heap.rs", "src/bin/torture", "store/rocks"]);
    assert_eq!(inner_docs("//! a\n//!\nuse b;\n/// c\n//! d"), " a\n\n d");
}

#[test]
fn stray_features_and_circles_are_reported() {
    let stray = |source: &str| stray_features(&tokens(source)).len();
    assert_eq!(stray("#[cfg(feature = \"cli\")] pub(crate) mod cli; #[cfg(unix)] fn f() {}"), 0);
    assert_eq!(stray("#[cfg(feature = \"cli\")] fn f() {}"), 1);
    assert_eq!(stray("fn f() { if cfg!(feature = \"cli\") {} let x = [1]; }"), 1);
    let uses = |pairs: &[(&str, &str)]| {
        let mut uses = BTreeMap::<String, BTreeSet<String>>::new();
        pairs.iter().for_each(|(from, to)| _ = uses.entry((*from).to_owned()).or_default().insert((*to).to_owned()));
        circles(&uses).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(uses(&[("a", "b"), ("b", "c"), ("a", "c"), ("a", "a")]), Vec::<String>::new());
    assert_eq!(uses(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("e", "e")]), ["b", "c"]);
}
