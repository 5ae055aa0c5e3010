//! A simulated host, and the program run on it.

use mdevkit_sim::Sim;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

pub(crate) const CAD: &str = include_str!("../../../../examples/cad.xml");

/// A simulated host and a folder for files; both go at the end.
pub(crate) struct Lab {
    pub(crate) sim: Sim,
    pub(crate) files: TempDir,
    _place: TempDir,
}

/// What a command did: stdout, stderr and exit status.
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: i32,
}

impl Lab {
    pub(crate) fn new(boards: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let boards: Vec<_> = boards.iter().map(|board| board.parse().unwrap()).collect();
        let sim = Sim::mount(&place.path().join("host"), &boards).unwrap();
        Self {
            sim,
            files: tempfile::tempdir().unwrap(),
            _place: place,
        }
    }

    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.files.path().join(name);
        File::create(&path).unwrap().write_all(text.as_ref()).unwrap();
        path
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdevkit"));
        command
            .arg("--root")
            .arg(self.sim.root())
            .current_dir(self.files.path())
            .env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut command = self.command();
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing closes its end.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| self.shown(String::from_utf8(bytes).unwrap());
        Ran {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            status: output.status.code().unwrap(),
        }
    }

    /// A text without this test's own folder in it.
    pub(crate) fn shown(&self, text: String) -> String {
        text.replace(self.sim.root().to_str().unwrap(), "/ROOT")
    }

    pub(crate) fn create_foreign(&self, parent: &str, type_id: &str, uuid: &str) {
        let path = self.sim.root().join(format!(
            "sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}/create"
        ));
        fs::OpenOptions::new()
            .write(true)
            .open(path)
            .unwrap()
            .write_all(uuid.as_bytes())
            .unwrap();
    }
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The hook's program: another package's, built here into the same folder.
pub(crate) fn hook() -> &'static Path {
    static HOOK: OnceLock<PathBuf> = OnceLock::new();
    HOOK.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "mdevkit-hook"])
            .status()
            .unwrap();
        assert!(built.success());
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "../../target".into(), PathBuf::from);
        target.join("debug/mdevkit-hook")
    })
}
