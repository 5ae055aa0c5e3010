//! The hook as libvirt calls it: whatever comes in by argv, stdin and an old ledger, its laws hold.

use crate::ledger::is_newer;
use mdevkit_core::ledger::Ledger;
use mdevkit_hook::{Call, LINE, run};
use mdevkit_xml::{domain_uuid, may_concern_us, read};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// This boot, for hosts that have a ledger.
const BOOT: &str = "6c7f5a0e-1f5e-4d4c-9a0e-0d1c2b3a4f5e";

/// The hook's log would be one file for all runs of this process, and grow: it is formatted and forgotten.
pub fn swallow_the_log() {
    struct Swallow;
    impl log::Log for Swallow {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            std::hint::black_box(record.args().to_string());
        }
        fn flush(&self) {}
    }
    if log::set_logger(&Swallow).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

/// Input: the arguments behind the program's name, one a line; stdin; and a ledger, where the host has one already.
/// Otherwise the host is an empty folder.
pub fn hook(data: &[u8]) {
    let mut parts = crate::parts(data);
    let argv = parts.next().unwrap_or_default();
    let stdin = parts.next().unwrap_or_default();
    let ledger = parts.next();
    let mut args = vec![OsString::from("hook")];
    args.extend(
        argv.split(|byte| *byte == b'\n')
            .take(8)
            .map(|arg| OsString::from_vec(arg.to_vec())),
    );
    // The child's part is no call of libvirt's.
    if args.get(1).is_some_and(|arg| arg == "__reap") {
        return;
    }
    let call = Call::parse(&args);

    let host = tempfile::tempdir().expect("a temporary folder");
    if let Some(ledger) = ledger {
        put(host.path(), ledger);
    }
    let begin = Instant::now();
    let outcome = run(args, stdin, Some(host.path().into()));
    assert!(
        begin.elapsed() < Duration::from_secs(12),
        "nothing is waited for without a bound"
    );

    if let Some(line) = &outcome.line {
        assert!(
            crate::is_one_line(line) && line.len() <= LINE && line.starts_with("mdevkit[E-"),
            "{line:?}"
        );
    }
    assert_eq!(outcome.status == 0, outcome.line.is_none(), "{outcome:?}");
    let untouched = || ledger.is_some() || is_empty(host.path());
    match call {
        Ok(Call::Nothing) => assert!(outcome.status == 0 && untouched()),
        Ok(Call::Release { .. } | Call::DaemonStart) => {
            assert!(outcome.status == 0, "a release ends well: {outcome:?}");
            assert!(untouched(), "no ledger: nobody owns anything");
        }
        Ok(Call::Prepare { .. }) => {
            // A host without GPUs gives nothing to who asks for something, and whoever asks for nothing starts.
            let ours = read(stdin).map(|domain| domain.concerns_us());
            let ignored = !stdin.is_empty() && !may_concern_us(stdin);
            if ignored || ours == Ok(false) {
                assert!(outcome.status == 0 && untouched(), "not ours: {outcome:?}");
            } else if ours.is_err() {
                assert!(outcome.status != 0 && untouched(), "not readable: {outcome:?}");
            }
        }
        Ok(_) => {}
        Err(_) => assert!(outcome.status != 0 && untouched(), "{outcome:?}"),
    }
    if let Some(ledger) = ledger {
        kept(host.path(), ledger, matches!(call, Ok(Call::Release { .. })), stdin);
    }
}

/// What may have become of a ledger.
fn kept(host: &Path, before: &[u8], is_release: bool, stdin: &[u8]) {
    let after = std::fs::read(host.join("run/mdevkit/ledger.json")).expect("it is never taken away");
    if is_newer(before) {
        assert!(after == before, "a newer version's ledger was overwritten");
        return;
    }
    let Ok(old) = Ledger::read(before) else { return };
    let new = Ledger::read(&after).expect("what is written can be read");
    let domain = domain_uuid(stdin).ok().flatten();
    let boot = BOOT.parse().expect("a good one");
    for record in old.records().filter(|it| it.boot_id == boot) {
        let its_own = record.owner.domain().is_some() && record.owner.domain() == domain;
        match is_release {
            // No device exists on this host, so what a domain owned is gone.
            true if its_own => assert_eq!(new.record(record.uuid), None, "a release forgets what is gone"),
            true => assert_eq!(
                new.record(record.uuid),
                Some(record),
                "a release touched another's record"
            ),
            false => {}
        }
    }
}

fn put(host: &Path, ledger: &[u8]) {
    let make = |dir: &Path, mode| std::fs::DirBuilder::new().recursive(true).mode(mode).create(dir);
    make(&host.join("run/mdevkit"), 0o700).expect("folders");
    make(&host.join("proc/sys/kernel/random"), 0o755).expect("folders");
    write(
        &host.join("proc/sys/kernel/random/boot_id"),
        format!("{BOOT}\n").as_bytes(),
    );
    write(&host.join("run/mdevkit/ledger.json"), ledger);
}

/// A file that nobody else may write to.
fn write(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(path);
    file.expect("a new file").write_all(bytes).expect("its content");
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("the host is there").next().is_none()
}
