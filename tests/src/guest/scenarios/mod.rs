//! The table of scenarios. Each is a story: given a clean host, when an operator (or fate) does this, then that holds.
//!
//! | file | about |
//! |---|---|
//! | `life` | starting and stopping, all the ways a domain ends |
//! | `requests` | what the domain asks for, and what prepare makes of request and hostdev |
//! | `placement` | which GPU, what an operator says about it, and the explanation |
//! | `encounters` | a device of that UUID exists already |
//! | `accidents` | libvirtd or the hook dies, devices vanish, other hooks fail |
//! | `surroundings` | who runs it, under which name, on what host |
//! | `simulator` | whether the simulator answers as this kernel does |

mod accidents;
mod encounters;
mod life;
mod placement;
mod requests;
mod simulator;
mod surroundings;

use crate::Outcome;
use crate::lab::Lab;

/// When a scenario runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// With every test run.
    Quick,
    /// In the long run only.
    All,
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line: what would be broken if it failed.
    pub(crate) proves: &'static str,
    pub(crate) part: Part,
    /// Scenarios that want the same memory share one boot.
    pub(crate) memory_mib: u32,
    /// How much it may add to its boot's time limit, in seconds: a bound against hanging, not a measure.
    pub(crate) limit_s: u32,
    pub(crate) run: fn(&mut Lab) -> Outcome,
}

const fn quick(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Outcome) -> Scenario {
    Scenario {
        name,
        proves,
        part: Part::Quick,
        memory_mib: 3072,
        limit_s: 60,
        run,
    }
}

const fn slow(name: &'static str, proves: &'static str, run: fn(&mut Lab) -> Outcome) -> Scenario {
    Scenario {
        part: Part::All,
        ..quick(name, proves, run)
    }
}

/// All of them, in the order in which they run.
pub(crate) const SCENARIOS: &[Scenario] = &[
    quick(
        "no-request",
        "a domain without a request starts, and we leave no trace",
        life::no_request,
    ),
    quick(
        "start-destroy",
        "an injected domain starts with its device; destroy leaves none; a second release does nothing",
        life::start_destroy,
    ),
    quick(
        "by-hand",
        "a request written by hand, joined by uuid, is served",
        life::by_hand,
    ),
    quick(
        "shutdown-and-reboot",
        "a reboot keeps the device, a shutdown from inside removes it",
        life::shutdown_and_reboot,
    ),
    quick(
        "reset",
        "a reset by the guest and one by virsh keep the device",
        life::reset,
    ),
    quick(
        "two-types",
        "one domain gets two devices of two types from two parents",
        life::two_types,
    ),
    quick("qemu-killed", "the device goes when QEMU is killed", life::qemu_killed),
    slow(
        "transient",
        "a transient domain is served and leaves nothing",
        life::transient,
    ),
    slow(
        "redefined-while-running",
        "release removes the running device, not the newly defined one",
        life::redefined_while_running,
    ),
    slow(
        "autostart",
        "a domain that libvirtd starts by itself is served",
        life::autostart,
    ),
    quick(
        "full",
        "no room: refused naming type and reason; of two devices neither is left",
        requests::full,
    ),
    quick(
        "unknown-type",
        "a type that is not there, or no type at all, is refused by name",
        requests::unknown_type,
    ),
    quick(
        "never-injected",
        "a request without a hostdev is refused, saying what to run",
        requests::never_injected,
    ),
    quick(
        "hostdev-gone",
        "a hostdev removed since: the domain starts without, the log warns",
        requests::hostdev_gone,
    ),
    quick(
        "alias-without-request",
        "our alias without a request is refused",
        requests::alias_without_request,
    ),
    quick(
        "clone",
        "a clone is refused naming refresh; after refresh it has a device of its own",
        requests::clone,
    ),
    quick(
        "virsh-edit",
        "mdevkit is an EDITOR for virsh edit",
        requests::virsh_edit,
    ),
    quick(
        "race",
        "twenty hooks at once, room for twelve: twelve served, eight refused, none doubled",
        requests::race,
    ),
    quick(
        "four-devices",
        "one domain gets four devices of two types, and leaves none",
        placement::four_devices,
    ),
    quick(
        "capacity",
        "what mdevkit says is left of each type is what the kernel says, and no rule is contradicted",
        placement::capacity,
    ),
    quick(
        "cordoned",
        "nothing new on a cordoned GPU, saying so; what is there stays, and drain names it",
        placement::cordoned,
    ),
    quick(
        "disabled-type",
        "a type that is disabled is refused, saying so; the GPU's other types are made",
        placement::disabled_type,
    ),
    quick(
        "group-and-profile",
        "a configured group and profile serve a domain, and keep what they do not allow away",
        placement::group_and_profile,
    ),
    quick(
        "by-need",
        "a request by need gets the smallest type that is enough",
        placement::by_need,
    ),
    quick(
        "explained",
        "mdevkit explain tells the last refusal and what a start would come to now, then where the device is and why",
        placement::explained,
    ),
    quick(
        "numa-strict",
        "strict about NUMA without pinning starts with a warning; with it, on a parent of no node, is refused",
        placement::numa_strict,
    ),
    quick(
        "own-is-adopted",
        "a device of this domain that is there is used again",
        encounters::own_is_adopted,
    ),
    quick(
        "being-released",
        "a device that cannot be removed yet blocks nobody, and is served when it is free",
        encounters::being_released,
    ),
    quick(
        "of-another-domain",
        "a second domain with the same device is refused, and the first keeps it",
        encounters::of_another_domain,
    ),
    quick(
        "foreign-is-used",
        "a foreign device that fits is used and left in place",
        encounters::foreign_is_used,
    ),
    quick(
        "foreign-of-another-type",
        "a foreign device that does not fit is refused and left in place",
        encounters::foreign_of_another_type,
    ),
    quick(
        "plain-mdev",
        "an mdev hostdev that is not ours: silence; a request for a device in use is refused",
        encounters::plain_mdev,
    ),
    quick(
        "libvirtd-restarted",
        "guest and device outlive libvirtd's stop, kill and start, and reconcile",
        accidents::libvirtd_restarted,
    ),
    quick(
        "qemu-dies-alone",
        "QEMU dies while libvirtd is down: the device goes when libvirtd is back",
        accidents::qemu_dies_alone,
    ),
    quick(
        "libvirtd-killed-in-prepare",
        "an orphan hook leaves nothing that reconcile does not collect",
        accidents::libvirtd_killed_in_prepare,
    ),
    quick(
        "second-start-beside-an-orphan",
        "a start beside an orphan hook gets its device and keeps it",
        accidents::second_start_beside_an_orphan,
    ),
    quick(
        "hook-killed",
        "a hook killed in prepare fails the start, leaves nothing, and the next start works",
        accidents::hook_killed,
    ),
    quick(
        "later-hook-fails",
        "another hook's refusal makes our release clean up",
        accidents::later_hook_fails,
    ),
    quick(
        "detached-device",
        "a device detached from the running guest goes with its domain",
        accidents::detached_device,
    ),
    quick(
        "nodedev-destroyed",
        "a device that virsh took away is no obstacle, neither to release nor to the next start",
        accidents::nodedev_destroyed,
    ),
    quick(
        "broken-configuration",
        "a broken configuration kills no guest, keeps no device, and is named at the next start",
        accidents::broken_configuration,
    ),
    quick(
        "newer-ledger",
        "a newer version's ledger is refused and not touched",
        accidents::newer_ledger,
    ),
    quick(
        "named-like-an-option",
        "a domain called --help is a domain",
        surroundings::named_like_an_option,
    ),
    quick(
        "session-mode",
        "an ordinary user's domain starts without a request and is refused with one",
        surroundings::session_mode,
    ),
    quick(
        "read-only-sys",
        "a read-only /sys refuses a request clearly and disturbs nobody else",
        surroundings::read_only_sys,
    ),
    quick(
        "device-by-hand",
        "mdevkit create and remove; reconcile leaves it, and nobody removes a foreign one",
        surroundings::device_by_hand,
    ),
    quick(
        "uninstalled",
        "the installer takes nothing away under a guest, and all of it afterwards",
        surroundings::uninstalled,
    ),
    quick(
        "sim-agrees",
        "the simulator answers as this kernel does, byte for byte, to every question of its scripts",
        simulator::sim_agrees,
    ),
    Scenario {
        memory_mib: 6144,
        limit_s: 900,
        ..slow(
            "twenty-at-once",
            "twenty domains started at once have a device each, and leave none",
            surroundings::twenty_at_once,
        )
    },
];
