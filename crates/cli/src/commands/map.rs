//! `mdevkit map`: a picture of the host.

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look::{self, Measure};
use crate::map::{Bar, Picture, Slice, svg, text};
use crate::out;
use mdevkit_core::Capacity;
use mdevkit_host::{PgpuRow, ResidentRow, Survey};
use serde::Serialize;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// The width where nobody says one and stdout is no terminal (columns), and the widest that is drawn.
const WIDTH: usize = 80;
const WIDEST: usize = 1000;

/// One GiB, the unit of placement ids, in MiB.
const SLOT: u64 = 1024;

/// Draw the host: each GPU as a bar of its framebuffer, with its devices and domains
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each device has a letter, told below its bar; `.` is free. Where a driver has no framebuffer to
share, the bar is what it counts instead: ports, instances. Colour is for terminals only, and
NO_COLOR turns it off.

Examples:
  mdevkit map
  mdevkit map --width 120 --gpu 0000:06:00.0
  mdevkit map --svg gpus.svg
  mdevkit map --svg - | ssh desk 'cat > gpus.svg'")]
pub(crate) struct Args {
    /// Columns to draw in [default: the terminal's, else 80]
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(20..=1000))]
    width: Option<u16>,
    /// Only this GPU (repeatable)
    #[arg(long = "gpu", value_name = "ADDRESS")]
    gpus: Vec<mdevkit_core::ParentName>,
    /// Write an SVG picture; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "width")]
    svg: Option<PathBuf>,
}

/// One row of `map --json`.
#[derive(Serialize)]
struct Row<'a> {
    pgpu: &'a str,
    title: &'a str,
    /// `MiB`, `ports` or `instances`.
    unit: &'static str,
    /// In that unit; 0 where it is not known.
    total: u64,
    used: u64,
    notes: &'a [String],
    devices: Vec<Part<'a>>,
}

/// One device of a bar.
#[derive(Serialize)]
struct Part<'a> {
    r#type: &'a str,
    owner: &'a str,
    foreign: bool,
    /// In the bar's unit; 0 where it is not known.
    size: u64,
    /// Where it begins, where the driver says it.
    at: Option<u64>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let survey = look::survey(context)?;
        let mut chosen = Vec::new();
        for name in &self.gpus {
            chosen.push(&look::gpu(&survey, name)?.name);
        }
        let capacities = look::capacities(&survey)?;
        let gpus = survey
            .gpus
            .iter()
            .filter(|gpu| chosen.is_empty() || chosen.contains(&&gpu.name));
        let picture = Picture {
            host: survey.inventory.host.clone(),
            bars: gpus.map(|gpu| bar(gpu, &survey, &capacities)).collect(),
        };
        match &self.svg {
            Some(path) if path.as_os_str() == "-" => context.out.bytes(svg::draw(&picture).as_bytes())?,
            Some(path) => File::create(path)
                .and_then(|mut file| file.write_all(svg::draw(&picture).as_bytes()))
                .map_err(|error| Failure::host(format!("cannot write {}: {error}", path.display())))?,
            None if context.out.json => context.out.json(&picture.bars.iter().map(json).collect::<Vec<_>>())?,
            None if picture.bars.is_empty() => out::note("no GPUs: this host has nothing to draw"),
            None => {
                let terminal = io::stdout().is_terminal();
                let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
                let width = self.width.map(usize::from).unwrap_or_else(columns);
                context
                    .out
                    .bytes(text::draw(&picture, width.min(WIDEST), colour).as_bytes())?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The terminal's width.
fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
    terminal.or(said).filter(|columns| *columns >= 20).unwrap_or(WIDTH)
}

fn bar(gpu: &PgpuRow, survey: &Survey, capacities: &[Capacity]) -> Bar {
    let measure = Measure::of(gpu, survey, capacities);
    let mut notes = Vec::new();
    if gpu.parents.is_empty() {
        notes.push(gpu.state.clone());
    } else {
        let sure = if gpu.rule.proven || gpu.rule.configured {
            ""
        } else {
            " (not proven)"
        };
        notes.push(format!("{}{sure}", gpu.rule.rule));
        if gpu.cordoned {
            notes.push("cordoned".to_owned());
        }
        notes.extend(gpu.numa_node.map(|node| format!("NUMA node {node}")));
    }
    Bar {
        name: gpu.name.to_string(),
        title: look::title(gpu),
        unit: measure.unit,
        total: measure.total.unwrap_or(0),
        slices: slices(gpu, &measure),
        notes,
    }
}

/// Its devices: where they are, else the largest first, and those of one owner together.
fn slices(gpu: &PgpuRow, measure: &Measure) -> Vec<Slice> {
    let at = |device: &ResidentRow| {
        let placed = device.placement.filter(|_| measure.is_framebuffer());
        placed.map(|slot| u64::from(slot) * SLOT)
    };
    let mut slices: Vec<Slice> = gpu
        .residents
        .iter()
        .map(|device| Slice {
            label: measure.label(device),
            owner: look::owner(device.owner.as_ref()),
            foreign: device.owner.is_none(),
            size: measure.size(device).unwrap_or(0),
            at: at(device),
        })
        .collect();
    slices.sort_by(|a, b| {
        let rank = |slice: &Slice| (slice.at.unwrap_or(u64::MAX), u64::MAX - slice.size);
        rank(a)
            .cmp(&rank(b))
            .then_with(|| (&a.label, &a.owner).cmp(&(&b.label, &b.owner)))
    });
    slices
}

fn json(bar: &Bar) -> Row<'_> {
    Row {
        pgpu: &bar.name,
        title: &bar.title,
        unit: bar.unit,
        total: bar.total,
        used: bar.used(),
        notes: &bar.notes,
        devices: bar.slices.iter().map(part).collect(),
    }
}

fn part(slice: &Slice) -> Part<'_> {
    Part {
        r#type: &slice.label,
        owner: &slice.owner,
        foreign: slice.foreign,
        size: slice.size,
        at: slice.at,
    }
}
