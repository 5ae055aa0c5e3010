//! What a host offers, as far as anybody has looked.
//!
//! Invariant: a value that was not read is [`Known::NotYet`], never a guess. [`crate::plan`] says which of them it
//! needs, so that the host reads no file in vain.

use crate::{DeviceApi, ParentName, TypeId, TypeName, Uuid};
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
    /// Its types by id.
    pub offers: Known<BTreeMap<TypeId, Offer>>,
}

impl Parent {
    /// A parent of which only the name is known.
    pub fn new(name: ParentName) -> Self {
        Self {
            name,
            offers: Known::NotYet,
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

/// A device that exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resident {
    /// Where.
    pub parent: ParentName,
    /// Of which type; none while it is being made or removed.
    pub type_id: Option<TypeId>,
    /// Which.
    pub uuid: Uuid,
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
    parents: BTreeMap<ParentName, Parent>,
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

    /// Forgets what one parent had room for, and which devices exist: after a create or a removal there, both may
    /// have changed for every type of the parent (types share what they are cut from).
    pub fn forget_room(&mut self, name: &ParentName) {
        self.residents = Known::NotYet;
        if let Some(Known::Is(offers)) = self.parents.get_mut(name).map(|parent| &mut parent.offers) {
            for offer in offers.values_mut() {
                offer.available = Known::NotYet;
            }
        }
    }
}
