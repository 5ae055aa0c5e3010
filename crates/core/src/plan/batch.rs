//! Several domains at once: do these fit together, and where?
//!
//! Each domain is placed whole, and exactly, on what the ones before it leave. Domains among each other are greedy:
//! in the order given, and when some find no place, again with those first (a repair), as long as fewer stay without
//! one. So "they fit" is proven, and "this one does not fit beside the others" is not.
//!
//! Invariant: an answer for every domain, in the order given; the places of all of them hold together.

use super::assign::{self, Taken};
use super::facts::Facts;
use super::floor::{Choice, Floor};
use super::{Need, Needs, Plan, Stop};
use crate::{Inventory, Refusal, Want};

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
    let mut best = attempt(&facts, &members, (0..domains.len()).collect(), inventory)?;
    for _ in 0..REPAIRS.min(PLACEMENTS / wants.len().max(1)) {
        let (failed, placed): (Vec<usize>, Vec<usize>) = best
            .order
            .iter()
            .partition(|domain| best.answers.get(**domain).is_some_and(Result::is_err));
        if failed.is_empty() {
            break;
        }
        let again = attempt(
            &facts,
            &members,
            failed.iter().chain(&placed).copied().collect(),
            inventory,
        )?;
        let without = |tried: &Attempt| tried.answers.iter().filter(|answer| answer.is_err()).count();
        if without(&again) >= without(&best) {
            break;
        }
        best = again;
    }
    finish(&wants, &facts, &members, best)
}

struct Attempt {
    answers: Vec<Result<Vec<Choice>, Box<Refusal>>>,
    order: Vec<usize>,
}

fn attempt(
    facts: &Facts<'_>,
    members: &[Vec<usize>],
    order: Vec<usize>,
    inventory: &Inventory,
) -> Result<Attempt, Vec<Need>> {
    let mut floor = Floor::new(facts);
    let mut answers: Vec<Option<Result<Vec<Choice>, Box<Refusal>>>> = vec![None; members.len()];
    let mut unread = Needs::new();
    for domain in &order {
        let (Some(wants), Some(answer)) = (members.get(*domain), answers.get_mut(*domain)) else {
            continue;
        };
        *answer = match super::place(&mut floor, facts, wants, inventory) {
            Ok(choices) => Some(Ok(choices)),
            Err(Stop::Refusal(refusal)) => Some(Err(refusal)),
            Err(Stop::Needs(more)) => {
                unread.extend(more);
                None
            }
        };
    }
    if !unread.is_empty() {
        return Err(unread.into_iter().collect());
    }
    Ok(Attempt {
        answers: answers.into_iter().flatten().collect(),
        order,
    })
}

fn finish(wants: &[Want], facts: &Facts<'_>, members: &[Vec<usize>], best: Attempt) -> Result<Batch, Vec<Need>> {
    let mut taken = Taken::default();
    let mut unread = Needs::new();
    let mut answers = Vec::with_capacity(members.len());
    for (domain, answer) in members.iter().zip(best.answers) {
        answers.push(answer.map(|choices| {
            let placements = assign::placements_beside(wants, facts, domain, &choices, &mut taken);
            unread.extend(facts.unread_apis(domain, &placements));
            Plan { placements }
        }));
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
