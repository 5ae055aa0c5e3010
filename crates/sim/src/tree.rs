//! The names: directories, links and files, as the kernel's kernfs keeps them.
//!
//! A node's number is never used twice, so who still holds a removed node finds nothing under its number, even when a
//! new node has the same path: the same as an open file of a removed sysfs node (ENODEV). No I/O, no clock: "now" is
//! handed in.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::attr::Attr;
use crate::fault::AttrFault;

/// A node's number; also its inode number.
pub(crate) type NodeId = u64;

/// The number of `/`. Small numbers are left to FUSE, whose mount roots are all called 1.
pub(crate) const ROOT: NodeId = 16;

const LINKS_AT_MOST: usize = 40;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) parent: NodeId,
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Stays as long as the host: the kernel may remember it.
    pub(crate) lasting: bool,
    /// Not to be seen before.
    pub(crate) visible_at: Option<Instant>,
    /// What a test wants the file to be instead.
    pub(crate) fault: Option<AttrFault>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Dir(BTreeMap<String, NodeId>),
    Link(String),
    File(Attr),
}

impl Node {
    pub(crate) fn visible(&self, now: Instant) -> bool {
        self.visible_at.is_none_or(|at| at <= now) && !matches!(self.fault, Some(AttrFault::Missing))
    }
}

#[derive(Debug)]
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let root = Node::new(ROOT, Kind::Dir(BTreeMap::new()), 0o755);
        Tree {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
        }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// The children of a directory with their numbers, in the order in which they were made.
    pub(crate) fn children(&self, dir: NodeId, now: Instant) -> Vec<(NodeId, &str, &Node)> {
        let Some(Node {
            kind: Kind::Dir(children),
            ..
        }) = self.nodes.get(&dir)
        else {
            return Vec::new();
        };
        let mut found: Vec<_> = children
            .iter()
            .filter_map(|(name, id)| Some((*id, name.as_str(), self.nodes.get(id)?)))
            .filter(|(_, _, node)| node.visible(now))
            .collect();
        found.sort_by_key(|(id, _, _)| *id);
        found
    }

    pub(crate) fn lookup(&self, dir: NodeId, name: &str, now: Instant) -> Option<(NodeId, &Node)> {
        let id = self.child(dir, name)?;
        let node = self.nodes.get(&id)?;
        node.visible(now).then_some((id, node))
    }

    /// The link count the kernel shows: of a directory, 2 and one for each directory in it.
    pub(crate) fn links(&self, node: &Node) -> u32 {
        let Kind::Dir(children) = &node.kind else { return 1 };
        let dirs = children
            .values()
            .filter(|id| matches!(self.nodes.get(id), Some(Node { kind: Kind::Dir(_), .. })));
        2 + u32::try_from(dirs.count()).unwrap_or(0)
    }

    /// The node at a path below the root, through links, whether it can be seen or not.
    pub(crate) fn resolve(&self, path: &str) -> Option<NodeId> {
        self.walk(ROOT, path, &mut 0)
    }

    fn walk(&self, from: NodeId, path: &str, links: &mut usize) -> Option<NodeId> {
        let mut at = from;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if name == ".." {
                at = self.nodes.get(&at)?.parent;
                continue;
            }
            let child = self.child(at, name)?;
            at = match &self.nodes.get(&child)?.kind {
                Kind::Link(target) => {
                    *links += 1;
                    if *links > LINKS_AT_MOST {
                        return None;
                    }
                    self.walk(at, target, links)?
                }
                _ => child,
            };
        }
        Some(at)
    }

    fn child(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        match &self.nodes.get(&dir)?.kind {
            Kind::Dir(children) => children.get(name).copied(),
            _ => None,
        }
    }

    /// The directory at an absolute path, made with all above it if need be; it stays as long as the host.
    pub(crate) fn lasting_dir(&mut self, path: &str) -> NodeId {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.dir(at, name);
            if let Some(node) = self.nodes.get_mut(&at) {
                node.lasting = true;
            }
        }
        at
    }

    /// The directory `name` in `parent`, made if need be.
    pub(crate) fn dir(&mut self, parent: NodeId, name: &str) -> NodeId {
        match self.child(parent, name) {
            Some(id) => id,
            None => self.add(parent, name, Kind::Dir(BTreeMap::new()), 0o755),
        }
    }

    /// A link from `parent`, which is the directory at path `from`, to the absolute path `to`.
    pub(crate) fn link(&mut self, parent: NodeId, name: &str, from: &str, to: &str) -> NodeId {
        self.add(parent, name, Kind::Link(relative(from, to)), 0o777)
    }

    pub(crate) fn file(&mut self, parent: NodeId, name: &str, mode: u16, attr: Attr) -> NodeId {
        self.add(parent, name, Kind::File(attr), mode)
    }

    /// A file with a text that never changes.
    pub(crate) fn text(&mut self, parent: NodeId, name: &str, text: impl Into<String>) -> NodeId {
        self.file(parent, name, 0o444, Attr::Text(text.into()))
    }

    fn add(&mut self, parent: NodeId, name: &str, kind: Kind, mode: u16) -> NodeId {
        let id = self.next;
        self.next += 1;
        let replaced = match self.nodes.get_mut(&parent) {
            Some(Node {
                kind: Kind::Dir(children),
                ..
            }) => children.insert(name.to_owned(), id),
            _ => None,
        };
        if let Some(old) = replaced {
            self.forget(old);
        }
        self.nodes.insert(id, Node::new(parent, kind, mode));
        id
    }

    /// Takes a node and all below it away.
    pub(crate) fn remove(&mut self, id: NodeId) {
        let Some(parent) = self.nodes.get(&id).map(|node| node.parent) else {
            return;
        };
        if let Some(Node {
            kind: Kind::Dir(children),
            ..
        }) = self.nodes.get_mut(&parent)
        {
            children.retain(|_, child| *child != id);
        }
        self.forget(id);
    }

    /// Takes all below a directory away and leaves the directory.
    pub(crate) fn empty(&mut self, dir: NodeId) {
        if let Some(Node {
            kind: Kind::Dir(children),
            ..
        }) = self.nodes.get_mut(&dir)
        {
            for child in std::mem::take(children).into_values() {
                self.forget(child);
            }
        }
    }

    fn forget(&mut self, id: NodeId) {
        let mut going = vec![id];
        while let Some(id) = going.pop() {
            if let Some(Node {
                kind: Kind::Dir(children),
                ..
            }) = self.nodes.remove(&id)
            {
                going.extend(children.into_values());
            }
        }
    }

    /// Every node with a fault becomes itself again.
    pub(crate) fn clear_faults(&mut self) {
        for node in self.nodes.values_mut() {
            node.fault = None;
        }
    }
}

impl Node {
    fn new(parent: NodeId, kind: Kind, mode: u16) -> Self {
        Node {
            parent,
            kind,
            mode,
            uid: 0,
            gid: 0,
            lasting: false,
            visible_at: None,
            fault: None,
        }
    }
}

/// The text of a link in directory `from` to `to`, both absolute.
fn relative(from: &str, to: &str) -> String {
    let parts = |path: &'_ str| {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (from, to) = (parts(from), parts(to));
    // kernfs_get_target_path compares with the target's parent: the target's own name is always written.
    let above = to.len().saturating_sub(1);
    let common = from.iter().zip(&to).take(above).take_while(|(a, b)| a == b).count();
    let up = from.len() - common;
    let mut text: Vec<&str> = vec![".."; up];
    text.extend(to.iter().skip(common).map(String::as_str));
    text.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_read_as_the_kernel_writes_them() {
        for (from, to, text) in [
            (
                "/sys/class/mdev_bus",
                "/sys/devices/virtual/mtty/mtty",
                "../../devices/virtual/mtty/mtty",
            ),
            (
                "/sys/devices/virtual/mtty/mtty/U",
                "/sys/kernel/iommu_groups/0",
                "../../../../../kernel/iommu_groups/0",
            ),
            (
                "/sys/devices/a/U",
                "/sys/devices/a/mdev_supported_types/t",
                "../mdev_supported_types/t",
            ),
            (
                "/sys/devices/a/mdev_supported_types/t/devices",
                "/sys/devices/a/U",
                "../../../U",
            ),
        ] {
            assert_eq!(relative(from, to), text);
        }
    }

    #[test]
    fn a_number_is_never_used_twice_and_a_removed_subtree_is_gone() {
        let now = Instant::now();
        let mut tree = Tree::new();
        let sys = tree.lasting_dir("/sys/a");
        let first = tree.dir(sys, "x");
        let file = tree.text(first, "f", "1\n");
        tree.link(sys, "l", "/sys/a", "/sys/a/x");
        assert_eq!(tree.resolve("/sys/a/l/f"), Some(file));
        tree.remove(first);
        assert!(tree.get(first).is_none() && tree.get(file).is_none());
        assert_eq!(tree.resolve("/sys/a/l/f"), None);
        assert_ne!(tree.dir(sys, "x"), first);
        assert!(tree.lookup(sys, "x", now).is_some());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let mut tree = Tree::new();
        let dir = tree.lasting_dir("/a");
        tree.link(dir, "l", "/a", "/a/l");
        assert_eq!(tree.resolve("/a/l"), None);
    }
}
