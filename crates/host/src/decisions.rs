//! The last decision about each domain: where its devices went, or why they did not. For `mdevkit explain`.
//!
//! `/var/lib/mdevkit/decisions/UUID.json`, one small file a domain.
//!
//! Invariants: keeping one never stops a start; nothing here decides anything. At most [`MOST`] files, none older than
//! [`DAYS`] days: reconcile sees to it.

use crate::durable::{self, Sync};
use crate::{Acquired, Host, HostError, clock};
use mdevkit_core::{Code, ParentName, PgpuName, Refusal, Slot, TypeId, Uuid, Want};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The directory's name in [`crate::DURABLE_DIR`].
const DIR: &str = "decisions";

/// The most files that are kept (count).
const MOST: usize = 4096;

/// How long one is kept (days).
const DAYS: u64 = 90;

/// The form of the file.
const VERSION: u32 = 1;

/// The most that is read of one file, in bytes.
const LONGEST: u64 = 256 * 1024;

/// The most that is kept of a text, in characters, and of the reasons (count).
const TEXT: usize = 500;
const REASONS: usize = 256;

/// What was decided at the last `prepare` of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastDecision {
    version: u32,
    /// The domain.
    pub domain: Uuid,
    /// Its name then.
    pub name: String,
    /// When (seconds since 1970).
    pub time: u64,
    /// What.
    #[serde(flatten)]
    pub outcome: DecisionOutcome,
}

/// Where the devices went, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DecisionOutcome {
    /// Every device was ready.
    Placed(Vec<PlacedDevice>),
    /// The domain was not started.
    Refused(RefusedStart),
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlacedDevice {
    /// Its slot in the domain.
    pub slot: Slot,
    /// The device.
    pub uuid: Uuid,
    /// What was asked for.
    pub asked: String,
    /// The physical GPU.
    pub pgpu: PgpuName,
    /// The parent.
    pub parent: ParentName,
    /// What it is.
    #[serde(rename = "type")]
    pub type_id: TypeId,
    /// Why it is there, as a sentence.
    pub because: String,
}

/// Why a start was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusedStart {
    /// The stable code: `E-FULL`.
    pub code: String,
    /// The line that libvirt was told.
    pub headline: String,
    /// What was asked for, where one device was the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// A reason for each physical GPU, by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<GpuReason>,
}

/// Why one physical GPU was not the place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GpuReason {
    /// The GPU.
    pub gpu: PgpuName,
    /// The reason as a word for programs: `full`, `other-size`...
    pub kind: String,
    /// The same for a person.
    pub text: String,
}

impl LastDecision {
    /// A start that got its devices.
    pub fn placed(domain: Uuid, name: &str, wants: &[Want], acquired: &[Acquired]) -> Self {
        let devices = wants.iter().filter_map(|want| {
            let device = acquired.iter().find(|device| device.uuid == want.uuid)?;
            let because = match (&device.because, device.how) {
                (Some(because), _) => because.to_string(),
                (None, crate::How::Foreign) => "it was there already, made by somebody else".to_owned(),
                (None, _) => "it was there already, from an earlier start of this domain".to_owned(),
            };
            Some(PlacedDevice {
                slot: want.slot,
                uuid: want.uuid,
                asked: want.what.to_string(),
                pgpu: device.pgpu.clone(),
                parent: device.parent.clone(),
                type_id: device.type_id.clone(),
                because,
            })
        });
        Self::new(domain, name, DecisionOutcome::Placed(devices.collect()))
    }

    /// A start that was refused, with the refusal where there was one.
    pub fn refused(domain: Uuid, name: &str, code: Code, headline: &str, refusal: Option<&Refusal>) -> Self {
        let reasons = refusal.into_iter().flat_map(|refusal| &refusal.reasons);
        let refused = RefusedStart {
            code: code.to_string(),
            headline: short(headline),
            asked: refusal.map(|refusal| short(&refusal.what.to_string())),
            reasons: reasons
                .take(REASONS)
                .map(|reason| GpuReason {
                    gpu: reason.pgpu.clone(),
                    kind: reason.why.kind().to_owned(),
                    text: short(&reason.why.to_string()),
                })
                .collect(),
        };
        Self::new(domain, name, DecisionOutcome::Refused(refused))
    }

    fn new(domain: Uuid, name: &str, outcome: DecisionOutcome) -> Self {
        Self {
            version: VERSION,
            domain,
            name: short(name),
            time: clock::now(),
            outcome,
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(TEXT).collect()
}

impl Host {
    /// Keeps a decision in place of the domain's last one. What goes wrong is logged: it is no reason to stop a start.
    pub fn keep(&self, decision: &LastDecision) {
        if let Err(error) = self.try_to_keep(decision) {
            log::warn!("the decision about domain {} is not kept: {error}", decision.domain);
        }
    }

    /// The last decision about a domain; `None` when there was none, or it was forgotten.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn decision(&self, domain: Uuid) -> Result<Option<LastDecision>, HostError> {
        read(&self.decisions_dir().join(format!("{domain}.json")))
    }

    /// The last decision about every domain, the latest first; what cannot be read is passed over.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn decisions(&self) -> Result<Vec<LastDecision>, HostError> {
        let mut found: Vec<LastDecision> = files(&self.decisions_dir())?
            .into_iter()
            .filter(|file| file.domain.is_some())
            .take(MOST)
            .filter_map(|file| {
                read(&file.path).unwrap_or_else(|error| {
                    log::warn!("{error}");
                    None
                })
            })
            .collect();
        found.sort_by(|a, b| (b.time, &a.name).cmp(&(a.time, &b.name)));
        Ok(found)
    }

    /// Removes the files of decisions that are too old or too many, and what an interrupted write left; says how many.
    pub(crate) fn forget_decisions(&self, now: SystemTime) -> Result<usize, HostError> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let mut files = files(&self.decisions_dir())?;
        files.sort_by_key(|file| std::cmp::Reverse(file.written));
        let mut kept = 0;
        let mut forgotten = 0;
        for file in files {
            let age = now.duration_since(file.written).unwrap_or_default();
            let stays = match file.domain {
                Some(_) => kept < MOST && age <= DAY * u32::try_from(DAYS).unwrap_or(u32::MAX),
                None => age <= DAY,
            };
            if stays {
                kept += usize::from(file.domain.is_some());
            } else if std::fs::remove_file(&file.path).is_ok() {
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    fn try_to_keep(&self, decision: &LastDecision) -> Result<(), HostError> {
        let dir = durable::make_below(&self.root, DIR)?;
        let path = dir.join(format!("{}.json", decision.domain));
        let mut text = serde_json::to_string(decision).map_err(|error| HostError::Damaged {
            path: path.clone(),
            why: error.to_string(),
        })?;
        text.push('\n');
        // Two hooks of one domain do not share a file that is being written.
        let new = dir.join(format!(".{}.{}", decision.domain, std::process::id()));
        durable::replace(&path, &new, text.as_bytes(), Sync::No)
    }

    fn decisions_dir(&self) -> PathBuf {
        durable::dir(&self.root).join(DIR)
    }
}

fn read(path: &Path) -> Result<Option<LastDecision>, HostError> {
    let damaged = |why: String| HostError::Damaged {
        path: path.to_owned(),
        why,
    };
    let Some(bytes) = durable::read(path, LONGEST).map_err(damaged)? else {
        return Ok(None);
    };
    let decision: LastDecision = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    match decision.version {
        VERSION => Ok(Some(decision)),
        other => Err(damaged(format!(
            "it is of version {other}, and this program knows version {VERSION}"
        ))),
    }
}

/// One file of the directory.
struct Kept {
    path: PathBuf,
    /// Whose it is; none for what an interrupted write left.
    domain: Option<Uuid>,
    written: SystemTime,
}

fn files(dir: &Path) -> Result<Vec<Kept>, HostError> {
    let failed = |source| HostError::State {
        doing: "list",
        path: dir.to_owned(),
        source,
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let domain: Option<Uuid> = name.strip_suffix(".json").and_then(|uuid| uuid.parse().ok());
        if domain.is_none() && !name.starts_with('.') {
            continue;
        }
        // One that went away meanwhile, or that is no plain file, is none of ours.
        let Ok(metadata) = entry.metadata() else { continue };
        if let (true, Ok(written)) = (metadata.is_file(), metadata.modified()) {
            let path = entry.path();
            found.push(Kept { path, domain, written });
        }
    }
    Ok(found)
}
