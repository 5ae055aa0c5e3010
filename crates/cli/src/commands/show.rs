//! `mdevkit show`: what a domain file asks for, without looking at any host.

use super::cell;
use crate::cli::Context;
use crate::document::Document;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::{Alias, Ask, AtLeast, Domain, HostdevKind, Profile, Profiles, Request, Uuid, What, wants};
use serde::Serialize;

/// Show what a domain's XML asks for, and whether it is consistent
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Looks at the file only; `mdevkit plan` looks at the host as well. Exit status 1: the domain
would not start as it is written, and stderr says why.

Examples:
  mdevkit show vm.xml
  virsh dumpxml vm | mdevkit show --json -")]
pub(crate) struct Args {
    /// The domain's XML; `-` is stdin
    #[arg(value_name = "FILE", allow_hyphen_values = true)]
    file: String,
}

/// The answer of `show --json`.
#[derive(Serialize)]
struct Answer<'a> {
    /// The file, `stdin` for `-`.
    file: &'a str,
    domain_name: &'a str,
    /// Null when the file has none.
    domain_uuid: Option<Uuid>,
    /// The domain that the requests were injected for; null when that is not known.
    injected_for: Option<Uuid>,
    requests: Vec<Row<'a>>,
    /// What is odd and stops nothing.
    warnings: Vec<String>,
    /// Why the domain would not start; null when nothing in the file stops it.
    problem: Option<Problem>,
}

/// One request; what it does not say is null.
#[derive(Serialize)]
struct Row<'a> {
    slot: Option<u8>,
    /// What is asked for, in words: the type, the least that is needed, or `profile NAME`.
    ask: String,
    /// The type, where one is asked for.
    r#type: Option<&'a str>,
    /// The series, the framebuffer (MiB), the displays (count) and their size, where these are asked for.
    class: Option<String>,
    framebuffer: Option<u32>,
    heads: Option<u32>,
    resolution: Option<String>,
    /// The profile, where one is asked for.
    profile: Option<&'a str>,
    /// The device's UUID, from its hostdev, else from the request.
    uuid: Option<Uuid>,
    /// Whether its hostdev is there.
    hostdev: bool,
    /// The hostdev's model.
    model: Option<&'static str>,
    group: Option<&'a str>,
    policy: Option<&'static str>,
    parent: Option<&'a str>,
    /// `strict`, `prefer` or `ignore`.
    numa: Option<String>,
    apart: Option<bool>,
    params: Option<String>,
}

/// What stops the domain from starting.
#[derive(Serialize)]
struct Problem {
    code: &'static str,
    message: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let document = Document::read(&self.file)?;
        let domain = domain::read(&document)?;
        let set = domain.requests.as_ref();
        let rows: Vec<Row<'_>> = set
            .iter()
            .flat_map(|set| &set.requests)
            .map(|request| row(request, &domain))
            .collect();
        let wanted = wants(&domain, &any_profile(&domain));
        if context.out.json {
            context.out.json(&Answer {
                file: &document.name,
                domain_name: &domain.name,
                domain_uuid: domain.uuid,
                injected_for: set.and_then(|set| set.injected_for).flatten(),
                requests: rows,
                warnings: wanted
                    .iter()
                    .flat_map(|wanted| &wanted.warnings)
                    .map(ToString::to_string)
                    .collect(),
                problem: wanted.as_ref().err().map(|error| Problem {
                    code: error.code().as_str(),
                    message: error.to_string(),
                }),
            })?;
        } else {
            let head = ["SLOT", "WANTS", "DEVICE", "HOSTDEV", "WHERE", "PARAMS"];
            let none = format!("{}: asks for nothing", document.name);
            context.out.table(head, rows.iter().map(person).collect(), &none)?;
        }
        match wanted {
            Ok(wanted) => {
                for warning in &wanted.warnings {
                    note(format!("{}: warning: {warning}", document.name));
                }
                Ok(Exit::Done)
            }
            Err(error) => Err(Failure::from(&error).within(&document.name)),
        }
    }
}

/// What the host's profiles say makes no difference to whether the file is consistent.
fn any_profile(domain: &Domain) -> Profiles {
    let something = Profile {
        what: What::AtLeast(AtLeast::default()),
        group: None,
        policy: None,
        numa: None,
        apart: None,
        params: None,
    };
    let requests = domain.requests.iter().flat_map(|set| &set.requests);
    requests
        .filter_map(|request| match &request.ask {
            Ask::Profile(name) => Some((name.clone(), something.clone())),
            Ask::For(_) => None,
        })
        .collect()
}

fn row<'a>(request: &'a Request, domain: &Domain) -> Row<'a> {
    let alias = request.slot.map(Alias);
    let hostdev = domain.hostdevs.iter().find(|hostdev| match alias {
        Some(alias) => hostdev.ours() == Some(alias),
        None => request.uuid.is_some() && hostdev.mdev() == request.uuid,
    });
    let model = match hostdev.map(|hostdev| &hostdev.kind) {
        Some(HostdevKind::Mdev { model, .. }) => model.map(|model| model.as_str()),
        _ => None,
    };
    let (r#type, least, profile) = match &request.ask {
        Ask::For(What::Type(spec)) => (Some(spec.as_str()), AtLeast::default(), None),
        Ask::For(What::AtLeast(least)) => (None, *least, None),
        Ask::Profile(name) => (None, AtLeast::default(), Some(name.as_str())),
    };
    Row {
        slot: request.slot.map(|slot| slot.number()),
        ask: request.ask.to_string(),
        r#type,
        class: least.series.map(|series| series.to_string()),
        framebuffer: least.framebuffer_mib,
        heads: least.heads,
        resolution: least.resolution.map(|resolution| resolution.to_string()),
        profile,
        uuid: hostdev.and_then(|hostdev| hostdev.mdev()).or(request.uuid),
        hostdev: hostdev.is_some(),
        model,
        group: request.group.as_ref().map(|group| group.as_str()),
        policy: request.policy.map(|policy| policy.as_str()),
        parent: request.parent.as_ref().map(|parent| parent.as_str()),
        numa: request.numa.map(|numa| numa.to_string()),
        apart: request.apart,
        params: request.params.as_ref().map(ToString::to_string),
    }
}

fn person(row: &Row<'_>) -> [String; 6] {
    let place = [
        row.group.map(|group| format!("group {group}")),
        row.policy.map(str::to_owned),
        row.parent.map(str::to_owned),
        row.numa.as_ref().map(|numa| format!("numa {numa}")),
        row.apart
            .map(|apart| if apart { "apart" } else { "not apart" }.to_owned()),
    ];
    let place: Vec<String> = place.into_iter().flatten().collect();
    [
        cell(row.slot),
        row.ask.clone(),
        cell(row.uuid),
        if row.hostdev {
            cell(row.model)
        } else {
            "missing".to_owned()
        },
        cell((!place.is_empty()).then(|| place.join(", "))),
        cell(row.params.as_deref()),
    ]
}
