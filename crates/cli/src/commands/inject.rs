//! `mdevkit inject`: a domain gets the wish for a device, and a `<hostdev>` for it.

use crate::ask::{Apart, AskArgs};
use crate::cli::Context;
use crate::document::EditArgs;
use crate::domain;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::note;
use crate::random::Fresh;
use mdevkit_core::{
    Ask, Code, DeviceApi, GroupName, Numa, PASSTHROUGH, Params, ParentName, Policy, ProfileName, Request, TypeSpec,
    Uuid, What,
};
use mdevkit_sysfs::mdev::Bus;
use mdevkit_xml::{Injection, NewDevice};
use std::collections::BTreeSet;

/// Put devices into a domain's XML: a request in <metadata> and a <hostdev> for each
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every other byte of the document stays as it is; `mdevkit eject` gives it back. The device is
made when the domain starts. What the domain has already is not put in twice, unless --more
says so. With nothing asked for, requests that a person wrote into <metadata> get their
<hostdev>.

Examples:
  EDITOR='mdevkit inject --type V100DX-4Q' virsh edit vm
  mdevkit inject --type nvidia-196 --count 2 --policy breadth-first vm.xml
  mdevkit inject --class Q --framebuffer 6000 --heads 2 vm.xml     the smallest that is enough
  mdevkit inject --profile cad-large --numa strict vm.xml
  mdevkit inject --type mtty-2 --device 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001 vm.xml
  virsh dumpxml --inactive vm | mdevkit inject --type mtty-2 --diff --dry-run -")]
pub(crate) struct Args {
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    ask: AskArgs,
    /// So many devices of each
    #[arg(long, default_value_t = 1, requires = "asked", value_parser = clap::value_parser!(u8).range(1..=16))]
    count: u8,
    /// On top of what the domain has, even if that is the same
    #[arg(long, requires = "asked")]
    more: bool,
    /// Out of this group (see: mdevkit groups)
    #[arg(long, requires = "asked")]
    group: Option<GroupName>,
    /// depth-first (pack), breadth-first (spread) or keep-large [default: the group's, else the host's]
    #[arg(long, requires = "asked")]
    policy: Option<Policy>,
    /// On this GPU only, or on this parent
    #[arg(long, value_name = "ADDRESS", requires = "asked")]
    parent: Option<ParentName>,
    /// On a NUMA node of the domain: strict, prefer or ignore [default: prefer]
    #[arg(long, requires = "asked")]
    numa: Option<Numa>,
    /// On a GPU that no other device of this domain uses
    #[arg(long, value_name = "yes|no", requires = "asked", num_args = 0..=1, require_equals = true, default_missing_value = "yes")]
    apart: Option<Apart>,
    /// A device that something else makes beforehand, or the UUID that it is to have [default: made from the domain's UUID and the slot]
    #[arg(long, value_name = "UUID", visible_alias = "uuid", requires = "asked")]
    device: Option<Uuid>,
    /// The vGPU's parameters, key=value with commas between (NVIDIA)
    #[arg(long, value_name = "K=V,...", requires = "asked")]
    params: Option<Params>,
    /// The hostdev's model: vfio-pci, vfio-ccw or vfio-ap
    #[arg(long, default_value = "vfio-pci")]
    model: DeviceApi,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let asks = self.ask.asks();
        if self.device.is_some() && asks.len() * usize::from(self.count) != 1 {
            return Err(Failure::new(
                Code::Usage,
                "--device names one device: ask for one thing, and without --count",
            ));
        }
        let mut injection = Injection::new();
        injection.more = self.more;
        for ask in &asks {
            injection = injection.devices(self.device(ask), self.count.into());
        }
        let edit = |xml: &[u8], fresh: &mut Fresh| {
            if injection.requests.is_empty() {
                mdevkit_xml::complete(xml, self.model, || fresh.next())
            } else {
                injection.apply(xml, || fresh.next())
            }
        };
        let done = domain::edit(&self.edit, &context.out, "injected", edit)?;
        let mut warned = BTreeSet::new();
        for warning in asks.iter().filter_map(|ask| warning(ask, context)) {
            if warned.insert(warning.clone()) {
                note(warning);
            }
        }
        Ok(done)
    }

    fn device(&self, ask: &Ask) -> NewDevice {
        let request = Request {
            group: self.group.clone(),
            policy: self.policy,
            parent: self.parent.clone(),
            numa: self.numa,
            apart: self.apart.map(|apart| apart == Apart::Yes),
            params: self.params.clone(),
            ..Request::new(ask.clone())
        };
        NewDevice {
            uuid: self.device,
            ..NewDevice::from(request).model(self.model)
        }
    }
}

/// What this host does not have, of what is asked for.
fn warning(ask: &Ask, context: &Context) -> Option<String> {
    match ask {
        Ask::For(What::Type(spec)) if spec.as_str() == PASSTHROUGH => None,
        Ask::For(What::Type(spec)) => is_unknown_here(spec, context).then(|| {
            format!(
                "warning: this host offers no type {spec} (see: mdevkit types); the domain can start where one does"
            )
        }),
        Ask::Profile(name) => is_no_profile_here(name, context).then(|| {
            format!("warning: this host's configuration has no profile {name}; the domain can start where there is one")
        }),
        Ask::For(What::AtLeast(_)) => None,
    }
}

/// Whether the configuration can be read and has no such profile.
fn is_no_profile_here(name: &ProfileName, context: &Context) -> bool {
    let config = context.host().config();
    config.is_ok_and(|config| !config.profiles.contains_key(name))
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
