//! The tables `[limits]` and `[log]`: how long things may take, and where the hook writes what happened.

use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// The `[log]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace` or `off`.
    #[serde(deserialize_with = "level")]
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

fn level<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let level = String::deserialize(deserializer)?;
    match level.parse::<log::LevelFilter>() {
        Ok(_) => Ok(level),
        Err(_) => Err(serde::de::Error::custom(format!(
            "log level \"{}\" is not error, warn, info, debug, trace or off",
            level.escape_debug()
        ))),
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
