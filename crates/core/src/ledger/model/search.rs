//! The search: every state that can be reached, breadth first, so that the trace to a broken law is a shortest one.

use super::books::Books;
use super::hash::Quick;
use super::laws::Laws;
use super::libvirt::around;
use super::steps::{Next, Rules, Step};
use super::world::{Process, Who, World};
use std::collections::HashSet;
use std::fmt;

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// Different worlds that a death of everything leaves.
    pub(super) dead: usize,
    pub(super) ledgers: usize,
    /// States after the known limit was met.
    pub(super) mistaken: usize,
    pub(super) broken: Option<Broken>,
}

/// A broken law, and how it came to it.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) law: String,
    pub(super) trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, after\n  {}", self.law, self.trace.join("\n  "))
    }
}

pub(super) fn search(rules: &Rules, begin: World) -> Found {
    let (mut books, mut laws) = (Books::new(), Laws::new());
    let mut met: HashSet<World, Quick> = HashSet::default();
    let mut order: Vec<(World, u32)> = vec![(begin, 0)];
    met.insert(begin);
    let (mut steps, mut mistaken, mut broken) = (0, 0, None);
    let mut out = Vec::new();
    let mut next = 0;
    while let Some((world, _)) = order.get(next).copied() {
        if let Err(law) = laws.check(rules, &mut books, &world) {
            broken = Some(Broken {
                law,
                trace: trace(rules, &mut books, &order, next),
            });
            break;
        }
        mistaken += usize::from(world.mistaken);
        all_next(rules, &mut books, &world, &mut out);
        steps += out.len();
        for Next { world, .. } in out.drain(..) {
            let world = world.settled();
            if met.insert(world) {
                order.push((world, u32::try_from(next).unwrap()));
            }
        }
        next += 1;
    }
    Found {
        states: order.len(),
        steps,
        dead: laws.dead.len(),
        ledgers: books.len(),
        mistaken,
        broken,
    }
}

fn all_next(rules: &Rules, books: &mut Books, world: &World, out: &mut Vec<Next>) {
    for index in 0..world.processes.len() {
        if world.processes[index].is_some() {
            Step {
                rules,
                books,
                world: *world,
                index,
                out,
            }
            .take();
        }
    }
    around(rules, books, world, out);
}

/// The steps that led to a state, told one by one.
fn trace(rules: &Rules, books: &mut Books, order: &[(World, u32)], last: usize) -> Vec<String> {
    let mut path = vec![last];
    while let Some(at) = path.last().copied().filter(|at| *at != 0) {
        path.push(order[at].1 as usize);
    }
    path.reverse();
    path.windows(2)
        .map(|pair| {
            let (from, to) = (order[pair[0]].0, order[pair[1]].0);
            let mut told = String::new();
            for index in 0..from.processes.len() {
                let mut out = Vec::new();
                if let Some(process) = from.processes[index] {
                    Step {
                        rules,
                        books,
                        world: from,
                        index,
                        out: &mut out,
                    }
                    .take();
                    if let Some(step) = out.iter().find(|step| step.world.settled() == to) {
                        told = format!("{} {}", name(&process), step.what);
                    }
                }
            }
            if told.is_empty() {
                let mut out = Vec::new();
                around(rules, books, &from, &mut out);
                let step = out.iter().find(|step| step.world.settled() == to);
                told = step.map_or("?", |step| step.what).to_owned();
            }
            told
        })
        .collect()
}

fn name(process: &Process) -> String {
    match process.who {
        Who::Prepare | Who::Release => {
            format!(
                "{:?}(domain {}, daemon {}):",
                process.who, process.domain, process.daemon
            )
        }
        Who::Reconcile => "Reconcile:".to_owned(),
        Who::Reaper => format!("Child(device {}):", process.device),
    }
}
