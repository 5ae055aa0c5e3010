//! The GPUs while devices are placed on them: each one's room, and for each kind of want the GPUs in its policy's
//! order.
//!
//! Invariant: an entry of a kind's order says the truth about the room of its GPU; whoever changes a room renews the
//! entries of that GPU, and of no other. So a placement costs the logarithm of the number of GPUs, not the number.

use super::Beside;
use super::facts::{Facts, Fit};
use crate::rule::{Large, Room};
use crate::{ParentName, Policy};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Where one want goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) site: usize,
    pub(crate) fit: Fit,
    /// How many more fitted there, this one included.
    pub(crate) left: u32,
    /// On how many GPUs there was room.
    pub(crate) had_room: usize,
    /// Whether something ran there already; where there was a choice.
    pub(crate) open: Option<bool>,
    /// Whether the policy's own choice was another one.
    pub(crate) rearranged: bool,
    /// When it is to be made, among the devices of its domain.
    pub(crate) turn: usize,
}

/// A kind's order of preference: the lesser is taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The smallest type that has enough, before a larger one.
    rank: u16,
    /// Near the domain's memory, before far from it.
    far: bool,
    /// What the policy says.
    policy: Rank,
    /// The lowest address.
    site: usize,
    of: u16,
}

/// What each policy compares; one kind has one policy, so only equals meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Whether it is empty, and how much is left.
    Depth(bool, u32),
    /// How much is left.
    Breadth(Reverse<u32>),
    /// What is lost; the smallest type that has enough; how much is left.
    Keep(Box<Large>, u32),
}

/// The GPUs with what is placed on them so far.
pub(crate) struct Floor<'f, 'a> {
    pub(crate) facts: &'f Facts<'a>,
    pub(crate) rooms: Vec<Room>,
    /// How many devices of the domain that is being placed are on each site, and whether one of them wants to be alone.
    used: Vec<(u16, bool)>,
    /// The same before any of them was placed.
    before: Vec<(u16, bool)>,
    /// The sites where one was placed.
    touched: Vec<usize>,
    /// The virtual functions that were named and are taken, by any domain.
    named: BTreeSet<&'a ParentName>,
    orders: Vec<Option<Order>>,
}

/// The candidates of one kind.
struct Order {
    best: BTreeSet<(Key, Fit)>,
    /// The entries of each site, to be taken out again.
    of_site: Vec<Vec<(Key, Fit)>>,
    /// How many sites have one.
    sites: usize,
}

impl<'f, 'a> Floor<'f, 'a> {
    pub(crate) fn new(facts: &'f Facts<'a>) -> Self {
        Self {
            facts,
            rooms: facts.sites.iter().map(|site| site.start).collect(),
            used: vec![(0, false); facts.sites.len()],
            before: vec![(0, false); facts.sites.len()],
            touched: Vec::new(),
            named: BTreeSet::new(),
            orders: facts.kinds.iter().map(|_| None).collect(),
        }
    }

    /// The same where the domain has devices already.
    pub(crate) fn beside(facts: &'f Facts<'a>, devices: &[Beside]) -> Self {
        let mut floor = Self::new(facts);
        for device in devices {
            let site = facts.sites.binary_search_by(|site| site.pgpu.cmp(&device.pgpu));
            if let Some((count, alone)) = site.ok().and_then(|site| floor.used.get_mut(site)) {
                *count = count.saturating_add(1);
                *alone |= device.apart;
            }
        }
        floor.before.clone_from(&floor.used);
        floor
    }

    /// Places a domain's wants one after the other, each on its best GPU. Fails with the first want that finds none,
    /// and with where those before it went; then nothing is kept.
    pub(crate) fn place(&mut self, domain: &[usize]) -> Result<Vec<Choice>, Stuck> {
        self.leave();
        let mut choices: Vec<Choice> = Vec::with_capacity(domain.len());
        let mut before: Vec<(usize, Room)> = Vec::new();
        let named = self.named.clone();
        for want in domain {
            let Some(choice) = self.best(*want) else {
                for (site, room) in before.into_iter().rev() {
                    self.set(site, room);
                }
                self.named = named;
                return Err(Stuck {
                    want: *want,
                    domain: domain.to_vec(),
                    unproven: false,
                });
            };
            if let Some(room) = self.rooms.get(choice.site) {
                before.push((choice.site, *room));
            }
            self.take(*want, &choice);
            choices.push(Choice {
                turn: choices.len(),
                ..choice
            });
        }
        Ok(choices)
    }

    /// Keeps what a search found, in the order in which it is to be made, and tells of it what [`Floor::place`] tells
    /// of its own choices.
    pub(crate) fn adopt(&mut self, domain: &[usize], found: Vec<(usize, usize, Fit)>) -> Vec<Choice> {
        self.leave();
        let mut choices = Vec::with_capacity(domain.len());
        for (turn, (position, site, fit)) in found.into_iter().enumerate() {
            let Some(want) = domain.get(position) else { continue };
            let first = self.best(*want).map(|choice| (choice.site, choice.fit));
            let choice = Choice {
                turn,
                rearranged: first != Some((site, fit)),
                ..self.choice(*want, site, fit)
            };
            self.take(*want, &choice);
            choices.push((position, choice));
        }
        choices.sort_by_key(|(position, _)| *position);
        choices.into_iter().map(|(_, choice)| choice).collect()
    }

    /// The next domain begins: nothing of it is anywhere yet.
    fn leave(&mut self) {
        for site in self.touched.drain(..) {
            if let (Some(used), Some(before)) = (self.used.get_mut(site), self.before.get(site)) {
                *used = *before;
            }
        }
    }

    fn kind(&self, want: usize) -> usize {
        self.facts.kind_of.get(want).copied().unwrap_or(usize::MAX)
    }

    fn best(&mut self, want: usize) -> Option<Choice> {
        let kind = self.kind(want);
        let apart = self.facts.wants.get(want)?.apart;
        let function = self.facts.kinds.get(kind)?.function;
        if function.is_some_and(|name| self.named.contains(name)) {
            return None;
        }
        self.order(kind)?;
        let order = self.orders.get(kind)?.as_ref()?;
        let (key, fit) = order
            .best
            .iter()
            .find(|(key, _)| self.may_join(key.site, apart))
            .cloned()?;
        Some(self.choice(want, key.site, fit))
    }

    /// The virtual function that a want names.
    pub(crate) fn function(&self, want: usize) -> Option<&'a ParentName> {
        self.facts.kinds.get(self.kind(want))?.function
    }

    /// Whether a virtual function that somebody named is taken.
    pub(crate) fn is_named(&self, function: &ParentName) -> bool {
        self.named.contains(function)
    }

    /// Whether the domain has a device on a site before any of these is placed, and whether that is to be alone.
    pub(crate) fn had(&self, site: usize) -> (bool, bool) {
        self.before
            .get(site)
            .map_or((false, false), |(count, alone)| (*count > 0, *alone))
    }

    /// Whether a device of the domain may be where others of it are.
    pub(crate) fn may_join(&self, site: usize, apart: bool) -> bool {
        match self.used.get(site) {
            Some((0, _)) | None => true,
            Some((_, alone)) => !apart && !alone,
        }
    }

    fn choice(&self, want: usize, site: usize, fit: Fit) -> Choice {
        let order = self.orders.get(self.kind(want)).and_then(Option::as_ref);
        let open = self
            .facts
            .sites
            .get(site)
            .zip(self.rooms.get(site))
            .is_some_and(|(facts, room)| facts.gpu.is_open(room));
        let had_room = order.map_or(0, |order| order.sites);
        Choice {
            site,
            fit,
            left: self.left(site, fit),
            had_room,
            open: (had_room > 1).then_some(open),
            rearranged: false,
            turn: 0,
        }
    }

    pub(crate) fn left(&self, site: usize, fit: Fit) -> u32 {
        match (self.facts.sites.get(site), self.rooms.get(site)) {
            (Some(facts), Some(room)) => facts.gpu.left(room, usize::from(fit.of)),
            _ => 0,
        }
    }

    fn take(&mut self, want: usize, choice: &Choice) {
        let site = choice.site;
        let (Some(facts), Some(room)) = (self.facts.sites.get(site), self.rooms.get(site)) else {
            return;
        };
        let Some(room) = facts.gpu.take(room, usize::from(choice.fit.of)) else {
            return;
        };
        let apart = self.facts.wants.get(want).is_some_and(|want| want.apart);
        let kind = self.kind(want);
        self.named
            .extend(self.facts.kinds.get(kind).and_then(|kind| kind.function));
        if let Some((count, alone)) = self.used.get_mut(site) {
            *count = count.saturating_add(1);
            *alone |= apart;
            self.touched.push(site);
        }
        self.set(site, room);
    }

    pub(crate) fn set(&mut self, site: usize, room: Room) {
        if let Some(old) = self.rooms.get_mut(site) {
            *old = room;
        }
        for kind in 0..self.orders.len() {
            let entries = self.entries(kind, site);
            if let Some(Some(order)) = self.orders.get_mut(kind) {
                order.renew(site, entries);
            }
        }
    }

    /// Makes a kind's order, the first time that it is asked for.
    fn order(&mut self, kind: usize) -> Option<()> {
        if self.orders.get(kind)?.is_none() {
            let sites = self.facts.sites.len();
            let mut order = Order {
                best: BTreeSet::new(),
                of_site: vec![Vec::new(); sites],
                sites: 0,
            };
            for site in 0..sites {
                order.renew(site, self.entries(kind, site));
            }
            *self.orders.get_mut(kind)? = Some(order);
        }
        Some(())
    }

    /// What a kind may be on a site, and how much it would like it.
    fn entries(&self, kind: usize, site: usize) -> Vec<(Key, Fit)> {
        let fits = self.facts.kinds.get(kind).and_then(|kind| kind.verdicts.get(site));
        let Some(Ok(fits)) = fits else { return Vec::new() };
        fits.iter()
            .filter_map(|fit| Some((self.key(kind, site, *fit)?, *fit)))
            .collect()
    }

    fn key(&self, kind: usize, site: usize, fit: Fit) -> Option<Key> {
        let (facts, room) = (self.facts.sites.get(site)?, self.rooms.get(site)?);
        let of = usize::from(fit.of);
        let left = facts.gpu.left(room, of);
        if left == 0 {
            return None;
        }
        let policy = match self.facts.kinds.get(kind)?.policy {
            Policy::DepthFirst => Rank::Depth(!facts.gpu.is_open(room), left),
            Policy::BreadthFirst => Rank::Breadth(Reverse(left)),
            Policy::KeepLarge => {
                let after = facts.gpu.take(room, of)?;
                Rank::Keep(Box::new(facts.gpu.large_lost(room, &after)), left)
            }
        };
        Some(Key {
            rank: fit.rank,
            far: fit.far,
            policy,
            site,
            of: fit.of,
        })
    }
}

impl Order {
    fn renew(&mut self, site: usize, entries: Vec<(Key, Fit)>) {
        let Some(old) = self.of_site.get_mut(site) else { return };
        if *old == entries {
            return;
        }
        for entry in &*old {
            self.best.remove(entry);
        }
        self.sites -= usize::from(!old.is_empty());
        self.sites += usize::from(!entries.is_empty());
        self.best.extend(entries.iter().cloned());
        *old = entries;
    }
}

/// The want that found no place.
pub(crate) struct Stuck {
    pub(crate) want: usize,
    pub(crate) domain: Vec<usize>,
    /// Whether the search for another arrangement was cut short.
    pub(crate) unproven: bool,
}
