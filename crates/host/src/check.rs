//! What is wrong with the configuration on this host: what no look at the file alone can tell.
//!
//! Invariant: a finding never refuses a start. A GPU may be out for repair, or its virtual functions off, and the file
//! be right.

use crate::config::show;
use crate::survey::{PgpuRow, Survey};
use crate::{Config, Host, HostError};
use mdevkit_core::{Group, Member, PgpuName, TypeSpec};
use std::fmt;

/// Something in the configuration that does not fit this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The line of the file, from 1.
    pub line: usize,
    /// What stands there.
    pub value: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.value, self.message)
    }
}

impl Host {
    /// Compares a configuration with the host: groups that match nothing or the same GPU, types that nobody supports,
    /// rules that the host's numbers contradict (the kernel is believed then). Sorted by line.
    ///
    /// ```
    /// use mdevkit_host::{Config, Host, Root};
    /// let nowhere = tempfile::tempdir()?;
    /// let config = Config::parse("[group.cad]\ngpus = ['10de:1db5']\n")?;
    /// let findings = Host::new(Root::at(nowhere.path())).check(&config)?;
    /// assert_eq!(findings[0].to_string(), "line 1: cad: the group matches no GPU of this host");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Host::survey`].
    pub fn check(&self, config: &Config) -> Result<Vec<Finding>, HostError> {
        let survey = self.survey_with(config)?;
        let mut findings = Vec::new();
        for group in &config.groups {
            check_group(group, config, &survey, &mut findings);
        }
        for gpu in &survey.gpus {
            check_claims(gpu, config, &mut findings);
        }
        for (name, settings) in &config.gpus {
            check_gpu(
                name,
                settings.types.as_deref().unwrap_or_default(),
                config,
                &survey,
                &mut findings,
            );
        }
        findings.sort_by_key(|finding| finding.line);
        Ok(findings)
    }
}

fn check_group(group: &Group, config: &Config, survey: &Survey, findings: &mut Vec<Finding>) {
    let lines = &config.lines;
    let line = lines.groups.get(&group.name).copied().unwrap_or(0);
    let is = |gpu: &PgpuRow, member: &Member| match member {
        Member::Gpu(name) => gpu.name == *name,
        Member::Model(model) => gpu.ids == Some(*model),
    };
    let matched: Vec<&PgpuRow> = survey
        .gpus
        .iter()
        .filter(|gpu| group.members.iter().any(|member| is(gpu, member)))
        .collect();
    if matched.is_empty() {
        findings.push(Finding {
            line,
            value: group.name.to_string(),
            message: "the group matches no GPU of this host".to_owned(),
        });
        return;
    }
    for member in &group.members {
        if !survey.gpus.iter().any(|gpu| is(gpu, member)) {
            let key = (group.name.clone(), member.clone());
            findings.push(Finding {
                line: lines.members.get(&key).copied().unwrap_or(line),
                value: show(member),
                message: "no GPU of this host is that".to_owned(),
            });
        }
    }
    for spec in group.types.iter().flatten() {
        if !matched.iter().any(|gpu| supports(gpu, spec)) {
            findings.push(Finding {
                line: lines.of_type(&group.name, spec),
                value: spec.to_string(),
                message: format!("no GPU of group {} supports this type", group.name),
            });
        }
    }
    let contradicted = matched
        .iter()
        .find_map(|gpu| Some((gpu, gpu.rule.contradiction.as_ref()?)));
    if let (Some(rule), Some((gpu, why))) = (group.rule, contradicted) {
        findings.push(Finding {
            line: lines.rules.get(&group.name).copied().unwrap_or(line),
            value: rule.to_string(),
            message: format!("{} says otherwise: {why}; the kernel is believed", gpu.name),
        });
    }
}

/// A GPU that one group claims by its address, and another one by its model.
fn check_claims(gpu: &PgpuRow, config: &Config, findings: &mut Vec<Finding>) {
    let claims: Vec<&Group> = config
        .groups
        .iter()
        .filter(|group| {
            group.members.iter().any(|member| match member {
                Member::Gpu(name) => gpu.name == *name,
                Member::Model(model) => gpu.ids == Some(*model),
            })
        })
        .collect();
    if let [first, others @ ..] = claims.as_slice() {
        for other in others {
            findings.push(Finding {
                line: config.lines.groups.get(&other.name).copied().unwrap_or(0),
                value: other.name.to_string(),
                message: format!(
                    "{} is in group {} too, so nothing is created on it: a GPU is in one group",
                    gpu.name, first.name
                ),
            });
        }
    }
}

fn check_gpu(name: &PgpuName, types: &[TypeSpec], config: &Config, survey: &Survey, findings: &mut Vec<Finding>) {
    let line = config.lines.gpus.get(name).copied().unwrap_or(0);
    let Some(gpu) = survey.gpus.iter().find(|gpu| gpu.name == *name) else {
        findings.push(Finding {
            line,
            value: name.to_string(),
            message: "no GPU of this host is that".to_owned(),
        });
        return;
    };
    for spec in types.iter().filter(|spec| !supports(gpu, spec)) {
        let key = (name.clone(), spec.as_str().to_owned());
        findings.push(Finding {
            line: config.lines.gpu_types.get(&key).copied().unwrap_or(line),
            value: spec.to_string(),
            message: format!("{name} does not support this type"),
        });
    }
}

/// Whether a GPU supports a type. One whose parents are not there (virtual functions off) might.
fn supports(gpu: &PgpuRow, spec: &TypeSpec) -> bool {
    gpu.parents.is_empty()
        || gpu
            .types
            .iter()
            .any(|ty| spec.as_str() == ty.id.as_str() || ty.name.as_ref().is_some_and(|name| spec.names(name)))
}
