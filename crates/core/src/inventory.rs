//! What a host offers, as far as anybody has looked.
//!
//! Invariant: a value that was not read is [`Known::NotYet`], never a guess. [`crate::plan`] says which of them it
//! needs, so that the host reads no file in vain.

use crate::rule::PlacementFile;
use crate::{DeviceApi, ParentName, PciIds, PgpuName, Rulebook, TypeId, TypeName, Uuid};
use std::collections::BTreeMap;

/// How many more devices of a type a parent says it can make (count): the kernel's `available_instances`.
pub type Available = u32;

/// Something that can be read from the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known<T> {
    /// Nobody has looked.
    #[default]
    NotYet,
    /// It was read.
    Is(T),
    /// It could not be read; the text says why, and names the file.
    Unreadable(String),
}

impl<T> Known<T> {
    /// The value, when it was read.
    ///
    /// ```
    /// # use mdevkit_core::Known;
    /// assert_eq!(Known::Is(3).get(), Some(&3));
    /// assert_eq!(Known::<u32>::NotYet.get(), None);
    /// ```
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Is(value) => Some(value),
            Self::NotYet | Self::Unreadable(_) => None,
        }
    }

    /// Whether nobody has looked.
    pub fn is_not_yet(&self) -> bool {
        matches!(self, Self::NotYet)
    }
}

/// One type on one parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The full name; `Is(None)` where the kernel has no such file (GVT-g before 6.1).
    pub name: Known<Option<TypeName>>,
    /// Its description as the driver writes it ([`crate::Description::read`]); empty where there is none.
    pub description: Known<String>,
    /// What QEMU gets.
    pub device_api: Known<DeviceApi>,
    /// The kernel's last word on the room that is left, as of the reading.
    pub available: Known<Available>,
    /// Why the kernel refused to create one just now, although it had said that there was room: a race that was
    /// lost, or a rule that only the driver knows.
    pub refused: Option<String>,
}

/// A parent, and what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its name in `/sys/class/mdev_bus`.
    pub name: ParentName,
    /// Which physical GPU it is a part of: the PF's, when it is a VF; otherwise it is one itself.
    pub pgpu: Known<PgpuName>,
    /// Its types by id.
    pub offers: Known<BTreeMap<TypeId, Offer>>,
}

impl Parent {
    /// A parent of which only the name is known.
    pub fn new(name: ParentName) -> Self {
        Self {
            name,
            pgpu: Known::NotYet,
            offers: Known::NotYet,
        }
    }

    /// A parent that is its own physical GPU.
    pub fn whole(name: ParentName) -> Self {
        Self {
            pgpu: Known::Is(name.clone().into()),
            ..Self::new(name)
        }
    }

    /// Adds an offer; the list of types counts as read from then on.
    pub fn offer(&mut self, id: TypeId, offer: Offer) {
        if !matches!(self.offers, Known::Is(_)) {
            self.offers = Known::Is(BTreeMap::new());
        }
        if let Known::Is(offers) = &mut self.offers {
            offers.insert(id, offer);
        }
    }

    /// The offer of that type, when there is one.
    pub fn get(&self, id: &TypeId) -> Option<&Offer> {
        self.offers.get()?.get(id)
    }

    /// The same, to be completed.
    pub fn get_mut(&mut self, id: &TypeId) -> Option<&mut Offer> {
        match &mut self.offers {
            Known::Is(offers) => offers.get_mut(id),
            Known::NotYet | Known::Unreadable(_) => None,
        }
    }
}

/// What is known of a physical GPU, apart from its parents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pgpu {
    /// Vendor and device; `Is(None)` where it is not PCI.
    pub ids: Known<Option<PciIds>>,
    /// Its NUMA node; `Is(None)` where the kernel knows none.
    pub numa_node: Known<Option<u32>>,
    /// Why nothing can be made on it at this moment: somebody else holds its lock, say.
    pub busy: Option<String>,
}

/// A graphics card that has no parent of mediated devices, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Which.
    pub name: PgpuName,
    /// Vendor and device.
    pub ids: PciIds,
    /// Its NUMA node, where the kernel knows one.
    pub numa_node: Option<u32>,
    /// Why.
    pub state: CardState,
}

/// Why a graphics card has no parent of mediated devices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CardState {
    /// It makes virtual functions, and none is enabled (`sriov_numvfs` is 0 of `total`).
    VfsOff {
        /// How many it could have (count).
        total: u32,
    },
    /// It is bound to a driver that passes it through whole: `vfio-pci`, `pci-stub`.
    PassedThrough {
        /// The driver.
        driver: String,
    },
    /// It splits into mediated devices under another driver, or not at all; the driver, when it has one.
    NotSplit {
        /// The driver.
        driver: Option<String>,
    },
}

/// A device that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Where.
    pub parent: ParentName,
    /// Of which type; none while it is being made or removed.
    pub type_id: Option<TypeId>,
    /// Which.
    pub uuid: Uuid,
    /// Its place in the framebuffer, where the driver says it: NVIDIA's `placement_id`.
    pub placement: Known<PlacementFile>,
}

/// A host's parents and devices. A physical GPU's identity is (host, address): nothing assumes that one inventory is
/// all there is.
///
/// ```
/// use mdevkit_core::{Inventory, Parent};
/// let mut inventory = Inventory::new("host-1");
/// inventory.add(Parent::new("0000:85:00.0".parse()?));
/// inventory.add(Parent::new("0000:06:00.0".parse()?));
/// let names: Vec<_> = inventory.parents().map(|parent| parent.name.to_string()).collect();
/// assert_eq!(names, ["0000:06:00.0", "0000:85:00.0"], "by address");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The host's name.
    pub host: String,
    /// Whether the list of parents was read.
    pub listed: bool,
    /// The devices that exist, of anybody.
    pub residents: Known<Vec<Resident>>,
    /// Graphics cards without parents.
    pub cards: Known<Vec<Card>>,
    /// What the operator says about it.
    pub rulebook: Rulebook,
    parents: BTreeMap<ParentName, Parent>,
    pgpus: BTreeMap<PgpuName, Pgpu>,
}

impl Inventory {
    /// A host of which nothing is known.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            ..Self::default()
        }
    }

    /// Adds or replaces a parent.
    pub fn add(&mut self, parent: Parent) {
        self.parents.insert(parent.name.clone(), parent);
    }

    /// The parents, by address.
    pub fn parents(&self) -> impl Iterator<Item = &Parent> {
        self.parents.values()
    }

    /// The parent of that name.
    pub fn parent(&self, name: &ParentName) -> Option<&Parent> {
        self.parents.get(name)
    }

    /// The same, to be completed.
    pub fn parent_mut(&mut self, name: &ParentName) -> Option<&mut Parent> {
        self.parents.get_mut(name)
    }

    /// What is known of that physical GPU apart from its parents: nothing, when it was never mentioned.
    pub fn pgpu(&self, name: &PgpuName) -> &Pgpu {
        const UNKNOWN: &Pgpu = &Pgpu {
            ids: Known::NotYet,
            numa_node: Known::NotYet,
            busy: None,
        };
        self.pgpus.get(name).unwrap_or(UNKNOWN)
    }

    /// The same, to be completed.
    pub fn pgpu_mut(&mut self, name: &PgpuName) -> &mut Pgpu {
        self.pgpus.entry(name.clone()).or_default()
    }

    /// The physical GPUs that have parents, by address, with them.
    pub fn pgpus(&self) -> BTreeMap<&PgpuName, Vec<&Parent>> {
        let mut found: BTreeMap<&PgpuName, Vec<&Parent>> = BTreeMap::new();
        for parent in self.parents() {
            if let Known::Is(pgpu) = &parent.pgpu {
                found.entry(pgpu).or_default().push(parent);
            }
        }
        found
    }

    /// Forgets what one physical GPU had room for, and which devices exist: after a create or a removal there, both
    /// may have changed for every type of each of its parents (they share what they are cut from).
    pub fn forget_room(&mut self, name: &PgpuName) {
        self.residents = Known::NotYet;
        for parent in self.parents.values_mut() {
            if let Known::Is(offers) = &mut parent.offers
                && parent.pgpu.get() == Some(name)
            {
                for offer in offers.values_mut() {
                    offer.available = Known::NotYet;
                }
            }
        }
    }
}
