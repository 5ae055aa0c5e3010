//! `/etc/libvirt/hooks/qemu.d/50-mdevkit`: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    mdevkit_hook::run(
        std::env::args_os().collect(),
        std::io::stdin().lock(),
        std::env::var_os("MDEVKIT_ROOT"),
    )
    .tell()
}
