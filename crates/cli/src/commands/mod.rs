//! The subcommands, one file each: arguments, help, JSON shape, and what it does.

pub(crate) mod capacity;
pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod eject;
pub(crate) mod explain;
pub(crate) mod gpu;
pub(crate) mod gpus;
pub(crate) mod groups;
pub(crate) mod inject;
pub(crate) mod map;
pub(crate) mod plan;
pub(crate) mod reap;
pub(crate) mod reconcile;
pub(crate) mod refresh;
pub(crate) mod remove;
pub(crate) mod show;
pub(crate) mod sim;
pub(crate) mod types;

use std::fmt::Display;

/// A table's cell for something that may be missing.
fn cell(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
