//! NUMA nodes and their CPUs (kernel `drivers/base/node.c`).
//!
//! ```text
//! sys/devices/system/node/node0/cpulist: 0-15,64-79
//! ```
//!
//! Invariant: bounded by [`IdSet::MOST`], whatever a file says; a CPU is on one node at most.

use crate::error::excerpt;
use crate::number::decimal;
use crate::{Root, SysfsError, attr, link};
use mdevkit_core::IdSet;
use std::collections::BTreeMap;

const NODES: &str = "sys/devices/system/node";
/// The longest list of CPUs, in bytes: every second one of 16384 is some 48 KiB.
const LIST: usize = 64 * 1024;

/// A host's NUMA nodes, as of one reading.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # for (node, cpus) in [("node0", "0-3,8-11\n"), ("node1", "4-7,12-15\n"), ("node2", "\n")] {
/// #     let node = dir.path().join("sys/devices/system/node").join(node);
/// #     std::fs::create_dir_all(&node)?;
/// #     std::io::Write::write_all(&mut std::fs::File::create(node.join("cpulist"))?, cpus.as_bytes())?;
/// # }
/// use mdevkit_sysfs::{Root, topology::Topology};
/// let root = Root::at(dir.path()); // Root::system() on a real host
/// let topology = Topology::read(&root)?;
/// assert_eq!(topology.node_of_cpu(12), Some(1));
/// assert_eq!(topology.nodes_of_cpus(&"2-5".parse()?).to_string(), "0-1");
/// let lists: Vec<_> = topology.nodes().map(|(node, cpus)| format!("{node}: {cpus}")).collect();
/// assert_eq!(lists, ["0: 0-3,8-11", "1: 4-7,12-15", "2: "]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology(BTreeMap<u32, IdSet>);

impl Topology {
    /// Reads the nodes and their CPUs; none on a kernel without NUMA. Opens 1 and 1 for each node.
    ///
    /// # Errors
    /// The directory cannot be listed; a list of CPUs cannot be read, or is none.
    pub fn read(root: &Root) -> Result<Self, SysfsError> {
        let dir = root.path(NODES);
        let mut nodes = BTreeMap::new();
        for name in link::names(&dir)? {
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("node"))
                .and_then(decimal);
            let Some(number) = number.filter(|number| *number < IdSet::MOST) else {
                continue;
            };
            let path = dir.join(&name).join("cpulist");
            let Some(text) = attr::read_long_text(&path, LIST)? else {
                continue;
            };
            // A node of memory alone has an empty list.
            let cpus = match text.as_str() {
                "" => IdSet::default(),
                text => text.parse().map_err(|_| SysfsError::NotANumber {
                    path,
                    says: excerpt(text),
                    expected: "a list of CPUs like 0-3,8",
                })?,
            };
            nodes.insert(number, cpus);
        }
        Ok(Self(nodes))
    }

    /// The nodes, ascending, with their CPUs; a node of memory alone has none.
    pub fn nodes(&self) -> impl Iterator<Item = (u32, &IdSet)> {
        self.0.iter().map(|(node, cpus)| (*node, cpus))
    }

    /// The node that a CPU is on; `None` where there is no such CPU, or no NUMA.
    pub fn node_of_cpu(&self, cpu: u32) -> Option<u32> {
        self.nodes().find(|(_, cpus)| cpus.contains(cpu)).map(|(node, _)| node)
    }

    /// The nodes that these CPUs are on: where a domain runs whose vCPUs are pinned to them.
    pub fn nodes_of_cpus(&self, cpus: &IdSet) -> IdSet {
        let nodes = self.nodes();
        nodes
            .filter(|(_, its)| its.iter().any(|cpu| cpus.contains(cpu)))
            .map(|(node, _)| node)
            .collect()
    }
}
