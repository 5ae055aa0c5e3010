//! libvirt's hook protocol, and nothing else: argv and stdin in, an exit status and at most one line out.
//!
//! ```text
//!   argv ──► Call ──┬─ prepare ──► request in the XML? ─ no ─► 0
//!                   │                  └─ yes ─► Host::wants ─► Host::acquire ─► Host::keep ─► 0, or one line on stderr
//!                   ├─ release ──► Host::release ──► 0, always
//!                   ├─ the daemon starts ──► Host::reconcile ──► 0, always
//!                   └─ anything else ──► 0, as the first act
//! ```
//!
//! Invariants: `reconnect` and every operation that is not known return 0 before stdin, configuration or log are
//! touched, because a failing `reconnect` kills a running guest; a domain without a request costs no lock, no sysfs and
//! no configuration; stdout stays empty; stderr gets one line of at most 300 bytes, and never a part of stdin.
#![forbid(unsafe_code)]

mod call;
mod journal;
mod operations;
mod outcome;

pub use call::{Call, CallError};
pub use journal::timestamp;
pub use outcome::{LINE, Outcome};

use mdevkit_host::{Host, Reaper, Root};
use std::ffi::OsString;
use std::io::Read;

/// What makes this program remove one device and do nothing else (see `mdevkit_host::Reaper`): two arguments follow, so
/// that it cannot be mistaken for a call of libvirt's, which always has four.
const REAP: &str = "__reap";

/// A root that means the same in every working directory: the child that removes has another one.
fn at(root: OsString) -> Root {
    Root::at(std::path::absolute(&root).unwrap_or_else(|_| root.into()))
}

/// Answers one call.
///
/// `args` are all of argv, the program's name first. `root` is the value of `MDEVKIT_ROOT`, the only variable that is
/// read; libvirtd never passes it on.
///
/// ```
/// let args = ["hook", "vm1", "reconnect", "begin", "-"].map(Into::into).to_vec();
/// let outcome = mdevkit_hook::run(args, std::io::empty(), None);
/// assert_eq!((outcome.status, outcome.line), (0, None));
/// ```
pub fn run(args: Vec<OsString>, stdin: impl Read, root: Option<OsString>) -> Outcome {
    if let [_, word, uuid, root] = args.as_slice()
        && word == REAP
    {
        return operations::reap(uuid, root);
    }
    let call = match Call::parse(&args) {
        Ok(Call::Nothing) => return Outcome::done(),
        Ok(call) => call,
        Err(error) => return Outcome::failed(mdevkit_core::Code::Usage, &error.to_string()),
    };
    let simulated = root.is_some();
    let host = Host::new(root.map_or_else(Root::system, at)).with_reaper(Reaper {
        program: "/proc/self/exe".into(),
        args: vec![REAP.into()],
    });
    let log = journal::Log {
        root: host.root().clone(),
        simulated,
    };
    match call {
        Call::Nothing => Outcome::done(),
        Call::Prepare { domain } => operations::prepare(&host, &log, &domain, stdin),
        Call::Release { domain } => operations::release(&host, &log, &domain, stdin),
        Call::DaemonStart => operations::daemon_start(&host, &log),
    }
}
