//! The text of our two elements.
//!
//! Invariant: a hostdev is written as libvirt writes it (`virDomainHostdevDefFormat()`), so that a define changes
//! nothing in it; a request is written as libxml2 writes metadata (double quotes).

use crate::NAMESPACE;
use crate::addition::New;
use crate::layout::Line;
use crate::map::ATTRIBUTES;
use crate::notes::Notes;
use mdevkit_core::{Alias, Ask, AtLeast, DeviceApi, Request, Slot, Uuid, What};

/// A `<hostdev>`, without an address in the guest: libvirt assigns one.
pub(crate) fn hostdev(slot: Slot, device: New) -> Vec<Line> {
    let (attributes, source) = match device {
        New::Mdev { uuid, model } => {
            // QEMU's post-parse adds display='off' to vfio-pci and refuses the attribute for the others.
            let display = if model == DeviceApi::VfioPci {
                " display='off'"
            } else {
                ""
            };
            (
                format!("type='mdev' managed='no' model='{model}'{display}"),
                format!("<address uuid='{uuid}'/>"),
            )
        }
        New::Pci { address, managed } => (
            format!("type='pci' managed='{}'", if managed { "yes" } else { "no" }),
            format!(
                "<address domain='0x{:04x}' bus='0x{:02x}' slot='0x{:02x}' function='0x{:x}'/>",
                address.domain(),
                address.bus(),
                address.slot(),
                address.function()
            ),
        ),
    };
    vec![
        line(0, format!("<hostdev mode='subsystem' {attributes}>")),
        line(1, "<source>".to_owned()),
        line(2, source),
        line(1, "</source>".to_owned()),
        line(1, format!("<alias name='{}'/>", Alias(slot))),
        line(0, "</hostdev>".to_owned()),
    ]
}

/// A domain without a video card: libvirt adds one where there is no `<video>` at all.
pub(crate) fn no_video() -> Vec<Line> {
    wrap(
        "<video>".to_owned(),
        vec![line(0, "<model type='none'/>".to_owned())],
        "</video>",
    )
}

/// A request, named under the prefix of the element that it goes into.
pub(crate) fn request(prefix: &str, slot: Slot, request: &Request) -> Line {
    let colon = if prefix.is_empty() { "" } else { ":" };
    let mut text = format!("<{prefix}{colon}request");
    let mut attribute = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name}=\"{}\"", escape(&value)));
        }
    };
    attribute("slot", Some(slot.to_string()));
    // The hostdev has the UUID.
    for name in ATTRIBUTES.into_iter().filter(|name| !matches!(*name, "slot" | "uuid")) {
        attribute(name, value(request, name));
    }
    text.push_str("/>");
    line(0, text)
}

/// What an attribute of a request is, if it has it.
pub(crate) fn value(request: &Request, name: &str) -> Option<String> {
    let need = match &request.ask {
        Ask::For(What::AtLeast(need)) => *need,
        _ => AtLeast::default(),
    };
    match (name, &request.ask) {
        ("slot", _) => request.slot.map(|slot| slot.to_string()),
        ("type", Ask::For(What::Type(spec))) => Some(spec.to_string()),
        ("profile", Ask::Profile(profile)) => Some(profile.to_string()),
        ("class", _) => need.series.map(|series| series.to_string()),
        ("framebuffer", _) => need.framebuffer_mib.map(|mib| mib.to_string()),
        ("heads", _) => need.heads.map(|heads| heads.to_string()),
        ("resolution", _) => need.resolution.map(|resolution| resolution.to_string()),
        ("uuid", _) => request.uuid.map(|uuid| uuid.to_string()),
        ("group", _) => request.group.as_ref().map(ToString::to_string),
        ("policy", _) => request.policy.map(|policy| policy.to_string()),
        ("parent", _) => request.parent.as_ref().map(ToString::to_string),
        ("numa", _) => request.numa.map(|numa| numa.to_string()),
        ("apart", _) => request.apart.map(|apart| if apart { "yes" } else { "no" }.to_owned()),
        ("params", _) => request.params.as_ref().map(ToString::to_string),
        _ => None,
    }
}

/// Our element around requests.
pub(crate) fn requests(injected_for: Option<Uuid>, notes: &Notes, requests: Vec<Line>) -> Vec<Line> {
    let domain = injected_for.map(|uuid| uuid.to_string()).unwrap_or_default();
    let opened = opened(notes);
    wrap(
        format!("<mdevkit:requests xmlns:mdevkit=\"{NAMESPACE}\" for=\"{domain}\"{opened}>"),
        requests,
        "</mdevkit:requests>",
    )
}

/// The attribute that holds notes, with a space before it; nothing when there are none.
pub(crate) fn opened(notes: &Notes) -> String {
    if notes.is_empty() {
        String::new()
    } else {
        format!(" opened=\"{notes}\"")
    }
}

/// Lines within an element.
pub(crate) fn wrap(open: String, inner: Vec<Line>, close: &str) -> Vec<Line> {
    let mut lines = vec![line(0, open)];
    lines.extend(inner.into_iter().map(|inner| line(inner.depth + 1, inner.text)));
    lines.push(line(0, close.to_owned()));
    lines
}

fn line(depth: usize, text: String) -> Line {
    Line { depth, text }
}

/// A value between double quotes. No word of ours needs it; that is for their types to change, not for this place.
pub(crate) fn escape(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
