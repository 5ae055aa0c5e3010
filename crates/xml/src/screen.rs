//! What a device shows: `display` and `ramfb` of its hostdev, and making it the domain's only display.
//!
//! Invariant: what libvirt would refuse at the define is refused here, with the way out. Everything else of the hostdev
//! stays.

use crate::addition::splice_into;
use crate::check::Then;
use crate::edit::{self, Edited, Splice};
use crate::error::{Limits, XmlError, XmlErrorKind as Kind};
use crate::layout::{Layout, with_lead};
use crate::map::{HostdevAt, Map, Switch};
use crate::pick::Pick;
use crate::write;

/// What is to be different; `None` leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Screen {
    /// Whether libvirt's `<graphics>` shows the device (libvirt 4.6.0; for a PCI function 10.3.0).
    pub display: Option<bool>,
    /// Whether it has a frame buffer in memory to boot with, until the guest's driver comes (libvirt 5.10.0). QEMU then
    /// takes no hot-plugging of it.
    pub ramfb: Option<bool>,
}

impl Screen {
    /// Makes the change.
    ///
    /// ```
    /// use mdevkit_xml::{NewDevice, Pick, Screen, inject};
    /// let xml = b"<domain><devices><graphics type='vnc'/></devices></domain>";
    /// let device = NewDevice::new("V100DX-4Q".parse()?).uuid("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?);
    /// let edited = inject(xml, &[device])?;
    /// let on = Screen { display: Some(true), ramfb: Some(true) };
    /// let shown = on.apply(edited.bytes(), Pick::Only)?;
    /// assert!(String::from_utf8_lossy(shown.bytes()).contains("model='vfio-pci' display='on' ramfb='on'>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the document cannot be read, has no such device, or libvirt would refuse the result
    /// ([`Kind::Libvirt`]): a display without `<graphics>`, a second `ramfb`, either of them on a model other than
    /// `vfio-pci`.
    pub fn apply(&self, xml: &[u8], pick: Pick) -> Result<Edited, XmlError> {
        let limits = Limits::default();
        let map = crate::map(xml, &limits)?;
        let hostdev = pick.hostdev(&map)?;
        self.check(&map, hostdev)?;
        finish(&map, &limits, hostdev, self.splices(hostdev))
    }

    /// The rules of `virDomainHostdevDefParseXMLSubsys()` and `qemuValidateDomainDeviceDefHostdev()`.
    fn check(&self, map: &Map<'_>, hostdev: &HostdevAt<'_>) -> Result<(), XmlError> {
        let refused = |rule| Err(XmlError::at(map.text, hostdev.element.span.start, Kind::Libvirt(rule)));
        if *self != Self::default() && !hostdev.can_show() {
            return refused("display and ramfb are for devices of model vfio-pci");
        }
        if self.display == Some(true) && map.graphics.is_empty() {
            return refused(
                "graphics device is needed for attribute value 'display=on' in <hostdev>; add one first, such as \
                 <graphics type='vnc'/>",
            );
        }
        let has_ramfb = |other: &&HostdevAt<'_>| other.ramfb.as_ref().is_some_and(|ramfb| ramfb.on);
        let mut others = map.hostdevs.iter().filter(|other| !std::ptr::eq(*other, hostdev));
        if self.ramfb == Some(true) && others.any(|other| has_ramfb(&other)) {
            return refused("only one vgpu device can have 'ramfb' enabled; turn it off for the other one first");
        }
        Ok(())
    }

    fn splices(&self, hostdev: &HostdevAt<'_>) -> Vec<Splice> {
        let mut splices = Vec::new();
        let mut put = |name: &str, there: Option<&Switch>, wanted: Option<bool>, behind: usize| {
            let Some(wanted) = wanted else { return };
            let word = if wanted { "on" } else { "off" };
            splices.push(match there {
                Some(there) => Splice::replace(there.at.value.clone(), word),
                None => Splice::insert(behind, format!(" {name}='{word}'")),
            });
        };
        let display = hostdev.display.as_ref();
        put("display", display, self.display, hostdev.display_at);
        let behind = display.map_or(hostdev.display_at, |display| display.at.span.end);
        put("ramfb", hostdev.ramfb.as_ref(), self.ramfb, behind);
        splices
    }
}

/// Makes a device the domain's only display: it is shown, it has a frame buffer to boot with, and in place of every
/// emulated card stands `<video><model type='none'/></video>` (libvirt would add a card where there is no `<video>`).
/// Serial consoles are no displays and stay.
///
/// The cards that it takes out do not come back with an ejection: keep the [difference](Edited::diff), or the file.
///
/// ```
/// use mdevkit_xml::{NewDevice, Pick, inject, primary};
/// let xml = b"<domain><devices><graphics type='vnc'/><video><model type='vga'/></video></devices></domain>";
/// let device = NewDevice::new("V100DX-4Q".parse()?).uuid("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001".parse()?);
/// let edited = inject(xml, &[device])?;
/// let only = primary(edited.bytes(), Pick::Only)?;
/// let text = String::from_utf8_lossy(only.bytes());
/// assert!(text.contains("<video><model type='none'/></video><hostdev"));
/// assert!(text.contains("display='on' ramfb='on'"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Screen::apply`].
pub fn primary(xml: &[u8], pick: Pick) -> Result<Edited, XmlError> {
    let limits = Limits::default();
    let map = crate::map(xml, &limits)?;
    let hostdev = pick.hostdev(&map)?;
    let screen = Screen {
        display: Some(true),
        ramfb: Some(true),
    };
    screen.check(&map, hostdev)?;
    let mut splices = screen.splices(hostdev);
    splices.extend(no_video(&map));
    finish(&map, &limits, hostdev, splices)
}

/// One video of model `none`, where the first one was.
fn no_video(map: &Map<'_>) -> Vec<Splice> {
    let Some(devices) = &map.devices else {
        return Vec::new();
    };
    let lines = write::no_video();
    let Some((first, others)) = map.videos.split_first() else {
        return vec![splice_into(map, devices, map.for_video.previous(), &lines)];
    };
    let mut splices: Vec<Splice> = others
        .iter()
        .map(|video| Splice::remove(with_lead(map.text, &video.element.span)))
        .collect();
    if !first.none {
        let span = &first.element.span;
        let layout = Layout::of_child(map, devices, Some(span));
        let block = layout.block(&lines);
        let text = block.strip_prefix(&layout.lead(0)).unwrap_or(&block);
        splices.push(Splice::replace(span.clone(), text));
    }
    splices
}

fn finish(map: &Map<'_>, limits: &Limits, hostdev: &HostdevAt<'_>, splices: Vec<Splice>) -> Result<Edited, XmlError> {
    let device = hostdev.slot.zip(hostdev.identity());
    edit::apply(map, limits, splices, device.as_slice(), Then::Renewed)
}
