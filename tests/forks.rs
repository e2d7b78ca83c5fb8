//! Databases in a forked child of the process that opened them: the child leaves them alone,
//! without an error at its end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "only the C library forks")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use vectrove::{
    Cancel, Collection, CollectionConfig, Database, Document, Durability, ErrorKind, Options, Query, Schema, Update,
    field,
};

/// Longest time of a child whose work takes no time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a child sleeps that outlives its parent.
const SLEEP: u32 = 60;

/// The variable with the folder, for a process that plays the parent.
const FOLDER: &str = "VECTROVE_TEST_FOLDER";

// Processes.

/// A child that runs until it is waited for.
struct Child {
    pid: libc::pid_t,
    /// Its output, stderr included.
    told: File,
}

/// Forks. The child runs `child`, and ends with its result. It writes an error to the pipe.
fn fork(child: impl FnOnce() -> Result<(), String>) -> Child {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the child uses what the test gives it, and ends without coming back.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: both descriptors are open.
        unsafe { libc::dup2(ends[1], 2) };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        let code = match done {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                // The test harness captures `eprintln`.
                let _ = io::stderr().write_all(error.as_bytes());
                1
            }
            Err(_) => 2,
        };
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    assert!(pid > 0, "{}", io::Error::last_os_error());
    // SAFETY: the parent owns both descriptors and uses neither otherwise.
    let told = unsafe {
        libc::close(ends[1]);
        libc::fcntl(ends[0], libc::F_SETFL, libc::O_NONBLOCK);
        File::from_raw_fd(ends[0])
    };
    Child { pid, told }
}

impl Child {
    /// Waits for the child, which must end by itself, with status 0 and without output.
    #[track_caller]
    fn check_quiet(self, what: &str) {
        let (status, told) = self.wait();
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{what}: status {status:x}: {told}");
        assert_eq!(told, "", "{what}");
    }

    fn wait(mut self) -> (i32, String) {
        let (mut status, began) = (0, Instant::now());
        // SAFETY: the child is ours, and `status` a local.
        while unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) } == 0 {
            if began.elapsed() > PATIENCE {
                self.kill();
                panic!("a child hangs");
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Children of other tests may hold the writing end of the pipe, so reading must not wait
        // for its end.
        let (mut told, mut part) = (Vec::new(), [0; 1_024]);
        while let Ok(n @ 1..) = self.told.read(&mut part) {
            told.extend(&part[..n]);
        }
        (status, String::from_utf8_lossy(&told).into_owned())
    }

    fn kill(&self) {
        // SAFETY: the child is ours and was not waited for.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn end_by_exit() -> Result<(), String> {
    // SAFETY: ends the process, with all that is registered for that.
    unsafe { libc::exit(0) }
}

fn sleep_long() -> Result<(), String> {
    // SAFETY: waits.
    unsafe { libc::sleep(SLEEP) };
    Ok(())
}

/// Starts this test program again, to play a part in another process.
fn play(part: &str, folder: &Path) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", part, "--ignored", "--test-threads", "1"]).env(FOLDER, folder);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The folder of a process that plays a part; `None` in an ordinary run.
fn folder_of_part() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn kill_self() -> ! {
    // SAFETY: ends this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("it was killed")
}

// Databases.

fn document(n: u64) -> Document {
    Document::new([1.0, n as f32]).id(n).metadata(json!({"n": n}))
}

fn open(path: &Path) -> (Database, Collection) {
    let db = Database::open_with(path, Options::new().durability(Durability::Wal).min_free_bytes(0)).unwrap();
    let notes = db.get_or_create_collection("notes", CollectionConfig::new(2)).unwrap();
    (db, notes)
}

#[track_caller]
fn check_holds(path: &Path, n_documents: usize) {
    let (db, notes) = open(path);
    assert_eq!(notes.count(None).unwrap(), n_documents);
    db.verify().unwrap();
    db.close().unwrap();
}

/// The content of a folder's files, once background work no longer changes them.
fn settled(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn read(folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => read(&path, files),
                false => _ = files.insert(path.clone(), fs::read(&path).unwrap()),
            }
        }
    }
    let began = Instant::now();
    let mut before = BTreeMap::new();
    loop {
        let mut files = BTreeMap::new();
        read(folder, &mut files);
        if files == before {
            return files;
        }
        assert!(began.elapsed() < PATIENCE, "files keep changing");
        before = files;
        thread::sleep(Duration::from_millis(500));
    }
}

/// Checks that a verb is refused in a forked child; otherwise returns what is wrong.
fn check_refused<T>(verb: &str, answer: vectrove::Result<T>) -> Result<(), String> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Forked && error.to_string().contains("forked") => Ok(()),
        Err(error) => Err(format!("{verb} fails otherwise: {error}")),
        Ok(_) => Err(format!("{verb} answers")),
    }
}

#[test]
fn every_verb_is_refused_in_a_forked_child() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backups) = (folder.path().join("db"), folder.path().join("backups"));
    let (db, notes) = open(&path);
    notes.insert_many((0..100).map(document)).unwrap();
    db.backup(&backups).unwrap();
    let (snapshot, agent, writer) =
        (notes.snapshot().unwrap(), notes.namespace("agent").unwrap(), notes.writer().unwrap());
    let ticket = writer.send(document(100)).unwrap();
    let mut batch = db.batch();
    batch.insert(&notes, document(101));
    let filter = || field("n").gt(5);

    let (other, copy) = (folder.path().join("other"), folder.path().join("copy"));
    let child = fork(|| {
        check_refused("insert", notes.insert(document(7_000)))?;
        check_refused("insert_many", notes.insert_many([document(7_000)]))?;
        check_refused("upsert", notes.upsert(document(1)))?;
        check_refused("upsert_many", agent.upsert_many([document(1)]))?;
        check_refused("update", notes.update(Update::new(1u64).merge(json!({"n": 0}))))?;
        check_refused("delete", notes.delete(1u64))?;
        check_refused("delete_many", notes.delete_many([1u64]))?;
        check_refused("delete_where", notes.delete_where(filter()))?;
        check_refused("commit", batch.commit())?;
        check_refused("send", writer.send(document(7_000)))?;
        check_refused("ticket", ticket.wait())?;
        check_refused("writer", notes.writer())?;
        check_refused("get", notes.get(1u64))?;
        check_refused("get_many", agent.get_many([1u64]))?;
        check_refused("get_many_without_vectors", agent.get_many_without_vectors([1u64]))?;
        check_refused("contains", notes.contains(1u64))?;
        check_refused("count", notes.count(None))?;
        check_refused("count of some", notes.count(filter()))?;
        check_refused("scroll", notes.scroll().run())?;
        check_refused("scroll in order", notes.scroll().order_by("n").run())?;
        check_refused("facet", notes.facet("n").run())?;
        check_refused("sample", notes.sample(3).run())?;
        check_refused("absent_fields", notes.absent_fields(&filter()))?;
        check_refused("search", notes.search([1.0, 2.0]).run())?;
        check_refused("search among some", notes.search([1.0, 2.0]).filter(filter()).run())?;
        check_refused("search by words", notes.search(Query::text("a")).run())?;
        check_refused("search_many", notes.search_many([[1.0, 2.0]; 40]).run())?;
        check_refused("snapshot", notes.snapshot())?;
        check_refused("snapshot of several", db.snapshot([&notes]))?;
        check_refused("snapshot.get", snapshot.get(1u64))?;
        check_refused("snapshot.count", snapshot.count(None))?;
        check_refused("snapshot.search", snapshot.search([1.0, 2.0]).run())?;
        check_refused("namespace_stats", notes.namespace_stats())?;
        check_refused("namespaces", notes.namespaces(""))?;
        check_refused("drop_namespace", notes.drop_namespace("agent"))?;
        check_refused("add_index", notes.add_index("x"))?;
        check_refused("drop_index", notes.drop_index("n"))?;
        check_refused("indexed_fields", notes.indexed_fields())?;
        check_refused("wait_indexed", notes.wait_indexed())?;
        check_refused("wait_resident", notes.wait_resident())?;
        check_refused("collection's stats", notes.stats())?;
        check_refused("rebuild_index", notes.rebuild_index())?;
        check_refused("schema", notes.schema())?;
        check_refused("metadata", notes.metadata())?;
        check_refused("set_metadata", notes.set_metadata(json!({})))?;
        check_refused("set_schema", notes.set_schema(Schema::new()))?;
        check_refused("create_collection", db.create_collection("new", CollectionConfig::new(1)))?;
        check_refused("get_or_create", db.get_or_create_collection("notes", CollectionConfig::new(2)))?;
        check_refused("collection", db.collection("notes"))?;
        check_refused("collections", db.collections())?;
        check_refused("rename_collection", db.rename_collection("notes", "others"))?;
        check_refused("drop_collection", db.drop_collection("notes"))?;
        check_refused("batch", db.batch().commit())?;
        check_refused("flush", db.flush())?;
        check_refused("refresh", db.refresh())?;
        check_refused("stats", db.stats())?;
        check_refused("verify", db.verify())?;
        check_refused("verify_with", db.verify_with(&Cancel::new()))?;
        check_refused("checkpoint", db.checkpoint(&copy))?;
        check_refused("backup", db.backup(&backups))?;
        check_refused("backups", Database::backups(&backups))?;
        check_refused("restore", Database::restore(&backups, &copy, None))?;
        check_refused("purge_backups", Database::purge_backups(&backups, 0))?;
        check_refused("open", Database::open(&path))?;
        check_refused("open another", Database::open(&other))?;
        check_refused("open to read", Database::open_with(&path, Options::new().read_only(true)))?;
        // Calls that cannot fail return what the handle holds.
        if (notes.name().as_str(), agent.namespace_name(), writer.len(), db.path()) != ("notes", "agent", 0, &*path) {
            return Err("a name or a length is another".into());
        }
        check_refused("close", db.close())?;
        drop((notes, agent, snapshot, writer));
        end_by_exit()
    });
    child.check_quiet("a child that tries everything");
}

#[test]
fn the_parent_goes_on_after_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let (db, notes) = open(folder.path());
    notes.insert_many((0..100).map(document)).unwrap();
    notes.wait_indexed().unwrap();
    db.flush().unwrap();
    let before = settled(folder.path());
    for round in 0..5u64 {
        let (db, notes) = (db.clone(), notes.clone());
        fork(move || {
            check_refused("insert", notes.insert(document(900)))?;
            check_refused("delete", notes.delete(round))?;
            drop((db, notes));
            end_by_exit()
        })
        .check_quiet("a child");
    }
    assert!(settled(folder.path()) == before, "children changed files");
    notes.insert_many((100..120).map(document)).unwrap();
    assert_eq!(notes.search([1.0, 119.0]).limit(1).exact(true).run().unwrap().len(), 1);
    assert_eq!(notes.count(None).unwrap(), 120);
    db.verify().unwrap();
    drop(notes);
    db.close().unwrap();
    check_holds(folder.path(), 120);
}

#[test]
fn a_child_ends_quietly_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let (db, notes) = open(folder.path());
    notes.insert_many((0..500).map(document)).unwrap();
    notes.wait_indexed().unwrap();
    let (snapshot, writer) = (notes.snapshot().unwrap(), notes.writer().unwrap());
    let reader = Database::open_with(folder.path(), Options::new().read_only(true)).unwrap();
    let (of_reader, old) =
        (reader.collection("notes").unwrap(), reader.collection("notes").unwrap().snapshot().unwrap());
    notes.insert(document(500)).unwrap();
    // From here on, only the snapshot looks at what was opened before.
    reader.refresh().unwrap();
    let handles = || (db.clone(), notes.clone(), snapshot.clone(), reader.clone(), of_reader.clone());
    fork(|| Ok(())).check_quiet("_exit");
    fork(end_by_exit).check_quiet("exit");
    {
        let handles = handles();
        fork(move || {
            drop(handles);
            Ok(())
        })
        .check_quiet("dropping clones");
    }
    // The last handles; the parent's own are among them.
    let all = (handles(), writer, old);
    fork(move || {
        drop(all);
        drop((db, notes, snapshot, reader, of_reader));
        end_by_exit()
    })
    .check_quiet("dropping the last handles");
    // The handles were moved, so they were dropped in the parent too: the database is closed.
    check_holds(folder.path(), 501);
}

#[test]
fn children_of_children_are_refused_too() {
    let folder = tempfile::tempdir().unwrap();
    let (db, notes) = open(folder.path());
    fork(|| {
        let grandchild = fork(|| {
            check_refused("count", notes.count(None))?;
            check_refused("open", Database::open(db.path()))
        });
        let (status, told) = grandchild.wait();
        if status == 0 { Ok(()) } else { Err(told) }
    })
    .check_quiet("a child with a child");
}

#[test]
fn forks_do_no_harm_while_four_threads_write() {
    let folder = tempfile::tempdir().unwrap();
    let (db, notes) = open(folder.path());
    let (stop, n_written) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut sleeping = Vec::new();
    thread::scope(|scope| {
        for writer in 0..4u64 {
            let (notes, stop, n_written) = (&notes, &stop, &n_written);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    notes.insert(document(writer * 1_000_000 + n)).unwrap();
                    n += 1;
                }
                n_written.fetch_add(n, Ordering::Relaxed);
            });
        }
        for round in 0..40 {
            let (db, notes) = (db.clone(), notes.clone());
            let child = fork(move || {
                check_refused("insert", notes.insert(document(77_000_000)))?;
                check_refused("search", notes.search([1.0, 2.0]).run())?;
                check_refused("stats", db.stats())?;
                drop((db, notes));
                if round % 10 == 0 { sleep_long() } else { end_by_exit() }
            });
            if round % 10 == 0 { sleeping.push(child) } else { child.check_quiet("a child among writers") }
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(notes);
    db.close().unwrap();
    // Meanwhile children sleep that had the lock when they were forked.
    check_holds(folder.path(), n_written.load(Ordering::Relaxed) as usize);
    sleeping.iter().for_each(Child::kill);
    assert!(n_written.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_child_forked_while_databases_open_and_close_keeps_none_locked() {
    let (folder, stop) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let mut sleeping = Vec::new();
    thread::scope(|scope| {
        for opener in 0..2 {
            let (path, stop) = (folder.path().join(opener.to_string()), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let (db, notes) = open(&path);
                    notes.upsert(document(1)).unwrap();
                    drop(notes);
                    db.close().unwrap();
                }
            });
        }
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(800) {
            sleeping.push(fork(sleep_long));
            thread::sleep(Duration::from_millis(7));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for opener in 0..2 {
        check_holds(&folder.path().join(opener.to_string()), 1);
    }
    sleeping.iter().for_each(Child::kill);
}

// Parents that are killed.

/// Opens a database, lets a forked child try to write, writes on, and is killed. The child still
/// sleeps.
#[test]
#[ignore = "a part of other tests"]
fn part_of_a_parent() {
    let Some(folder) = folder_of_part() else { return };
    let (_db, notes) = open(&folder.join("db"));
    notes.insert_many((0..100).map(document)).unwrap();
    let child = fork(|| {
        let refused = check_refused("insert", notes.insert(document(7_000)));
        fs::write(folder.join("child"), format!("{refused:?}")).map_err(|error| error.to_string())?;
        sleep_long()
    });
    while !folder.join("child").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    (100..120).for_each(|n| drop(notes.insert(document(n)).unwrap()));
    fs::write(folder.join("pid"), child.pid.to_string()).unwrap();
    kill_self();
}

#[test]
fn a_sleeping_child_does_not_keep_the_database_of_a_killed_parent() {
    let folder = tempfile::tempdir().unwrap();
    play("part_of_a_parent", folder.path()).wait().unwrap();
    let pid: libc::pid_t = fs::read_to_string(folder.path().join("pid")).unwrap().parse().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("child")).unwrap(), "Ok(())");
    // SAFETY: asks whether the process is there.
    assert_eq!(unsafe { libc::kill(pid, 0) }, 0, "the child lives");
    check_holds(&folder.path().join("db"), 120);
    // SAFETY: the child was made by the part that was played for this test.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Plays a parent whose child is made without the C library's knowledge, and so does write.
#[test]
#[ignore = "a part of other tests"]
fn part_of_a_parent_whose_child_writes() {
    let Some(folder) = folder_of_part() else { return };
    let (_db, notes) = open(&folder.join("db"));
    notes.insert_many((0..100).map(document)).unwrap();
    notes.wait_indexed().unwrap();
    let n_fields = fs::read_to_string(folder.join("n_fields")).unwrap().parse().unwrap();
    let metadata: serde_json::Map<_, _> = (0..n_fields).map(|n| (format!("n{n}"), json!(1))).collect();
    let of_child = Document::new([1.0, 7.0]).id("child").metadata(serde_json::Value::Object(metadata));
    // SAFETY: a clone without flags is a fork; the child ends without coming back.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: ends the child after 20 s if it waits for a lock that another thread held at the
        // fork.
        unsafe { libc::alarm(20) };
        let written = notes.insert(of_child);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if written.is_ok() { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the child is ours, and `status` a local.
    unsafe { libc::waitpid(pid as libc::pid_t, &mut status, 0) };
    (100..120).for_each(|n| drop(notes.insert(document(n)).unwrap()));
    fs::write(folder.join("status"), status.to_string()).unwrap();
    kill_self();
}

/// Asserts that a child's writes to its parent's log are reported, and can be taken out.
#[track_caller]
fn check_taken_out(n_fields: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fs::write(folder.path().join("n_fields"), n_fields.to_string()).unwrap();
    play("part_of_a_parent_whose_child_writes", folder.path()).wait().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("status")).unwrap(), "0", "the child wrote");
    for read_only in [false, true] {
        let refused = Database::open_with(&path, Options::new().read_only(read_only)).unwrap_err();
        let said = refused.to_string();
        assert_eq!(refused.kind(), ErrorKind::Corruption, "{said}");
        assert!(said.contains("forked child") && said.contains("accept_loss"), "{said}");
    }
    let db = Database::open_with(&path, Options::new().accept_loss(true)).unwrap();
    let notes = db.collection("notes").unwrap();
    assert_eq!((notes.count(None).unwrap(), notes.contains("child").unwrap()), (120, false));
    assert!((0..120u64).all(|n| notes.contains(n).unwrap()));
    db.verify().unwrap();
    drop(notes);
    db.close().unwrap();
    check_holds(&path, 120);
    let kept = fs::read_dir(&path)
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".log.forked")));
    assert_eq!(kept.count(), 1, "the log as it was is kept");
}

#[test]
fn what_a_child_wrote_nevertheless_is_named_and_taken_out() {
    check_taken_out(0);
    check_taken_out(1);
    check_taken_out(9);
}
