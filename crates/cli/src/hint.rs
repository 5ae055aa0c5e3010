//! What would have to stop for a device to find room, as a person reads it.
//!
//! ```text
//! would fit if vm3 stopped (0000:06:00.0), or if vm1 and vm2 stopped (0000:07:00.0)
//! ```

use crate::look;
use crate::out::plain;
use mdevkit_core::ledger::Owner;
use mdevkit_core::{Stops, Uuid, Want, stops};
use mdevkit_host::Survey;
use serde::Serialize;
use std::collections::BTreeMap;

/// The most ways that are told in one line.
const WAYS: usize = 3;
/// The most who are named for one way.
const NAMES: usize = 4;

/// What would free a place on one GPU, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Way {
    /// The GPU.
    pub(crate) pgpu: String,
    /// The names of the domains that would have to stop (the UUID of one without a name), by name.
    pub(crate) domains: Vec<String>,
    /// The devices that would have to go, other people's among them.
    pub(crate) devices: Vec<Uuid>,
    /// The devices among them that no domain of ours has, so that somebody has to remove them.
    #[serde(skip)]
    others: usize,
}

/// The ways to make room for a want, those that stop the fewest first; none where there is room, or no way.
pub(crate) fn ways(want: &Want, survey: &Survey) -> Vec<Way> {
    let domains = domains(survey);
    let found = stops(want, &survey.inventory, &domains).unwrap_or_default();
    found.into_iter().map(|stops| way(stops, &domains)).collect()
}

/// The line; none when there is no way. The same who on several GPUs is one way.
pub(crate) fn line(ways: &[Way]) -> Option<String> {
    let mut phrases: Vec<(String, Vec<&str>)> = Vec::new();
    for way in ways {
        let who = phrase(way);
        match phrases.iter_mut().find(|(known, _)| *known == who) {
            Some((_, gpus)) => gpus.push(&way.pgpu),
            None => phrases.push((who, vec![&way.pgpu])),
        }
    }
    let told: Vec<String> = phrases
        .iter()
        .take(WAYS)
        .map(|(who, gpus)| format!("{who} ({})", gpus.join(" or ")))
        .collect();
    if told.is_empty() {
        return None;
    }
    let more = match phrases.len() - told.len() {
        0 => String::new(),
        1 => "; or in 1 other way".to_owned(),
        more => format!("; or in {more} other ways"),
    };
    Some(format!("would fit {}{more}", told.join(", or ")))
}

/// Which domain each device belongs to, by name.
fn domains(survey: &Survey) -> BTreeMap<Uuid, String> {
    let residents = survey.gpus.iter().flat_map(|gpu| &gpu.residents);
    let name = |owner: &Owner| {
        let (uuid, name) = look::domain(Some(owner))?;
        Some(if name.is_empty() {
            uuid.to_string()
        } else {
            name.to_owned()
        })
    };
    residents
        .filter_map(|device| Some((device.uuid, name(device.owner.as_ref()?)?)))
        .collect()
}

fn way(stops: Stops, domains: &BTreeMap<Uuid, String>) -> Way {
    let others = stops.devices.iter().filter(|uuid| !domains.contains_key(uuid)).count();
    let mut named: Vec<String> = stops
        .devices
        .iter()
        .filter_map(|uuid| domains.get(uuid))
        .cloned()
        .collect();
    named.sort();
    named.dedup();
    Way {
        pgpu: stops.pgpu.to_string(),
        domains: named,
        devices: stops.devices,
        others,
    }
}

fn phrase(way: &Way) -> String {
    let mut who: Vec<String> = way.domains.iter().take(NAMES).map(|name| plain(name)).collect();
    match way.domains.len().saturating_sub(NAMES) {
        0 => {}
        1 => who.push("1 more domain".to_owned()),
        more => who.push(format!("{more} more domains")),
    }
    let verb = if way.others == 0 {
        "stopped"
    } else {
        who.push(match (way.others, way.devices.as_slice()) {
            (1, [only]) => format!("device {only}"),
            (1, _) => "1 device by hand".to_owned(),
            (many, _) => format!("{many} devices made by hand"),
        });
        if way.domains.is_empty() && way.others == 1 {
            "was removed"
        } else if way.domains.is_empty() {
            "were removed"
        } else {
            "were gone"
        }
    };
    format!("if {} {verb}", list(&who))
}

/// `a`, `a and b`, `a, b and c`.
fn list(who: &[String]) -> String {
    match who.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(pgpu: &str, domains: &[&str], others: usize) -> Way {
        let count = domains.len() + others;
        Way {
            pgpu: pgpu.to_owned(),
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            devices: (0..count).map(|n| Uuid::from_u128(n as u128)).collect(),
            others,
        }
    }

    #[test]
    fn who_would_have_to_stop_is_said_in_words() {
        let nil = Uuid::nil();
        for (ways, expected) in [
            (vec![], None),
            (
                vec![way("0000:06:00.0", &["vm3"], 0)],
                Some("would fit if vm3 stopped (0000:06:00.0)".to_owned()),
            ),
            (
                vec![way("a", &["vm3"], 0), way("b", &["v\n1", "vm2"], 0)],
                Some(r"would fit if vm3 stopped (a), or if v\n1 and vm2 stopped (b)".to_owned()),
            ),
            (
                vec![way("a", &["vm"], 0), way("b", &["vm"], 0), way("c", &["vm"], 0)],
                Some("would fit if vm stopped (a or b or c)".to_owned()),
            ),
            (
                vec![way("a", &["1", "2", "3", "4", "5", "6"], 0)],
                Some("would fit if 1, 2, 3, 4 and 2 more domains stopped (a)".to_owned()),
            ),
            (
                vec![
                    way("a", &[], 1),
                    way("b", &["vm"], 1),
                    way("c", &[], 2),
                    way("d", &[], 3),
                ],
                Some(format!(
                    "would fit if device {nil} was removed (a), or if vm and 1 device by hand were gone (b), \
                     or if 2 devices made by hand were removed (c); or in 1 other way"
                )),
            ),
        ] {
            assert_eq!(line(&ways), expected);
        }
    }
}
