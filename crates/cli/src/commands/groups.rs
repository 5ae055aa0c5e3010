//! `mdevkit groups`: the GPUs that are interchangeable, and what holds for them together.

use super::cell;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use crate::out::plain;
use mdevkit_core::PgpuName;
use mdevkit_host::{GroupRow, Survey};
use serde::Serialize;
use std::collections::BTreeSet;

/// Show the groups of GPUs: which belong together, and what holds for them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
GPUs of one vendor and device are a group by themselves; /etc/mdevkit/config.toml makes others.
GROUP is what a request says (group=\"cad\", mdevkit inject --group cad); POLICY holds where the
request names none.

Examples:
  mdevkit groups
  mdevkit groups --json | jq '.[] | {group, gpus}'")]
pub(crate) struct Args {}

/// One row of `groups --json`.
#[derive(Serialize)]
struct Row<'a> {
    /// How requests name it; null where it has no vendor and device.
    group: Option<&'a str>,
    /// What people call it.
    title: &'a str,
    /// It stands in the configuration.
    configured: bool,
    policy: &'static str,
    /// The rule that is configured for it; null when it is found out from the host.
    rule: Option<&'static str>,
    /// The types that are configured for it; null for all.
    types: Option<Vec<&'a str>>,
    gpus: Vec<&'a str>,
    /// How many devices are on them.
    devices: usize,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let survey = look::survey(context)?;
        if context.out.json {
            let rows: Vec<Row<'_>> = survey.groups.iter().map(|group| json(group, &survey)).collect();
            context.out.json(&rows)?;
            return Ok(Exit::Done);
        }
        let head = ["GROUP", "WHAT", "POLICY", "RULE", "TYPES", "GPUS", "DEVICES"];
        let rows = survey.groups.iter().map(|group| person(group, &survey)).collect();
        context.out.table(head, rows, "no groups: this host has no GPUs")?;
        Ok(Exit::Done)
    }
}

fn devices(group: &GroupRow, survey: &Survey) -> usize {
    let gpus = survey.gpus.iter().filter(|gpu| group.gpus.contains(&gpu.name));
    gpus.map(|gpu| gpu.residents.len()).sum()
}

fn json<'a>(group: &'a GroupRow, survey: &Survey) -> Row<'a> {
    Row {
        group: group.name.as_ref().map(|name| name.as_str()),
        title: &group.title,
        configured: group.configured,
        policy: group.policy.as_str(),
        rule: group.rule.map(|rule| rule.as_str()),
        types: group
            .types
            .as_ref()
            .map(|types| types.iter().map(|spec| spec.as_str()).collect()),
        gpus: group.gpus.iter().map(PgpuName::as_str).collect(),
        devices: devices(group, survey),
    }
}

fn person(group: &GroupRow, survey: &Survey) -> [String; 7] {
    let types: Option<Vec<&str>> = group
        .types
        .as_ref()
        .map(|types| types.iter().map(|spec| spec.as_str()).collect());
    let rule = group.rule.map_or_else(|| found(group, survey), |rule| rule.to_string());
    let what = if group.configured {
        "configured".to_owned()
    } else {
        plain(&group.title)
    };
    [
        cell(group.name.as_ref()),
        what,
        group.policy.to_string(),
        rule,
        types.map_or_else(|| "all".to_owned(), |types| types.join(",")),
        group.gpus.len().to_string(),
        devices(group, survey).to_string(),
    ]
}

/// The rules that its GPUs were found to follow.
fn found(group: &GroupRow, survey: &Survey) -> String {
    let gpus = survey
        .gpus
        .iter()
        .filter(|gpu| group.gpus.contains(&gpu.name) && !gpu.parents.is_empty());
    let rules: BTreeSet<&str> = gpus.map(|gpu| gpu.rule.rule.as_str()).collect();
    let rules: Vec<&str> = rules.into_iter().collect();
    cell((!rules.is_empty()).then(|| rules.join(",")))
}
