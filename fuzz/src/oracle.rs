//! roxmltree as the second opinion on what a document says besides what is ours.

use mdevkit_xml::NAMESPACE;
use roxmltree::{Document, Error, Node, NodeType};

/// What an edit may take away, besides what is ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Ours,
    /// The videos too: a primary display replaces them.
    OursAndVideos,
}

/// The document as roxmltree reads it; none where it cannot: it does not know that the prefix `xml` is always bound, and
/// refuses elements that have it.
pub(crate) fn parse(xml: &[u8]) -> Option<Document<'_>> {
    let text = std::str::from_utf8(xml).expect("what is accepted is UTF-8");
    match Document::parse(text) {
        Ok(document) => Some(document),
        Err(Error::UnknownNamespace(prefix, _)) if prefix == "xml" => None,
        Err(error) => panic!("what is accepted is not well-formed: {error}"),
    }
}

/// One line a node, without elements of our namespace in the metadata, hostdevs with our alias, and metadata and
/// devices that hold nothing else.
pub(crate) fn others(xml: &[u8], without: Without) -> Vec<String> {
    let document = parse(xml).expect("it was read before");
    let mut lines = Vec::new();
    for child in document.root().children() {
        describe(child, "", without, &mut lines);
    }
    lines
}

/// Our requests' attributes as another parser reads them, without declarations of namespaces.
pub(crate) fn requests(document: &Document<'_>) -> Vec<Vec<(String, String)>> {
    let set = document
        .root_element()
        .children()
        .filter(|it| is(*it, "metadata"))
        .flat_map(|it| it.children())
        .find(|it| it.is_element() && it.tag_name().namespace() == Some(NAMESPACE));
    set.into_iter()
        .flat_map(|set| set.children())
        .filter(Node::is_element)
        .map(|request| {
            let attributes = request.attributes();
            attributes
                .map(|it| (it.name().to_owned(), it.value().to_owned()))
                .collect()
        })
        .collect()
}

fn describe(node: Node<'_, '_>, path: &str, without: Without, lines: &mut Vec<String>) {
    match node.node_type() {
        NodeType::Element => {
            if is_ours(node) || (without == Without::OursAndVideos && in_path(node, "devices") && is(node, "video")) {
                return;
            }
            let name = node.tag_name();
            let here = format!("{path}/{{{}}}{}", name.namespace().unwrap_or_default(), name.name());
            let before = lines.len();
            let mut attributes: Vec<String> = node
                .attributes()
                .map(|it| {
                    format!(
                        "{{{}}}{}={:?}",
                        it.namespace().unwrap_or_default(),
                        it.name(),
                        it.value()
                    )
                })
                .collect();
            attributes.sort();
            lines.push(format!("{here} {attributes:?}"));
            for child in node.children() {
                describe(child, &here, without, lines);
            }
            if lines.len() == before + 1 && matches!(here.as_str(), "/{}domain/{}metadata" | "/{}domain/{}devices") {
                lines.pop();
            }
        }
        NodeType::Text => {
            // Neighbouring texts are one, whether something of ours stands between them or not.
            let text: String = node.text().unwrap_or_default().split_whitespace().collect();
            let here = format!("{path} text ");
            match lines.last_mut() {
                _ if text.is_empty() => {}
                Some(last) if last.starts_with(&here) => last.push_str(&text),
                _ => lines.push(here + &text),
            }
        }
        other => lines.push(format!(
            "{path} {other:?} {:?}",
            &node.document().input_text()[node.range()]
        )),
    }
}

/// `xmlns=''` is no namespace; roxmltree says that it is an empty one.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name && node.tag_name().namespace().unwrap_or_default().is_empty()
}

fn in_path(node: Node<'_, '_>, parent: &str) -> bool {
    node.parent_element()
        .is_some_and(|it| is(it, parent) && it.parent_element().is_some_and(|root| root.parent_element().is_none()))
}

fn is_ours(node: Node<'_, '_>) -> bool {
    let alias = || {
        let mut children = node.children().filter(|it| is(*it, "alias"));
        children.any(|it| it.attribute("name").is_some_and(|name| name.starts_with("ua-mdevkit-")))
    };
    (in_path(node, "metadata") && node.tag_name().namespace() == Some(NAMESPACE))
        || (in_path(node, "devices") && is(node, "hostdev") && alias())
}
