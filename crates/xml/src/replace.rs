//! Changing what a request says: another type, another policy, in its place.
//!
//! Invariant: only the attributes that change are touched; the rest of the request, its device and its place stay. An
//! attribute that was there is written over, a new one stands where [`inject`](crate::inject()) would have put it.

use crate::check::Then;
use crate::edit::{self, Edited, Splice};
use crate::error::{Limits, XmlError};
use crate::inject::check_ask;
use crate::layout::with_lead;
use crate::map::{ATTRIBUTES, RequestAt};
use crate::pick::Pick;
use crate::write;
use mdevkit_core::{Ask, GroupName, Numa, Params, ParentName, Policy, Request, What};

/// What is to be different in a request. Each part is left as it is unless it is said here; `None` takes it out.
///
/// ```
/// use mdevkit_core::{Policy, TypeSpec};
/// use mdevkit_xml::{NewDevice, Pick, Replacement, inject};
/// let xml = b"<domain><uuid>11111111-0000-0000-0000-000000000001</uuid></domain>";
/// let before = inject(xml, &[NewDevice::new("V100DX-4Q".parse()?).policy(Policy::DepthFirst)])?;
/// let change = Replacement::new().ask("V100DX-8Q".parse::<TypeSpec>()?).policy(None).group(Some("cad".parse()?));
/// let after = change.apply(before.bytes(), Pick::Only)?;
/// let text = String::from_utf8_lossy(after.bytes());
/// assert!(text.contains(r#"<mdevkit:request slot="0" type="V100DX-8Q" group="cad"/>"#));
/// assert!(!change.apply(after.bytes(), Pick::Only)?.changed(), "twice is the same as once");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replacement {
    ask: Option<Ask>,
    group: Option<Option<GroupName>>,
    policy: Option<Option<Policy>>,
    parent: Option<Option<ParentName>>,
    numa: Option<Option<Numa>>,
    apart: Option<Option<bool>>,
    params: Option<Option<Params>>,
}

impl Replacement {
    /// Nothing is different.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another type, need or profile. NVIDIA's full names are stored as short ones, as an injection does.
    #[must_use]
    pub fn ask(mut self, ask: impl Into<Ask>) -> Self {
        self.ask = Some(match ask.into() {
            Ask::For(What::Type(spec)) => spec.lasting().into(),
            other => other,
        });
        self
    }

    /// Another group.
    #[must_use]
    pub fn group(mut self, group: Option<GroupName>) -> Self {
        self.group = Some(group);
        self
    }

    /// Another policy.
    #[must_use]
    pub fn policy(mut self, policy: Option<Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Another physical GPU or parent.
    #[must_use]
    pub fn parent(mut self, parent: Option<ParentName>) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Another regard to NUMA nodes.
    #[must_use]
    pub fn numa(mut self, numa: Option<Numa>) -> Self {
        self.numa = Some(numa);
        self
    }

    /// Whether it keeps away from the domain's other devices.
    #[must_use]
    pub fn apart(mut self, apart: Option<bool>) -> Self {
        self.apart = Some(apart);
        self
    }

    /// Other parameters.
    #[must_use]
    pub fn params(mut self, params: Option<Params>) -> Self {
        self.params = Some(params);
        self
    }

    /// Makes the change.
    ///
    /// # Errors
    /// When the document cannot be read, has no such request, or nothing would be asked for.
    pub fn apply(&self, xml: &[u8], pick: Pick) -> Result<Edited, XmlError> {
        let limits = Limits::default();
        let map = crate::map(xml, &limits)?;
        let at = pick.request(&map)?;
        let new = self.of(&at.request);
        check_ask(&new.ask)?;
        let device = match at.request.slot {
            Some(slot) => map.hostdevs.iter().find(|hostdev| hostdev.slot == Some(slot)),
            None => None,
        };
        let devices = device.and_then(|it| Some((it.slot?, it.identity()?)));
        let requests = map.set.iter().flat_map(|set| &set.requests);
        let index = requests.take_while(|other| !std::ptr::eq(*other, at)).count();
        let splices = splices(map.text, at, &new);
        edit::apply(&map, &limits, splices, devices.as_slice(), Then::Says(index, &new))
    }

    fn of(&self, old: &Request) -> Request {
        Request {
            slot: old.slot,
            uuid: old.uuid,
            ask: self.ask.clone().unwrap_or_else(|| old.ask.clone()),
            group: self.group.clone().unwrap_or_else(|| old.group.clone()),
            policy: self.policy.unwrap_or(old.policy),
            parent: self.parent.clone().unwrap_or_else(|| old.parent.clone()),
            numa: self.numa.unwrap_or(old.numa),
            apart: self.apart.unwrap_or(old.apart),
            params: self.params.clone().unwrap_or_else(|| old.params.clone()),
        }
    }
}

fn splices(text: &str, at: &RequestAt<'_>, new: &Request) -> Vec<Splice> {
    let mut splices = Vec::new();
    let mut behind = at.name_end;
    for name in ATTRIBUTES {
        match (at.attr(name), write::value(&at.request, name), write::value(new, name)) {
            (Some(attr), old, Some(new)) => {
                if old.as_ref() != Some(&new) {
                    splices.push(Splice::replace(attr.value.clone(), write::escape(&new)));
                }
                behind = attr.span.end;
            }
            (Some(attr), _, None) => splices.push(Splice::remove(with_lead(text, &attr.span))),
            (None, _, Some(new)) => {
                splices.push(Splice::insert(behind, format!(" {name}=\"{}\"", write::escape(&new))));
            }
            (None, _, None) => {}
        }
    }
    splices
}
