//! What is done at `prepare`, at `release` and when a daemon starts.
//!
//! Invariant: nothing is locked, and no configuration is read, before it is known that the domain concerns us.

use crate::Outcome;
use crate::journal::Log;
use mdevkit_core::{Code, Domain, Uuid};
use mdevkit_host::{Config, Host, HostError, LastDecision, Limits, ReconcileOptions, Removal, Root, STATE_DIR, Start};
use std::ffi::OsStr;
use std::io::Read;

/// The most that is read of stdin, in bytes; libvirt's own limit for a domain is lower.
const STDIN: u64 = 16 * 1024 * 1024;

/// How long a starting daemon waits for a lock (ms): every modular daemon runs this, often.
const DAEMON_WAIT_MS: u64 = 2000;

/// A domain is about to start: its devices are made.
pub(crate) fn prepare(host: &Host, log: &Log, name: &str, stdin: impl Read) -> Outcome {
    let domain = match read(stdin) {
        Ok(Some(domain)) => domain,
        Ok(None) => return Outcome::done(),
        Err((code, why)) => return Outcome::failed(code, &why),
    };
    let config = match host.config() {
        Ok(config) => config,
        Err(error) => {
            let (code, headline) = (error.code(), error.to_string());
            if let Some(uuid) = domain.uuid {
                host.keep(&LastDecision::refused(uuid, name, code, &headline, None));
            }
            return Outcome::failed(code, &headline);
        }
    };
    log.start(&config, name, "prepare");
    match acquire(host, &config, name, &domain) {
        Ok(()) => Outcome::done(),
        Err(outcome) => {
            log::error!("refused: {}", outcome.line.as_deref().unwrap_or_default());
            outcome
        }
    }
}

fn acquire(host: &Host, config: &Config, name: &str, domain: &Domain) -> Result<(), Outcome> {
    let Some(uuid) = domain.uuid else {
        return Err(Outcome::failed(
            Code::Xml,
            "the domain has no <uuid>; libvirt always gives one",
        ));
    };
    let decided = host.wants(domain, config).and_then(|wanted| {
        for warning in &wanted.warnings {
            log::warn!("{warning}");
        }
        let start = Start {
            domain: uuid,
            name: name.to_owned(),
            daemon: mdevkit_host::daemon(),
            os: domain.os.clone(),
        };
        let acquired = host.acquire(&start, &wanted.wants, config)?;
        Ok((wanted.wants, acquired))
    });
    match decided {
        Ok((wants, acquired)) => {
            for device in &acquired {
                log::info!(
                    "ready: {} ({}) on {}, {:?}",
                    device.uuid,
                    device.type_id,
                    device.parent,
                    device.how
                );
            }
            host.keep(&LastDecision::placed(uuid, name, &wants, &acquired));
            Ok(())
        }
        Err(error) => {
            let refusal = match &error {
                HostError::Refused(refusal) => Some(&**refusal),
                _ => None,
            };
            for (refusal, reason) in refusal
                .into_iter()
                .flat_map(|all| all.reasons.iter().map(move |one| (all, one)))
            {
                log::info!("{}: {reason}", refusal.what);
            }
            let (code, headline) = (error.code(), error.to_string());
            host.keep(&LastDecision::refused(uuid, name, code, &headline, refusal));
            Err(Outcome::failed(code, &headline))
        }
    }
}

/// A domain has ended: what is its own is removed. libvirt ignores how this ends, so it ends well.
pub(crate) fn release(host: &Host, log: &Log, name: &str, stdin: impl Read) -> Outcome {
    // Its request may have been taken out of the metadata while it ran; the ledger knows what it owns. No ledger: nobody
    // owns anything.
    if !host.root().path(STATE_DIR).join("ledger.json").exists() {
        return Outcome::done();
    }
    // The UUID alone is read: whatever a tenant wrote into the metadata meanwhile, the devices are given back.
    let whose = |bytes: Vec<u8>| mdevkit_xml::domain_uuid(&bytes).map_err(|error| (error.code(), error.to_string()));
    let uuid = match xml(stdin).and_then(whose) {
        Ok(Some(uuid)) => uuid,
        Ok(None) => return Outcome::done(),
        Err((code, why)) => {
            log.start(&Config::default(), name, "release");
            log::error!("{code}: {why}; if it had devices, mdevkit reconcile removes them");
            return Outcome::done();
        }
    };
    match host.owns(uuid) {
        Ok(false) => return Outcome::done(),
        Ok(true) => {}
        Err(error) => {
            log.start(&Config::default(), name, "release");
            log::error!("{}: {error}; nothing is removed", error.code());
            return Outcome::done();
        }
    }
    // A wrong configuration must not keep a device: the defaults do.
    let config = host.config();
    log.start(config.as_ref().unwrap_or(&Config::default()), name, "release");
    let limits = match config {
        Ok(config) => config.limits,
        Err(error) => {
            log::error!("{error}; going on with the defaults");
            Limits::default()
        }
    };
    match host.release(uuid, mdevkit_host::daemon(), &limits) {
        Ok(released) => {
            for device in released {
                match device.removal {
                    Ok(Removal::Removed | Removal::AlreadyGone) => log::info!("released {}", device.uuid),
                    Ok(Removal::Pending { why }) => log::warn!("{} stays for now: {why}", device.uuid),
                    Err(error) => log::error!("{} stays: {error}", device.uuid),
                }
            }
        }
        Err(error) => log::error!("{}: {error}; mdevkit reconcile removes what is left", error.code()),
    }
    Outcome::done()
}

/// A daemon starts: what the one before it left is settled before any domain is started.
pub(crate) fn daemon_start(host: &Host, log: &Log) -> Outcome {
    if !host.root().path(STATE_DIR).join("ledger.json").exists() {
        return Outcome::done();
    }
    log.start(&host.config().unwrap_or_default(), "-", "daemon start");
    let options = ReconcileOptions {
        wait_ms: DAEMON_WAIT_MS,
        ..ReconcileOptions::default()
    };
    match host.reconcile(&options) {
        Ok(outcomes) => {
            for outcome in outcomes {
                let (verb, uuid, why) = (outcome.action.verb(), outcome.record.uuid, outcome.action.why());
                match outcome.done {
                    Ok(()) => log::info!("{verb} {uuid}: {why}"),
                    Err(error) => log::warn!("{verb} {uuid}: {why}; not done: {error}"),
                }
            }
        }
        Err(error) => log::error!("{}: {error}", error.code()),
    }
    Outcome::done()
}

/// The child's part of a removal.
pub(crate) fn reap(uuid: &OsStr, root: &OsStr) -> Outcome {
    let root = Root::at(root);
    let log = Log {
        simulated: !root.is_system(),
        root: root.clone(),
    };
    log.start(&Host::new(root.clone()).config().unwrap_or_default(), "-", "remove");
    let Some(uuid) = uuid.to_str().and_then(|text| text.parse::<Uuid>().ok()) else {
        return Outcome::failed(Code::Usage, "the device to remove is named by its uuid");
    };
    match mdevkit_host::reap(&root, uuid) {
        Ok(()) => Outcome::done(),
        Err(error) => {
            log::error!("{uuid}: {error}");
            Outcome::failed(error.code(), &error.to_string())
        }
    }
}

type Failure = (Code, String);

/// The domain on stdin; none when it is none of our business.
fn read(stdin: impl Read) -> Result<Option<Domain>, Failure> {
    let bytes = xml(stdin)?;
    if !mdevkit_xml::may_concern_us(&bytes) {
        return Ok(None);
    }
    let domain = parse(&bytes)?;
    Ok(domain.concerns_us().then_some(domain))
}

fn xml(stdin: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(16 * 1024);
    stdin
        .take(STDIN + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| (Code::Xml, format!("stdin cannot be read: {error}")))?;
    if bytes.is_empty() {
        return Err((
            Code::Xml,
            "stdin is empty; libvirt gives the domain's XML there".to_owned(),
        ));
    }
    if bytes.len() as u64 > STDIN {
        return Err((Code::Xml, format!("stdin has more than {STDIN} bytes")));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Domain, Failure> {
    mdevkit_xml::read(bytes).map_err(|error| (error.code(), error.to_string()))
}
