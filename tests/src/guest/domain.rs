//! The lab's domains: tiny, and written by hand as a careful operator would, or left to `mdevkit inject`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;

use crate::Outcome;
use crate::cmd::run;
use crate::guest_os::{self, PowerButton};

/// A domain's description. Its UUID follows from its number.
#[derive(Debug, Clone)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// Whose requests these are, where it is not this domain: a clone has its original's.
    pub(crate) requests_for: Option<String>,
    requests: String,
    hostdevs: String,
    disk: String,
    numatune: String,
}

/// The UUID of a device that a scenario names itself.
pub(crate) fn device_uuid(number: u32) -> String {
    format!("83b8f4f2-509f-482f-8c1e-e6bfe0fa{number:04}")
}

/// The UUID of the domain of that number.
pub(crate) fn domain_uuid(number: u32) -> String {
    format!("11111111-2222-4333-8444-55555555{number:04}")
}

impl Domain {
    pub(crate) fn new(name: &str, number: u32) -> Self {
        Domain {
            name: name.to_owned(),
            uuid: domain_uuid(number),
            requests_for: None,
            requests: String::new(),
            hostdevs: String::new(),
            disk: String::new(),
            numatune: String::new(),
        }
    }

    /// A disk with the guest that answers the power button.
    pub(crate) fn boots(mut self, button: PowerButton) -> Outcome<Self> {
        let file = format!("/var/lib/libvirt/images/{}.img", self.uuid);
        put(&file, &guest_os::image(button))?;
        self.disk = format!(
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{file}'/>\
             <target dev='sda' bus='sata'/></disk>"
        );
        Ok(self)
    }

    /// A request as `inject` writes it, and its hostdev.
    pub(crate) fn asks(self, slot: u32, kind: &str, device: &str) -> Self {
        self.asks_for(slot, &format!("type='{kind}'"), device)
    }

    /// The same with any attributes that say what is wanted.
    pub(crate) fn asks_for(self, slot: u32, attributes: &str, device: &str) -> Self {
        self.request(&format!("slot='{slot}' {attributes}"))
            .hostdev(device, Some(slot))
    }

    /// Its memory comes from that NUMA node alone.
    pub(crate) fn on_node(mut self, node: u32) -> Self {
        self.numatune = format!("<numatune><memory mode='strict' nodeset='{node}'/></numatune>");
        self
    }

    /// Only a request, with these attributes.
    pub(crate) fn request(mut self, attributes: &str) -> Self {
        let _ = write!(self.requests, "<mdevkit:request {attributes}/>");
        self
    }

    /// Only a hostdev, with the alias of that slot or none.
    pub(crate) fn hostdev(mut self, device: &str, slot: Option<u32>) -> Self {
        let alias = slot
            .map(|slot| format!("<alias name='ua-mdevkit-{slot}'/>"))
            .unwrap_or_default();
        self.hostdevs.push_str(&hostdev(device, &alias));
        self
    }

    pub(crate) fn xml(&self) -> String {
        let Domain {
            name,
            uuid,
            disk,
            hostdevs,
            numatune,
            ..
        } = self;
        let owner = self.requests_for.as_ref().unwrap_or(uuid);
        let metadata = if self.requests.is_empty() {
            String::new()
        } else {
            let requests = &self.requests;
            format!(
                "  <metadata>\n    <mdevkit:requests xmlns:mdevkit='urn:mdevkit:domain:1' for='{owner}'>{requests}\
                 </mdevkit:requests>\n  </metadata>\n"
            )
        };
        format!(
            "<domain type='qemu'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n{metadata}\
             \x20 <memory unit='MiB'>64</memory>\n  <vcpu>1</vcpu>{numatune}\n\
             \x20 <os><type arch='x86_64' machine='q35'>hvm</type></os>\n  <features><acpi/></features>\n  <devices>\n\
             \x20   <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    {disk}\n    <controller type='usb' model='none'/>\n\
             \x20   <serial type='file'><source path='{}'/></serial>\n    <memballoon model='none'/>\n    {hostdevs}\n\
             \x20 </devices>\n</domain>\n",
            self.serial_file()
        )
    }

    /// Writes the description to a file and says where.
    pub(crate) fn file(&self) -> Outcome<String> {
        put(&self.file_name(), self.xml().as_bytes())?;
        Ok(self.file_name())
    }

    pub(crate) fn file_name(&self) -> String {
        format!("/tmp/{}.xml", self.uuid)
    }

    /// The file after `mdevkit inject ARGS FILE`.
    pub(crate) fn injected(&self, args: &[&str]) -> Outcome<String> {
        let file = self.file()?;
        run("mdevkit", &[&["inject"], args, &[file.as_str()]].concat())?;
        Ok(file)
    }

    /// How often the guest has booted since its domain started.
    pub(crate) fn boots_so_far(&self) -> usize {
        let serial = std::fs::read(self.serial_file()).unwrap_or_default();
        serial.iter().filter(|byte| **byte == b'K').count()
    }

    fn serial_file(&self) -> String {
        format!("/tmp/{}.serial", self.uuid)
    }
}

/// A hostdev of an mdev, also for `attach-device` and `detach-device`.
pub(crate) fn hostdev(device: &str, alias: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'>\
         <source><address uuid='{device}'/></source>{alias}</hostdev>"
    )
}

/// The device UUIDs in a domain's XML, in its order.
pub(crate) fn device_uuids(xml: &str) -> Vec<String> {
    xml.match_indices("<address uuid=")
        .filter_map(|(at, found)| xml.get(at + found.len() + 1..at + found.len() + 37))
        .map(str::to_owned)
        .collect()
}

/// Creates or replaces a file.
pub(crate) fn put(file: &str, bytes: &[u8]) -> Outcome {
    File::create(file)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| format!("{file}: {e}"))
}
