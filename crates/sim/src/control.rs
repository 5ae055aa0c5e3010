//! The control file: faults and orders for other processes, one per line of plain text.

use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;

use crate::attr::DeviceId;
use crate::error::{SimError, errno_by_name};
use crate::fault::{AttrFault, Fault, Target};
use crate::host::{Host, MANUAL};

/// What reading the control file shows first; the waiting faults follow.
pub(crate) const HELP: &str = include_str!("control_help.txt");

/// A line of the control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Inject(Fault),
    Attr {
        path: String,
        fault: Option<AttrFault>,
    },
    Hold {
        uuid: String,
        vm: String,
    },
    Release {
        uuid: String,
    },
    Vanish {
        uuid: String,
    },
    Unplug {
        parent: String,
    },
    /// None: all that there can be.
    Vfs {
        card: String,
        count: Option<usize>,
    },
    Mixed {
        card: String,
        on: bool,
    },
    Mig {
        card: String,
        on: bool,
    },
    MigCreate {
        card: String,
        profile: String,
    },
    MigDestroy {
        card: String,
        instance: u32,
    },
    Bind {
        function: String,
        driver: Option<String>,
    },
    Reset,
}

/// Every order in a text; blank lines and lines that begin with `#` say nothing.
pub(crate) fn parse(text: &str) -> Result<Vec<Order>, SimError> {
    let speaks = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().map(str::trim).filter(speaks).map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<Order, SimError> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let wrong = |why: &str| SimError::control(line, why);
    let one = |what: &str| match words.as_slice() {
        [word] => Ok((*word).to_owned()),
        _ => Err(wrong(what)),
    };
    match verb {
        "fail-create" | "slow-create" | "late-ready" => {
            let [parent, type_id, count, amount] = words.as_slice() else {
                return Err(wrong("needs PARENT TYPE COUNT and an ERRNO or MS"));
            };
            let name = |word: &str| (word != "*").then(|| word.to_owned());
            let on = Target {
                parent: name(parent),
                type_id: name(type_id),
            };
            let count = number(count).ok_or_else(|| wrong("COUNT must be a number"))?;
            if verb == "fail-create" {
                let errno = errno_by_name(amount).ok_or_else(|| wrong("no such errno"))? as i32;
                return Ok(Order::Inject(Fault::FailCreate { on, count, errno }));
            }
            let ms: u32 = number(amount).ok_or_else(|| wrong("MS must be a number"))?;
            let delay = Duration::from_millis(u64::from(ms));
            Ok(Order::Inject(match verb {
                "slow-create" => Fault::SlowCreate { on, count, delay },
                _ => Fault::LateReady { on, count, delay },
            }))
        }
        "attr" => {
            let (path, what) = rest
                .split_once(' ')
                .ok_or_else(|| wrong("needs PATH and what it becomes"))?;
            let (what, value) = what.split_once(' ').unwrap_or((what, ""));
            let fault = match what {
                "missing" => Some(AttrFault::Missing),
                "empty" => Some(AttrFault::Content(Vec::new())),
                "text" => Some(AttrFault::Content(format!("{value}\n").into_bytes())),
                "hex" => Some(AttrFault::Content(
                    hex(value).ok_or_else(|| wrong("BYTES must be hex digits"))?,
                )),
                "errno" => Some(AttrFault::Error(
                    errno_by_name(value).ok_or_else(|| wrong("no such errno"))? as i32,
                )),
                "clear" => None,
                _ => return Err(wrong("needs missing, empty, text, hex, errno or clear")),
            };
            Ok(Order::Attr {
                path: path.to_owned(),
                fault,
            })
        }
        "hold" => {
            let (uuid, vm) = rest.split_once(' ').unwrap_or((rest, "vm"));
            if uuid.is_empty() {
                return Err(wrong("needs UUID [VM]"));
            }
            Ok(Order::Hold {
                uuid: uuid.to_owned(),
                vm: vm.to_owned(),
            })
        }
        "release" => Ok(Order::Release {
            uuid: one("needs UUID")?,
        }),
        "vanish" => Ok(Order::Vanish {
            uuid: one("needs UUID")?,
        }),
        "unplug" => Ok(Order::Unplug {
            parent: one("needs PARENT")?,
        }),
        "vfs" | "mixed" | "mig" | "mig-create" | "mig-destroy" | "bind" => {
            let [which, what] = words.as_slice() else {
                return Err(wrong("needs an ADDRESS and one word more"));
            };
            card_order(verb, which, what).ok_or_else(|| wrong("read the file for what this order takes"))
        }
        "reset" if words.is_empty() => Ok(Order::Reset),
        _ => Err(wrong("no such order; read the file for a list")),
    }
}

/// An order about a card or one of its functions.
fn card_order(verb: &str, which: &str, what: &str) -> Option<Order> {
    let card = which.to_owned();
    let on = match what {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    };
    Some(match verb {
        "vfs" => Order::Vfs {
            card,
            count: match on {
                Some(true) => None,
                Some(false) => Some(0),
                None => Some(number(what)?),
            },
        },
        "mixed" => Order::Mixed { card, on: on? },
        "mig" => Order::Mig { card, on: on? },
        "mig-create" => Order::MigCreate {
            card,
            profile: what.to_owned(),
        },
        "mig-destroy" => Order::MigDestroy {
            card,
            instance: number(what)?,
        },
        "bind" => Order::Bind {
            function: card,
            driver: (what != "-").then(|| what.to_owned()),
        },
        _ => return None,
    })
}

fn number<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    pairs.collect()
}

impl Host {
    /// Carries an order out. The devices whose waiting removes thereby are done.
    pub(crate) fn carry_out(&mut self, order: Order) -> Result<Vec<DeviceId>, Errno> {
        match order {
            Order::Inject(fault) => self.inject(fault),
            Order::Attr { path, fault } => self.override_attr(&path, fault)?,
            Order::Hold { uuid, vm } => {
                let id = self.by_uuid(&uuid)?;
                self.open_device(id, MANUAL, &vm)?;
            }
            Order::Release { uuid } => {
                let id = self.by_uuid(&uuid)?;
                return Ok(self.close_device(id, MANUAL).into_iter().collect());
            }
            Order::Vanish { uuid } => return Ok(vec![self.vanish(&uuid)?]),
            Order::Unplug { parent } => return self.unplug(&parent),
            Order::Vfs { card, count } => return self.set_vfs(self.gpu_named(&card)?, count),
            Order::Mixed { card, on } => self.set_mixed(self.gpu_named(&card)?, on)?,
            Order::Mig { card, on } => self.set_mig(self.gpu_named(&card)?, on)?,
            Order::MigCreate { card, profile } => {
                self.cut_instance(self.gpu_named(&card)?, &profile)?;
            }
            Order::MigDestroy { card, instance } => self.drop_instance(self.gpu_named(&card)?, instance)?,
            Order::Bind { function, driver } => return self.bind(&function, driver.as_deref()),
            Order::Reset => self.clear_faults(),
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_the_help_says() {
        let fail = Fault::FailCreate {
            on: Target::type_on("mtty", "mtty-2"),
            count: 3,
            errno: Errno::EIO as i32,
        };
        let late = Fault::LateReady {
            on: Target::any(),
            count: 1,
            delay: Duration::from_millis(50),
        };
        let attr = |fault| Order::Attr {
            path: "sys/a b".replace(" b", ""),
            fault,
        };
        for (line, order) in [
            ("fail-create mtty mtty-2 3 EIO", Order::Inject(fail)),
            ("late-ready * * 1 50", Order::Inject(late)),
            ("attr sys/a missing", attr(Some(AttrFault::Missing))),
            (
                "attr sys/a text abc d",
                attr(Some(AttrFault::Content(b"abc d\n".to_vec()))),
            ),
            (
                "attr sys/a hex 61ff0a",
                attr(Some(AttrFault::Content(vec![0x61, 0xff, 0x0a]))),
            ),
            ("attr sys/a errno EIO", attr(Some(AttrFault::Error(Errno::EIO as i32)))),
            ("attr sys/a clear", attr(None)),
            (
                "hold U win 10",
                Order::Hold {
                    uuid: "U".to_owned(),
                    vm: "win 10".to_owned(),
                },
            ),
            (
                "vfs C on",
                Order::Vfs {
                    card: "C".to_owned(),
                    count: None,
                },
            ),
            (
                "mig-create C 1g.5gb+me",
                Order::MigCreate {
                    card: "C".to_owned(),
                    profile: "1g.5gb+me".to_owned(),
                },
            ),
            (
                "bind F -",
                Order::Bind {
                    function: "F".to_owned(),
                    driver: None,
                },
            ),
            (
                "unplug mtty",
                Order::Unplug {
                    parent: "mtty".to_owned(),
                },
            ),
        ] {
            assert_eq!(parse(&format!("# comment\n\n {line}\n")).unwrap(), [order], "{line}");
        }
        for line in [
            "nonsense",
            "fail-create mtty 1 EIO",
            "fail-create * * 1 ENOSUCH",
            "slow-create * * x 5",
            "attr sys/a hex 6",
            "attr sys/a",
            "reset now",
            "vanish",
            "hold",
            "vfs 0000:08:00.0",
            "vfs 0000:08:00.0 many",
            "mixed 0000:08:00.0 1",
            "mig-destroy 0000:08:00.0 1g.5gb",
            "bind 0000:08:00.0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
