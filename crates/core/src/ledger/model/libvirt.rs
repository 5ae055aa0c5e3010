//! All that happens around our processes: libvirt and its guests, other tools, the clock, and death.
//!
//! What libvirt does, and in which order, is `qemu_process.c`: `prepare` ─► the device is looked for and marked as used
//! ─► the status file ─► QEMU opens the device ... QEMU ends ─► the status file goes ─► `release`. A daemon that dies
//! leaves its hooks behind; it never calls `release` for a start that has no status file yet, and the next daemon
//! calls it for each status file without a guest.

use super::books::{Books, bits};
use super::steps::{Next, Rules, hook, told};
use super::world::{At, DEVICES, DOMAINS, Device, Domain, Handle, Maker, Phase, Process, Who, World};

/// Adds all that may happen next around our processes.
pub(super) fn around(rules: &Rules, books: &mut Books, world: &World, out: &mut Vec<Next>) {
    let mut may = |what, world| out.push(Next { what, world });
    for domain in 0..DOMAINS {
        guest(rules, world, domain, &mut may);
    }
    lets_go(world, &mut may);
    if world.left.kills > 0 {
        for (index, process) in world.processes.iter().enumerate() {
            if let Some(process) = process {
                let mut after = *world;
                after.left.kills -= 1;
                die(&mut after, index);
                may(killed(process.who), after);
            }
        }
    }
    daemon(world, &mut may);
    foreigners(books, world, &mut may);
    if world.left.reconciles > 0 {
        let mut after = *world;
        after.left.reconciles -= 1;
        after.spawn(Process::new(Who::Reconcile, At::Snapshot, 0));
        may("a reconcile begins", after);
    }
    if world.left.ticks > 0 && is_long_quiet(world) {
        let mut after = *world;
        after.left.ticks -= 1;
        after.clock += 1;
        may("a long time passes", after);
    }
    if world.left.reboots > 0 {
        let mut after = rebooted(world);
        // A state directory that outlives the boot, against the rules.
        may("the host boots; the ledger's file stays", after);
        after.page = 0;
        may("the host boots", after);
    }
}

fn killed(who: Who) -> &'static str {
    match who {
        Who::Prepare => "kill -9: prepare",
        Who::Release => "kill -9: release",
        Who::Reconcile => "kill -9: reconcile",
        Who::Reaper => "kill -9: the child",
    }
}

/// A process is killed. What it asked of the kernel already is done all the same, and a living daemon takes note.
pub(super) fn die(world: &mut World, index: usize) {
    let process = world.process(index);
    if process.at == At::Written {
        // It cannot be killed while it waits for who has the device open.
        match world.device(process.device) {
            Some(device) if device.open => return,
            _ => world.vanish(process.device),
        }
    }
    world.processes[index] = None;
    told(world, &process, false);
}

/// Hooks take seconds, and so does a start up to its status file: no time of grace ends meanwhile.
fn is_long_quiet(world: &World) -> bool {
    !world
        .processes()
        .any(|process| matches!(process.who, Who::Prepare | Who::Release))
        && !world.domains.iter().any(|domain| domain.phase == Phase::Ready)
}

fn rebooted(world: &World) -> World {
    let mut after = *world;
    after.left.reboots -= 1;
    after.boot += 1;
    after.processes = [None; _];
    after.devices = [None; _];
    after.daemon += 1;
    after.daemon_lives = true;
    for domain in &mut after.domains {
        *domain = off(domain);
    }
    after
}

fn off(domain: &Domain) -> Domain {
    Domain {
        nth: domain.nth,
        ..Domain::default()
    }
}

fn guest(rules: &Rules, world: &World, number: u8, may: &mut impl FnMut(&'static str, World)) {
    let domain = world.domains[usize::from(number)];
    let wants = rules.wants(number, domain.nth);
    let at = |phase| {
        let mut after = *world;
        after.domain_mut(number).phase = phase;
        after
    };
    match domain.phase {
        Phase::Off if world.daemon_lives && world.left.starts[usize::from(number)] > 0 => {
            let mut after = *world;
            after.left.starts[usize::from(number)] -= 1;
            after.domain_mut(number).nth = rules.starts(number) - after.left.starts[usize::from(number)] - 1;
            after.domain_mut(number).phase = Phase::Preparing;
            after.spawn(hook(&after, Who::Prepare, number));
            may("libvirt calls prepare", after);
        }
        Phase::Ready => {
            let marked = |device: u8| {
                world.domains.iter().enumerate().any(|(other, domain)| {
                    other != usize::from(number)
                        && domain.phase.has_status()
                        && (domain.own | domain.foreign) & (1 << device) != 0
                })
            };
            if bits(wants.devices).all(|device| is_whole(world.device(device)) && !marked(device)) {
                may("libvirt saves the status file", at(Phase::Status));
            }
            may("libvirt gives the start up", at(Phase::Ending));
        }
        Phase::Status => {
            if bits(wants.devices).all(|device| {
                world
                    .device(device)
                    .is_some_and(|device| !device.open && !device.removing)
            }) {
                let mut after = *world;
                after.domain_mut(number).phase = Phase::Running;
                for device in bits(wants.devices) {
                    after.device_mut(device).as_mut().unwrap().open = true;
                }
                may("the guest opens its devices", after);
            }
            may("the guest fails", at(Phase::Ended));
        }
        Phase::Running => {
            // Its process takes a moment to let go of its devices.
            may("the guest ends", at(Phase::Ended));
        }
        Phase::Ended if world.daemon_lives => may("libvirt drops the status file", at(Phase::Ending)),
        Phase::Ending => {
            let mut after = *world;
            *after.domain_mut(number) = Domain {
                phase: Phase::Releasing,
                ..off(&domain)
            };
            after.spawn(hook(&after, Who::Release, number));
            may("libvirt calls release", after);
        }
        _ => {}
    }
}

fn is_whole(device: Option<Device>) -> bool {
    device.is_some_and(|device| !device.removing)
}

/// A guest that ended lets go of a device.
fn lets_go(world: &World, may: &mut impl FnMut(&'static str, World)) {
    for number in 0..DEVICES {
        let runs =
            |domain: &Domain| domain.phase == Phase::Running && (domain.own | domain.foreign) & (1 << number) != 0;
        if world.device(number).is_some_and(|device| device.open) && !world.domains.iter().any(runs) {
            let mut after = *world;
            if let Some(device) = after.device_mut(number) {
                device.open = false;
            }
            may("what is left of the guest lets go of its device", after);
        }
    }
}

fn daemon(world: &World, may: &mut impl FnMut(&'static str, World)) {
    let mut after = *world;
    if !world.daemon_lives {
        after.daemon += 1;
        after.daemon_lives = true;
        may("a new daemon starts", after);
    } else if world.left.daemon_deaths > 0 {
        after.left.daemon_deaths -= 1;
        daemon_dies(&mut after);
        may("the daemon dies", after);
    }
}

/// The guests that had begun to run go on, the others do not.
pub(super) fn daemon_dies(world: &mut World) {
    world.daemon_lives = false;
    for domain in &mut world.domains {
        match domain.phase {
            Phase::Off | Phase::Running | Phase::Ended => {}
            // QEMU waits for a handshake that never comes.
            Phase::Status => domain.phase = Phase::Ended,
            Phase::Preparing | Phase::Ready | Phase::Ending | Phase::Releasing => *domain = off(domain),
        }
    }
}

/// Other tools make devices, of any UUID, and remove what they made.
fn foreigners(books: &mut Books, world: &World, may: &mut impl FnMut(&'static str, World)) {
    for number in 0..DEVICES {
        let recorded = world.entry(books, number).is_some();
        match world.device(number) {
            None if world.left.foreign > 0 => {
                // From its last look until its intent is written, a hook cannot know better either.
                let about_to = world
                    .processes()
                    .any(|process| process.at == At::Intend && process.device == number);
                for kind in 0..2 {
                    let mut after = *world;
                    after.left.foreign -= 1;
                    *after.device_mut(number) = Some(Device {
                        maker: if recorded || about_to {
                            Maker::ForeignUnderRecord
                        } else {
                            Maker::Foreign
                        },
                        kind,
                        open: false,
                        removing: false,
                    });
                    may("somebody else makes the device", after);
                }
            }
            Some(device) if device.maker == Maker::Foreign && !recorded && !is_used(world, number) => {
                let mut after = *world;
                after.vanish(number);
                may("somebody else removes what they made", after);
            }
            _ => {}
        }
    }
}

/// Whether a guest has the device, or a start has seen it: who removes it then harms that guest himself.
fn is_used(world: &World, number: u8) -> bool {
    let bit = 1 << number;
    let starts = |process: &Process| {
        let meets = matches!(
            process.at,
            At::Meet | At::Idle { own: false } | At::Ready { own: false }
        );
        process.who == Who::Prepare && (process.foreign & bit != 0 || meets && process.device == number)
    };
    let counts = |domain: &Domain| domain.phase.counts_on_devices() && domain.foreign & bit != 0;
    world.processes().any(starts) || world.domains.iter().any(counts)
}

/// Everything of ours dies: processes, guests, the daemon. What is left is what a crash leaves.
pub(super) fn all_die(world: &World) -> World {
    let mut after = *world;
    daemon_dies(&mut after);
    for domain in &mut after.domains {
        *domain = off(domain);
    }
    for device in after.devices.iter_mut().flatten() {
        device.open = false;
    }
    for index in 0..after.processes.len() {
        if after.processes[index].is_some() {
            die(&mut after, index);
        }
    }
    // A handle that nobody has any more.
    debug_assert!(after.processes().all(|process| process.handle == Handle::None));
    after
}
