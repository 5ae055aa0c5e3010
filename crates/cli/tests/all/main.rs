//! What a person and a script see of every subcommand, against a simulated host. Regenerate the snapshots after a
//! change on purpose with `SNAPSHOTS=overwrite cargo test -p mdevkit`, and read the diff.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its part is a failed test")]

mod devices;
mod files;
mod help;
mod lab;
mod plan;
mod programs;
mod seeing;
mod sessions;
