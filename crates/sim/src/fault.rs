//! Faults on demand: what a real host does on a bad day, as data.

use std::fmt;
use std::time::Duration;

use nix::errno::Errno;

use crate::attr::Attr;
use crate::host::Host;
use crate::tree::Kind;

/// Something that goes wrong from now on. Give it to [`SimHandle::inject`](crate::SimHandle::inject).
///
/// Faults are looked at in the order in which they were given; the first that fits a create is used up once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The next creates fail with this errno, from the driver's probe (that is, after the checks of the core).
    FailCreate {
        /// Which creates.
        on: Target,
        /// How many.
        count: u32,
        /// With what, as a number (`libc::EIO`).
        errno: i32,
    },
    /// The next creates take this long: the device's directory is there, `mdev_type` and the rest are not, and the
    /// write does not return.
    SlowCreate {
        /// Which creates.
        on: Target,
        /// How many.
        count: u32,
        /// How long the probe takes.
        delay: Duration,
    },
    /// The next creates return at once, but the `mdev_type` link and `/dev/vfio/N` appear this much later.
    LateReady {
        /// Which creates.
        on: Target,
        /// How many.
        count: u32,
        /// How much later.
        delay: Duration,
    },
}

/// Which creates a fault is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The parent's name (`mtty`, `0000:06:00.0`); none: any.
    pub parent: Option<String>,
    /// The type directory's name (`mtty-2`, `nvidia-194`); none: any.
    pub type_id: Option<String>,
}

impl Target {
    /// Every create on the host.
    pub fn any() -> Self {
        Self::default()
    }

    /// The creates on one parent.
    pub fn parent(name: &str) -> Self {
        Target {
            parent: Some(name.to_owned()),
            type_id: None,
        }
    }

    /// The creates of one type on one parent.
    pub fn type_on(parent: &str, type_id: &str) -> Self {
        Target {
            parent: Some(parent.to_owned()),
            type_id: Some(type_id.to_owned()),
        }
    }

    fn fits(&self, parent: &str, type_id: &str) -> bool {
        self.parent.as_deref().is_none_or(|name| name == parent)
            && self.type_id.as_deref().is_none_or(|name| name == type_id)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".to_owned());
        write!(f, "{} {}", any(&self.parent), any(&self.type_id))
    }
}

/// What a file is instead of itself. Give it to [`SimHandle::override_attr`](crate::SimHandle::override_attr).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttrFault {
    /// It is not there.
    Missing,
    /// Reading gives these bytes, whatever they are.
    Content(Vec<u8>),
    /// Reading and writing give this errno, as a number.
    Error(i32),
}

/// What the faults make of one create.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) fail: Option<Errno>,
    pub(crate) slow: Option<Duration>,
    pub(crate) late: Option<Duration>,
}

/// The faults that are waiting.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Uses up, for one create, the first waiting fault of each kind that fits.
    pub(crate) fn strike(&mut self, parent: &str, type_id: &str) -> Effects {
        let mut effects = Effects::default();
        for fault in &mut self.0 {
            let (on, count) = fault.scope();
            if *count == 0 || !on.fits(parent, type_id) {
                continue;
            }
            let taken = match fault {
                Fault::FailCreate { errno, .. } => {
                    effects.fail.is_none() && {
                        effects.fail = Some(Errno::from_raw(*errno));
                        true
                    }
                }
                Fault::SlowCreate { delay, .. } => {
                    effects.slow.is_none() && {
                        effects.slow = Some(*delay);
                        true
                    }
                }
                Fault::LateReady { delay, .. } => {
                    effects.late.is_none() && {
                        effects.late = Some(*delay);
                        true
                    }
                }
            };
            if taken {
                *fault.scope().1 -= 1;
            }
        }
        self.0.retain_mut(|fault| *fault.scope().1 > 0);
        effects
    }

    /// One line for each, as the control file takes them.
    pub(crate) fn lines(&self) -> String {
        self.0.iter().map(|fault| format!("{fault}\n")).collect()
    }
}

impl Fault {
    fn scope(&mut self) -> (&Target, &mut u32) {
        match self {
            Fault::FailCreate { on, count, .. }
            | Fault::SlowCreate { on, count, .. }
            | Fault::LateReady { on, count, .. } => (on, count),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::FailCreate { on, count, errno } => {
                write!(f, "fail-create {on} {count} {:?}", Errno::from_raw(*errno))
            }
            Fault::SlowCreate { on, count, delay } => write!(f, "slow-create {on} {count} {}", delay.as_millis()),
            Fault::LateReady { on, count, delay } => write!(f, "late-ready {on} {count} {}", delay.as_millis()),
        }
    }
}

impl Host {
    pub(crate) fn inject(&mut self, fault: Fault) {
        self.faults.add(fault);
    }

    pub(crate) fn clear_faults(&mut self) {
        self.faults.clear();
        self.tree.clear_faults();
    }

    pub(crate) fn override_attr(&mut self, path: &str, fault: Option<AttrFault>) -> Result<(), Errno> {
        let id = self.tree.resolve(path).ok_or(Errno::ENOENT)?;
        let node = self.tree.get_mut(id).ok_or(Errno::ENOENT)?;
        match &node.kind {
            Kind::File(Attr::Control | Attr::Log) => Err(Errno::EPERM),
            Kind::File(_) => {
                node.fault = fault;
                Ok(())
            }
            // The kernel may remember the directories and links that stay.
            _ if node.lasting => Err(Errno::EPERM),
            _ if matches!(fault, None | Some(AttrFault::Missing)) => {
                node.fault = fault;
                Ok(())
            }
            _ => Err(Errno::EISDIR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_what_it_names_and_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::FailCreate {
            on: Target::type_on("mtty", "mtty-2"),
            count: 2,
            errno: Errno::EIO as i32,
        });
        faults.add(Fault::LateReady {
            on: Target::any(),
            count: 1,
            delay: Duration::from_millis(5),
        });
        assert!(faults.strike("mdpy", "mdpy-hd").late.is_some());
        assert_eq!(faults.lines(), "fail-create mtty mtty-2 2 EIO\n");
        assert_eq!(faults.strike("mtty", "mtty-1").fail, None);
        assert_eq!(faults.strike("mtty", "mtty-2").fail, Some(Errno::EIO));
        assert_eq!(faults.strike("mtty", "mtty-2").fail, Some(Errno::EIO));
        assert_eq!(faults.strike("mtty", "mtty-2").fail, None);
    }
}
