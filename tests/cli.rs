//! The command does what its help says: answers, exit codes, imports that stop and resume.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a database in it, and the command.
struct Shell {
    folder: TempDir,
}

/// The output of a command.
struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Shell {
    fn new() -> Self {
        Shell { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A shell whose database has an empty collection `c` of two components.
    fn with_collection() -> Self {
        let shell = Shell::new();
        shell.run(&["create", "c", "--dimension", "2"]).good();
        shell
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vectrove"));
        command.args(args).current_dir(self.folder.path()).env("VECTROVE_DB", "db").env_remove("COLUMNS");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Answer {
        Answer::of(self.command(args).output().expect("the command runs"))
    }

    /// Runs with something on stdin.
    fn feed(&self, args: &[&str], input: &str) -> Answer {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the command starts");
        // A command that fails early does not read it all.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        Answer::of(child.wait_with_output().expect("the command ends"))
    }

    /// Starts a command for a dialogue.
    fn talk(&self, args: &[&str]) -> Talk {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the command starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Talk { child, stdin, stdout }
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).expect("a file");
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn count(&self, collection: &str) -> u64 {
        self.run(&["count", collection, "--json"]).json()["count"].as_u64().expect("a count")
    }

    /// The ids of a search's hits.
    fn hits(&self, args: &[&str]) -> Vec<Value> {
        ids(&self.run(&[&["search", "c", "--json"], args].concat()).json())
    }
}

impl Answer {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// Its only line, as JSON.
    #[track_caller]
    fn json(self) -> Value {
        let lines = self.good().lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }

    /// Its lines, each as JSON.
    fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Asserts that it failed with this code, with all of these texts on stderr.
    #[track_caller]
    fn bad(self, code: i32, said: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert!(self.err.lines().any(|line| line.starts_with("error: ")), "{}", self.err);
        for part in said {
            assert!(self.err.contains(part), "expected {part:?} in: {}", self.err);
        }
        self
    }
}

/// A running command.
struct Talk {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Talk {
    fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).expect("the command reads");
    }

    /// The next line, as JSON.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
    }

    /// Waits for the end; stdin is closed only after it if `open`.
    fn end(mut self, open: bool) -> Answer {
        let held = self.stdin.take().filter(|_| open);
        let answer = Answer::of(self.child.wait_with_output().expect("the command ends"));
        drop(held);
        answer
    }
}

fn ids(answer: &Value) -> Vec<Value> {
    answer["hits"].as_array().expect("hits").iter().map(|hit| hit["id"].clone()).collect()
}

fn fbin<const N: usize>(rows: &[[f32; N]]) -> Vec<u8> {
    let components = rows.as_flattened().iter().flat_map(|x| x.to_le_bytes());
    head(rows.len(), N).into_iter().chain(components).collect()
}

fn ibin<const N: usize>(rows: &[[u32; N]]) -> Vec<u8> {
    let ids = rows.as_flattened().iter().flat_map(|id| id.to_le_bytes());
    head(rows.len(), N).into_iter().chain(ids).collect()
}

fn head(n_rows: usize, n_columns: usize) -> Vec<u8> {
    [n_rows, n_columns].into_iter().flat_map(|n| u32::try_from(n).expect("a small file").to_le_bytes()).collect()
}

fn npy(kind: &str, n_rows: usize, components: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({n_rows}, 2), }}");
    head += &" ".repeat(127 - 10 - head.len());
    head.push('\n');
    let length = u16::try_from(head.len()).expect("a short head").to_le_bytes();
    let start = b"\x93NUMPY\x01\x00".iter().copied().chain(length);
    start.chain(head.into_bytes()).chain(components).collect()
}

/// The rows `from..to`, whose ids are their numbers.
fn rows(from: u64, to: u64) -> String {
    (from..to).map(|n| format!("{{\"id\": {n}, \"vector\": [1, {n}], \"n\": {n}}}\n")).collect()
}

#[test]
fn an_import_creates_its_collection_if_it_is_asked_to() {
    let shell = Shell::new();
    shell.file("rows.jsonl", rows(1, 5));
    let import = ["import", "c", "rows.jsonl"];
    let create = |more: &[&str]| shell.run(&[&import[..], &["--create", "--dimension", "2"], more].concat());
    shell.run(&import).bad(3, &["no database at"]);
    shell.run(&[&import[..], &["--create"]].concat()).bad(2, &["--dimension"]);
    shell.run(&[&import[..], &["--dimension", "2"]].concat()).bad(2, &["--create"]);
    assert_eq!(create(&["--metric", "l2"]).good().out, "imported 4 rows of rows.jsonl into c\n");
    let told = shell.run(&["stats", "--json"]).json();
    assert_eq!(told["collections"][0]["config"]["metric"], json!("euclidean"));
    // An existing collection is accepted if it has the given dimension and metric.
    create(&[]).good();
    create(&["--metric", "euclidean"]).good();
    assert_eq!(shell.count("c"), 4);
    create(&["--metric", "cosine"]).bad(1, &["expected metric euclidean, got cosine"]);
    let other = ["import", "c", "rows.jsonl", "--create", "--dimension", "3"];
    shell.run(&other).bad(1, &["expected dimension 2, got 3"]);
    shell.run(&["import", "d", "rows.jsonl", "--create", "--dimension", "0"]).bad(1, &["invalid dimension"]);
    shell.run(&["import", "d", "rows.jsonl"]).bad(3, &["no collection named \"d\"", "import --create"]);
    shell.run(&["import", "d", "rows.jsonl", "--create", "--dimension", "2"]).good();
    let told = shell.run(&["stats", "--json"]).json();
    assert_eq!(told["collections"][1]["config"]["metric"], json!("cosine"));
}

#[test]
fn a_scroll_in_order_goes_on_page_by_page() {
    let shell = Shell::with_collection();
    shell.file("rows.jsonl", rows(1, 60)).run(&["import", "c", "rows.jsonl"]).good();
    let scroll = ["scroll", "c", "--order-by", "n", "--descending", "--limit", "25"];
    let page = |after: &[&str]| shell.run(&[&scroll[..], after, &["--json"]].concat()).json();
    let (mut all, mut own) = (Vec::new(), page(&[]));
    loop {
        all.extend(own["documents"].as_array().expect("documents").iter().map(|document| document["id"].clone()));
        let Some(next) = own["next"].as_str().map(str::to_owned) else { break };
        let told = shell.run(&[&scroll[..], &["--after", &next]].concat()).good().out;
        assert_eq!(told.contains("more: --after "), all.len() < 50, "after {}", all.len());
        own = page(&["--after", &next]);
    }
    assert_eq!(all, (1..60).rev().map(|n| json!(n)).collect::<Vec<_>>());
    let next = page(&[])["next"].as_str().expect("there is more").to_owned();
    let ascending = ["scroll", "c", "--order-by", "n", "--after", &next];
    shell.run(&ascending).bad(1, &["invalid after: expected a cursor of this order, got one of another"]);
    let damaged = [&scroll[..], &["--after", &next[1..]]].concat();
    shell.run(&damaged).bad(1, &["invalid after: expected a cursor as a page had it"]);
}

#[test]
fn a_search_goes_on_page_by_page() {
    let shell = Shell::with_collection();
    shell.file("rows.jsonl", rows(1, 60)).run(&["import", "c", "rows.jsonl"]).good();
    shell.file("q.json", "[1, 0]");
    let search = ["search", "c", "--vector", "q.json", "--limit", "7", "--json"];
    let (mut all, mut next) = (Vec::new(), None::<String>);
    for page in 0..9 {
        let own = match &next {
            None => shell.run(&[&search[..], &["--pages"]].concat()).json(),
            // As an argument, or in a file.
            Some(next) if page % 2 == 0 => shell.run(&[&search[..], &["--after", next]].concat()).json(),
            Some(next) => {
                shell.file("next", format!("{next}\n"));
                shell.run(&[&search[..], &["--after", "@next"]].concat()).json()
            }
        };
        all.extend(ids(&own));
        next = own["next"].as_str().map(str::to_owned);
        // Nearer documents are inserted meanwhile.
        let id = 100 + page;
        shell.file("new.jsonl", format!("{{\"id\": {id}, \"vector\": [1, 0.001]}}\n"));
        shell.run(&["import", "c", "new.jsonl"]).good();
    }
    assert!(next.is_some(), "those that came are left");
    let different: std::collections::BTreeSet<String> = all.iter().map(Value::to_string).collect();
    assert_eq!((all.len(), different.len()), (63, 63));
    let told = shell.run(&["search", "c", "--vector", "q.json", "--pages", "--limit", "50"]).good().out;
    assert!(told.lines().last().is_some_and(|line| line.starts_with("more: --after A")), "{told}");
    assert!(!shell.run(&search).good().out.contains("next"), "without being asked for there are no pages");

    let next = next.expect("there is more");
    shell
        .run(&["search", "c", "--like", "7", "--after", &next])
        .bad(1, &["invalid after: expected a cursor of this search"]);
    shell
        .run(&[&search[..], &["--after", "Abc"]].concat())
        .bad(1, &["invalid after: expected a cursor as a page had it"]);
    shell.run(&[&search[..], &["--after", "@none"]].concat()).bad(3, &["none"]);
    shell.run(&[&search[..], &["--after", &next, "--offset", "1"]].concat()).bad(2, &["--offset"]);
    shell.file("q.json", "[1, 0] [0, 1]");
    shell.run(&["search", "c", "--vector", "q.json", "--pages"]).bad(1, &["expected", "one query"]);
    // Pages by offset repeat nothing if nothing is written between them.
    shell.file("q.json", "[1, 0]");
    let pages = (0..8)
        .flat_map(|page| shell.hits(&["--vector", "q.json", "--limit", "9", "--offset", &(page * 9).to_string()]));
    let pages: Vec<String> = pages.map(|id| id.to_string()).collect();
    assert_eq!((pages.len(), pages.iter().collect::<std::collections::BTreeSet<_>>().len()), (68, 68));
}

#[test]
fn documents_are_written_found_and_deleted() {
    let shell = Shell::with_collection();
    let rows = r#"{"id": "east", "vector": [1, 0], "text": "where the sun rises", "cold": false, "n": 1}
{"id": 7, "vector": [0, 1], "cold": true, "n": 2}

{"id": "7", "vector": [0.5, 1], "cold": true, "n": 3}
{"vector": [-1, 0]}
"#;
    let told = shell.file("rows.jsonl", rows).run(&["import", "c", "rows.jsonl"]).good();
    assert_eq!(told.out, "imported 4 rows of rows.jsonl into c\n");
    assert_eq!(shell.count("c"), 4);
    assert_eq!(shell.run(&["count", "c", "--filter", r#"{"cold": true}"#]).good().out, "2\n");

    shell.file("q.json", "[0.9,\n 0.1]");
    assert_eq!(shell.hits(&["--vector", "q.json", "--limit", "2"]), [json!("east"), json!("7")]);
    assert_eq!(shell.hits(&["--vector", "q.json", "--limit", "1", "--offset", "1", "--exact"]), [json!("7")]);
    assert_eq!(shell.hits(&["--vector", "q.json", "--filter", r#"{"n": 2}"#]), [json!(7)]);
    assert_eq!(shell.hits(&["--vector", "q.json", "--min-score", "0.9"]), [json!("east")]);
    assert_eq!(shell.hits(&["--vector", "q.json", "--max-distance", "-1"]), [json!(null); 0]);
    assert_eq!(shell.hits(&["--like", "7", "--limit", "1"]), [json!("7")]);
    assert_eq!(shell.hits(&["--like", "\"7\"", "--limit", "1"]), [json!(7)]);
    assert_eq!(shell.hits(&["--like", "7", "--like", "\"7\"", "--unlike", "east", "--limit", "1"]).len(), 1);

    let args = ["search", "c", "--json", "--like", "7", "--fields", "n", "--with-vector", "--filter", r#"{"n": 1}"#];
    let hit = &shell.run(&args).json()["hits"][0];
    assert_eq!((&hit["metadata"], &hit["text"]), (&json!({"n": 1}), &json!("where the sun rises")));
    assert_eq!((&hit["vector"], &hit["score"], &hit["distance"]), (&json!([1.0, 0.0]), &json!(0.0), &json!(1.0)));
    let table = shell.run(&["search", "c", "--like", "7", "--limit", "3"]).good().out;
    assert!(table.contains("  0.0000  east") && table.contains("where the sun rises"), "{table}");

    let found = shell.run(&["get", "c", "7", "east", "--json"]).good().lines();
    assert_eq!((&found[0]["id"], &found[0]["vector"]), (&json!(7), &json!([0.0, 1.0])));
    assert_eq!(found[1]["metadata"], json!({"cold": false, "n": 1}));
    let partly = shell.run(&["get", "c", "7", "nowhere", "--json"]).bad(3, &["no document with id \"nowhere\""]);
    assert_eq!(partly.lines()[0]["id"], json!(7));

    let page = shell.run(&["scroll", "c", "--limit", "3", "--json"]).json();
    assert_eq!((page["documents"].as_array().map(Vec::len), &page["next"]), (Some(3), &json!("7")));
    let rest = shell.run(&["scroll", "c", "--after", &page["next"].to_string(), "--json"]).json();
    assert_eq!((&rest["documents"][0]["id"], &rest["next"]), (&json!("east"), &json!(null)));

    assert_eq!(shell.run(&["delete", "c", "7", "8", "--json"]).json()["deleted"], json!(1));
    assert_eq!(shell.run(&["delete", "c", "--filter", r#"{"n": {"$gt": 1}}"#]).good().out, "deleted 1 documents\n");
    assert_eq!(shell.count("c"), 2);
}

#[test]
fn namespaces_are_apart() {
    let shell = Shell::with_collection();
    shell.feed(&["import", "c", "-", "--namespace", "a"], &rows(1, 4)).good();
    assert_eq!(shell.count("c"), 0);
    assert_eq!(shell.run(&["count", "c", "--namespace", "a"]).good().out, "3\n");
    assert_eq!(shell.run(&["export", "c", "--namespace", "a"]).good().out.lines().count(), 3);
    shell.feed(&["import", "c", "-", "--namespace", "vectrove-import"], &rows(1, 4)).bad(1, &["is kept for imports"]);
}

#[test]
fn schemas_are_given_shown_and_changed() {
    let shell = Shell::new();
    let schema = json!({"fields": {"n": {"type": "integer", "required": true}}, "strict": true});
    shell.file("schema.json", schema.to_string()).file("bad.json", r#"{"fields": {"n": {"type": "int"}}}"#);
    shell
        .run(&["create", "c", "--dimension", "2", "--schema", "bad.json"])
        .bad(1, &["bad.json: ", "unknown variant `int`"]);
    shell.run(&["create", "c", "--dimension", "2", "--schema", "none.json"]).bad(3, &["none.json"]);
    let told = shell.run(&["create", "c", "--dimension", "2", "--schema", "schema.json", "--json"]).json();
    assert_eq!(told["config"]["schema"], schema);
    assert_eq!(shell.run(&["stats", "--json"]).json()["collections"][0]["config"]["schema"], schema);

    // An unfinished import keeps its place in the same collection.
    let bad = rows(0, 5) + r#"{"id": 5, "vector": [1, 5], "n": "5"}"#;
    let import = ["import", "c", "rows.jsonl", "--batch", "2"];
    shell.file("rows.jsonl", &bad).run(&import).bad(1, &["row 6 is bad", "field \"n\" of 5", "an integer, got \"5\""]);
    assert_eq!(shell.count("c"), 5);
    let resumed = shell.file("rows.jsonl", rows(0, 7)).run(&[&import[..], &["--resume"]].concat()).good();
    assert!(resumed.out.contains("7 rows"), "{}", resumed.out);
    assert_eq!((shell.count("c"), shell.run(&["verify"]).code), (7, Some(0)));

    let wider = json!({"fields": {"n": {"type": "number"}}});
    shell.feed(&["schema", "c", "--set", "-"], &wider.to_string()).good();
    let shown = shell.run(&["schema", "c", "--json"]).json();
    assert_eq!(shown, json!({"name": "c", "schema": wider}));
    let other = r#"{"fields": {"n": {"type": "string"}}}"#;
    shell.feed(&["schema", "c", "--set", "-"], other).bad(1, &["field \"n\" of 0", "expected a string, got 0"]);
    assert_eq!(shell.run(&["schema", "c"]).good().out.trim(), wider.to_string());
    assert_eq!(shell.run(&["schema", "c", "--drop"]).good().out, "null\n");
    shell.run(&["schema", "d"]).bad(3, &["no collection named"]);
}

#[test]
fn words_groups_counts_and_samples_are_asked_for() {
    let shell = Shell::new();
    let create =
        ["create", "c", "--dimension", "2", "--language", "English", "--text-field", "title", "--no-index", "n"];
    let config = &shell.run(&[&create[..], &["--json"]].concat()).json()["config"];
    assert_eq!(config["analyzer"], json!({"stem": "english", "stop_words": "english"}));
    assert_eq!((&config["text_fields"], &config["no_index"]), (&json!(["title"]), &json!(["n"])));
    let row = |n: u64| {
        let title = if n == 3 { "Checkers" } else { "Chess" };
        json!({"id": n, "vector": [n, 1], "text": "borrowing", "title": title, "n": n, "kind": n % 2}).to_string()
    };
    let all: Vec<String> = (1..7).map(row).collect();
    shell.feed(&["import", "c", "-"], &all.join("\n")).good();
    let search = |more: &[&str]| shell.run(&[&["search", "c", "--json"], more].concat()).json();
    assert_eq!(ids(&search(&["--text", "borrow checkers"]))[0], json!(3));
    assert_eq!(ids(&search(&["--text", "\"chess\"", "--limit", "9"])).len(), 5);
    assert_eq!(ids(&search(&["--filter", r#"{"$text": "checker"}"#, "--like", "1"])), [json!(3)]);
    let both = search(&["--like", "5", "--text", "checkers", "--explain", "--filter", r#"{"n": {"$gt": 1}}"#]);
    assert_eq!(both["explanation"]["filter"]["n_matching"], json!(5));
    assert_eq!(both["hits"][0]["parts"]["text"]["rank"], json!(1));
    let groups = search(&["--like", "5", "--group-by", "kind", "--limit", "2", "--per-group", "2"]);
    assert_eq!((ids(&groups).len(), &groups["hits"][3]["group"]), (4, &groups["hits"][2]["group"]));
    assert_eq!(ids(&search(&["--like", "5", "--mmr", "0.5", "--limit", "2"])).len(), 2);
    let explained = shell.run(&["search", "c", "--text", "chess", "--explain"]).good();
    assert!(explained.out.contains("strategy: words") && explained.out.contains("time: "), "{}", explained.out);
    let facet = shell.run(&["facet", "c", "title", "--json"]).good().lines();
    assert_eq!(facet[0], json!({"value": "Chess", "n_documents": 5}));
    assert!(shell.run(&["facet", "c", "title"]).good().out.contains("5  \"Chess\""));
    let sample = ["sample", "c", "2", "--seed", "7", "--json"];
    assert_eq!(shell.run(&sample).json(), shell.run(&sample).json());
    assert_eq!(shell.run(&sample).json()["documents"].as_array().map(Vec::len), Some(2));
    let page = shell.run(&["scroll", "c", "--order-by", "n", "--descending", "--limit", "2", "--json"]).json();
    assert_eq!((&page["documents"][0]["id"], &page["documents"][1]["id"]), (&json!(6), &json!(5)));
    shell.run(&["search", "c", "--text", "a", "--mmr", "0.5"]).bad(1, &["invalid mmr"]);
    shell.run(&["search", "c", "--like", "1", "--vector", "-"]).bad(2, &["cannot be used with"]);
    shell.run(&["create", "d", "--dimension", "2", "--language", "x"]).bad(2, &["expected one of arabic"]);
}

#[test]
fn collections_come_and_go() {
    let shell = Shell::with_collection();
    let told = shell.run(&["create", "d", "--dimension", "3", "--metric", "l2", "--json"]).json();
    let index = json!({"index": "hnsw", "m": 16, "ef_construction": 200, "quantization": "sq8", "residency": "ram"});
    let mut config = json!({"dimension": 3, "metric": "euclidean", "normalize": false});
    config.as_object_mut().unwrap().extend(index.as_object().unwrap().clone());
    assert_eq!(told["config"], config);
    shell.feed(&["import", "c", "-"], &rows(1, 4)).good();
    shell.run(&["rename", "d", "e"]).good();
    let listed = shell.run(&["collections", "--json"]).good().lines();
    let shown: Vec<_> = listed.iter().map(|c| (c["name"].as_str(), c["n_documents"].as_u64())).collect();
    assert_eq!(shown, [(Some("c"), Some(3)), (Some("e"), Some(0))]);
    assert!(shell.run(&["collections"]).good().out.contains("euclidean"));

    let stats = shell.run(&["stats", "--json"]).json();
    assert_eq!((&stats["commit"], &stats["collections"][0]["n_documents"]), (&stats["durable_commit"], &json!(3)));
    let verified = shell.run(&["verify", "--json"]).json();
    assert_eq!((&verified["n_collections"], &verified["n_documents"]), (&json!(2), &json!(3)));

    shell.run(&["checkpoint", "copy"]).good();
    shell.run(&["drop", "c"]).bad(2, &["--yes"]);
    shell.run(&["drop", "c", "--yes"]).good();
    shell.run(&["count", "c"]).bad(3, &["no collection named \"c\"", "hint: there are: e; `vectrove create c"]);
    assert_eq!(shell.run(&["--db", "copy", "count", "c"]).good().out, "3\n");
}

#[test]
fn a_vacuum_says_what_it_gave_back() {
    let shell = Shell::with_collection();
    shell.feed(&["import", "c", "-"], &rows(0, 100)).good();
    shell.run(&["delete", "c", "1", "2", "3"]).good();
    let told = shell.run(&["vacuum", "--json"]).json();
    assert_eq!(told["n_collections"], json!(1));
    assert!(told["disk_bytes_before"].is_u64() && told["disk_bytes_after"].is_u64(), "{told}");
    assert!(shell.run(&["vacuum", "c"]).good().out.ends_with("of 1 collection\n"));
    shell.run(&["vacuum", "d"]).bad(3, &["no collection named \"d\""]);
    shell.run(&["verify"]).good();
}

#[test]
fn backups_are_made_listed_restored_and_purged() {
    let shell = Shell::with_collection();
    for (from, said) in [(0, "number 1 in b"), (10, "number 2 in b"), (20, "number 3 in b")] {
        shell.feed(&["import", "c", "-"], &rows(from, from + 10)).good();
        let told = shell.run(&["backup", "b"]).good().out;
        assert!(told.starts_with("backed up to commit ") && told.contains(said), "{told}");
    }
    let made = shell.run(&["backup", "b", "--json"]).json();
    // None of these opens the database.
    fs::rename(shell.path("db"), shell.path("gone")).unwrap();
    let listed = shell.run(&["backups", "b", "--json"]).good().lines();
    assert_eq!((listed.len(), &listed[3], &made["id"]), (4, &made, &json!(4)));
    assert!(made["n_bytes"].as_u64() > Some(1_000) && made["n_files"].as_u64() > Some(3), "{made}");
    let table = shell.run(&["backups", "b"]).good().out;
    assert!(table.lines().count() == 5 && table.contains("KiB") && table.contains("Z  "), "{table}");

    assert_eq!(shell.run(&["restore", "b", "db", "--json"]).json(), json!({"path": "db", "commit": made["commit"]}));
    assert_eq!(shell.count("c"), 30);
    let older = ["restore", "b", "older", "--backup", "2"];
    assert!(shell.run(&older).good().out.starts_with("restored up to commit "));
    assert_eq!(shell.run(&["--db", "older", "count", "c"]).good().out, "20\n");
    shell.run(&older).bad(1, &["creating older failed"]);
    shell.run(&["restore", "b", "x", "--backup", "7"]).bad(3, &["no backup 7 in b", "hint: `vectrove backups"]);
    shell.run(&["restore", "nowhere", "x"]).bad(3, &["no backup in nowhere"]);

    shell.run(&["purge-backups", "b"]).bad(2, &["--keep"]);
    shell.run(&["purge-backups", "b", "--keep", "0"]).bad(2, &["0 is not in 1.."]);
    assert_eq!(shell.run(&["purge-backups", "b", "--keep", "3"]).good().out, "3 backups are left\n");
    assert_eq!(shell.run(&["purge-backups", "b", "--keep", "1", "--json"]).json(), json!({"left": 1}));
    fs::write(shell.path("b/vectrove"), "not what was written").unwrap();
    shell.run(&["backups", "b"]).bad(5, &["nothing was changed"]);
}

#[test]
fn a_killed_backup_or_restore_is_whole_or_absent() {
    let shell = Shell::with_collection();
    shell.feed(&["import", "c", "-"], &rows(0, 3_000)).good();
    shell.run(&["backup", "b"]).good();
    let kill_after = |args: &[&str], millis: u64| {
        let mut child = shell.command(args).spawn().unwrap();
        thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for n in 0..12 {
        shell.feed(&["import", "c", "-"], &rows(3_000 + n, 3_001 + n)).good();
        kill_after(&["backup", "b"], n * 12);
        kill_after(&["restore", "b", "copy"], n * 12);
        if shell.path("copy").exists() {
            shell.run(&["--db", "copy", "verify"]).good();
            fs::remove_dir_all(shell.path("copy")).unwrap();
        }
        let made = shell.run(&["backup", "b", "--json"]).json();
        assert_eq!(shell.run(&["restore", "b", "copy", "--json"]).json()["commit"], made["commit"]);
        assert_eq!(shell.run(&["--db", "copy", "count", "c"]).good().out, format!("{}\n", 3_001 + n));
        fs::remove_dir_all(shell.path("copy")).unwrap();
    }
    assert!(!shell.path("copy.unfinished").exists());
}

#[test]
fn an_export_imports_the_same_to_the_last_bit() {
    let shell = Shell::with_collection();
    let rows = [
        r#"{"id":0,"a":null,"b":[1,{"c":2.0}],"vector":[0.1,1e-40]}"#,
        r#"{"id":18446744073709551615,"text":"","n":18446744073709551615,"x":-0.0,"y":0.1,"vector":[-0.0,3.4e+18]}"#,
        r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8","vector":[16777217.0,0.33333334]}"#,
        r#"{"id":"\"q\"\n","metadata":{"id":1,"vector":"v"},"vector":[1.0,2.0]}"#,
        r#"{"id":"m","metadata":{"metadata":{"deep":1}},"vector":[1.0,2.0]}"#,
        r#"{"id":"n","text":"t","metadata":{"a":1,"text":null},"vector":[1.0,2.0]}"#,
    ];
    shell.feed(&["import", "c", "-"], &rows.join("\n")).good();
    let documents = shell.run(&["scroll", "c", "--json"]).json()["documents"].clone();
    assert_eq!(documents[3]["metadata"], json!({"id": 1, "vector": "v"}));
    assert_eq!(documents[4]["metadata"], json!({"metadata": {"deep": 1}}));

    assert_eq!(shell.run(&["export", "c", "out.jsonl", "--json"]).json()["rows"], json!(6));
    let exported = fs::read_to_string(shell.path("out.jsonl")).unwrap();
    let expected = rows.map(|row| row.replace("16777217.0", "16777216.0"));
    assert_eq!(exported.lines().collect::<Vec<_>>(), expected);
    assert!(!shell.path("out.jsonl.partial").exists());

    shell.run(&["create", "d", "--dimension", "2"]).good();
    shell.run(&["import", "d", "out.jsonl"]).good();
    assert_eq!(shell.run(&["export", "d"]).good().out, exported);
}

#[test]
fn vectors_may_lie_beside_the_rows() {
    let shell = Shell::with_collection();
    shell.file("rows.jsonl", "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n");
    let components = [[1.0, 0.0], [0.0, 1.0], [0.25, -1.0f32]];
    let single = components.as_flattened().iter().flat_map(|x| x.to_le_bytes());
    let double = components.as_flattened().iter().flat_map(|x| f64::from(*x).to_le_bytes());
    shell.file("v.fbin", fbin(&components)).file("v.npy", npy("<f4", 3, single)).file("w.npy", npy("<f8", 3, double));
    for file in ["v.fbin", "v.npy", "w.npy"] {
        shell.run(&["import", "c", "rows.jsonl", "--vectors", file]).good();
        let found = shell.run(&["get", "c", "1", "2", "3", "--json"]).good().lines();
        let vectors: Vec<_> = found.iter().map(|document| &document["vector"]).collect();
        assert_eq!(vectors, [&json!([1.0, 0.0]), &json!([0.0, 1.0]), &json!([0.25, -1.0])], "{file}");
        let answers = shell.run(&["search", "c", "--vectors", file, "--limit", "1", "--json"]).good().lines();
        assert_eq!(answers.iter().flat_map(ids).collect::<Vec<_>>(), [json!(1), json!(2), json!(3)], "{file}");
        let args = ["search", "c", "--vectors", file, "--row", "3,1", "--limit", "1", "--json"];
        let answers = shell.run(&args).good().lines();
        assert_eq!(answers.iter().flat_map(ids).collect::<Vec<_>>(), [json!(3), json!(1)], "{file}");
        shell.run(&["delete", "c", "--filter", "{}"]).good();
    }
    shell.run(&["search", "c", "--vectors", "v.fbin", "--row", "4"]).bad(1, &["v.fbin has no row 4, only 3"]);
    shell.run(&["search", "c", "--vectors", "v.fbin", "--row", "0"]).bad(2, &[]);
}

#[test]
fn exit_codes_say_what_went_wrong() {
    let shell = Shell::new();
    shell.run(&["count", "c"]).bad(3, &["no database at", "hint: `vectrove create"]);
    shell.file("rows.jsonl", rows(0, 1)).run(&["import", "c", "rows.jsonl"]).bad(3, &["no database at"]);
    assert!(!shell.path("db").exists(), "an import made a database");
    shell.run(&["create", "c", "--dimension", "0"]).bad(1, &["invalid dimension"]);
    shell.run(&["create", "c", "--dimension", "2"]).good();
    shell.run(&["create", "c", "--dimension", "2"]).bad(1, &["already exists", "hint: "]);
    shell.run(&["import", "d", "rows.jsonl"]).bad(3, &["no collection named \"d\"", "create d --dimension N"]);
    shell.run(&["import", "c", "nowhere.jsonl"]).bad(3, &["nowhere.jsonl"]);
    shell.run(&["search", "c", "--like", "x"]).bad(3, &["no document with id x"]);
    shell.run(&["search", "c", "--unlike", "x", "--vector", "-"]).bad(2, &["cannot be used with"]);
    shell.run(&["search", "c", "--unlike", "x"]).bad(2, &["--like"]);
    shell.run(&["search", "c"]).bad(2, &["--like"]);
    shell.run(&["search", "c", "--like", "x", "--vector", "-"]).bad(2, &["cannot be used with"]);
    shell.run(&["count", "c", "--filter", "{\"$ad\": []}"]).bad(2, &["perhaps $and"]);
    shell.run(&["import", "c", "rows.jsonl", "--batch", "0"]).bad(2, &["1..=99999"]);
    shell.run(&["import", "c", "rows.jsonl", "--id-field", "text"]).bad(2, &["a meaning of its own"]);
    shell.run(&["frobnicate"]).bad(2, &[]);
    let help = shell.run(&["--help"]).good().out;
    assert!(help.contains("Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4"), "{help}");

    fs::write(shell.path("db/superblock"), b"not what was written").unwrap();
    shell.run(&["count", "c"]).bad(5, &["nothing was changed"]);
}

#[test]
fn hostile_files_are_refused_before_anything_is_written() {
    let shell = Shell::with_collection();
    let whole = fbin(&[[1.0, 0.0], [0.0, 1.0]]);
    let head = |rows: u32, columns: u32| [rows.to_le_bytes(), columns.to_le_bytes()].concat();
    let wide = npy("<f4", usize::MAX, [0; 16]);
    let files: [(&str, &[u8], &str); 10] = [
        ("cut.fbin", &whole[..23], "24 bytes in all, but it has 23 bytes"),
        ("head.fbin", &whole[..5], "the file ends too soon"),
        ("empty.fbin", &[], "the file ends too soon"),
        ("huge.fbin", &head(u32::MAX, u32::MAX), "expected 1 to 65536 columns"),
        ("none.fbin", &head(u32::MAX, 0), "expected 1 to 65536 columns"),
        ("three.fbin", &[&head(1, 3)[..], &[0; 12]].concat(), "expects 2, got 3"),
        ("one.fbin", &fbin(&[[1.0, 0.0]]), "rows.jsonl has 2 rows, but there are 1 vectors"),
        ("wide.npy", &wide, "more than any file's"),
        ("text.npy", b"not an array", "does not begin like a .npy file"),
        ("v.txt", b"1 2", "expected a file named .fbin or .npy"),
    ];
    shell.file("rows.jsonl", "{\"id\": 1}\n{\"id\": 2}");
    for (name, bytes, reason) in files {
        shell.file(name, bytes).run(&["import", "c", "rows.jsonl", "--vectors", name]).bad(1, &[reason]);
        assert_eq!(shell.count("c"), 0, "{name}");
    }
    shell.file("int.npy", npy("<i4", 2, [0; 16])).file("rows.bin", [0xff; 100]);
    shell.run(&["import", "c", "rows.jsonl", "--vectors", "int.npy"]).bad(1, &["got <i4"]);
    shell.run(&["import", "c", "rows.bin"]).bad(1, &["row 1 is bad"]);
    shell.run(&["import", "c", "."]).bad(1, &["directory"]);
    shell.file("q", "[1, 2] [1").run(&["search", "c", "--vector", "q"]).bad(1, &["query 2 of q is bad"]);
    shell.file("q", "[1, 2] [1]").run(&["search", "c", "--vector", "q"]).bad(1, &["query 2", "expects 2, got 1"]);
    assert_eq!(shell.run(&["verify", "--json"]).json()["n_documents"], json!(0));
}

#[test]
fn a_bad_row_stops_an_import_that_then_goes_on() {
    for (bad, reason) in [
        ("{\"id\": 30", "EOF"),
        ("{\"id\": -1, \"vector\": [1, 2]}", "id: expected"),
        ("{\"id\": 30, \"vector\": [1, 2, 3]}", "expects 2, got 3"),
        ("{\"id\": 30, \"vector\": [0, 0]}", "invalid vector"),
        ("{\"id\": 30, \"vector\": [1e39, 1]}", "vector: number out of range"),
        ("{\"id\": 30, \"vector\": [1, 2], \"row\": 1e400}", "is bad: row: number out of range"),
        ("[30]", "is bad: expected an object, got an array"),
        ("{\"id\": 30}", "it has no vector"),
        ("{\"id\": \"\", \"vector\": [1, 2]}", "invalid id"),
    ] {
        let shell = Shell::with_collection();
        shell.file("r.jsonl", format!("{}\n{bad}\n{}", rows(0, 30), rows(31, 60)));
        let import = ["import", "c", "r.jsonl", "--batch", "7"];
        let so_far = ["imported 30 rows of r.jsonl; row 31 (line 32) is bad: ", reason, "hint: fix it"];
        shell.run(&import).bad(1, &so_far);
        assert_eq!(shell.count("c"), 30, "{bad}");
        shell.run(&[&import[..], &["--resume"]].concat()).bad(1, &so_far);
        assert_eq!(shell.count("c"), 30, "{bad}");

        shell.file("r.jsonl", rows(0, 60));
        let lines = shell.run(&[&import[..], &["--resume", "--json"]].concat()).good().lines();
        assert_eq!(lines[0]["rows"], json!(37), "{bad}");
        let last = lines.last().unwrap();
        assert_eq!((&last["rows"], &last["complete"]), (&json!(60), &json!(true)), "{bad}");
        assert_eq!(shell.count("c"), 60, "{bad}");
        assert_eq!(shell.run(&["verify", "--json"]).json()["n_documents"], json!(60), "{bad}: a mark is left");
    }
}

#[test]
fn a_vector_that_is_no_number_stops_an_import_too() {
    let shell = Shell::with_collection();
    let names: String = (0..5).map(|n| format!("{{\"id\": {n}}}\n")).collect();
    shell.file("r.jsonl", &names);
    let mut vectors = [[1.0f32, 2.0]; 5];
    vectors[3][1] = f32::NAN;
    let components = vectors.as_flattened().iter().flat_map(|x| x.to_le_bytes());
    shell.file("v.fbin", fbin(&vectors)).file("v.npy", npy("<f4", 5, components));
    for file in ["v.fbin", "v.npy"] {
        let import = ["import", "c", "r.jsonl", "--vectors", file];
        shell.run(&import).bad(1, &["imported 3 rows of r.jsonl; row 4 is bad: ", "NaN at position 1"]);
        assert_eq!(shell.count("c"), 3);
        shell.run(&["delete", "c", "--filter", "{}"]).good();
    }
    vectors[3] = [5.0, 5.0];
    shell.file("v.fbin", fbin(&vectors));
    shell.run(&["import", "c", "r.jsonl", "--vectors", "v.fbin", "--resume"]).good();
    let found = shell.run(&["scroll", "c", "--json"]).json();
    assert_eq!(found["documents"].as_array().unwrap().iter().map(|d| &d["id"]).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(shell.run(&["get", "c", "3", "--json"]).json()["vector"], json!([5.0, 5.0]));
    let both = "{\"id\": 1, \"vector\": [1, 2]}\n";
    shell.file("r.jsonl", both.repeat(5));
    shell.run(&["import", "c", "r.jsonl", "--vectors", "v.fbin"]).bad(1, &["beside the one from --vectors"]);
    shell
        .feed(&["import", "c", "-", "--vectors", "v.fbin"], &names.repeat(2))
        .bad(1, &["row 6 is bad", "only 5 vectors"]);
    shell.feed(&["import", "c", "-", "--vectors", "v.fbin"], "{}").bad(1, &["rows of stdin; there are 4 vectors"]);
}

/// Starts an import from a pipe, and sends a signal once some rows are acknowledged. Checks that
/// `--resume` then imports exactly the rest: rows without ids would otherwise be there twice.
#[track_caller]
fn check_signal(signal: &str, code: Option<i32>) -> Answer {
    let shell = Shell::with_collection();
    let all: String = (0..60).map(|n| format!("{{\"vector\": [1, {n}], \"n\": {n}}}\n")).collect();
    let some: String = all.lines().take(25).map(|line| format!("{line}\n")).collect();
    let mut import = shell.talk(&["import", "c", "-", "--batch", "10", "--json"]);
    import.say(&some);
    assert_eq!((import.hear()["rows"].as_u64(), import.hear()["rows"].as_u64()), (Some(10), Some(20)));
    import.signal(signal);
    let answer = import.end(true);
    assert_eq!(answer.code, code, "{}", answer.err);

    let kept = shell.count("c");
    assert!((20..=25).contains(&kept), "{kept}");
    let rest: String = all.lines().skip(25).map(|line| format!("{line}\n")).collect();
    let other = shell.feed(&["import", "c", "-", "--resume"], &rest);
    other.bad(1, &["cannot go on after row", "are not those that were imported"]);
    shell.feed(&["import", "c", "-", "--resume"], &all[..50]).bad(1, &["cannot go on", "it has only"]);
    shell.feed(&["import", "c", "-", "--resume"], &all).good();
    assert_eq!(shell.count("c"), 60);
    let mut numbers: Vec<_> = shell.run(&["export", "c"]).lines().iter().map(|row| row["n"].as_u64()).collect();
    numbers.sort();
    assert_eq!(numbers, (0..60).map(Some).collect::<Vec<_>>());
    answer
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_row() {
    let shell = Shell::with_collection();
    let mark = "\u{feff}";
    for (name, rows) in [
        ("crlf", format!("{mark}{{\"id\": 1, \"vector\": [1, 2]}}\r\n{{\"id\": 2, \"vector\": [2, 1]}}\r\n")),
        ("lf", format!("{mark}{{\"id\": 3, \"vector\": [1, 2]}}\n\n{{\"id\": 4, \"vector\": [2, 1]}}")),
        ("alone", format!("{mark}\r\n{{\"id\": 5, \"vector\": [1, 2]}}")),
    ] {
        shell.file(name, &rows).run(&["import", "c", name]).good();
        shell.feed(&["import", "c", "-"], &rows).good();
    }
    assert_eq!(shell.count("c"), 5);
    let twice = format!("{{\"id\": 6, \"vector\": [1, 2]}}\n{mark}{{\"id\": 7, \"vector\": [1, 2]}}\n");
    shell.feed(&["import", "c", "-"], &twice).bad(1, &["row 2 is bad"]);
    shell.file("q.json", format!("{mark}[1, 2]\r\n[2, 1]\r\n"));
    assert_eq!(shell.run(&["search", "c", "--vector", "q.json", "--json"]).good().lines().len(), 2);
    shell.file("s.json", format!("{mark}{{\"fields\": {{\"n\": {{\"type\": \"integer\"}}}}}}"));
    shell.run(&["schema", "c", "--set", "s.json"]).good();
}

#[test]
fn a_misspelt_field_is_said() {
    let shell = Shell::with_collection();
    shell.feed(&["import", "c", "-"], "{\"id\": 1, \"vector\": [1, 2], \"section\": \"net\"}").good();
    let (bad, good) = ("{\"sectoin\": \"net\"}", "{\"section\": \"net\"}");
    let note = "note: no document has the field \"sectoin\"\n";
    for verb in [
        &["search", "c", "--like", "1", "--filter"][..],
        &["count", "c", "--filter"],
        &["scroll", "c", "--filter"],
        &["facet", "c", "section", "--filter"],
        &["sample", "c", "3", "--filter"],
        &["delete", "c", "--filter"],
    ] {
        let answer = shell.run(&[verb, &[bad]].concat()).good();
        assert_eq!(answer.err, note, "{verb:?}");
        if verb[0] != "delete" {
            assert_eq!(shell.run(&[verb, &[good]].concat()).good().err, "", "{verb:?}");
        }
    }
    shell.file("q.json", "[1, 2]\n[2, 1]\n");
    let search = ["search", "c", "--vector", "q.json", "--filter", bad, "--json"];
    let answer = shell.run(&search).good();
    assert_eq!(answer.err, note, "once for all queries");
    assert!(answer.lines().iter().all(|line| line["absent_fields"] == json!(["sectoin"])));
    assert_eq!(
        shell.run(&["search", "c", "--vector", "q.json", "--json"]).good().lines()[0].get("absent_fields"),
        None
    );
}

#[test]
fn a_link_to_nothing_is_named() {
    let shell = Shell::with_collection();
    std::os::unix::fs::symlink(shell.path("nothing"), shell.path("link")).unwrap();
    shell.run(&["create", "c", "--dimension", "2", "--db", "link"]).bad(3, &["link is a dangling link", "nothing"]);
    shell.run(&["backup", "link"]).bad(3, &["link is a dangling link"]);
    assert!(!shell.path("nothing").exists());
}

#[test]
fn an_interrupted_import_goes_on() {
    let answer = check_signal("-INT", Some(130));
    let said =
        answer.err.ends_with(" rows of stdin; interrupted\nhint: the same command with --resume goes on from there\n");
    assert!(said, "{}", answer.err);
    check_signal("-TERM", Some(130));
}

#[test]
fn a_killed_import_goes_on() {
    check_signal("-KILL", None);
}

#[test]
fn without_resume_an_import_begins_anew() {
    let shell = Shell::with_collection();
    shell.file("r.jsonl", rows(0, 20) + "bad");
    shell.run(&["import", "c", "r.jsonl"]).bad(1, &["imported 20 rows"]);
    shell.file("r.jsonl", rows(0, 30));
    let answer = shell.run(&["import", "c", "r.jsonl"]).good();
    assert_eq!(answer.err, "note: an import of r.jsonl stopped after 20 rows; beginning anew without --resume\n");
    assert_eq!(shell.count("c"), 30);
    let answer = shell.run(&["import", "c", "r.jsonl", "--resume"]).good();
    assert!(answer.err.starts_with("note: no import of r.jsonl was interrupted"), "{}", answer.err);
}

#[test]
fn a_search_answers_each_line_as_it_comes_and_holds_the_database() {
    let shell = Shell::with_collection();
    shell.feed(&["import", "c", "-"], &rows(0, 5)).good();
    let mut search = shell.talk(&["search", "c", "--vector", "-", "--limit", "1", "--json"]);
    search.say("[1, 0]\n");
    assert_eq!(ids(&search.hear()), [json!(0)]);
    let busy = shell.run(&["count", "c"]).bad(4, &["is in use by process", "hint: "]);
    assert!(busy.err.contains(&search.child.id().to_string()), "{}", busy.err);
    search.say("[0, 1]\n");
    assert_eq!(ids(&search.hear()), [json!(4)]);
    search.say("[0, 1, 2]\n");
    search.end(false).bad(1, &["query 3: dimension mismatch"]);

    let mut search = shell.talk(&["search", "c", "--vector", "-", "--json"]);
    search.say("[1, 0]");
    assert_eq!(search.hear()["hits"].as_array().map(Vec::len), Some(5));
    search.end(false).good();
}

#[test]
fn a_reader_may_leave_early() {
    let shell = Shell::with_collection();
    // Far more rows than a pipe holds.
    shell.feed(&["import", "c", "-"], &rows(0, 5_000)).good();
    let mut export = shell.command(&["export", "c"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(export.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let answer = Answer::of(export.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
    assert!(first.starts_with("{\"id\":0,"), "{first}");

    let mut import = shell.talk(&["import", "c", "-", "--batch", "10", "--json", "--namespace", "a"]);
    import.say(&rows(0, 10));
    assert_eq!(import.hear()["rows"], json!(10));
    let Talk { mut child, mut stdin, stdout } = import;
    drop(stdout);
    stdin.as_mut().unwrap().write_all(rows(10, 100).as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(shell.run(&["count", "c", "--namespace", "a"]).good().out, "100\n");
}

#[test]
fn the_sample_is_whole_and_its_queries_have_neighbours() {
    let shell = Shell::new();
    let sample = |name: &str| format!("{}/examples/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let vectors = (sample("debian.fbin"), sample("queries.fbin"));
    shell.run(&["create", "c", "--dimension", "384"]).good();
    shell.run(&["import", "c", &sample("debian.jsonl"), "--vectors", &vectors.0]).good();
    assert_eq!(shell.count("c"), 1_300);
    let answers = shell.run(&["search", "c", "--vectors", &vectors.1, "--json"]).good().lines();
    assert_eq!(answers.len(), 30);
    for answer in &answers {
        let scores: Vec<_> =
            answer["hits"].as_array().unwrap().iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
        assert!(scores.len() == 10 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        assert!(scores[0] > 0.5, "{scores:?}");
    }
    let n_bytes: u64 = fs::read_dir(sample("")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(n_bytes < 3_000_000, "{n_bytes}");
}

/// Arguments for a benchmark with rows and queries in the shell's own folder.
const BENCH: [&str; 11] =
    ["bench", "--base", "b.fbin", "--query", "q.fbin", "--metric", "euclidean", "--path", ".", "--link-threads", "1"];

fn random_rows(n_rows: usize, seed: u64) -> Vec<[f32; 16]> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..n_rows).map(|_| std::array::from_fn(|_| random.random_range(-1.0..1.0))).collect()
}

impl Shell {
    fn with_benchmark(n_rows: usize) -> Self {
        let shell = Shell::new();
        shell.file("b.fbin", fbin(&random_rows(n_rows, 1))).file("q.fbin", fbin(&random_rows(50, 2)));
        shell
    }

    /// Runs the benchmark, and asserts that no folder is left.
    fn bench(&self, args: &[&str]) -> Answer {
        let answer = self.run(&[&BENCH, args].concat());
        self.check_no_folder();
        answer
    }

    #[track_caller]
    fn check_no_folder(&self) {
        let entries = fs::read_dir(self.folder.path()).expect("the folder").map(|entry| entry.expect("an entry"));
        let folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        assert!(folders.is_empty(), "{folders:?}");
    }
}

#[test]
fn a_benchmark_tells_rate_and_recall_of_every_ef() {
    let shell = Shell::with_benchmark(3_000);
    for (more, n_rows, has_codes) in
        [(&["--threads", "2"][..], 3_000, true), (&["--codes", "none", "--limit", "2000"], 2_000, false)]
    {
        let lines = shell.bench(&[&["--json", "--ef", "400,10"], more].concat()).good().lines();
        let [build, low, high, rates] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&build["n"], &build["dim"]), (&json!(n_rows), &json!(16)));
        assert_eq!(build["memory"]["codes"].as_u64().unwrap() > 0, has_codes, "{build}");
        let parts = ["links", "vectors", "rest", "engine"].map(|part| build["memory"][part].as_u64().unwrap());
        assert!(build["build_s"].as_f64().unwrap() > 0.0 && parts.iter().all(|&bytes| bytes > 0), "{build}");
        assert_eq!((&low["ef"], &high["ef"]), (&json!(10), &json!(400)));
        for point in [low, high] {
            let number = |key: &str| point[key].as_f64().unwrap_or_else(|| panic!("{key} in {point}"));
            assert!(number("qps") > 0.0 && number("p50_us") > 0.0 && number("p50_us") <= number("p99_us"), "{point}");
            assert!(number("recall") > 0.5 && number("hops") <= number("visited"), "{point}");
        }
        assert!(high["recall"].as_f64().unwrap() >= 0.99, "{high}");
        assert!(rates["qps@0.99"].as_f64().unwrap() > 0.0, "{rates}");
    }
    let table = shell.bench(&["--ef", "64", "--k", "5"]).good().out;
    let said = ["b.fbin: 3,000 rows of 16 components, euclidean", "per vector", "\n   64  ", "QPS at recall  0.9: "];
    said.iter().for_each(|part| assert!(table.contains(part), "expected {part:?} in: {table}"));
}

#[test]
fn a_benchmark_believes_the_truth_it_is_given() {
    let shell = Shell::with_benchmark(500);
    shell.file("q.fbin", fbin(&random_rows(500, 1)));
    for (shift, recall) in [(0, 1.0), (1, 0.0)] {
        let truth: Vec<_> = (0..500).map(|row| [(row + shift) % 500, 7]).collect();
        let lines =
            shell.file("t.ibin", ibin(&truth)).bench(&["--truth", "t.ibin", "--k", "1", "--json"]).good().lines();
        assert_eq!(lines[lines.len() - 2]["recall"], json!(recall), "{lines:?}");
        assert_eq!(lines[lines.len() - 1]["qps@0.9"].is_null(), shift > 0, "{lines:?}");
        // One `ef` is enough if no neighbour is missed.
        assert_eq!(lines.len() == 3, shift == 0, "{lines:?}");
    }
}

#[test]
fn a_benchmark_inserts_while_it_searches() {
    let shell = Shell::with_benchmark(1_500);
    let args = ["--ef", "100", "--limit", "1000", "--insert-rate", "--seconds", "1"];
    let lines = shell.bench(&[&args[..], &["--json"]].concat()).good().lines();
    let inserts = &lines.last().unwrap()["inserts"];
    let number = |pointer: &str| inserts.pointer(pointer).and_then(Value::as_f64).expect(pointer);
    assert!(number("/inserts_per_s") > 0.0 && number("/links_per_s") > 0.0, "{inserts}");
    assert!(number("/all/n") >= number("/below_bound/n") && number("/below_bound/n") > 0.0, "{inserts}");
    assert!(number("/all/p50_us") <= number("/all/p99_us") && number("/all/p99_us") <= number("/all/max_us"));
    assert!(number("/tail/mean") <= number("/tail/max") && number("/tail/bound") >= 1_024.0, "{inserts}");
    assert!(number("/idle/recall") > 0.9 && number("/busy/recall") > 0.9, "{inserts}");
    assert!(number("/idle/qps") > 0.0 && number("/qps_ratio") > 0.0, "{inserts}");
    assert!(number("/fresh/n_checked") > 0.0 && number("/fresh/n_missed") == 0.0, "{inserts}");
    let table = shell.bench(&args).good().out;
    assert!(table.contains("one writer and one searcher") && table.ends_with(" missed\n"), "{table}");
}

#[test]
fn a_benchmark_that_is_interrupted_leaves_no_folder() {
    let shell = Shell::with_benchmark(500);
    let args = [&BENCH[..], &["--json", "--ef", "10", "--insert-rate", "--seconds", "600"]].concat();
    let mut bench = shell.talk(&args);
    assert_eq!(bench.hear()["n"], json!(500));
    bench.signal("-INT");
    bench.end(true).bad(130, &["interrupted"]);
    shell.check_no_folder();
}

#[test]
fn a_benchmark_refuses_what_does_not_belong_together() {
    let shell = Shell::with_benchmark(100);
    let truth = vec![[99u32, 98]; 50];
    shell.file("t.ibin", ibin(&truth)).file("less.ibin", ibin(&truth[1..])).file("cut.ibin", &ibin(&truth)[..100]);
    shell.file("narrow.fbin", fbin(&[[1.0, 2.0]])).file("none.fbin", fbin::<16>(&[]));
    for (args, code, said) in [
        (&["--base", "nowhere.fbin"][..], 3, "nowhere.fbin"),
        (&["--truth", "nowhere.ibin"], 3, "nowhere.ibin"),
        (&["--path", "nowhere"], 3, "nowhere"),
        (&["--query", "narrow.fbin"], 1, "dimension mismatch: b.fbin has 16 components, narrow.fbin has 2"),
        (&["--query", "none.fbin"], 1, "none.fbin has no rows"),
        (&["--truth", "t.ibin"], 1, "t.ibin: expected at least 10 columns, as many as --k, got 2"),
        (&["--truth", "less.ibin", "--k", "2"], 1, "expected a row for each of 50 queries, got 49"),
        (&["--truth", "cut.ibin", "--k", "2"], 1, "408 bytes in all, but it has 100 bytes"),
        (&["--truth", "t.ibin", "--k", "2", "--limit", "99"], 1, "it names row 99, but only 99 rows are loaded"),
        (&["--k", "101"], 1, "expected --k of at most 100, the rows of b.fbin, got 101"),
        (&["--m", "64", "--ef-construction", "32"], 1, "invalid ef_construction: expected 64 to 4096, got 32"),
        (&["--db", "db"], 1, "bench makes a database of its own"),
        (&["--ef", "10,0"], 2, "0 is not in 1..=4096"),
        (&["--metric", "hamming"], 2, "hamming"),
        (&["--codes", "pq"], 2, "[possible values: sq8, none]"),
    ] {
        let kept = BENCH[1..].chunks_exact(2).filter(|option| !args.contains(&option[0])).flatten().copied();
        let all: Vec<&str> = std::iter::once("bench").chain(kept).chain(args.iter().copied()).collect();
        shell.run(&all).bad(code, &[said]);
        shell.check_no_folder();
    }
    let mut rows = random_rows(100, 1);
    rows[41][3] = f32::NAN;
    shell.file("b.fbin", fbin(&rows)).bench(&[]).bad(1, &["row 42: invalid vector", "NaN at position 3"]);
}
