//! `mdevkit reconcile`: what a crash left behind.

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use mdevkit_core::Uuid;
use mdevkit_core::ledger::Action;
use mdevkit_host::{Outcome, ReconcileOptions};
use serde::Serialize;

/// Settle what a crash left behind: remove devices whose domain will never call for it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the ledger's records only: a device that mdevkit did not make is never touched. A timer
runs this on an installed host; running it by hand is always safe. Exit status 1: something
could not be removed yet.

Examples:
  mdevkit reconcile --dry-run      what would be done, and why
  mdevkit reconcile --grace 0      do not wait for what can be neither seen nor proved")]
pub(crate) struct Args {
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave a record without proof alone for so long [default: the configuration's, 600]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
}

/// One row of `reconcile --json`.
#[derive(Serialize)]
struct Row<'a> {
    /// The device.
    uuid: Uuid,
    /// `keep`, `forget` (its record) or `remove` (it).
    action: &'static str,
    /// Why that.
    why: &'static str,
    /// The parent that made it.
    parent: &'a str,
    /// Its type's id.
    r#type: &'a str,
    /// Whose it is, as a person would say it.
    owner: String,
    /// Why it was not done; null when it was, or when this was a dry run.
    problem: Option<&'a str>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let options = ReconcileOptions {
            dry_run: self.dry_run,
            grace_s: self.grace,
            wait_ms: 5_000,
        };
        let outcomes = context.host().reconcile(&options)?;
        if context.out.json {
            context.out.json(&outcomes.iter().map(json).collect::<Vec<_>>())?;
        } else {
            let shown = outcomes.iter().filter(|outcome| {
                context.out.verbose || self.dry_run || !matches!(outcome.action, Action::Keep { .. })
            });
            let head = ["UUID", "PARENT", "TYPE", "ACTION", "WHY", "RESULT"];
            let rows = shown.map(|outcome| person(outcome, self.dry_run)).collect();
            context.out.table(head, rows, "nothing to settle")?;
        }
        let all_done = outcomes.iter().all(|outcome| outcome.done.is_ok());
        Ok(if all_done { Exit::Done } else { Exit::Refused })
    }
}

fn json(outcome: &Outcome) -> Row<'_> {
    Row {
        uuid: outcome.action.uuid(),
        action: outcome.action.verb(),
        why: outcome.action.why(),
        parent: outcome.record.parent.as_str(),
        r#type: outcome.record.type_id.as_str(),
        owner: outcome.record.owner.to_string(),
        problem: outcome.done.as_ref().err().map(String::as_str),
    }
}

fn person(outcome: &Outcome, dry_run: bool) -> [String; 6] {
    let result = match &outcome.done {
        _ if dry_run => "(dry run)",
        Ok(()) => "done",
        Err(why) => why,
    };
    [
        outcome.action.uuid().to_string(),
        outcome.record.parent.to_string(),
        outcome.record.type_id.to_string(),
        outcome.action.verb().to_owned(),
        outcome.action.why().to_owned(),
        result.to_owned(),
    ]
}
