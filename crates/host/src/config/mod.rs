//! The configuration: `/etc/mdevkit/config.toml`.
//!
//! Invariant: every key has a default, no key is ignored, and a wrong one is refused with its line. What is wrong in
//! itself is found here; what is wrong for this host only is found by [`Host::check`](crate::Host::check). A domain
//! without a request never gets here.

mod file;
mod limits;

pub(crate) use file::show;
pub use limits::{Limits, LogConfig};

use crate::{HostError, Root};
use mdevkit_core::{GpuSettings, Group, GroupName, Member, PgpuName, Policy, Profiles, Rulebook, TypeSpec};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Where the configuration is, below the root.
pub const CONFIG: &str = "etc/mdevkit/config.toml";

/// The most that is read of it, in bytes.
const LONGEST: u64 = 256 * 1024;

/// What an operator may set.
///
/// ```
/// use mdevkit_core::Policy;
/// use mdevkit_host::Config;
/// let config = Config::parse(r#"
/// policy = 'breadth-first'
/// [group.cad]
/// gpus = ['0000:06:00.0', '10de:1db5']
/// types = ['V100DX-4Q']
/// [limits]
/// lock_ms = 2000
/// "#).unwrap();
/// assert_eq!(config.policy, Policy::BreadthFirst);
/// assert_eq!(config.groups[0].name.as_str(), "cad");
/// assert_eq!(config.limits.lock.as_millis(), 2000);
/// let wrong = Config::parse("policy = 'depth-first'\npolcy = 'x'\n").unwrap_err();
/// assert!(wrong.contains("line 2"), "{wrong}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The policy of requests that name none, on GPUs whose group has none.
    pub policy: Policy,
    /// Where the hook writes what happened.
    pub log: LogConfig,
    /// How long things may take.
    pub limits: Limits,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// What is set for single GPUs.
    pub gpus: BTreeMap<PgpuName, GpuSettings>,
    /// The profiles that requests may name.
    pub profiles: Profiles,
    /// Where in the file what stands.
    pub(crate) lines: Lines,
}

/// The lines (from 1) of what only a host can judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) groups: BTreeMap<GroupName, usize>,
    pub(crate) members: BTreeMap<(GroupName, Member), usize>,
    pub(crate) rules: BTreeMap<GroupName, usize>,
    pub(crate) types: BTreeMap<(GroupName, String), usize>,
    pub(crate) gpus: BTreeMap<PgpuName, usize>,
    pub(crate) gpu_types: BTreeMap<(PgpuName, String), usize>,
}

impl Lines {
    pub(crate) fn of_type(&self, group: &GroupName, spec: &TypeSpec) -> usize {
        let key = (group.clone(), spec.as_str().to_owned());
        self.types.get(&key).copied().unwrap_or(0)
    }
}

impl Config {
    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// What is wrong, in one line that names the line of the text and the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        file::parse(text)
    }

    /// What the configuration says of the host's GPUs. What was switched at run time is not in it: see
    /// [`Host::rulebook`](crate::Host::rulebook).
    pub fn rulebook(&self) -> Rulebook {
        Rulebook {
            policy: self.policy,
            groups: self.groups.clone(),
            gpus: self.gpus.clone(),
        }
    }

    pub(crate) fn read(root: &Root) -> Result<Self, HostError> {
        let path = root.path(CONFIG);
        let wrong = |why: String| HostError::Config {
            path: path.clone(),
            why,
        };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let mut text = String::new();
        file.take(LONGEST + 1)
            .read_to_string(&mut text)
            .map_err(|error| wrong(error.to_string()))?;
        if text.len() as u64 > LONGEST {
            return Err(wrong(format!("it is longer than {LONGEST} bytes")));
        }
        Self::parse(&text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests;
