//! What is shipped beside the programs: the installer, the configuration, the examples.
#![expect(clippy::unwrap_used, reason = "a helper that cannot do its part is a failed test")]

use mdevkit_host::Config;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A folder to install into, and one with the programs.
struct Host {
    root: TempDir,
    programs: TempDir,
}

impl Host {
    fn new() -> Self {
        let programs = tempfile::tempdir().unwrap();
        for name in ["mdevkit", "mdevkit-hook"] {
            fs::copy(env!("CARGO_BIN_EXE_mdevkit"), programs.path().join(name)).unwrap();
        }
        Self {
            root: tempfile::tempdir().unwrap(),
            programs,
        }
    }

    fn installer(&self, args: &[&str]) -> Output {
        let mut command = Command::new("bash");
        command
            .arg(shipped("hooks/install"))
            .args(args)
            .env("DESTDIR", self.root.path());
        command.output().unwrap()
    }

    fn install(&self) -> Output {
        self.installer(&[self.programs.path().to_str().unwrap()])
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }
}

#[test]
fn the_installer_installs_says_so_and_takes_all_of_it_away() {
    let host = Host::new();
    assert!(!host.installer(&["--status"]).status.success(), "nothing is there yet");
    let ran = host.install();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for link in [
        "etc/libvirt/hooks/qemu.d/50-mdevkit",
        "etc/libvirt/hooks/daemon.d/50-mdevkit",
    ] {
        assert_eq!(
            fs::read_link(host.path(link)).unwrap(),
            Path::new("/usr/sbin/mdevkit-hook"),
            "{link}"
        );
    }
    for file in ["usr/bin/mdevkit", "usr/sbin/mdevkit-hook", "etc/mdevkit/config.toml"] {
        assert!(host.path(file).is_file(), "{file}");
    }
    File::options()
        .append(true)
        .open(host.path("etc/mdevkit/config.toml"))
        .unwrap()
        .write_all(b"# mine\n")
        .unwrap();
    assert!(host.install().status.success(), "twice is the same as once");
    let config = fs::read_to_string(host.path("etc/mdevkit/config.toml")).unwrap();
    assert!(config.ends_with("# mine\n"), "an operator's configuration is kept");
    assert!(host.installer(&["--uninstall"]).status.success());
    for gone in [
        "usr/bin/mdevkit",
        "usr/sbin/mdevkit-hook",
        "etc/libvirt/hooks/qemu.d/50-mdevkit",
    ] {
        assert!(host.path(gone).symlink_metadata().is_err(), "{gone}");
    }
}

#[test]
fn the_installer_links_nothing_that_it_could_not_install() {
    let host = Host::new();
    fs::remove_file(host.programs.path().join("mdevkit-hook")).unwrap();
    assert!(!host.install().status.success());
    assert!(
        host.path("etc/libvirt/hooks/qemu.d/50-mdevkit")
            .symlink_metadata()
            .is_err()
    );
    assert_eq!(host.installer(&["--nonsense"]).status.code(), Some(2));
}

#[test]
fn the_configuration_shows_every_key_with_its_default() {
    let text = fs::read_to_string(shipped("hooks/config.toml")).unwrap();
    assert_eq!(Config::parse(&text).unwrap(), Config::default());
    let set = |line: &str| match line.strip_prefix('#') {
        Some(key) if (key.contains(" = ") || key.starts_with('[')) && !key.starts_with(' ') => key.to_owned(),
        _ => line.to_owned(),
    };
    let all: Vec<String> = text.lines().map(set).collect();
    let config = Config::parse(&all.join("\n")).unwrap();
    let set = |config: &Config| (config.policy, config.log.clone(), config.limits);
    assert_eq!(
        set(&config),
        set(&Config::default()),
        "what stands behind a # is the default"
    );
    let examples = (config.groups.len(), config.gpus.len(), config.profiles.len());
    assert_eq!(
        examples,
        (1, 1, 1),
        "groups, GPUs and profiles have none, and are shown by an example"
    );
    for key in [
        "policy",
        "gpus",
        "rule",
        "types",
        "cordoned",
        "type",
        "group",
        "numa",
        "apart",
        "params",
        "level",
        "file",
        "run_ms",
        "lock_ms",
        "ready_ms",
        "removal_ms",
        "grace_s",
    ] {
        assert!(
            all.iter().any(|line| line.starts_with(&format!("{key} = "))),
            "{key} is not shown"
        );
    }
}

#[test]
fn the_examples_are_what_their_readme_says() {
    let edit = |args: &[&str], file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mdevkit"));
        let output = command
            .args(args)
            .arg("-")
            .stdin(File::open(shipped(file)).unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let with = fs::read_to_string(shipped("examples/cad-with-vgpu.xml")).unwrap();
    assert_eq!(edit(&["inject", "--type", "V100DX-8Q"], "examples/cad.xml"), with);
    assert!(edit(&["inject"], "examples/by-hand.xml").contains("<alias name='ua-mdevkit-1'/>"));
    edit(&["show"], "examples/cad-with-vgpu.xml");
    edit(&["show"], "examples/render.xml");
}
