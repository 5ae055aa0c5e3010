//! `mdevkit config`: is the configuration right, and does it fit this host?

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use crate::out::{count, note, plain};
use mdevkit_core::{Group, Member, ProfileName};
use mdevkit_host::{Config, Finding};
use serde::Serialize;

/// Check /etc/mdevkit/config.toml, in itself and against this host; exit status 3 when something is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A mistake in the file itself stops every start that asks for a device, so that no wish of the
operator is lost. What only does not fit this host (a group that matches nothing, a type that
nobody offers) stops nothing, and is said by `gpus`, `groups`, `capacity` and `plan`, too.

Examples:
  mdevkit config
  mdevkit config --json | jq '.findings'")]
pub(crate) struct Args {}

/// The answer of `config --json`.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a str,
    /// Whether there is one; the defaults hold where there is none.
    present: bool,
    /// Why it cannot be used at all, with the line; null when it can.
    error: Option<&'a str>,
    policy: Option<&'static str>,
    groups: Vec<Row<'a>>,
    profiles: Vec<&'a str>,
    findings: Vec<Odd<'a>>,
}

/// A configured group.
#[derive(Serialize)]
struct Row<'a> {
    group: &'a str,
    /// Addresses, and vendor and device.
    gpus: Vec<String>,
    policy: Option<&'static str>,
    rule: Option<&'static str>,
    types: Option<Vec<&'a str>>,
}

/// What does not fit this host.
#[derive(Serialize)]
struct Odd<'a> {
    /// From 1.
    line: usize,
    value: &'a str,
    message: &'a str,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let file = look::path(&host);
        let present = host.root().path(mdevkit_host::CONFIG).exists();
        let config = match host.config() {
            Ok(config) => config,
            Err(error) => {
                if context.out.json {
                    let message = error.to_string();
                    context
                        .out
                        .json(&answer(&file, present, &Config::default(), &[], Some(&message)))?;
                }
                let mut failure = Failure::from(error);
                failure.exit = Exit::BadInput;
                return Err(failure);
            }
        };
        let findings = look::findings(&host, &config)?;
        if context.out.json {
            context.out.json(&answer(&file, present, &config, &findings, None))?;
        } else {
            for finding in &findings {
                note(format!("{file}: {}", plain(&finding.to_string())));
            }
            context.out.line(summary(&file, present, &config, findings.len()))?;
        }
        Ok(if findings.is_empty() {
            Exit::Done
        } else {
            Exit::BadInput
        })
    }
}

fn answer<'a>(
    file: &'a str,
    present: bool,
    config: &'a Config,
    findings: &'a [Finding],
    error: Option<&'a str>,
) -> Answer<'a> {
    let row = |group: &'a Group| Row {
        group: group.name.as_str(),
        gpus: group
            .members
            .iter()
            .map(|member| match member {
                Member::Gpu(name) => name.to_string(),
                Member::Model(ids) => ids.to_string(),
            })
            .collect(),
        policy: group.policy.map(|policy| policy.as_str()),
        rule: group.rule.map(|rule| rule.as_str()),
        types: group
            .types
            .as_ref()
            .map(|types| types.iter().map(|spec| spec.as_str()).collect()),
    };
    Answer {
        file,
        present,
        error,
        policy: error.is_none().then(|| config.policy.as_str()),
        groups: config.groups.iter().map(row).collect(),
        profiles: config.profiles.keys().map(ProfileName::as_str).collect(),
        findings: findings
            .iter()
            .map(|finding| Odd {
                line: finding.line,
                value: &finding.value,
                message: &finding.message,
            })
            .collect(),
    }
}

fn summary(file: &str, present: bool, config: &Config, odd: usize) -> String {
    if !present {
        return format!("{file}: there is none, the defaults hold (policy {})", config.policy);
    }
    let has = [
        format!("policy {}", config.policy),
        count(config.groups.len(), "group"),
        count(config.gpus.len(), "GPU"),
        count(config.profiles.len(), "profile"),
    ];
    let verdict = match odd {
        0 => "fits this host".to_owned(),
        1 => "can be used, but 1 line does not fit this host".to_owned(),
        odd => format!("can be used, but {odd} lines do not fit this host"),
    };
    format!("{file}: {verdict} ({})", has.join(", "))
}
