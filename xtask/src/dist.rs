//! Release binaries, as they are shipped: the hook linked statically, because it starts faster so and needs nothing of
//! the host's; the operator's command as usual.

use crate::sh::{self, Profile};
use anyhow::{Context, Result};
use std::path::PathBuf;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds both programs and copies them, the installer and its files to `target/dist`.
pub(crate) fn run() -> Result<()> {
    let dist = sh::target().join("dist");
    std::fs::create_dir_all(&dist)?;
    let command = sh::build(&["mdevkit"], Profile::Release)?.join("mdevkit");
    for program in [command, static_hook()?] {
        let to = dist.join(program.file_name().context("a program has a name")?);
        std::fs::copy(&program, &to).with_context(|| format!("cannot copy {}", program.display()))?;
        let size = std::fs::metadata(&to)?.len();
        sh::say(format!("{:>9} KiB  {}", size / 1024, to.display()));
    }
    sh::say(format!("install with: hooks/install {}", dist.display()));
    Ok(())
}

/// Builds the hook without shared libraries.
pub(crate) fn static_hook() -> Result<PathBuf> {
    let mut cargo = sh::cargo();
    cargo
        .args([
            "build",
            "--quiet",
            "--locked",
            "--release",
            "--package",
            "mdevkit-hook",
            "--target",
            TARGET,
        ])
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    sh::run(&mut cargo)?;
    Ok(sh::target().join(TARGET).join("release/mdevkit-hook"))
}
