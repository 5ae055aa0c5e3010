//! When the wants of a domain do not fit one after the other: is there another arrangement?
//!
//! GPUs that are alike (same room, and every want of the domain may be the same there) are counted, not told apart:
//! a state is how many GPUs of each class there are, a step puts one device on one GPU of a class. A state from which
//! the rest does not fit is remembered; one in which a kind has less room in all than wants is given up at once.
//!
//! Where the driver chooses a device's place in the framebuffer (mixed sizes), it matters which device is made first:
//! there every order is tried, elsewhere one is enough.
//!
//! Invariant: exact within [`WORK`]; who exceeds them says so.

use super::facts::Fit;
use super::floor::Floor;
use crate::rule::{Room, Rule};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How much is tried before a search is cut short: steps, each times the classes that it looks at. Some 5 ms.
const WORK: usize = 100_000;

/// What a search came to.
pub(super) enum Found {
    /// The wants in the order in which they are to be made: each one's position in the domain, its site and its fit.
    Plan(Vec<(usize, usize, Fit)>),
    /// No arrangement fits.
    Nothing,
    /// Nobody knows: it took too many steps.
    CutShort,
}

/// Searches for any arrangement of a domain's wants on the floor as it is.
pub(super) fn search(floor: &Floor<'_, '_>, domain: &[usize]) -> Found {
    // Of two who name one virtual function one finds no place, whatever the arrangement.
    let mut named = BTreeSet::new();
    let mut functions = domain.iter().filter_map(|want| floor.function(*want));
    if functions.any(|name| floor.is_named(name) || !named.insert(name)) {
        return Found::Nothing;
    }
    let mut search = Search::new(floor, domain);
    let (order, cells) = (search.order.clone(), search.cells.clone());
    match search.from(&order, &cells) {
        Some(true) => Found::Plan(search.sites()),
        Some(false) => Found::Nothing,
        None => Found::CutShort,
    }
}

/// A class of sites: alike in what each want may be there, in their facts, and in their room now.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Class {
    /// The sites that were alike at the beginning.
    origin: usize,
    room: Room,
    /// Whether a device of the domain is there, and whether one of them wants to be alone.
    used: bool,
    alone: bool,
}

/// For each kind what it may be on a site, by preference and type.
type Alike = Vec<Option<Vec<(u16, u16)>>>;

/// How many sites there are of each class; sorted, so that equal states are equal.
type Cells = Vec<(u32, u16)>;

struct Search<'s, 'f, 'a> {
    floor: &'s Floor<'f, 'a>,
    /// The wants, the hardest to place first, each with its position in the domain.
    order: Vec<Item>,
    /// The classes by number, and the numbers.
    classes: Vec<Class>,
    numbers: HashMap<Class, u32>,
    /// A site of each origin, and all of them.
    origins: Vec<Vec<usize>>,
    cells: Cells,
    /// What does not fit: these wants on these cells.
    dead: HashSet<(Vec<(usize, bool)>, Cells)>,
    work: usize,
    /// The steps that led to the state that is looked at: which want, from which class, and as what.
    path: Vec<(Item, u32, Fit)>,
    /// Whether it matters which device is made first.
    any_order: bool,
    /// How many devices of a kind fit on a site of a class alone.
    room: HashMap<(u32, usize), u32>,
}

#[derive(Clone, Copy)]
struct Item {
    position: usize,
    kind: usize,
    apart: bool,
}

impl<'s, 'f, 'a> Search<'s, 'f, 'a> {
    fn new(floor: &'s Floor<'f, 'a>, domain: &[usize]) -> Self {
        let facts = floor.facts;
        let mut order: Vec<Item> = domain
            .iter()
            .enumerate()
            .map(|(position, want)| Item {
                position,
                kind: facts.kind_of.get(*want).copied().unwrap_or(usize::MAX),
                apart: facts.wants.get(*want).is_some_and(|want| want.apart),
            })
            .collect();
        let mut search = Self {
            floor,
            order: Vec::new(),
            classes: Vec::new(),
            numbers: HashMap::new(),
            origins: Vec::new(),
            cells: Vec::new(),
            dead: HashSet::new(),
            work: 0,
            path: Vec::new(),
            any_order: facts.sites.iter().any(|site| site.gpu.rule() == Rule::MixedSizes),
            room: HashMap::new(),
        };
        search.classify(&order);
        let kinds: BTreeMap<usize, u32> = order
            .iter()
            .map(|item| (item.kind, search.room_in_all(&search.cells.clone(), item.kind)))
            .collect();
        order.sort_by_key(|item| (kinds.get(&item.kind).copied(), item.kind, !item.apart, item.position));
        search.order = order;
        search
    }

    /// Sorts the sites into classes.
    fn classify(&mut self, order: &[Item]) {
        let facts = self.floor.facts;
        let mut kinds: Vec<usize> = order.iter().map(|item| item.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let fits = |site: usize| -> Alike {
            kinds
                .iter()
                .map(|kind| {
                    let verdict = facts.kinds.get(*kind)?.verdicts.get(site)?.as_ref().ok()?;
                    Some(verdict.iter().map(|fit| (fit.rank, fit.of)).collect())
                })
                .collect()
        };
        let mut counts: BTreeMap<u32, u16> = BTreeMap::new();
        let mut known: Vec<Alike> = Vec::new();
        for (index, site) in facts.sites.iter().enumerate() {
            let fits = fits(index);
            if fits.iter().all(Option::is_none) {
                continue;
            }
            let alike = self.origins.iter().zip(&known).position(|(sites, other)| {
                let first = sites.first().and_then(|first| facts.sites.get(*first));
                *other == fits && first.is_some_and(|first| first.gpu == site.gpu)
            });
            let origin = alike.unwrap_or_else(|| {
                self.origins.push(Vec::new());
                known.push(fits);
                self.origins.len() - 1
            });
            if let Some(sites) = self.origins.get_mut(origin) {
                sites.push(index);
            }
            let Some(room) = self.floor.rooms.get(index) else {
                continue;
            };
            let (used, alone) = self.floor.had(index);
            let number = self.number(Class {
                origin,
                room: *room,
                used,
                alone,
            });
            let count = counts.entry(number).or_default();
            *count = count.saturating_add(1);
        }
        self.cells = counts.into_iter().collect();
    }

    fn number(&mut self, class: Class) -> u32 {
        let next = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        let classes = &mut self.classes;
        *self.numbers.entry(class).or_insert_with_key(|class| {
            classes.push(class.clone());
            next
        })
    }

    /// What a kind may be on a site of a class.
    fn fits(&self, class: u32, kind: usize) -> &'f [Fit] {
        let facts = self.floor.facts;
        let site = self
            .classes
            .get(class as usize)
            .and_then(|class| self.origins.get(class.origin)?.first());
        match site.and_then(|site| facts.kinds.get(kind)?.verdicts.get(*site)) {
            Some(Ok(fits)) => fits,
            _ => &[],
        }
    }

    fn after(&mut self, class: u32, fit: Fit, apart: bool) -> Option<u32> {
        let Class {
            origin, room, alone, ..
        } = self.classes.get(class as usize)?.clone();
        let site = self.floor.facts.sites.get(*self.origins.get(origin)?.first()?)?;
        let room = site.gpu.take(&room, usize::from(fit.of))?;
        Some(self.number(Class {
            origin,
            room,
            used: true,
            alone: alone || apart,
        }))
    }

    /// The most devices of a kind that a site of a class could take.
    fn most(&mut self, class: u32, kind: usize) -> u32 {
        if let Some(most) = self.room.get(&(class, kind)) {
            return *most;
        }
        let site = self
            .classes
            .get(class as usize)
            .and_then(|class| Some((class, self.origins.get(class.origin)?.first()?)));
        let most = match site.and_then(|(class, site)| Some((class, self.floor.facts.sites.get(*site)?))) {
            // Of several types the sum is a bound, too: no rule gives more of one than it would alone.
            Some((class, site)) => self
                .fits(self.numbers.get(class).copied().unwrap_or(u32::MAX), kind)
                .iter()
                .map(|fit| site.gpu.left(&class.room, usize::from(fit.of)))
                .fold(0, u32::saturating_add),
            None => 0,
        };
        self.room.insert((class, kind), most);
        most
    }

    fn room_in_all(&mut self, cells: &Cells, kind: usize) -> u32 {
        cells
            .iter()
            .map(|(class, count)| self.most(*class, kind).saturating_mul(u32::from(*count)))
            .fold(0, u32::saturating_add)
    }

    /// Whether the rest of the wants fit; `None`: too many steps.
    fn from(&mut self, rest: &[Item], cells: &Cells) -> Option<bool> {
        if rest.is_empty() {
            return Some(true);
        }
        let mut state: Vec<(usize, bool)> = rest.iter().map(|item| (item.kind, item.apart)).collect();
        state.sort_unstable();
        let state = (state, cells.clone());
        if self.dead.contains(&state) || !self.could(rest, cells) {
            return Some(false);
        }
        for (at, item) in self.firsts(rest) {
            let mut after: Vec<Item> = rest.to_vec();
            after.remove(at);
            for class in self.moves(item, cells) {
                for fit in self.fits(class, item.kind) {
                    self.work += 1 + cells.len();
                    if self.work > WORK {
                        return None;
                    }
                    let Some(next) = self.after(class, *fit, item.apart) else {
                        continue;
                    };
                    self.path.push((item, class, *fit));
                    if self.from(&after, &moved(cells, class, next))? {
                        return Some(true);
                    }
                    self.path.pop();
                }
            }
        }
        self.dead.insert(state);
        Some(false)
    }

    /// The wants that could be made next, by position in the rest: the hardest, or one of each kind.
    fn firsts(&self, rest: &[Item]) -> Vec<(usize, Item)> {
        let mut firsts: Vec<(usize, Item)> = Vec::new();
        for (at, item) in rest.iter().enumerate() {
            if !firsts
                .iter()
                .any(|(_, first)| (first.kind, first.apart) == (item.kind, item.apart))
            {
                firsts.push((at, *item));
            }
        }
        firsts.truncate(if self.any_order { usize::MAX } else { 1 });
        firsts
    }

    /// Whether each kind has at least as much room in all as there are wants of it, and who is to be alone a GPU.
    fn could(&mut self, rest: &[Item], cells: &Cells) -> bool {
        if !self.apart_could(rest, cells) {
            return false;
        }
        let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
        for item in rest {
            *counts.entry(item.kind).or_default() += 1;
        }
        counts
            .into_iter()
            .all(|(kind, count)| self.room_in_all(cells, kind) >= count)
    }

    /// Whether there are as many GPUs without a device of the domain as wants that need one for themselves.
    fn apart_could(&mut self, rest: &[Item], cells: &Cells) -> bool {
        let apart: Vec<Item> = rest.iter().filter(|item| item.apart).copied().collect();
        if apart.is_empty() {
            return true;
        }
        let mut free = 0_usize;
        for (class, count) in cells {
            let used = self.classes.get(*class as usize).is_none_or(|class| class.used);
            if !used && apart.iter().any(|item| self.most(*class, item.kind) > 0) {
                free += usize::from(*count);
            }
        }
        free >= apart.len()
    }

    /// The classes where a want could go: where the fewest others of its kind would fit first.
    fn moves(&mut self, item: Item, cells: &Cells) -> Vec<u32> {
        let mut moves: Vec<(u32, u32)> = Vec::new();
        for (class, _) in cells {
            let Some(Class { used, alone, .. }) = self.classes.get(*class as usize) else {
                continue;
            };
            if *used && (*alone || item.apart) {
                continue;
            }
            let most = self.most(*class, item.kind);
            if most > 0 {
                moves.push((most, *class));
            }
        }
        moves.sort_unstable();
        moves.into_iter().map(|(_, class)| class).collect()
    }

    /// The path that was found, on real sites: of each class the site with the lowest address.
    fn sites(&self) -> Vec<(usize, usize, Fit)> {
        let facts = self.floor.facts;
        let mut now: BTreeMap<usize, Class> = BTreeMap::new();
        for (origin, sites) in self.origins.iter().enumerate() {
            for site in sites {
                if let Some(room) = self.floor.rooms.get(*site) {
                    now.insert(*site, {
                        let (used, alone) = self.floor.had(*site);
                        Class {
                            origin,
                            room: *room,
                            used,
                            alone,
                        }
                    });
                }
            }
        }
        let mut found = Vec::with_capacity(self.path.len());
        for (item, class, fit) in &self.path {
            let Some(class) = self.classes.get(*class as usize) else {
                continue;
            };
            let Some(site) = now.iter().find(|(_, of)| *of == class).map(|(site, _)| *site) else {
                continue;
            };
            if let Some(of) = now.get_mut(&site)
                && let Some(room) = facts
                    .sites
                    .get(site)
                    .and_then(|facts| facts.gpu.take(&of.room, usize::from(fit.of)))
            {
                *of = Class {
                    origin: of.origin,
                    room,
                    used: true,
                    alone: of.alone || item.apart,
                };
            }
            // How far it is depends on the site, not on its class.
            let far = facts
                .kinds
                .get(item.kind)
                .and_then(|kind| kind.verdicts.get(site)?.as_ref().ok())
                .and_then(|fits| fits.iter().find(|of| of.of == fit.of))
                .map_or(fit.far, |fit| fit.far);
            found.push((item.position, site, Fit { far, ..*fit }));
        }
        found
    }
}

/// The state after one site of a class became one of another.
fn moved(cells: &Cells, from: u32, to: u32) -> Cells {
    let mut counts: BTreeMap<u32, u16> = cells.iter().copied().collect();
    if let Some(count) = counts.get_mut(&from) {
        *count -= 1;
    }
    *counts.entry(to).or_default() += 1;
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}
