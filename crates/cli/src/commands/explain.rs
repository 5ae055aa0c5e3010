//! `mdevkit explain`: why a domain's devices are where they are, why it was refused last time, and what would free a
//! place now.

mod told;

use crate::cli::Context;
use crate::document::Document;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::{self, Way};
use crate::look;
use crate::out::plain;
use mdevkit_core::{Code, Domain, Refusal, Uuid, Want};
use mdevkit_host::{Decision, DecisionOutcome, Host, LastDecision, PgpuRow, ResidentRow, Survey};
use std::path::Path;

/// Explain where a domain's devices are and why, or why it was refused last time, and what would help now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A VM is meant by its name or UUID, a device by its UUID, a file by its path. Each start's last
decision is kept for 90 days. What would help now is said when the domain's XML can be found
(/etc/libvirt/qemu/VM.xml), or is given.

Examples:
  mdevkit explain vm
  mdevkit explain 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
  virsh dumpxml vm | mdevkit explain -
  mdevkit explain --json vm | jq .now.stops")]
pub(crate) struct Args {
    /// A domain's name or UUID, a device's UUID, or a domain's XML; `-` is stdin
    #[arg(value_name = "VM|UUID|FILE", allow_hyphen_values = true)]
    what: String,
}

/// All that is known of a domain.
struct Known<'s> {
    uuid: Option<Uuid>,
    name: String,
    /// Its devices that exist, with the GPUs that they are on.
    devices: Vec<(&'s PgpuRow, &'s ResidentRow)>,
    /// What was decided at its last start.
    last: Option<LastDecision>,
    /// What would come of a start now; none where its XML is not known, or asks for nothing more than it has.
    now: Option<Now>,
    /// Why nothing is said of a start now, where its XML was found and is wrong.
    problem: Option<Failure>,
}

/// What would come of a start now.
enum Now {
    /// Where each device would go, by slot.
    Fits(Vec<mdevkit_core::Placement>),
    /// Why not, and what would free a place.
    Refused { refusal: Box<Refusal>, ways: Vec<Way> },
}

/// What a person means.
struct Meant {
    uuid: Option<Uuid>,
    /// A device that is no domain's.
    device: Option<Uuid>,
    name: Option<String>,
    /// Its XML, where that is given or found.
    xml: Option<Result<Domain, Failure>>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let survey = look::survey(context)?;
        let meant = self.meant(&host, &survey)?;
        let known = known(meant, &host, &survey)?;
        if known.is_nothing() {
            let message = format!(
                "nothing is known of {}: no domain's file, no device of that domain, and no start of it",
                plain(&self.what)
            );
            let mut failure = Failure::new(Code::Host, message);
            failure.exit = Exit::Refused;
            return Err(failure);
        }
        if context.out.json {
            context.out.json(&told::json(&known))?;
        } else {
            told::people(&known, context)?;
        }
        Ok(Exit::Done)
    }

    fn meant(&self, host: &Host, survey: &Survey) -> Result<Meant, Failure> {
        if self.what == "-" || Path::new(&self.what).is_file() {
            let document = Document::read(&self.what)?;
            let domain = domain::read(&document)?;
            return Ok(Meant {
                uuid: domain.uuid,
                device: None,
                name: (!domain.name.is_empty()).then(|| domain.name.clone()),
                xml: Some(Ok(domain)),
            });
        }
        let owners = || survey.gpus.iter().flat_map(|gpu| &gpu.residents);
        let mut meant = match self.what.parse::<Uuid>() {
            Ok(uuid) => {
                let device = owners().find(|device| device.uuid == uuid);
                let owner = device.and_then(|device| look::domain(device.owner.as_ref()));
                Meant {
                    uuid: match (owner, device) {
                        (Some((domain, _)), _) => Some(domain),
                        (None, Some(_)) => None,
                        (None, None) => Some(uuid),
                    },
                    device: device.filter(|_| owner.is_none()).map(|device| device.uuid),
                    name: None,
                    xml: None,
                }
            }
            Err(_) => {
                let running = owners()
                    .find_map(|device| look::domain(device.owner.as_ref()).filter(|(_, name)| *name == self.what));
                Meant {
                    uuid: running.map(|(uuid, _)| uuid),
                    device: None,
                    name: Some(self.what.clone()),
                    xml: None,
                }
            }
        };
        if meant.device.is_none() && (meant.uuid.is_none() || meant.name.is_none()) {
            let decided = host.decisions()?.into_iter().find(|decision| {
                Some(decision.domain) == meant.uuid
                    || (meant.uuid.is_none() && Some(&decision.name) == meant.name.as_ref())
            });
            let running = owners()
                .find_map(|device| look::domain(device.owner.as_ref()).filter(|(uuid, _)| Some(*uuid) == meant.uuid));
            meant.uuid = meant.uuid.or(decided.as_ref().map(|decision| decision.domain));
            meant.name = meant
                .name
                .or(running.map(|(_, name)| name.to_owned()))
                .or(decided.map(|decision| decision.name));
        }
        meant.xml = meant.name.as_deref().and_then(|name| defined(host, name));
        if let (None, Some(Ok(domain))) = (meant.uuid, &meant.xml) {
            meant.uuid = domain.uuid;
        }
        Ok(meant)
    }
}

/// The domain as libvirt keeps it, where we may read that.
fn defined(host: &Host, name: &str) -> Option<Result<Domain, Failure>> {
    let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    let path = host.root().path("etc/libvirt/qemu").join(format!("{name}.xml"));
    if !plain || !path.is_file() {
        return None;
    }
    let document = Document::read(path.to_str()?);
    Some(document.and_then(|document| domain::read(&document)))
}

fn known<'s>(meant: Meant, host: &Host, survey: &'s Survey) -> Result<Known<'s>, Failure> {
    let residents = survey
        .gpus
        .iter()
        .flat_map(|gpu| gpu.residents.iter().map(move |device| (gpu, device)));
    let mine: Vec<Uuid> = match &meant.xml {
        Some(Ok(domain)) => domain.hostdevs.iter().filter_map(|hostdev| hostdev.mdev()).collect(),
        _ => Vec::new(),
    };
    let devices: Vec<(&PgpuRow, &ResidentRow)> = residents
        .filter(|(_, device)| {
            let owner = look::domain(device.owner.as_ref()).map(|(uuid, _)| uuid);
            // One made beforehand is the domain's, too, whoever made it.
            (owner.is_some() && owner == meant.uuid) || mine.contains(&device.uuid) || Some(device.uuid) == meant.device
        })
        .collect();
    let last = match meant.uuid {
        Some(uuid) => host.decision(uuid)?,
        None => None,
    };
    let mut known = Known {
        uuid: meant.uuid,
        name: meant.name.unwrap_or_default(),
        devices,
        last,
        now: None,
        problem: None,
    };
    match meant.xml {
        Some(Ok(domain)) => match now(&domain, &known, host, survey) {
            Ok(now) => known.now = now,
            Err(failure) => known.problem = Some(failure),
        },
        Some(Err(failure)) => known.problem = Some(failure),
        None => {}
    }
    Ok(known)
}

/// What would come of the domain's devices that do not exist.
fn now(domain: &Domain, known: &Known<'_>, host: &Host, survey: &Survey) -> Result<Option<Now>, Failure> {
    let wanted = host.wants(domain, &host.config()?)?;
    let there = |want: &Want| known.devices.iter().any(|(_, device)| device.uuid == want.uuid);
    let wants: Vec<Want> = wanted.wants.into_iter().filter(|want| !there(want)).collect();
    if wants.is_empty() {
        return Ok(None);
    }
    Ok(Some(match host.plan(&wants)? {
        Decision::Plan(plan) => Now::Fits(plan.placements),
        Decision::Refusal(refusal) => {
            let want = wants.iter().find(|want| want.slot == refusal.slot);
            let ways = want.map(|want| hint::ways(want, survey)).unwrap_or_default();
            Now::Refused { refusal, ways }
        }
    }))
}

impl Known<'_> {
    fn is_nothing(&self) -> bool {
        self.devices.is_empty() && self.last.is_none() && self.now.is_none() && self.problem.is_none()
    }

    /// Why a device is where it is, as its start said.
    fn because(&self, device: Uuid) -> Option<&str> {
        match &self.last.as_ref()?.outcome {
            DecisionOutcome::Placed(devices) => {
                let placed = devices.iter().find(|placed| placed.uuid == device)?;
                Some(&placed.because)
            }
            _ => None,
        }
    }
}
