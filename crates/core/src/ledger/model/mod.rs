//! The whole, as a model: two domains, their hooks, reconcile, libvirt, other tools and death, in every order.
//!
//! ```text
//!   libvirt.rs   Off ─► Preparing ─► Ready ─► Status ─► Running ─► Ended ─► Ending ─► Releasing ─► Off
//!                           │ calls                                            │ calls
//!                           ▼                                                  ▼
//!   start.rs             prepare                     settle.rs  end.rs      release
//!                           │ undo, replace, leftovers  reconcile              │
//!                           └─────────────┬─────────────────┴─────────────────┘
//!                                         ▼
//!   removal.rs           claim ─► there? ─► held? ─► child ─► open ─► allowed? ─► remove ─► forget
//!                                         │
//!                                         ▼
//!   books.rs             Ledger::apply, forget_other_boots, reconcile, encounter: the real ones
//! ```
//!
//! Each process is a list of atomic steps in the order in which `mdevkit-host` does them, but for what is said below.
//! From each state, `search` takes every step of every process, and everything that may happen around them: a kill at
//! any step, the death of the daemon and its return, a reboot, time, and devices that somebody else makes or removes.
//! `laws` checks each state, and what would follow if everything of ours died in it.
//!
//! Invariant: a search is exhaustive within its scenario's [`world::Budget`]; nothing else is left out silently. Left
//! out by intention: devices made by hand, a damaged ledger and its rebuilding, several reconciles at once, more
//! than two children at one device, a time of grace that ends during a start, other tools that remove a device of ours,
//! and those that take a foreign one away once a start has seen it.
//!
//! Five of the mistakes in [`steps::Flaw`] are the host's own: the search found them in it. The order here is the one
//! without them, so until the host is mended in each, this model is ahead of it: `SettlesAnyOwner`, `DropsAnyRecord`,
//! `CondemnsTheNext`, `StartOfTheDead`, `ReaperDoesNotTest`.
//!
//! **Known limit** ([`world::Maker::ForeignUnderRecord`]): a record and a UUID are all that tells whose a device is. Who
//! makes a device of a UUID that has a record already, of a hook that was killed before its `create` or of a removal
//! that was killed after its write, has made it for that record's owner, and loses it at the next reconcile.

mod books;
mod end;
mod hash;
mod laws;
mod libvirt;
mod process;
mod removal;
mod scenarios;
mod search;
mod settle;
mod start;
mod steps;
mod world;

use scenarios::{DEEP, FLAWS, QUICK};

/// Explores more when this is set: `MDEVKIT_MODEL=deep cargo test --release -p mdevkit-core model -- --nocapture`.
const DEPTH: &str = "MDEVKIT_MODEL";

#[test]
fn every_law_holds_in_every_state() {
    let deep = std::env::var_os(DEPTH).is_some_and(|depth| depth == "deep");
    let (mut states, mut mistaken) = (0, 0);
    for scenario in QUICK.iter().chain(DEEP.iter().filter(|_| deep)) {
        let found = scenario.search(None);
        println!(
            "{}: {} states, {} steps, {} ledgers, {} worlds after death",
            scenario.name, found.states, found.steps, found.ledgers, found.dead
        );
        if let Some(broken) = &found.broken {
            panic!("{}: {broken}", scenario.name);
        }
        assert!(
            found.states >= scenario.at_least,
            "{}: the model has shrunk to {} states",
            scenario.name,
            found.states
        );
        states += found.states;
        mistaken += found.mistaken;
    }
    println!("{states} states in all; {mistaken} of them beyond the known limit");
    assert!(
        mistaken > 0,
        "the known limit is gone: say so in the head of this module"
    );
}

#[test]
fn every_mistake_in_the_order_of_steps_is_found() {
    for (flaw, scenario) in FLAWS {
        let found = scenario.search(Some(flaw));
        let Some(broken) = found.broken else {
            panic!("{flaw:?} was not found in {}, {} states", scenario.name, found.states);
        };
        println!("{flaw:?}: after {} steps, {}", broken.trace.len(), broken.law);
    }
}
