//! What must hold in every state, and what must follow from every state if everything of ours died there.
//!
//! | law | checked |
//! |---|---|
//! | a device of ours has a record, at every moment | in each state |
//! | a domain whose devices are ready has them: there, its own, in nobody else's hands | in each state |
//! | a device that somebody else made is never removed; nor one that a guest holds | at each write to `remove` |
//! | nobody is alive, the time of grace is over, reconcile ran: no device of ours, no record | from each state |
//! | the same with a daemon that lives on and starts nothing | from each state |
//! | a domain starts again: it gets its devices, unless another domain's or another type is in the way | from each state |

use super::books::{Books, bits};
use super::hash::Quick;
use super::libvirt::all_die;
use super::steps::{Next, Rules, Step, hook};
use super::world::{At, DEVICES, DOMAINS, Harm, Maker, Process, Who, World};
use crate::ledger::State;
use std::collections::HashSet;

/// The laws, and the dead worlds for which they were checked.
pub(super) struct Laws {
    pub(super) dead: HashSet<World, Quick>,
}

impl Laws {
    pub(super) fn new() -> Self {
        Self {
            dead: HashSet::default(),
        }
    }

    pub(super) fn check(&mut self, rules: &Rules, books: &mut Books, world: &World) -> Result<(), String> {
        match world.harm {
            Some(Harm::ForeignRemoved) => return Err("a foreign device was removed".to_owned()),
            Some(Harm::RemovedWhileHeld) => return Err("a device was removed that a guest holds".to_owned()),
            None => {}
        }
        for number in 0..DEVICES {
            let ours = (world.device(number)).is_some_and(|device| matches!(device.maker, Maker::Domain(_)));
            if ours && world.entry(books, number).is_none() {
                return Err(format!("device {number} is ours and has no record"));
            }
        }
        for (number, domain) in world.domains.iter().enumerate() {
            for device in bits(domain.own).filter(|_| domain.phase.counts_on_devices()) {
                let there = world.device(device).is_some_and(|device| !device.removing);
                let record = world.entry(books, device);
                let its_own =
                    record.is_some_and(|record| usize::from(record.domain) == number && record.state == State::Created);
                if !there || !its_own {
                    return Err(format!(
                        "domain {number} counts on device {device}, which is {} and recorded as {record:?}",
                        if there { "there" } else { "gone" },
                    ));
                }
            }
        }
        self.after_death(rules, books, world)
    }

    /// Everything of ours dies here: what follows?
    fn after_death(&mut self, rules: &Rules, books: &mut Books, world: &World) -> Result<(), String> {
        let mut dead = all_die(world);
        dead.left = Default::default();
        dead.mistaken = false;
        if !self.dead.insert(dead) {
            return Ok(());
        }
        // A daemon that is known to be gone proves enough; otherwise the time of grace must be over.
        let mut late = dead;
        late.clock += 1;
        let mut alone = dead;
        alone.daemon += 1;
        alone.daemon_lives = true;
        let mut idle = dead;
        idle.daemon_lives = true;
        idle.clock += 1;
        for (what, world) in [
            ("all died", if rules.daemon_known { dead } else { late }),
            ("all died but the daemon", idle),
        ] {
            let after = run(rules, books, world, Process::new(Who::Reconcile, At::Snapshot, 0))?.0;
            nothing_is_left(books, &after).map_err(|why| format!("{what}, reconcile ran, and {why}"))?;
        }
        for domain in 0..DOMAINS {
            for nth in 0..rules.starts(domain) {
                let mut world = alone;
                world.domain_mut(domain).nth = nth;
                starts_again(rules, books, world, domain).map_err(|why| format!("all died, and {why}"))?;
            }
        }
        Ok(())
    }
}

fn nothing_is_left(books: &mut Books, world: &World) -> Result<(), String> {
    for number in 0..DEVICES {
        if world
            .device(number)
            .is_some_and(|device| matches!(device.maker, Maker::Domain(_)))
        {
            return Err(format!("device {number} of ours is left"));
        }
        if world.entry(books, number).is_some() {
            return Err(format!("the record of device {number} is left"));
        }
    }
    Ok(())
}

/// A domain that starts alone gets its devices, and gives them back.
fn starts_again(rules: &Rules, books: &mut Books, world: World, domain: u8) -> Result<(), String> {
    let wants = rules.wants(domain, world.domains[usize::from(domain)].nth);
    let in_the_way = bits(wants.devices).any(|number| match (world.entry(books, number), world.device(number)) {
        (Some(record), _) => record.domain != domain,
        (None, Some(device)) => device.kind != wants.kind,
        (None, None) => false,
    });
    let (after, trail) = run(rules, books, world, hook(&world, Who::Prepare, domain))?;
    let succeeded = trail.last() == Some(&"exit 0");
    if succeeded == in_the_way {
        return Err(format!("domain {domain} starts again: {trail:?}"));
    }
    if in_the_way {
        return Ok(());
    }
    for number in bits(wants.devices) {
        let fits = (after.device(number)).is_some_and(|device| device.kind == wants.kind && !device.removing);
        let record = after.entry(books, number);
        let its_own = record.is_some_and(|record| record.domain == domain && record.state == State::Created);
        let foreign = record.is_none()
            && world
                .device(number)
                .is_some_and(|device| device.maker == Maker::Foreign);
        if !fits || !(its_own || foreign || record.is_none() && maker(&after, number) != Some(Maker::Domain(domain))) {
            return Err(format!(
                "domain {domain} started again without device {number}: {trail:?}"
            ));
        }
    }
    let (after, trail) = run(rules, books, after, hook(&after, Who::Release, domain))?;
    for number in 0..DEVICES {
        let kept = after.entry(books, number).is_some_and(|record| record.domain == domain);
        if kept {
            return Err(format!("domain {domain} ended and kept device {number}: {trail:?}"));
        }
    }
    Ok(())
}

fn maker(world: &World, number: u8) -> Option<Maker> {
    world.device(number).map(|device| device.maker)
}

/// Runs one process, and the children that it starts, alone and with nothing in the way.
fn run(
    rules: &Rules,
    books: &mut Books,
    mut world: World,
    process: Process,
) -> Result<(World, Vec<&'static str>), String> {
    world.spawn(process);
    let mut trail = Vec::new();
    for _ in 0..200 {
        // Children first: their parent waits for them.
        let mut turns: Vec<usize> = (0..world.processes.len())
            .filter(|index| world.processes[*index].is_some())
            .collect();
        turns.sort_by_key(|index| world.process(*index).who != Who::Reaper);
        let Some(index) = turns.first().copied() else {
            return Ok((world, trail));
        };
        let is_main = world.process(index).who == process.who;
        let mut out = Vec::new();
        Step {
            rules,
            books,
            world,
            index,
            out: &mut out,
        }
        .take();
        let Some(Next { what, world: after }) = out.into_iter().next() else {
            return Err(format!("a process that runs alone is stuck after {trail:?}"));
        };
        if is_main {
            trail.push(what);
        }
        world = after;
        if let Some(harm) = world.harm {
            return Err(format!("{harm:?} after {trail:?}"));
        }
    }
    Err(format!("a process that runs alone does not end: {trail:?}"))
}
