//! `mdevkit capacity`: how many more of each type, now and on the empty host.

use super::cell;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint;
use crate::look;
use crate::out::{note, plain};
use mdevkit_core::{Capacity, ParentName, Slot, TypeName, TypeSpec, Uuid, Want};
use mdevkit_host::Survey;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Show how many more of each type there can be, now and on the empty host
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each number is for its type alone: types of one GPU share what they are cut from. AVAILABLE is
never more than the kernel says; TOTAL is for empty GPUs, and 0 where a type is not enabled.
With one --type of which there is none left, stderr says which stops would free one.

Examples:
  mdevkit capacity --totals                      the sums for each group, and for the host
  mdevkit capacity --type V100DX-8Q
  mdevkit capacity --json | jq '.[] | select(.available == 0) | {pgpu, name, reason}'")]
pub(crate) struct Args {
    /// Only this type: its id, full name or short name
    #[arg(long = "type", value_name = "TYPE")]
    spec: Option<TypeSpec>,
    /// Only this GPU
    #[arg(long, value_name = "ADDRESS")]
    gpu: Option<ParentName>,
    /// Only the GPUs of this group
    #[arg(long)]
    group: Option<String>,
    /// The sums alone (with --json: one row per group and type; group null for the host)
    #[arg(long)]
    totals: bool,
}

/// One row of `capacity --json`.
#[derive(Serialize)]
struct Row<'a> {
    /// The physical GPU.
    pgpu: &'a str,
    /// How requests name its group; null where it is not PCI.
    group: Option<&'a str>,
    /// What people call it.
    group_title: Option<&'a str>,
    /// The type's id; `passthrough` for the card as a whole.
    r#type: &'a str,
    /// Its full name.
    name: Option<&'a str>,
    /// How many more can be made now (count).
    available: u32,
    /// How many could be, were the GPU empty (count).
    total: u32,
    /// Why none can be made now; null when there is room.
    reason: Option<String>,
    /// The same as a word: `full`, `other-size`, `cordoned`...
    kind: Option<&'static str>,
}

/// One row of `capacity --totals --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Sum {
    /// How requests name the group; null for one that has no name, and for the host.
    group: Option<String>,
    /// What people call it; null for the host.
    group_title: Option<String>,
    r#type: String,
    name: Option<String>,
    /// Counts.
    gpus: usize,
    available: u64,
    total: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let survey = look::survey(context)?;
        if let Some(gpu) = &self.gpu {
            look::gpu(&survey, gpu)?;
        }
        let mut rows = look::capacities(&survey)?;
        rows.retain(|row| self.wants(row, &survey));
        let sums = sums(&rows, &survey);
        match (context.out.json, self.totals) {
            (true, true) => context.out.json(&sums)?,
            (true, false) => {
                let rows: Vec<Row<'_>> = rows.iter().map(|row| json(row, &survey)).collect();
                context.out.json(&rows)?;
            }
            (false, totals) => {
                if !totals {
                    let head = ["GPU", "TYPE", "NAME", "AVAILABLE", "TOTAL", "WHY NONE"];
                    context
                        .out
                        .table(head, rows.iter().map(person).collect(), &self.nothing())?;
                }
                if !rows.is_empty() {
                    if !totals {
                        context.out.line("")?;
                    }
                    let head = ["GROUP", "TYPE", "NAME", "GPUS", "AVAILABLE", "TOTAL"];
                    context.out.table(head, sums.iter().map(person_sum).collect(), "")?;
                } else if totals {
                    note(self.nothing());
                }
            }
        }
        if let Some(spec) = &self.spec {
            self.hint(spec, &rows, &survey);
        }
        Ok(Exit::Done)
    }

    fn wants(&self, row: &Capacity, survey: &Survey) -> bool {
        let typed = self
            .spec
            .as_ref()
            .is_none_or(|spec| look::means(spec, &row.type_id, row.name.as_ref()));
        let here = self
            .gpu
            .as_ref()
            .is_none_or(|gpu| look::gpu(survey, gpu).is_ok_and(|gpu| gpu.name == row.pgpu));
        let grouped = self
            .group
            .as_ref()
            .is_none_or(|word| look::is_in_group(survey, &row.pgpu, row.group.as_ref(), word));
        typed && here && grouped
    }

    fn nothing(&self) -> String {
        match (&self.spec, &self.group) {
            (Some(spec), _) => format!("no GPU here offers {spec} (see: mdevkit types)"),
            (None, Some(group)) => format!("no GPU here is in group {} (see: mdevkit groups)", plain(group)),
            (None, None) => "no types: this host has no parents of mediated devices; is the driver loaded?".to_owned(),
        }
    }

    /// Which stops would free one, when there is none left.
    fn hint(&self, spec: &TypeSpec, rows: &[Capacity], survey: &Survey) {
        if rows.is_empty() || rows.iter().any(|row| row.available > 0) {
            return;
        }
        let Ok(slot) = Slot::new(0) else { return };
        let mut want = Want::new(slot, Uuid::nil(), spec.clone());
        want.parent.clone_from(&self.gpu);
        let ways = hint::ways(&want, survey).into_iter();
        let ways: Vec<_> = ways
            .filter(|way| rows.iter().any(|row| row.pgpu.as_str() == way.pgpu))
            .collect();
        if let Some(line) = hint::line(&ways) {
            note(format!("{spec}: {line}"));
        }
    }
}

fn json<'a>(row: &'a Capacity, survey: &'a Survey) -> Row<'a> {
    Row {
        pgpu: row.pgpu.as_str(),
        group: row.group.as_ref().map(|group| group.as_str()),
        group_title: look::group_title(survey, &row.pgpu),
        r#type: row.type_id.as_str(),
        name: row.name.as_ref().map(TypeName::as_str),
        available: row.available,
        total: row.total,
        reason: row.why.as_ref().map(ToString::to_string),
        kind: row.why.as_ref().map(|why| why.kind()),
    }
}

fn person(row: &Capacity) -> [String; 6] {
    [
        row.pgpu.to_string(),
        row.type_id.to_string(),
        cell(row.name.as_ref()),
        row.available.to_string(),
        row.total.to_string(),
        row.why.as_ref().map(|why| plain(&why.to_string())).unwrap_or_default(),
    ]
}

fn person_sum(sum: &Sum) -> [String; 6] {
    [
        sum.group
            .clone()
            .or_else(|| sum.group_title.clone())
            .unwrap_or_else(|| "host".to_owned()),
        sum.r#type.clone(),
        cell(sum.name.as_ref()),
        sum.gpus.to_string(),
        sum.available.to_string(),
        sum.total.to_string(),
    ]
}

/// The sums of each group in the order of the groups, then those of the host, where it has more than one group.
fn sums(rows: &[Capacity], survey: &Survey) -> Vec<Sum> {
    let titles: BTreeSet<Option<&str>> = rows.iter().map(|row| look::group_title(survey, &row.pgpu)).collect();
    let mut sums = Vec::new();
    for group in &survey.groups {
        let of_group = rows
            .iter()
            .filter(|row| look::group_title(survey, &row.pgpu) == Some(group.title.as_str()));
        let name = group.name.as_ref().map(ToString::to_string);
        sums.extend(sum(of_group, name.as_ref(), Some(&group.title)));
    }
    if titles.len() > 1 {
        sums.extend(sum(rows.iter(), None, None));
    }
    sums
}

/// One sum for each type, in the order of the rows.
fn sum<'a>(rows: impl Iterator<Item = &'a Capacity>, group: Option<&String>, title: Option<&String>) -> Vec<Sum> {
    let mut at: BTreeMap<&str, usize> = BTreeMap::new();
    let mut sums: Vec<Sum> = Vec::new();
    for row in rows {
        let next = sums.len();
        let index = *at.entry(row.type_id.as_str()).or_insert(next);
        if index == next {
            sums.push(Sum {
                group: group.cloned(),
                group_title: title.cloned(),
                r#type: row.type_id.to_string(),
                name: row.name.as_ref().map(ToString::to_string),
                gpus: 0,
                available: 0,
                total: 0,
            });
        }
        if let Some(sum) = sums.get_mut(index) {
            sum.gpus += 1;
            sum.available += u64::from(row.available);
            sum.total += u64::from(row.total);
        }
    }
    sums
}
