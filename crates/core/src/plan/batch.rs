//! Several domains at once: do these fit together, and where?
//!
//! Each domain is placed whole, and exactly, on what the ones before it leave. Domains among each other are greedy:
//! in the order given, and when some find no place, again with those first (a repair), as long as fewer stay without
//! one. So "they fit" is proven, and "this one does not fit beside the others" is not.
//!
//! Invariant: an answer for every domain, in the order given; the places of all of them hold together.

use super::assign::{self, Taken};
use super::explain;
use super::facts::Facts;
use super::floor::{Choice, Floor, Stuck};
use super::{Need, Needs, Plan, Stop};
use crate::{Inventory, Refusal, Want};
use std::collections::BTreeMap;

/// How many orders are tried (count), and how many placements in all.
const REPAIRS: usize = 8;
const PLACEMENTS: usize = 100_000;

/// What became of several domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// A plan or a refusal for each domain, in the order given.
    pub answers: Vec<Result<Plan, Box<Refusal>>>,
    /// The order in which they were placed, as indices into `answers`.
    pub order: Vec<usize>,
}

impl Batch {
    /// Whether every domain has its place.
    pub fn fits(&self) -> bool {
        self.answers.iter().all(Result::is_ok)
    }

    /// Whether the order given did not do, and another one did better.
    pub fn repaired(&self) -> bool {
        !self.order.is_sorted()
    }
}

/// Finds places for several domains together, or says what has to be read first.
///
/// ```
/// use mdevkit_core::{plan_all, Inventory, Need};
/// assert_eq!(plan_all(&[], &Inventory::new("host")), Err(vec![Need::Parents]));
/// ```
///
/// # Errors
/// What it depends on and nobody has read.
pub fn plan_all(domains: &[Vec<Want>], inventory: &Inventory) -> Result<Batch, Vec<Need>> {
    let wants: Vec<Want> = domains.iter().flatten().cloned().collect();
    let mut next = 0;
    let members: Vec<Vec<usize>> = domains
        .iter()
        .map(|domain| {
            let first = next;
            next += domain.len();
            (first..next).collect()
        })
        .collect();
    let facts = Facts::gather(&wants, inventory).map_err(Stop::needs)?;
    let mut best = attempt(&facts, &members, (0..domains.len()).collect());
    for _ in 0..REPAIRS.min(PLACEMENTS / wants.len().max(1)) {
        let failed = |domain: &&usize| best.answers.get(**domain).is_some_and(Result::is_err);
        let (failed, placed): (Vec<usize>, Vec<usize>) = best.order.iter().partition(failed);
        if failed.is_empty() {
            break;
        }
        let again = attempt(&facts, &members, failed.iter().chain(&placed).copied().collect());
        if again.without_place() >= best.without_place() {
            break;
        }
        best = again;
    }
    finish(&wants, &facts, &members, best, inventory)
}

/// What came of one order.
struct Attempt {
    answers: Vec<Result<Vec<Choice>, Stuck>>,
    order: Vec<usize>,
}

impl Attempt {
    fn without_place(&self) -> usize {
        self.answers.iter().filter(|answer| answer.is_err()).count()
    }
}

fn attempt(facts: &Facts<'_>, members: &[Vec<usize>], order: Vec<usize>) -> Attempt {
    let mut floor = Floor::new(facts);
    let mut placed: Vec<(usize, Result<Vec<Choice>, Stuck>)> = order
        .iter()
        .filter_map(|domain| Some((*domain, super::place(&mut floor, members.get(*domain)?))))
        .collect();
    placed.sort_by_key(|(domain, _)| *domain);
    Attempt {
        answers: placed.into_iter().map(|(_, answer)| answer).collect(),
        order,
    }
}

fn finish(
    wants: &[Want],
    facts: &Facts<'_>,
    members: &[Vec<usize>],
    best: Attempt,
    inventory: &Inventory,
) -> Result<Batch, Vec<Need>> {
    let mut taken = Taken::default();
    for (domain, answer) in members.iter().zip(&best.answers) {
        if let Ok(choices) = answer {
            assign::reserve(facts, domain, choices, &mut taken);
        }
    }
    let mut unread = Needs::new();
    // Of domains of one device of the same kind, each is refused as the first one is.
    let mut told: BTreeMap<usize, Box<Refusal>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(members.len());
    for (domain, answer) in members.iter().zip(best.answers) {
        let stuck = match answer {
            Ok(choices) => {
                let placements = assign::placements_beside(wants, facts, domain, &choices, &mut taken);
                unread.extend(facts.unread_apis(domain, &placements));
                answers.push(Ok(Plan { placements }));
                continue;
            }
            Err(stuck) => stuck,
        };
        let kind = facts.kind_of.get(stuck.want).copied().filter(|_| domain.len() == 1);
        let known = kind.and_then(|kind| told.get(&kind)).cloned();
        let refusal = match known {
            Some(known) => known,
            None => match explain::refusal(facts, &stuck, inventory) {
                Stop::Refusal(refusal) => refusal,
                Stop::Needs(needs) => {
                    unread.extend(needs);
                    continue;
                }
            },
        };
        if let Some(kind) = kind {
            told.insert(kind, refusal.clone());
        }
        let slot = wants.get(stuck.want).map_or(refusal.slot, |want| want.slot);
        answers.push(Err(Box::new(Refusal { slot, ..*refusal })));
    }
    if unread.is_empty() {
        Ok(Batch {
            answers,
            order: best.order,
        })
    } else {
        Err(unread.into_iter().collect())
    }
}
