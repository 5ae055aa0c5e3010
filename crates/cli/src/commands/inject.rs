//! `mdevkit inject`: a domain gets the wish for a device, and a `<hostdev>` for it.

use crate::cli::Context;
use crate::document::EditArgs;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use crate::random::Fresh;
use mdevkit_core::{Code, DeviceApi, Params, ParentName, Policy, Request, TypeSpec, Uuid};
use mdevkit_sysfs::mdev::Bus;
use mdevkit_xml::{Injection, NewDevice};
use std::collections::BTreeSet;

/// Put devices into a domain's XML: a request in <metadata> and a <hostdev> for each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every other byte of the document stays as it is; `mdevkit eject` gives it back. The device is
made when the domain starts. Without --type, requests that a person wrote into <metadata> get
their <hostdev>.

Examples:
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
  mdevkit inject --type nvidia-196 --count 2 --policy breadth-first vm.xml
  virsh dumpxml --inactive vm | mdevkit inject --type mtty-2 --diff --dry-run -")]
pub(crate) struct Args {
    #[command(flatten)]
    edit: EditArgs,
    /// What is wanted (repeatable): a type's id, full name or short name
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<TypeSpec>,
    /// So many devices of each type
    #[arg(long, default_value_t = 1, requires = "types", value_parser = clap::value_parser!(u8).range(1..=16))]
    count: u8,
    /// depth-first (pack) or breadth-first (spread) [default: the host's configuration]
    #[arg(long, requires = "types")]
    policy: Option<Policy>,
    /// On this parent only
    #[arg(long, requires = "types")]
    parent: Option<ParentName>,
    /// The device's UUID, for a single device [default: made from the domain's UUID and the slot]
    #[arg(long, requires = "types")]
    uuid: Option<Uuid>,
    /// The vGPU's parameters, key=value with commas between (NVIDIA)
    #[arg(long, value_name = "K=V,...", requires = "types")]
    params: Option<Params>,
    /// The hostdev's model: vfio-pci, vfio-ccw or vfio-ap
    #[arg(long, default_value = "vfio-pci")]
    model: DeviceApi,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.uuid.is_some() && self.types.len() * usize::from(self.count) != 1 {
            return Err(Failure::new(
                Code::Usage,
                "--uuid names one device: give one --type and no --count",
            ));
        }
        let mut injection = Injection::new();
        for spec in self
            .types
            .iter()
            .flat_map(|spec| std::iter::repeat_n(spec, self.count.into()))
        {
            injection = injection.device(self.device(spec));
        }
        let types: BTreeSet<&TypeSpec> = self.types.iter().collect();
        let edit = |xml: &[u8], fresh: &mut Fresh| {
            if injection.requests.is_empty() {
                mdevkit_xml::complete(xml, self.model, || fresh.next())
            } else {
                injection.apply(xml, || fresh.next())
            }
        };
        let done = domain::edit(&self.edit, &context.out, "injected", edit)?;
        for spec in types.into_iter().filter(|spec| is_unknown_here(spec, context)) {
            note(format!(
                "warning: this host offers no type {spec} (see: mdevkit types); the domain can start where one does"
            ));
        }
        Ok(done)
    }

    fn device(&self, spec: &TypeSpec) -> NewDevice {
        let request = Request {
            policy: self.policy,
            parent: self.parent.clone(),
            params: self.params.clone(),
            ..Request::new(spec.clone())
        };
        NewDevice {
            uuid: self.uuid,
            ..NewDevice::from(request).model(self.model)
        }
    }
}

/// Whether this host has parents and none of them offers such a type. Where there are none, or they cannot be read, the
/// file is being written for another host, and there is nothing to say.
fn is_unknown_here(spec: &TypeSpec, context: &Context) -> bool {
    let bus = Bus::new(&context.root);
    let parents = bus.parents().unwrap_or_default();
    let id = spec.as_id();
    let mut named = BTreeSet::new();
    for parent in &parents {
        let Ok(ids) = bus.type_ids(parent) else { return false };
        for type_id in ids {
            if id.as_ref() == Some(&type_id) {
                return false;
            }
            // A type is called the same on every parent: its name is read once.
            if named.insert(type_id.clone())
                && bus
                    .type_name(parent, &type_id)
                    .is_ok_and(|name| name.is_some_and(|name| spec.names(&name)))
            {
                return false;
            }
        }
    }
    !parents.is_empty()
}
