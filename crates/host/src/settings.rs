//! What an operator switches while the host runs: types on or off, and cordons. It outlives a reboot, and wins over the
//! configuration.
//!
//! `/var/lib/mdevkit/gpus.json`:
//! ```text
//! {"version":1,"gpus":{"0000:06:00.0":{"cordoned":true,"types":{"nvidia-197":false}}}}
//! ```
//!
//! Invariants: a file that is there and cannot be believed stops every start, because the cordon that it may hold would
//! be lost otherwise; unknown keys are kept; a change is on the disk when it is said to be made.

use crate::durable::{self, Sync};
use crate::lock::Lock;
use crate::{Config, Deadline, Host, HostError};
use mdevkit_core::{Inventory, Need, PASSTHROUGH, PgpuName, Rulebook, TypeId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file's name in [`crate::DURABLE_DIR`].
const FILE: &str = "gpus.json";

/// The form of the file that this version writes.
const VERSION: u32 = 1;

/// The most that is read and written of it, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// What was switched on each GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// By GPU.
    pub gpus: BTreeMap<PgpuName, Switches>,
    /// What this version does not know.
    extra: Map<String, Value>,
}

/// What was switched on one GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Switches {
    /// Whether nothing new is made on it; the configuration's word when none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
    /// Types that were enabled (true) or disabled.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<TypeId, bool>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct InFile {
    version: u32,
    #[serde(default)]
    gpus: BTreeMap<PgpuName, Switches>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Host {
    /// What was switched at run time; nothing, when nobody ever did.
    ///
    /// # Errors
    /// The file is there and cannot be believed: [`HostError::Settings`].
    pub fn settings(&self) -> Result<Settings, HostError> {
        let (dir, path) = self.settings_file();
        let wrong = |why: String| HostError::Settings {
            path: path.clone(),
            why,
        };
        durable::check_dir(&dir).map_err(|error| wrong(error.to_string()))?;
        let Some(bytes) = durable::read(&path, LONGEST).map_err(wrong)? else {
            return Ok(Settings::default());
        };
        // The version first: what follows may be of any shape.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let damaged = |error: serde_json::Error| wrong(format!("it is damaged: {error}"));
        let Version { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if version != VERSION {
            return Err(wrong(format!(
                "it is of version {version}, and this program knows version {VERSION}"
            )));
        }
        let file: InFile = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok(Settings {
            gpus: file.gpus,
            extra: file.extra,
        })
    }

    /// What the operator says about the host's GPUs: the configuration, and over it what was switched at run time.
    ///
    /// # Errors
    /// As [`Host::settings`].
    pub fn rulebook(&self, config: &Config) -> Result<Rulebook, HostError> {
        let mut rulebook = config.rulebook();
        for (name, switches) in self.settings()?.gpus {
            let gpu = rulebook.gpus.entry(name).or_default();
            gpu.cordoned = switches.cordoned.unwrap_or(gpu.cordoned);
            gpu.switched = switches.types;
        }
        Ok(rulebook)
    }

    /// Enables (`true`) or disables a type on a GPU, whatever the configuration says. Devices that exist stay.
    ///
    /// # Errors
    /// There is no such GPU, it does not offer the type, or the file cannot be read or written.
    pub fn switch(&self, gpu: &PgpuName, type_id: &TypeId, enabled: bool) -> Result<(), HostError> {
        self.change_settings(|settings| {
            let known = settings
                .gpus
                .get(gpu)
                .is_some_and(|known| known.types.contains_key(type_id));
            if !known {
                self.offers(gpu, type_id)?;
            }
            let switches = settings.gpus.entry(gpu.clone()).or_default();
            switches.types.insert(type_id.clone(), enabled);
            Ok(())
        })
    }

    /// Makes nothing new on a GPU any more (`true`), or again. Devices that exist stay.
    ///
    /// # Errors
    /// There is no such GPU, or the file cannot be read or written.
    pub fn cordon(&self, gpu: &PgpuName, cordoned: bool) -> Result<(), HostError> {
        self.change_settings(|settings| {
            if !settings.gpus.contains_key(gpu) {
                self.present(gpu)?;
            }
            settings.gpus.entry(gpu.clone()).or_default().cordoned = Some(cordoned);
            Ok(())
        })
    }

    fn settings_file(&self) -> (PathBuf, PathBuf) {
        let dir = durable::dir(&self.root);
        let path = dir.join(FILE);
        (dir, path)
    }

    fn change_settings(&self, change: impl FnOnce(&mut Settings) -> Result<(), HostError>) -> Result<(), HostError> {
        let (_, path) = self.settings_file();
        let dir = durable::make(&self.root)?;
        let limit = self.config().unwrap_or_default().limits.lock;
        let _lock = Lock::take(dir.join("gpus.lock"), Deadline::after(limit))?;
        let before = self.settings()?;
        let mut after = before.clone();
        change(&mut after)?;
        if before == after && path.exists() {
            return Ok(());
        }
        let file = InFile {
            version: VERSION,
            gpus: after.gpus,
            extra: after.extra,
        };
        let wrong = |why: String| HostError::Settings {
            path: path.clone(),
            why,
        };
        let mut text = serde_json::to_string(&file).map_err(|error| wrong(error.to_string()))?;
        text.push('\n');
        if text.len() as u64 > LONGEST {
            return Err(wrong(format!("it would have more than {LONGEST} bytes")));
        }
        durable::replace(&path, &dir.join("gpus.json.new"), text.as_bytes(), Sync::Yes)
    }

    /// The host's GPUs by name, with their types; only what that takes is read.
    fn glance(&self) -> Result<Inventory, HostError> {
        let (eyes, mut inventory) = (self.eyes(), Inventory::default());
        eyes.read(&Need::Parents, &mut inventory)?;
        let parents: Vec<_> = inventory.parents().map(|parent| parent.name.clone()).collect();
        for parent in parents {
            eyes.read(&Need::Pgpu(parent.clone()), &mut inventory)?;
            eyes.read(&Need::Types(parent), &mut inventory)?;
        }
        eyes.read(&Need::Cards, &mut inventory)?;
        Ok(inventory)
    }

    fn present(&self, gpu: &PgpuName) -> Result<Inventory, HostError> {
        let inventory = self.glance()?;
        let cards = inventory.cards.get().into_iter().flatten();
        if inventory.pgpus().contains_key(gpu) || cards.into_iter().any(|card| card.name == *gpu) {
            return Ok(inventory);
        }
        Err(HostError::NoGpu { gpu: gpu.clone() })
    }

    fn offers(&self, gpu: &PgpuName, type_id: &TypeId) -> Result<(), HostError> {
        let inventory = self.present(gpu)?;
        let parents = inventory.pgpus().remove(gpu).unwrap_or_default();
        let whole = type_id.as_str() == PASSTHROUGH && gpu.bdf().is_some();
        if whole || parents.iter().any(|parent| parent.get(type_id).is_some()) {
            return Ok(());
        }
        Err(HostError::NoTypeThere {
            gpu: gpu.clone(),
            type_id: type_id.clone(),
        })
    }
}
