//! Serves a simulated host until its input ends: `serve DIR BOARD...`; prints the root when it is ready.

use std::io::{self, Write as _};
use std::path::Path;

use mdevkit_sim::{BoardSpec, Sim};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: serve DIR BOARD...")?;
    let boards = args
        .map(|board| board.parse::<BoardSpec>())
        .collect::<Result<Vec<_>, _>>()?;
    let sim = Sim::mount(Path::new(&dir), &boards)?;
    writeln!(io::stdout(), "{}", sim.root().display())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(sim.unmount()?)
}
