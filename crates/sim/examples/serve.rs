//! Serves a simulated host until its input ends: `serve DIR [kernel=VERSION] BOARD...`; prints the root when it is ready.

use std::io::{self, Write as _};
use std::path::Path;

use mdevkit_sim::{BoardSpec, Sim, SimOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let dir = args.next().ok_or("usage: serve DIR [kernel=VERSION] BOARD...")?;
    let mut options = SimOptions::default();
    if let Some(kernel) = args.next_if(|arg| arg.starts_with("kernel=")) {
        options = options.with_kernel(kernel.trim_start_matches("kernel=").parse()?);
    }
    let boards = args
        .map(|board| board.parse::<BoardSpec>())
        .collect::<Result<Vec<_>, _>>()?;
    let sim = Sim::mount_with(Path::new(&dir), &boards, options)?;
    writeln!(io::stdout(), "{}", sim.root().display())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(sim.unmount()?)
}
