//! Campaigns that try to make the database lose something: `vectrove-torture codes|crash|damage|
//! disk-full|freeze|history|power`.
//!
//! Each campaign except `history` starts this program again as a worker, and interferes with it or
//! with its files. It then compares what is left with the worker's acknowledgements. `history`
//! reads while other threads write, in this process. All use only the public interface. Exit
//! status: 0 without violations, 1 with violations, 2 if the campaign itself failed, 77 if this
//! machine cannot run it.

mod args;
mod child;
mod codes;
mod crash;
mod damage;
mod deed;
mod disk_full;
mod folder;
mod freeze;
mod history;
mod inspect;
mod ledger;
mod line;
mod mount;
mod opening;
mod perform;
mod power;
mod report;
mod rng;
mod state;
mod walks;
mod watchdog;
mod worker;
mod world;

use std::process::ExitCode;

use args::Args;

/// The result of a campaign's step; its error is the reason why the campaign cannot continue.
type Outcome<T> = Result<T, String>;

const USAGE: &str = "usage: vectrove-torture COMMAND [--seed S] [--dir FOLDER]
  codes     --kills N    kill a process whose codes are being replaced, and look for all it acknowledged
  crash     --kills N    kill a writing process, and look for all it acknowledged
  damage    --trials N   damage one file, and see that it is refused or made up for
  disk-full --rounds N   fill the disk, free it, and go on
  freeze    --trials N   stop writing the graph down, end, and see that an open makes up for it
  history   --seconds N [--only KIND[,KIND]]
                         read while others write, and see that every answer is of one commit and one namespace
  power     --trials N   shut the file system down as a power loss does";

fn main() -> ExitCode {
    let outcome = Args::read().and_then(|args| match args.command.as_str() {
        "worker" => worker::run(&args),
        "codes-worker" => codes::work(&args),
        "trial" => damage::child(&args),
        command => {
            watchdog::start();
            match command {
                "codes" => codes::run(&args),
                "crash" => crash::run(&args),
                "damage" => damage::run(&args),
                "disk-full" => disk_full::run(&args),
                "freeze" => freeze::run(&args),
                "history" => history::run(&args),
                "power" => power::run(&args),
                _ => Err(USAGE.to_owned()),
            }
        }
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}
