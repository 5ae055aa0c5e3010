//! `mdevkit gpus`: the physical GPUs, and what runs on them.

use super::cell;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::{self, Measure};
use crate::out::{note, plain};
use mdevkit_core::{Capacity, Description, TypeId, Uuid};
use mdevkit_host::{PgpuRow, ResidentRow, Survey};
use serde::Serialize;

/// Show the physical GPUs: what they are, which rule they follow, what runs on them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A card whose virtual functions are its parents is one GPU. RULE is what its devices take from
each other; with `?` the host's numbers do not prove it yet (--json says why it is this one).
FB is the framebuffer in MiB that devices have, of all there is.

Examples:
  mdevkit gpus
  mdevkit gpus --json | jq -r '.[] | select(.devices == []) | .pgpu'     the empty ones
  mdevkit gpus --json | jq '.[0].types'                                  supported and enabled")]
pub(crate) struct Args {}

/// One row of `gpus --json`.
#[derive(Serialize)]
struct Row<'a> {
    /// Its address, or its parent's name where it is not PCI.
    pgpu: &'a str,
    /// Vendor and device: `10de:1db5`.
    ids: Option<String>,
    /// What they are called in pci.ids, where that is installed.
    vendor_name: Option<&'a str>,
    device_name: Option<&'a str>,
    /// How requests name its group.
    group: Option<&'a str>,
    /// What people call it.
    group_title: Option<&'a str>,
    numa_node: Option<u32>,
    /// The kernel driver that it is bound to.
    driver: Option<&'a str>,
    /// The policy where a request names none.
    policy: &'static str,
    rule: Rule<'a>,
    cordoned: bool,
    /// How it is, in a few words.
    state: &'a str,
    /// In all, and what devices have (MiB); null where the driver does not say it.
    framebuffer_mib: Option<u64>,
    framebuffer_used_mib: Option<u64>,
    /// Its parents of mediated devices: itself, or its VFs.
    parents: Vec<&'a str>,
    types: Vec<Type<'a>>,
    devices: Vec<Device<'a>>,
    /// What could not be read, and why.
    problems: &'a [String],
}

/// What its devices take from each other.
#[derive(Serialize)]
struct Rule<'a> {
    /// `counter`, `shared-pool`, `same-type`, `same-framebuffer`, `mixed-sizes`, `mig` or `whole-card`.
    name: &'static str,
    /// The configuration says so.
    configured: bool,
    /// The host's own numbers show it.
    proven: bool,
    why: &'a str,
    /// What the host's numbers say against it; the kernel is believed.
    contradiction: Option<&'a str>,
}

/// A type that it supports.
#[derive(Serialize)]
struct Type<'a> {
    id: &'a str,
    name: Option<&'a str>,
    enabled: bool,
    /// MiB.
    framebuffer_mib: Option<u32>,
    /// Count on the empty GPU.
    max_instances: Option<u32>,
}

/// A device on it.
#[derive(Serialize)]
pub(crate) struct Device<'a> {
    uuid: Uuid,
    parent: &'a str,
    /// Null while it is being created or removed.
    r#type: Option<&'a str>,
    type_name: Option<&'a str>,
    framebuffer_mib: Option<u64>,
    /// Where it begins in the framebuffer (GiB), where the driver says it.
    placement_id: Option<u16>,
    domain_uuid: Option<Uuid>,
    domain_name: Option<&'a str>,
    /// `mdevkit` or `foreign`.
    owner: &'static str,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let survey = look::survey(context)?;
        let capacities = look::capacities(&survey)?;
        if context.out.json {
            let measures: Vec<(&PgpuRow, Measure)> = measured(&survey, &capacities);
            let rows: Vec<Row<'_>> = measures.iter().map(|(gpu, it)| json(gpu, it, &survey)).collect();
            context.out.json(&rows)?;
            return Ok(Exit::Done);
        }
        for problem in survey.gpus.iter().flat_map(|gpu| &gpu.problems) {
            note(format!("mdevkit: {}", plain(problem)));
        }
        let head = ["GPU", "NAME", "GROUP", "NUMA", "RULE", "FB", "DEVICES", "STATE"];
        let rows = measured(&survey, &capacities);
        let rows = rows.iter().map(|(gpu, it)| person(gpu, it)).collect();
        context.out.table(
            head,
            rows,
            "no GPUs: this host has no graphics cards and no parents of mediated devices",
        )?;
        Ok(Exit::Done)
    }
}

fn measured<'s>(survey: &'s Survey, capacities: &[Capacity]) -> Vec<(&'s PgpuRow, Measure)> {
    let gpus = survey.gpus.iter();
    gpus.map(|gpu| (gpu, Measure::of(gpu, survey, capacities))).collect()
}

fn json<'a>(gpu: &'a PgpuRow, measure: &'a Measure, survey: &'a Survey) -> Row<'a> {
    let framebuffer = measure.is_framebuffer();
    Row {
        pgpu: gpu.name.as_str(),
        ids: gpu.ids.map(|ids| ids.to_string()),
        vendor_name: gpu.names.as_ref().map(|names| names.vendor.as_str()),
        device_name: gpu.names.as_ref().and_then(|names| names.device.as_deref()),
        group: gpu.group.as_ref().map(|group| group.as_str()),
        group_title: look::group_title(survey, &gpu.name),
        numa_node: gpu.numa_node,
        driver: gpu.driver.as_deref(),
        policy: gpu.policy.as_str(),
        rule: Rule {
            name: gpu.rule.rule.as_str(),
            configured: gpu.rule.configured,
            proven: gpu.rule.proven,
            why: &gpu.rule.why,
            contradiction: gpu.rule.contradiction.as_deref(),
        },
        cordoned: gpu.cordoned,
        state: &gpu.state,
        framebuffer_mib: measure.total.filter(|_| framebuffer),
        framebuffer_used_mib: framebuffer.then(|| measure.used(gpu)),
        parents: gpu.parents.iter().map(|parent| parent.as_str()).collect(),
        types: gpu
            .types
            .iter()
            .map(|ty| {
                let read = description(&ty.id, gpu, survey);
                Type {
                    id: ty.id.as_str(),
                    name: ty.name.as_ref().map(|name| name.as_str()),
                    enabled: ty.enabled,
                    framebuffer_mib: read.framebuffer_mib,
                    max_instances: read.max_instances,
                }
            })
            .collect(),
        devices: gpu
            .residents
            .iter()
            .map(|device| self::device(device, measure))
            .collect(),
        problems: &gpu.problems,
    }
}

/// A device on a GPU that is measured so.
pub(crate) fn device<'a>(device: &'a ResidentRow, measure: &'a Measure) -> Device<'a> {
    let domain = look::domain(device.owner.as_ref());
    Device {
        uuid: device.uuid,
        parent: device.parent.as_str(),
        r#type: device.type_id.as_ref().map(|id| id.as_str()),
        type_name: measure.name(device),
        framebuffer_mib: measure.size(device).filter(|_| measure.is_framebuffer()),
        placement_id: device.placement,
        domain_uuid: domain.map(|(uuid, _)| uuid),
        domain_name: domain.map(|(_, name)| name),
        owner: if device.owner.is_some() { "mdevkit" } else { "foreign" },
    }
}

fn description(id: &TypeId, gpu: &PgpuRow, survey: &Survey) -> Description {
    let parents = gpu.parents.iter().filter_map(|name| survey.inventory.parent(name));
    parents
        .filter_map(|parent| parent.get(id)?.description.get())
        .map(|text| Description::read(text))
        .next()
        .unwrap_or_default()
}

fn person(gpu: &PgpuRow, measure: &Measure) -> [String; 8] {
    let framebuffer = measure
        .total
        .filter(|_| measure.is_framebuffer())
        .map(|total| format!("{}/{total}", measure.used(gpu)));
    // A card that offers nothing follows no rule.
    let rule = (!gpu.parents.is_empty()).then(|| {
        let sure = if gpu.rule.proven || gpu.rule.configured {
            ""
        } else {
            "?"
        };
        format!("{}{sure}", gpu.rule.rule)
    });
    [
        gpu.name.to_string(),
        cell(
            Some(look::title(gpu))
                .filter(|title| !title.is_empty())
                .map(|title| plain(&title)),
        ),
        cell(gpu.group.as_ref()),
        cell(gpu.numa_node),
        cell(rule),
        cell(framebuffer),
        gpu.residents.len().to_string(),
        plain(&gpu.state),
    ]
}
