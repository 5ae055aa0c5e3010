//! What the tests share: the fixtures, and roxmltree as a second opinion.

use mdevkit_core::{Slot, TypeSpec};
use mdevkit_xml::{Edited, NewDevice, inject};
use std::path::Path;

/// Every fixture, by name.
pub(crate) fn fixtures() -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["recorded", "lexical", "rewritten"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            found.push((
                path.strip_prefix(&folder).unwrap().display().to_string(),
                std::fs::read(&path).unwrap(),
            ));
        }
    }
    found.sort();
    found
}

/// One fixture.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)).unwrap()
}

/// The document as roxmltree sees it, one line a node, without what is ours: elements of our namespace, hostdevs with
/// our alias, and metadata, devices and text that hold nothing else.
pub(crate) fn others(xml: &[u8]) -> Vec<String> {
    let document =
        roxmltree::Document::parse(std::str::from_utf8(xml).unwrap()).expect("roxmltree reads what we accept");
    let mut lines = Vec::new();
    for child in document.root().children() {
        describe(child, "", &mut lines);
    }
    lines
}

fn describe(node: roxmltree::Node<'_, '_>, path: &str, lines: &mut Vec<String>) {
    match node.node_type() {
        roxmltree::NodeType::Element => {
            let name = node.tag_name();
            if is_ours(node) {
                return;
            }
            let here = format!("{path}/{{{}}}{}", name.namespace().unwrap_or_default(), name.name());
            let before = lines.len();
            let mut attributes: Vec<String> = node
                .attributes()
                .map(|a| format!("{{{}}}{}={:?}", a.namespace().unwrap_or_default(), a.name(), a.value()))
                .collect();
            attributes.sort();
            lines.push(format!("{here} {attributes:?}"));
            for child in node.children() {
                describe(child, &here, lines);
            }
            if lines.len() == before + 1 && matches!(here.as_str(), "/{}domain/{}metadata" | "/{}domain/{}devices") {
                lines.pop();
            }
        }
        roxmltree::NodeType::Text => {
            // Neighbouring texts are one, whether something of ours stands between them or not.
            let text: String = node.text().unwrap_or_default().split_whitespace().collect();
            if !text.is_empty() {
                lines.push(format!("{path} text {text:?}"));
            }
        }
        other => lines.push(format!(
            "{path} {other:?} {:?}",
            &node.document().input_text()[node.range()]
        )),
    }
}

fn is_ours(node: roxmltree::Node<'_, '_>) -> bool {
    // xmlns='' is no namespace; roxmltree says that it is an empty one.
    let unbound = |it: roxmltree::Node<'_, '_>| it.tag_name().namespace().unwrap_or_default().is_empty();
    let parent = node.parent_element();
    let in_path = |parent_name: &str| {
        parent.is_some_and(|it| {
            it.tag_name().name() == parent_name
                && unbound(it)
                && it.parent_element().is_some_and(|root| root.parent_element().is_none())
        })
    };
    let alias = || {
        let child = node.children().find(|it| it.has_tag_name("alias"));
        child
            .and_then(|it| it.attribute("name"))
            .is_some_and(|name| name.starts_with("ua-mdevkit-"))
    };
    (in_path("metadata") && node.tag_name().namespace() == Some(mdevkit_xml::NAMESPACE))
        || (in_path("devices") && node.has_tag_name("hostdev") && unbound(node) && alias())
}

/// A domain with one of everything that is edited here.
pub(crate) const SHOWN: &str = "<domain>\n  <uuid>11111111-0000-0000-0000-000000000001</uuid>\n  <devices>\n    <graphics type='vnc'/>\n    \
                     <video>\n      <model type='virtio'/>\n    </video>\n    <memballoon/>\n  </devices>\n</domain>\n";

pub(crate) fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

pub(crate) fn spec(text: &str) -> TypeSpec {
    text.parse().unwrap()
}

pub(crate) fn device(text: &str) -> NewDevice {
    NewDevice::new(spec(text))
}

pub(crate) fn text(edited: &Edited) -> String {
    String::from_utf8(edited.bytes().to_vec()).unwrap()
}

/// [`SHOWN`] with these devices.
pub(crate) fn injected(devices: &[NewDevice]) -> String {
    text(&inject(SHOWN.as_bytes(), devices).unwrap())
}
