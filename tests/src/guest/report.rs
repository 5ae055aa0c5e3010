//! Running the table of scenarios and telling what came of it: on the console for people, in /share/results for `lab`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

use crate::lab::{LIBVIRTD_LOG, Lab};
use crate::ledger::{LEDGER, LOG};
use crate::scenarios::{Part, SCENARIOS, Scenario};
use crate::{Outcome, cmd, say};

/// Prints the table, for `lab`.
pub(crate) fn list() {
    for scenario in SCENARIOS {
        let Scenario {
            name,
            proves,
            part,
            memory_mib,
            limit_s,
            ..
        } = scenario;
        say(format_args!(
            "{}",
            json!({ "name": name, "proves": proves, "quick": *part == Part::Quick, "memory_mib": memory_mib, "limit_s": limit_s })
        ));
    }
}

/// Runs what /share/scenarios names; true when all passed.
pub(crate) fn run() -> Outcome<bool> {
    let begin = Instant::now();
    let wanted = fs::read_to_string("/share/scenarios").map_err(|e| format!("/share/scenarios: {e}"))?;
    let chosen: Vec<&Scenario> = wanted
        .lines()
        .filter_map(|name| SCENARIOS.iter().find(|s| s.name == name))
        .collect();
    let mut lab = Lab::set_up()?;
    let versions = cmd::virsh(&["version"])?.ok()?;
    say(format_args!(
        "{}",
        versions.lines().skip(1).collect::<Vec<_>>().join("; ")
    ));
    say(format_args!("set up in {:.1} s", begin.elapsed().as_secs_f32()));
    let mut all_passed = true;
    for scenario in chosen {
        let marks = [LOG, LIBVIRTD_LOG].map(|file| (file, fs::read(file).unwrap_or_default().len()));
        let begin = Instant::now();
        let mut outcome = (scenario.run)(&mut lab).and_then(|()| lab.check_clean());
        let took = begin.elapsed().as_secs_f32();
        if let Err(why) = &outcome {
            note(&format!("FAILED {}: {}", scenario.name, why.replace('\n', " | ")));
            tell_why(&marks);
        }
        if let Err(why) = lab.clean(outcome.is_err()) {
            note(&format!(
                "FAILED {}: cannot clean up: {}",
                scenario.name,
                why.replace('\n', " | ")
            ));
            tell_why(&marks);
            if outcome.is_ok() {
                outcome = Err(why);
            }
        }
        if outcome.is_ok() {
            note(&format!("ok {} {took:.1}s", scenario.name));
        }
        all_passed &= outcome.is_ok();
    }
    say(format_args!("all done in {:.1} s", begin.elapsed().as_secs_f32()));
    keep_logs();
    Ok(all_passed)
}

/// On the console and in the results, which outlive a crash.
fn note(line: &str) {
    say(format_args!("{line}"));
    let results = OpenOptions::new().create(true).append(true).open("/share/results");
    if let Err(e) = results.and_then(|mut file| writeln!(file, "{line}")) {
        say(format_args!("/share/results: {e}"));
    }
}

/// What was logged during the scenario, and the state it left.
fn tell_why(marks: &[(&str, usize)]) {
    for (file, mark) in marks {
        let log = fs::read(file).unwrap_or_default();
        tail(file, &String::from_utf8_lossy(log.get(*mark..).unwrap_or_default()), 40);
    }
    tail(LEDGER, &fs::read_to_string(LEDGER).unwrap_or_default(), 40);
    if let Ok(ran) = cmd::Cmd::new("dmesg").run() {
        tail("dmesg", &ran.out, 8);
    }
}

fn tail(what: &str, text: &str, count: usize) {
    let lines: Vec<&str> = text.lines().collect();
    say(format_args!("  --- {what}"));
    for line in lines.iter().skip(lines.len().saturating_sub(count)) {
        say(format_args!("  | {line}"));
    }
}

/// For `lab run --logs`.
fn keep_logs() {
    let domains = fs::read_dir("/var/log/libvirt/qemu")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for from in domains.chain([LOG, LIBVIRTD_LOG, "/var/log/libvirt/console.log"].map(Into::into)) {
        if let Some(name) = from.file_name() {
            let _ = fs::copy(&from, std::path::Path::new("/share/logs").join(name));
        }
    }
}
