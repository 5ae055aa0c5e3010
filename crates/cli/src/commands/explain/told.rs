//! How an explanation is told: lines for people, JSON for programs.

use super::{Known, Now};
use crate::cli::Context;
use crate::failure::Failure;
use crate::hint::{self, Way};
use crate::look;
use crate::out::plain;
use crate::time;
use mdevkit_core::Uuid;
use mdevkit_host::{DecisionOutcome, GpuReason, LastDecision, PgpuRow};
use serde::Serialize;

/// The answer of `explain --json`.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    /// Null where it was never defined, and for a device that is no domain's.
    domain_uuid: Option<Uuid>,
    domain_name: &'a str,
    /// Its devices that exist.
    devices: Vec<Device<'a>>,
    /// Its last start; null when none is remembered.
    last: Option<Last<'a>>,
    /// A start now, of the devices that do not exist; null when the domain's XML was not found, or nothing is missing.
    now: Option<Start<'a>>,
    /// What is wrong with the domain's XML; null when nothing is.
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct Device<'a> {
    uuid: Uuid,
    r#type: Option<&'a str>,
    pgpu: &'a str,
    parent: &'a str,
    /// Whose it is.
    owner: String,
    /// Why it is there; null when no start said it.
    because: Option<&'a str>,
    /// The rule of its GPU, and why it is that one.
    rule: &'static str,
    rule_proven: bool,
    rule_why: &'a str,
    cordoned: bool,
}

#[derive(Serialize)]
struct Last<'a> {
    /// Seconds since 1970, and the same in UTC.
    time: u64,
    time_utc: String,
    /// `placed` or `refused`.
    outcome: &'static str,
    /// Why not; null when placed.
    code: Option<&'a str>,
    headline: Option<&'a str>,
    asked: Option<&'a str>,
    reasons: Vec<Reason<'a>>,
    /// Where each device went.
    devices: Vec<Placed<'a>>,
}

#[derive(Serialize)]
struct Reason<'a> {
    pgpu: &'a str,
    kind: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Placed<'a> {
    slot: u8,
    uuid: Uuid,
    asked: &'a str,
    r#type: &'a str,
    pgpu: &'a str,
    parent: &'a str,
    because: &'a str,
}

#[derive(Serialize)]
struct Start<'a> {
    fits: bool,
    /// Where each device would go, by slot.
    devices: Vec<Goes>,
    code: Option<&'static str>,
    message: Option<String>,
    /// What would have to stop, the fewest first.
    stops: &'a [Way],
}

#[derive(Serialize)]
struct Goes {
    slot: u8,
    uuid: Uuid,
    r#type: String,
    pgpu: String,
    parent: String,
    because: String,
}

/// For programs.
pub(super) fn json<'a>(known: &'a Known<'_>) -> Answer<'a> {
    Answer {
        domain_uuid: known.uuid,
        domain_name: &known.name,
        devices: known
            .devices
            .iter()
            .map(|(gpu, device)| Device {
                uuid: device.uuid,
                r#type: device.type_id.as_ref().map(|id| id.as_str()),
                pgpu: gpu.name.as_str(),
                parent: device.parent.as_str(),
                owner: look::owner(device.owner.as_ref()),
                because: known.because(device.uuid),
                rule: gpu.rule.rule.as_str(),
                rule_proven: gpu.rule.proven,
                rule_why: &gpu.rule.why,
                cordoned: gpu.cordoned,
            })
            .collect(),
        last: known.last.as_ref().map(last),
        now: known.now.as_ref().map(start),
        problem: known.problem.as_ref().map(Failure::message),
    }
}

fn last(decision: &LastDecision) -> Last<'_> {
    let mut last = Last {
        time: decision.time,
        time_utc: time::utc(decision.time),
        outcome: "placed",
        code: None,
        headline: None,
        asked: None,
        reasons: Vec::new(),
        devices: Vec::new(),
    };
    match &decision.outcome {
        DecisionOutcome::Placed(devices) => {
            last.devices = devices
                .iter()
                .map(|device| Placed {
                    slot: device.slot.number(),
                    uuid: device.uuid,
                    asked: &device.asked,
                    r#type: device.type_id.as_str(),
                    pgpu: device.pgpu.as_str(),
                    parent: device.parent.as_str(),
                    because: &device.because,
                })
                .collect();
        }
        DecisionOutcome::Refused(refused) => {
            last.outcome = "refused";
            last.code = Some(&refused.code);
            last.headline = Some(&refused.headline);
            last.asked = refused.asked.as_deref();
            last.reasons = refused.reasons.iter().map(reason).collect();
        }
        _ => last.outcome = "unknown",
    }
    last
}

fn reason(reason: &GpuReason) -> Reason<'_> {
    Reason {
        pgpu: reason.gpu.as_str(),
        kind: &reason.kind,
        reason: &reason.text,
    }
}

fn start(now: &Now) -> Start<'_> {
    match now {
        Now::Fits(placements) => Start {
            fits: true,
            devices: placements
                .iter()
                .map(|placement| Goes {
                    slot: placement.slot.number(),
                    uuid: placement.uuid,
                    r#type: placement.type_id.to_string(),
                    pgpu: placement.pgpu.to_string(),
                    parent: placement.parent.to_string(),
                    because: placement.because.to_string(),
                })
                .collect(),
            code: None,
            message: None,
            stops: &[],
        },
        Now::Refused { refusal, ways } => Start {
            fits: false,
            devices: Vec::new(),
            code: Some(refusal.code.as_str()),
            message: Some(refusal.to_string()),
            stops: ways,
        },
    }
}

/// For people.
pub(super) fn people(known: &Known<'_>, context: &Context) -> Result<(), Failure> {
    context.out.line(lines(known).join("\n"))
}

fn lines(known: &Known<'_>) -> Vec<String> {
    let who = match (known.name.as_str(), known.uuid) {
        ("", Some(uuid)) => uuid.to_string(),
        (name, Some(uuid)) => format!("{} ({uuid})", plain(name)),
        ("", None) => "no domain's".to_owned(),
        (name, None) => plain(name),
    };
    let mut lines = vec![who];
    for (gpu, device) in &known.devices {
        let parent = if device.parent == *gpu.name.as_parent() {
            gpu.name.to_string()
        } else {
            format!("{} of {}", device.parent, gpu.name)
        };
        let type_id = device.type_id.as_ref().map_or("coming or going", |id| id.as_str());
        lines.push(format!("  device {}: {type_id} on {parent}", device.uuid));
        match known.because(device.uuid) {
            Some(because) => lines.push(format!("    chosen: {}", plain(because))),
            None => lines.push(format!(
                "    chosen: not by a start of it ({})",
                look::owner(device.owner.as_ref())
            )),
        }
        lines.push(format!("    its GPU: {}", rule(gpu)));
    }
    match &known.last {
        None if known.name.is_empty() && known.uuid.is_none() => return lines,
        None => lines.push("last start: none is remembered".to_owned()),
        Some(decision) => last_lines(decision, known, &mut lines),
    }
    match (&known.now, &known.problem) {
        (_, Some(problem)) => lines.push(format!("now: {}: {}", problem.code(), plain(problem.message()))),
        (Some(now), None) => now_lines(now, &mut lines),
        (None, None) if known.devices.is_empty() => {
            lines.push("now: its XML was not found; mdevkit explain FILE says what would come of a start".to_owned());
        }
        (None, None) => {}
    }
    lines
}

fn rule(gpu: &PgpuRow) -> String {
    let sure = if gpu.rule.proven { "" } else { ", not proven" };
    let cordoned = if gpu.cordoned { "; cordoned" } else { "" };
    format!(
        "rule {}{sure} ({}); {}{cordoned}",
        gpu.rule.rule,
        plain(&gpu.rule.why),
        plain(&gpu.state)
    )
}

fn last_lines(decision: &LastDecision, known: &Known<'_>, lines: &mut Vec<String>) {
    let when = time::utc(decision.time);
    match &decision.outcome {
        DecisionOutcome::Placed(devices) => {
            lines.push(format!("last start: {when}, got its devices"));
            // What is there was told already.
            let gone = devices
                .iter()
                .filter(|device| !known.devices.iter().any(|(_, it)| it.uuid == device.uuid));
            for device in gone {
                let (slot, asked, because) = (device.slot, plain(&device.asked), plain(&device.because));
                lines.push(format!(
                    "  slot {slot}, {asked}: {} on {}, gone since",
                    device.type_id, device.pgpu
                ));
                lines.push(format!("    chosen: {because}"));
            }
        }
        DecisionOutcome::Refused(refused) => {
            lines.push(format!("last start: {when}, refused with {}", plain(&refused.code)));
            lines.push(format!("  {}", plain(&refused.headline)));
            for reason in &refused.reasons {
                lines.push(format!("  {}: {}", reason.gpu, plain(&reason.text)));
            }
        }
        _ => lines.push(format!("last start: {when}, as a newer mdevkit tells it")),
    }
}

fn now_lines(now: &Now, lines: &mut Vec<String>) {
    match now {
        Now::Fits(placements) => {
            lines.push("now: it would fit".to_owned());
            for placement in placements {
                let (slot, because) = (placement.slot, &placement.because);
                lines.push(format!(
                    "  slot {slot}: {} on {}: {because}",
                    placement.type_id, placement.parent
                ));
            }
        }
        Now::Refused { refusal, ways } => {
            lines.push(format!("now: {}: {refusal}", refusal.code));
            for reason in &refusal.reasons {
                lines.push(format!("  {}", plain(&reason.to_string())));
            }
            lines.extend(hint::line(ways).map(|line| format!("  {line}")));
        }
    }
}
