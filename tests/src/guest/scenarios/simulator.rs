//! The simulator answers as this kernel does: what every test on a simulated host stands on.

use std::path::Path;

use mdevkit_sim::replay::{self, Step};
use mdevkit_sim::{BoardSpec, Sim, SimError};

use crate::cmd::run;
use crate::domain::put;
use crate::lab::Lab;
use crate::{Outcome, ensure, kernel, say};

/// What the lab's kernel has loaded.
const BOARDS: [&str; 3] = ["mtty", "mdpy", "mbochs"];

/// Asks this kernel and a simulated host the same questions: create, remove, duplicates, exhaustion, bad UUIDs, every
/// attribute. The two transcripts are compared byte for byte, and with the one that the simulator's own tests use.
pub(super) fn sim_agrees(lab: &mut Lab) -> Outcome {
    run("modprobe", &["fuse"])?;
    let (mut good, mut all) = (0, 0);
    let mut differences = Vec::new();
    lab.kernel_alone(|| {
        for (name, script) in replay::SCRIPTS {
            let kernel = replay::run(Path::new("/"), script).map_err(|e| format!("{name}: {e}"))?;
            // `recorded` leaves some, and says which.
            let left: Vec<String> = kernel::devices().into_iter().map(|device| device.uuid).collect();
            ensure!(
                left.is_empty() || *name == "recorded",
                "{name} left devices on the kernel: {left:?}"
            );
            left.iter().try_for_each(|uuid| kernel::remove(uuid))?;
            let simulated = simulated(script).map_err(|e| format!("{name}, simulated: {e}"))?;
            keep(name, "kernel", &kernel)?;
            keep(name, "simulator", &simulated)?;
            all += kernel.len();
            good += compare(name, &kernel, &simulated, &mut differences);
        }
        Ok(())
    })?;
    say(format_args!("  simulator and kernel: {good} of {all} answers agree"));
    ensure!(
        differences.is_empty() && good == all && all > 0,
        "{good} of {all} answers agree: {}",
        differences.join("; ")
    );
    Ok(())
}

/// What a host with the same drivers answers, simulated.
fn simulated(script: &str) -> Result<Vec<Step>, SimError> {
    let boards = BOARDS.map(str::parse::<BoardSpec>);
    let boards = boards.into_iter().collect::<Result<Vec<_>, _>>()?;
    let sim = Sim::mount(Path::new("/tmp/simulated"), &boards)?;
    let heard = replay::run(sim.root(), script);
    sim.unmount()?;
    heard
}

/// How many answers agree; notes the first that do not.
fn compare(name: &str, kernel: &[Step], simulated: &[Step], differences: &mut Vec<String>) -> usize {
    let mut agree = 0;
    for (kernel, simulated) in kernel.iter().zip(simulated) {
        if kernel.to_string() == simulated.to_string() && kernel.agrees() && simulated.agrees() {
            agree += 1;
        } else if differences.len() < 5 {
            differences.push(format!("{name}:{}: {}", kernel.line, difference(kernel, simulated)));
        }
    }
    if kernel.len() != simulated.len() {
        differences.push(format!("{name}: {} and {} answers", kernel.len(), simulated.len()));
    }
    agree
}

/// The question, and the first line in which script, kernel and simulator are not of one mind.
fn difference(kernel: &Step, simulated: &Step) -> String {
    let line = |lines: &[String], at: usize| lines.get(at).map_or_else(|| "nothing".to_owned(), Clone::clone);
    let at = (0..)
        .zip(&kernel.got)
        .find(|(at, got)| simulated.got.get(*at) != Some(got) || kernel.expected.get(*at) != Some(got))
        .map_or(kernel.got.len(), |(at, _)| at);
    format!(
        "{}: the kernel says {}, the simulator {}, the script {}",
        kernel.ask,
        line(&kernel.got, at),
        line(&simulated.got, at),
        line(&kernel.expected, at)
    )
}

/// For `lab run --logs`.
fn keep(name: &str, whose: &str, steps: &[Step]) -> Outcome {
    let file = format!("/share/logs/replay-{name}-{whose}.txt");
    let text: String = steps.iter().map(|step| format!("{step}\n")).collect();
    put(&file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder's answers to a script.
    fn heard(script: &str) -> Vec<Step> {
        let folder = tempfile::tempdir().unwrap();
        replay::run(folder.path(), script).unwrap()
    }

    #[test]
    fn an_answer_counts_only_when_all_three_agree() {
        const TRUE: &str = "read sys/a -> ENOENT\nread sys/b -> ENOENT\n";
        const FALSE: &str = "read sys/a -> ENOENT\nread sys/b -> EIO\n";
        let mut differences = Vec::new();
        assert_eq!(compare("x", &heard(TRUE), &heard(TRUE), &mut differences), 2);
        assert!(differences.is_empty());
        // The script says something else, though kernel and simulator agree.
        assert_eq!(compare("x", &heard(FALSE), &heard(FALSE), &mut differences), 1);
        assert_eq!(
            differences,
            ["x:2: read sys/b: the kernel says ENOENT, the simulator ENOENT, the script EIO"]
        );
        // One has fewer.
        let mut differences = Vec::new();
        assert_eq!(
            compare("x", &heard(TRUE), &heard("read sys/a -> ENOENT\n"), &mut differences),
            1
        );
        assert_eq!(differences, ["x: 2 and 1 answers"]);
    }

    #[test]
    fn two_that_differ_are_shown_where_they_do() {
        let mut other = heard("read sys/a -> ENOENT\n");
        other[0].got = vec!["\"1\\n\"".to_owned()];
        let mut differences = Vec::new();
        assert_eq!(
            compare("x", &heard("read sys/a -> ENOENT\n"), &other, &mut differences),
            0
        );
        assert_eq!(
            differences,
            ["x:1: read sys/a: the kernel says ENOENT, the simulator \"1\\n\", the script ENOENT"]
        );
    }
}
