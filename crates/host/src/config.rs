//! The configuration: `/etc/mdevkit/config.toml`.
//!
//! Invariant: every key has a default, no key is ignored, and a wrong one is refused with its line. A domain without a
//! request never gets here.

use crate::{HostError, Root};
use mdevkit_core::Policy;
use serde::Deserialize;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::time::Duration;

/// Where the configuration is, below the root.
pub const CONFIG: &str = "etc/mdevkit/config.toml";

/// The most that is read of it, in bytes.
const LONGEST: u64 = 64 * 1024;

/// What an operator may set.
///
/// ```
/// use mdevkit_core::Policy;
/// use mdevkit_host::Config;
/// let config = Config::parse("policy = 'breadth-first'\n[limits]\nlock_ms = 2000\n").unwrap();
/// assert_eq!(config.policy, Policy::BreadthFirst);
/// assert_eq!(config.limits.lock.as_millis(), 2000);
/// let wrong = Config::parse("policy = 'depth-first'\npolcy = 'x'\n").unwrap_err();
/// assert!(wrong.contains("line 2"), "{wrong}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The policy of requests that name none.
    pub policy: Policy,
    /// Where the hook writes what happened.
    pub log: LogConfig,
    /// How long things may take.
    pub limits: Limits,
}

/// The `[log]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub level: String,
    /// The file where there is no journal, below the root.
    pub file: PathBuf,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            file: PathBuf::from("/var/log/mdevkit/hook.log"),
        }
    }
}

/// The `[limits]` table: each in milliseconds, but for `grace_s` (seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, try_from = "LimitsInFile")]
#[non_exhaustive]
pub struct Limits {
    /// One run of the hook in all (`run_ms`, 10 s).
    pub run: Duration,
    /// Waiting for one lock (`lock_ms`, 5 s).
    pub lock: Duration,
    /// Waiting for a created device to be ready (`ready_ms`, 3 s).
    pub ready: Duration,
    /// Waiting for a removal within the hook (`removal_ms`, 1 s).
    pub removal: Duration,
    /// How long reconcile leaves a record without proof alone (`grace_s`, 600 s).
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            run: Duration::from_secs(10),
            lock: Duration::from_secs(5),
            ready: Duration::from_secs(3),
            removal: Duration::from_secs(1),
            grace: Duration::from_secs(600),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsInFile {
    run_ms: Option<u64>,
    lock_ms: Option<u64>,
    ready_ms: Option<u64>,
    removal_ms: Option<u64>,
    grace_s: Option<u64>,
}

impl TryFrom<LimitsInFile> for Limits {
    type Error = String;

    fn try_from(file: LimitsInFile) -> Result<Self, String> {
        const MINUTE: u64 = 60_000;
        let milliseconds = |key: &str, value: Option<u64>, default: Duration| match value {
            None => Ok(default),
            Some(ms) if (10..=MINUTE).contains(&ms) => Ok(Duration::from_millis(ms)),
            Some(ms) => Err(format!("{key} = {ms} is out of range: it is 10 to {MINUTE} (ms)")),
        };
        let default = Self::default();
        Ok(Self {
            run: milliseconds("run_ms", file.run_ms, default.run)?,
            lock: milliseconds("lock_ms", file.lock_ms, default.lock)?,
            ready: milliseconds("ready_ms", file.ready_ms, default.ready)?,
            removal: milliseconds("removal_ms", file.removal_ms, default.removal)?,
            grace: file.grace_s.map_or(default.grace, Duration::from_secs),
        })
    }
}

impl Config {
    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// What is wrong, in one line that names the line of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map(|span| 1 + text.get(..span.start).unwrap_or(text).matches('\n').count());
            match line {
                Some(line) => format!("line {line}: {}", error.message()),
                None => error.message().to_owned(),
            }
        })?;
        config.log.level.parse::<log::LevelFilter>().map_err(|_| {
            let line = 1 + text
                .lines()
                .take_while(|line| !line.trim_start().starts_with("level"))
                .count();
            format!(
                "line {line}: log level \"{}\" is not error, warn, info, debug, trace or off",
                config.log.level
            )
        })?;
        Ok(config)
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
