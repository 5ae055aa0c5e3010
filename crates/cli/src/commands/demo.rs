//! `mdevkit demo`: the main job on a simulated host, told step by step. Every step is the real program in a process of
//! its own; only the GPUs are not there.

use super::sim::{Signals, failure};
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use mdevkit_core::Code;
use mdevkit_sim::Sim;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// The example domains as a person would have them: without any device of ours.
const DOMAINS: [(&str, &str); 2] = [
    ("cad", include_str!("../../../../examples/cad.xml")),
    ("render", include_str!("../../../../examples/render.xml")),
];

/// Show the main job on a simulated host with 8 GPUs: inject, start two domains, stop them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs root or fusermount3, and the hook's program; neither GPUs nor libvirt. What libvirt does
at a domain's start and stop, which is to run the hook, this command does.

Example:
  mdevkit demo --keep     and then, elsewhere: mdevkit --root DIR devices")]
pub(crate) struct Args {
    /// Leave the host and both domains' devices there until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// The hook's program [default: mdevkit-hook beside this program]
    #[arg(long, value_name = "PATH")]
    hook: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::host(format!("cannot find myself: {error}")))?;
        let hook = self.hook.unwrap_or_else(|| program.with_file_name("mdevkit-hook"));
        if !hook.is_file() {
            let message = format!(
                "there is no hook at {}; build it, or name it with --hook",
                hook.display()
            );
            return Err(Failure::new(Code::Usage, message));
        }
        let signals = Signals::hold()?;
        let dir = std::env::temp_dir().join(format!("mdevkit-demo-{}", std::process::id()));
        let boards = ["v100dx:8".parse().map_err(failure)?];
        let sim = Sim::mount(&dir, &boards).map_err(failure)?;
        let demo = Demo {
            context,
            program,
            hook,
            root: sim.root().to_owned(),
        };
        let told = demo.tell(self.keep);
        if told.is_ok() && self.keep {
            note(format!("the host stays at {} until Ctrl-C", demo.root.display()));
            signals.wait()?;
        }
        sim.unmount().map_err(failure)?;
        told?;
        Ok(Exit::Done)
    }
}

struct Demo<'a> {
    context: &'a Context,
    program: PathBuf,
    hook: PathBuf,
    root: PathBuf,
}

impl Demo<'_> {
    fn tell(&self, keep: bool) -> Result<(), Failure> {
        let [(cad, _), (render, _)] = DOMAINS;
        self.say("A host with 8 GPUs (Tesla V100DX, simulated), and two domains that have no GPU yet.")?;
        for (name, xml) in DOMAINS {
            self.write(name, xml)?;
        }
        self.say("\nEach domain gets its wish: a request in <metadata>, and a <hostdev> with a UUID of its own.")?;
        self.mdevkit(&["inject", "--type", "V100DX-8Q", &self.arg(cad)])?;
        self.mdevkit(&[
            "inject",
            "--type",
            "V100DX-4Q",
            "--count",
            "2",
            "--policy",
            "breadth-first",
            &self.arg(render),
        ])?;
        self.say("\nWhere would they go, if both of them started now?")?;
        self.mdevkit(&["plan", &self.arg(cad), &self.arg(render)])?;
        self.say("\nThe domains start: libvirt runs the hook, and each device is there before QEMU needs it.")?;
        self.hook(cad, "prepare")?;
        self.hook(render, "prepare")?;
        self.mdevkit(&["devices"])?;
        if keep {
            return Ok(());
        }
        self.say("\nThe first one stops: its device goes, the others stay.")?;
        self.hook(cad, "release")?;
        self.mdevkit(&["devices"])?;
        self.say("\nThe second one stops, too.")?;
        self.hook(render, "release")?;
        self.mdevkit(&["devices"])?;
        self.say("\nTaken back, the first domain is what it was, byte for byte.")?;
        self.mdevkit(&["eject", "--all", &self.arg(cad)])?;
        let same = std::fs::read_to_string(self.file(cad)).is_ok_and(|xml| DOMAINS.iter().any(|(_, was)| *was == xml));
        if !same {
            return Err(Failure::host(
                "the demo's domain did not come back as it was; please report this as a bug",
            ));
        }
        Ok(())
    }

    fn write(&self, domain: &str, xml: &str) -> Result<(), Failure> {
        let file = self.file(domain);
        let written = File::create(&file).and_then(|mut file| file.write_all(xml.as_bytes()));
        written.map_err(|error| Failure::host(format!("cannot write {}: {error}", file.display())))
    }

    fn say(&self, line: &str) -> Result<(), Failure> {
        self.context.out.line(line)
    }

    /// Runs one of our own subcommands on the simulated host, and shows it.
    fn mdevkit(&self, args: &[&str]) -> Result<(), Failure> {
        self.say(&format!("$ mdevkit {}", args.join(" ")))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.root)
            .args(args)
            .current_dir(self.root.join("tmp"));
        ended(&mut command)
    }

    /// Runs the hook as libvirt does: four arguments, the domain on stdin, hardly any environment.
    fn hook(&self, domain: &str, operation: &str) -> Result<(), Failure> {
        let phase = if operation == "release" { "end" } else { "begin" };
        self.say(&format!("$ mdevkit-hook {domain} {operation} {phase} - < {domain}.xml"))?;
        let file = self.file(domain);
        let stdin =
            File::open(&file).map_err(|error| Failure::host(format!("cannot read {}: {error}", file.display())))?;
        let mut command = Command::new(&self.hook);
        command.args([domain, operation, phase, "-"]).stdin(stdin).env_clear();
        command
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("MDEVKIT_ROOT", &self.root);
        ended(&mut command)
    }

    fn file(&self, domain: &str) -> PathBuf {
        self.root.join("tmp").join(self.arg(domain))
    }

    fn arg(&self, domain: &str) -> String {
        format!("{domain}.xml")
    }
}

/// Runs a step to its end. What it says is seen; a step that fails ends the story.
fn ended(command: &mut Command) -> Result<(), Failure> {
    let program = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::host(format!("{program} ended with {status}"))),
        Err(error) => Err(Failure::host(format!("cannot run {program}: {error}"))),
    }
}
