//! Release binaries, as they are shipped: linked statically, because a hook starts faster so (`cargo xtask bench`), and
//! because they then need nothing of the host's, whatever its distribution.

use crate::sh;
use anyhow::{Context, Result};
use std::path::PathBuf;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds both programs and copies them to `target/dist`.
pub(crate) fn run() -> Result<()> {
    let dist = sh::target().join("dist");
    std::fs::create_dir_all(&dist)?;
    let programs = build_static(&["mdevkit", "mdevkit-hook"])?;
    for program in ["mdevkit", "mdevkit-hook"] {
        let (from, to) = (programs.join(program), dist.join(program));
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        let size = std::fs::metadata(&to)?.len();
        sh::say(format!("{:>6} KiB  {}", size / 1024, to.display()));
    }
    sh::say(format!("install with: hooks/install {}", dist.display()));
    Ok(())
}

/// Builds release programs without shared libraries and returns their folder.
pub(crate) fn build_static(packages: &[&str]) -> Result<PathBuf> {
    let mut cargo = sh::cargo();
    // A target of its own, even if it is this machine's: the flag must not reach build scripts and macros.
    cargo.args(["build", "--quiet", "--locked", "--release", "--target", TARGET]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    sh::run(cargo.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(sh::target().join(TARGET).join("release"))
}
