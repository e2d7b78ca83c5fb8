//! Two agents remember and recall at the same time, each in a namespace of its own.
//!
//! `cargo run --release --example agent_memory [FOLDER]`. With a folder, kill the program at any
//! time and run it again: each memory that was reported as stored is there, and the agents continue
//! after it.

use std::thread;

use serde_json::json;
use vectrove::{CollectionConfig, Database, Document, Filter, Namespace, Result, field};

const DIMENSION: usize = 256;

const MEMORIES: [(&str, &str, &str); 8] = [
    ("fact", "2026-11-20T09:00:00Z", "The billing service stores invoices in PostgreSQL"),
    ("fact", "2026-11-20T09:05:00Z", "Invoices are numbered per customer, not globally"),
    ("preference", "2026-11-20T11:30:00Z", "The user wants answers without bullet points"),
    ("event", "2026-11-21T08:15:00Z", "Deployed version 2.4 of the billing service to staging"),
    ("event", "2026-11-21T08:40:00Z", "The staging deployment failed: migration of invoices timed out"),
    ("fact", "2026-11-21T10:00:00Z", "The search service keeps its index on local disks"),
    ("event", "2026-11-22T07:55:00Z", "Restarted the search service after its disk was full"),
    ("preference", "2026-11-22T12:00:00Z", "The user prefers to be asked before anything is deployed"),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("memories"), Into::into);
    let db = Database::open(folder)?;
    let memories = db.get_or_create_collection("memories", CollectionConfig::new(DIMENSION))?;
    println!("opened with {} namespaces at commit {}", memories.namespaces("")?.len(), db.stats()?.commit);

    let ada = memories.namespace("ada")?;
    let bob = memories.namespace("bob")?;
    thread::scope(|scope| {
        let agents = [scope.spawn(|| live("ada", &ada, 0)), scope.spawn(|| live("bob", &bob, 1))];
        agents.into_iter().try_for_each(|agent| agent.join().expect("an agent panicked"))
    })?;

    // An agent finds only its own memories: what one knows, the other does not.
    for (name, agent) in [("ada", &ada), ("bob", &bob)] {
        println!("\n{name} holds {} memories", agent.count(None)?);
        recall(agent, "what happened to the billing deployment?", field("kind").eq("event"))?;
        recall(agent, "how does the user want answers?", field("kind").eq("preference"))?;
        let since = field("at").gte("2026-11-21T00:00:00Z") & field("kind").is_in(["fact", "event"]);
        recall(agent, "search service disk", since)?;
    }
    db.close()?;
    Ok(())
}

/// Stores memories one by one, and looks back after each. Half of the memories are this agent's.
fn live(name: &str, agent: &Namespace, first: usize) -> Result<()> {
    for (step, (kind, at, text)) in MEMORIES.into_iter().enumerate().skip(first).step_by(2) {
        let document = Document::new(embed(text)).id(step as u64).text(text);
        // Returns once the write is on disk. The id makes a second write after a crash harmless.
        let receipt = agent.upsert(document.metadata(json!({"kind": kind, "at": at, "step": step})))?;
        let before = agent.search(embed(text)).limit(1).filter(field("step").lt(step)).run()?;
        let reminder = before.first().map_or("nothing yet", |hit| hit.text.as_deref().unwrap_or_default());
        println!("commit {:>3}  {name} stored \"{text}\"\n            which reminds it of: {reminder}", receipt.commit);
    }
    Ok(())
}

fn recall(agent: &Namespace, question: &str, filter: Filter) -> Result<()> {
    println!("  {question}  [{filter}]");
    for hit in &agent.search(embed(question)).limit(2).filter(filter).run()? {
        println!(
            "    {:.2}  {}  {}",
            hit.score,
            hit.metadata["at"].as_str().unwrap_or_default(),
            hit.text.as_deref().unwrap_or_default()
        );
    }
    Ok(())
}

/// A stand-in for an embedding model: it counts the text's runs of three letters in hashed places.
/// Texts that share words come out near each other; texts that share only meaning do not. Use a
/// real model in a real program.
fn embed(text: &str) -> Vec<f32> {
    let letters: Vec<char> = format!("  {}  ", text.to_lowercase()).chars().collect();
    let mut vector = vec![0.0; DIMENSION];
    for run in letters.windows(3) {
        // FNV-1a: the same in every run of the program and on every machine.
        let hash = run.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, letter| {
            (hash ^ u64::from(*letter as u32)).wrapping_mul(0x0100_0000_01b3)
        });
        vector[(hash % DIMENSION as u64) as usize] += 1.0;
    }
    vector
}
