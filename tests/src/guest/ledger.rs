//! What mdevkit says of itself: its ledger file, its log, its settings, its own list of devices.

use std::fs;

use serde_json::Value;

use crate::cmd::run;
use crate::{Outcome, ensure};

pub(crate) const LEDGER: &str = "/run/mdevkit/ledger.json";
const SETTINGS: &str = "/var/lib/mdevkit/gpus.json";
pub(crate) const LOG: &str = "/var/log/mdevkit/hook.log";

/// The ledger's records; none where there is no ledger yet.
pub(crate) fn records() -> Outcome<Vec<Value>> {
    let text = match fs::read_to_string(LEDGER) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{LEDGER}: {e}")),
    };
    let whole: Value = serde_json::from_str(&text).map_err(|e| format!("{LEDGER}: {e}: {text}"))?;
    ensure!(
        whole.get("version") == Some(&Value::from(1)),
        "{LEDGER}: version is not 1: {text}"
    );
    let records = whole.get("records").and_then(Value::as_array);
    records.cloned().ok_or_else(|| format!("{LEDGER}: no records: {text}"))
}

/// The record of one device.
pub(crate) fn record(uuid: &str) -> Outcome<Value> {
    let of_it = records()?
        .into_iter()
        .find(|record| record.get("uuid").and_then(Value::as_str) == Some(uuid));
    of_it.ok_or_else(|| format!("the ledger has no record of {uuid}"))
}

/// The GPUs that are cordoned or have a type disabled, each as a sentence.
pub(crate) fn switched_off() -> Outcome<Vec<String>> {
    let text = match fs::read_to_string(SETTINGS) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("{SETTINGS}: {e}")),
    };
    let whole: Value = serde_json::from_str(&text).map_err(|e| format!("{SETTINGS}: {e}: {text}"))?;
    let gpus = whole.get("gpus").and_then(Value::as_object);
    let gpus = gpus.ok_or_else(|| format!("{SETTINGS}: no gpus: {text}"))?;
    let is_off = |gpu: &Value| {
        let types = gpu.get("types").and_then(Value::as_object);
        gpu.get("cordoned") == Some(&Value::Bool(true))
            || types.is_some_and(|types| types.values().any(|enabled| *enabled == Value::Bool(false)))
    };
    let off = gpus.iter().filter(|(_, gpu)| is_off(gpu));
    Ok(off
        .map(|(name, gpu)| format!("{name} is switched off: {gpu}"))
        .collect())
}

/// The host is as its configuration says again: what was ever switched wins over that, switched on as well as off.
pub(crate) fn forget_settings() -> Outcome {
    match fs::remove_file(SETTINGS) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(format!("{SETTINGS}: {e}")),
        _ => Ok(()),
    }
}

/// What `mdevkit` with these arguments says in JSON.
pub(crate) fn told(args: &[&str]) -> Outcome<Value> {
    let text = run("mdevkit", args)?;
    serde_json::from_str(&text).map_err(|e| format!("mdevkit {}: {e}: {text}", args.join(" ")))
}

/// One entry of `mdevkit devices --json`.
pub(crate) fn listed(uuid: &str) -> Outcome<Value> {
    let list = told(&["devices", "--json"])?;
    let mut entries = list.as_array().into_iter().flatten();
    let of_it = entries.find(|entry| entry.get("uuid").and_then(Value::as_str) == Some(uuid));
    of_it
        .cloned()
        .ok_or_else(|| format!("mdevkit devices --json does not list {uuid}: {list}"))
}

/// Fails unless `mdevkit devices` says this of the device.
pub(crate) fn expect_listed(uuid: &str, expected: &[(&str, &str)]) -> Outcome {
    let entry = listed(uuid)?;
    for (key, value) in expected {
        ensure!(
            entry.get(*key).and_then(Value::as_str) == Some(*value),
            "mdevkit devices: {key} is not {value}: {entry}"
        );
    }
    Ok(())
}

/// How long the log is by now: what a later `log_since` starts from.
pub(crate) fn log_length() -> usize {
    fs::read(LOG).unwrap_or_default().len()
}

/// What the hook has logged since.
pub(crate) fn log_since(length: usize) -> String {
    let log = fs::read(LOG).unwrap_or_default();
    String::from_utf8_lossy(log.get(length..).unwrap_or_default()).into_owned()
}
