//! A card: one parent or, with SR-IOV, many; what it was switched to; which driver has it.
//!
//! ```text
//!   vfs off <----> vfs on ---- mixed on          (only while the card has no device; cleared by vfs on/off)
//!      |              \------- mig on, gi ...    (vfs on/off destroys the instances, the mode stays)
//!      v
//!   bound to vfio-pci: no parent, no VFs
//! ```
//!
//! Sources: `sriov-manage` and `nvidia-smi vgpu -shm` as their users describe them (OpenStack Nova, bigstack CubeCOS);
//! NVIDIA open-gpu-kernel-modules, `deviceCtrlCmdGpuSetVgpuHeterogeneousMode` (in use: NV_ERR_IN_USE; not with MIG, not
//! without SR-IOV); Linux 6.12 `drivers/pci/iov.c` (`sriov_numvfs_store`).

use std::sync::Arc;

use nix::errno::Errno;

use crate::attr::{DeviceId, FunctionId, GpuId, ParentId, TypeId};
use crate::board::Board;
use crate::capacity::{Card, Live, Mode, Places, Share};
use crate::host::{Host, Stage};
use crate::placement;

#[derive(Debug)]
pub(crate) struct Gpu {
    /// The PF's address, or the parent's name where it is not PCI.
    pub(crate) name: String,
    pub(crate) board: Arc<Board>,
    /// By the place of the type in the board.
    pub(crate) shares: Vec<Share>,
    pub(crate) places: Vec<Places>,
    pub(crate) mode: Mode,
    /// The card itself.
    pub(crate) function: Option<FunctionId>,
    /// Its parents: the card itself, or each VF that it may have.
    pub(crate) parents: Vec<ParentId>,
    /// How many VFs are enabled.
    pub(crate) vfs: usize,
}

impl Gpu {
    pub(crate) fn new(name: String, board: &Arc<Board>, function: Option<FunctionId>) -> Self {
        let architecture = board
            .nvidia
            .as_ref()
            .and_then(|table| Some((table.architecture?, table.framebuffer)));
        let place = |share: &Share| {
            let (architecture, total) = architecture?;
            let slots = placement::slots(architecture, total, share.framebuffer / 1024);
            (share.gi.is_none() && slots > 0).then(|| Places {
                slots,
                ids: placement::ids(architecture, total, slots, share.max),
            })
        };
        let shares: Vec<Share> = board.types.iter().map(|t| t.share).collect();
        Gpu {
            name,
            board: Arc::clone(board),
            places: shares.iter().map(|share| place(share).unwrap_or_default()).collect(),
            shares,
            mode: Mode::Equal,
            function,
            parents: Vec::new(),
            vfs: 0,
        }
    }

    pub(crate) fn card<'a>(&'a self, live: &'a [Live]) -> Card<'a> {
        Card {
            rule: self.board.capacity,
            mode: &self.mode,
            shares: &self.shares,
            places: &self.places,
            live,
        }
    }
}

impl Host {
    /// What lives on a card. A device whose probe is going to fail takes only the core's count.
    pub(crate) fn live(&self, gpu: GpuId) -> Vec<Live> {
        let counted_early = self.gpus.get(gpu).is_some_and(|gpu| self.core_counts(&gpu.board));
        let counts = |stage| counted_early || !matches!(stage, Stage::Probing { answer: Err(_), .. });
        let devices = self.on_gpu(gpu).filter(|(_, device)| counts(device.stage));
        let live = |type_id: TypeId, assigned| {
            Some(Live {
                type_at: self.types.get(type_id)?.at,
                assigned,
            })
        };
        devices
            .filter_map(|(_, device)| live(device.type_id, device.assigned))
            .collect()
    }

    /// Whether the core refuses a full parent before there is a device (since 6.1), and not the driver.
    pub(crate) fn core_counts(&self, board: &Board) -> bool {
        board.capacity.refuses_before_probe() && !self.kernel.is_old()
    }

    pub(crate) fn gpu_named(&self, name: &str) -> Result<GpuId, Errno> {
        let named = |gpu: &crate::gpu::Gpu| gpu.name == name;
        self.gpus.iter().position(named).ok_or(Errno::ENOENT)
    }

    /// A store to `sriov_numvfs`: the kernel's checks; then NVIDIA's driver, which has no `sriov_configure`.
    pub(crate) fn store_numvfs(&self, gpu: GpuId, data: &[u8]) -> Result<(), Errno> {
        let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let wanted: u16 = text.trim_end_matches('\n').parse().map_err(|_| Errno::EINVAL)?;
        let gpu = self.gpus.get(gpu).ok_or(Errno::ENODEV)?;
        let sriov = gpu.board.sriov.as_ref().ok_or(Errno::ENODEV)?;
        if wanted > sriov.totalvfs {
            return Err(Errno::ERANGE);
        }
        if usize::from(wanted) == gpu.vfs {
            return Ok(());
        }
        Err(Errno::ENOENT)
    }

    /// `sriov-manage -e` and `-d`: so many VFs, with all that it destroys. The devices that are gone by it.
    pub(crate) fn set_vfs(&mut self, gpu: GpuId, wanted: Option<usize>) -> Result<Vec<DeviceId>, Errno> {
        let at = self.gpus.get_mut(gpu).ok_or(Errno::ENOENT)?;
        let most = usize::from(at.board.sriov.as_ref().ok_or(Errno::EOPNOTSUPP)?.totalvfs);
        let wanted = wanted.unwrap_or(most);
        if wanted > most {
            return Err(Errno::ERANGE);
        }
        let bound = at
            .function
            .and_then(|id| self.functions.get(id))
            .is_some_and(|f| f.is_home());
        if wanted > 0 && !bound {
            return Err(Errno::ENODEV);
        }
        // Idempotent: what stands as wanted is left alone.
        if at.vfs == wanted {
            return Ok(Vec::new());
        }
        match &mut at.mode {
            Mode::Mixed => at.mode = Mode::Equal,
            Mode::Mig(instances) => instances.clear(),
            Mode::Equal => {}
        }
        let parents = at.parents.clone();
        at.vfs = wanted;
        let mut gone = Vec::new();
        for parent in &parents {
            gone.extend(self.withdraw(*parent));
        }
        self.lay_vfs(gpu);
        Ok(gone)
    }

    /// `nvidia-smi vgpu -shm 1|0`
    pub(crate) fn set_mixed(&mut self, gpu: GpuId, on: bool) -> Result<(), Errno> {
        let used = self.on_gpu(gpu).next().is_some();
        let at = self.gpus.get_mut(gpu).ok_or(Errno::ENOENT)?;
        let offered = at
            .board
            .nvidia
            .as_ref()
            .is_some_and(|table| table.architecture.is_some());
        if !offered || at.vfs == 0 || matches!(at.mode, Mode::Mig(_)) {
            return Err(Errno::EOPNOTSUPP);
        }
        if used {
            return Err(Errno::EBUSY);
        }
        at.mode = if on { Mode::Mixed } else { Mode::Equal };
        Ok(())
    }

    /// `nvidia-smi -mig 1|0`
    pub(crate) fn set_mig(&mut self, gpu: GpuId, on: bool) -> Result<(), Errno> {
        let used = self.on_gpu(gpu).next().is_some();
        let at = self.gpus.get_mut(gpu).ok_or(Errno::ENOENT)?;
        if at.board.mig.is_none() || at.mode == Mode::Mixed {
            return Err(Errno::EOPNOTSUPP);
        }
        if matches!(at.mode, Mode::Mig(_)) == on {
            return Ok(());
        }
        if used {
            return Err(Errno::EBUSY);
        }
        at.mode = if on { Mode::Mig(Vec::new()) } else { Mode::Equal };
        Ok(())
    }

    /// `nvidia-smi mig -cgi PROFILE -C`: the number of the new instance.
    pub(crate) fn cut_instance(&mut self, gpu: GpuId, profile: &str) -> Result<u32, Errno> {
        let at = self.gpus.get_mut(gpu).ok_or(Errno::ENOENT)?;
        let (Some(mig), Mode::Mig(instances)) = (&at.board.mig, &mut at.mode) else {
            return Err(Errno::EOPNOTSUPP);
        };
        let new = mig.cut(instances, profile)?;
        instances.push(new);
        Ok(new.id)
    }

    /// `nvidia-smi mig -dci`, `-dgi`
    pub(crate) fn drop_instance(&mut self, gpu: GpuId, id: u32) -> Result<(), Errno> {
        let used = self.on_gpu(gpu).any(|(_, device)| device.assigned.instance == Some(id));
        let at = self.gpus.get_mut(gpu).ok_or(Errno::ENOENT)?;
        let Mode::Mig(instances) = &mut at.mode else {
            return Err(Errno::EOPNOTSUPP);
        };
        if used {
            return Err(Errno::EBUSY);
        }
        let before = instances.len();
        instances.retain(|instance| instance.id != id);
        if instances.len() == before {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        }
    }

    /// Gives a function to another driver, or to none, or back to its own.
    pub(crate) fn bind(&mut self, address: &str, driver: Option<&str>) -> Result<Vec<DeviceId>, Errno> {
        let id = self.function_at(address)?;
        let function = self.functions.get(id).ok_or(Errno::ENOENT)?;
        let (gpu, parent, virtual_one) = (function.gpu, function.parent, function.number.is_some());
        let known = [Some(function.home.as_str()), Some("vfio-pci"), None];
        if !known.contains(&driver) {
            return Err(Errno::EINVAL);
        }
        if function.driver.as_deref() == driver {
            return Ok(Vec::new());
        }
        let held = |host: &Host| {
            let holders = host.on_gpu(gpu).filter(|(_, device)| device.holder.is_some());
            let here = |type_id: TypeId| host.types.get(type_id).map(|t| t.parent);
            holders
                .filter(|(_, device)| !virtual_one || here(device.type_id) == parent)
                .count()
                > 0
        };
        if held(self) {
            return Err(Errno::EBUSY);
        }
        let mut gone = Vec::new();
        if !virtual_one {
            if self.gpus.get(gpu).is_some_and(|gpu| gpu.vfs > 0) {
                gone.extend(self.set_vfs(gpu, Some(0))?);
            }
            if let Some(gpu) = self.gpus.get_mut(gpu) {
                gpu.mode = Mode::Equal;
            }
        }
        if let Some(parent) = parent {
            gone.extend(self.withdraw(parent));
        }
        if let Some(function) = self.functions.get_mut(id) {
            function.driver = driver.map(str::to_owned);
        }
        self.lay_driver_of(id);
        if let Some(parent) = parent
            && self.functions.get(id).is_some_and(|function| function.is_home())
        {
            self.offer(parent);
        }
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::attr::Attr;
    use crate::host::Written;
    use crate::kernel::KernelProfile;
    use crate::placement::fits;
    use crate::tree::Kind;

    /// Numerical Recipes' generator: the same walk on every machine.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 33) as usize % n
        }
    }

    /// Random creates and removes: what `available_instances` says is what create does, and the card holds what its
    /// rule allows and nothing more; when all are gone it is as it was.
    #[test]
    fn a_card_never_holds_more_than_it_has() {
        for (board, orders) in [
            ("v100dx:2", ""),
            ("p40", ""),
            ("a2", ""),
            ("a40", "mixed 0000:3b:00.0 on"),
            ("l40s", "mixed 0000:3b:00.0 on"),
            ("l4", ""),
            (
                "a100",
                "mig 0000:3b:00.0 on\nmig-create 0000:3b:00.0 3g.20gb\nmig-create 0000:3b:00.0 1g.5gb",
            ),
            ("gvtg-512", ""),
            ("mbochs", ""),
            ("vfio-ccw:2", ""),
        ] {
            let mut host = Host::new(KernelProfile::From6_1);
            host.install(&board.parse().unwrap()).unwrap();
            for order in crate::control::parse(orders).unwrap() {
                host.carry_out(order).unwrap();
            }
            let first: Vec<u32> = (0..host.types.len()).map(|of| host.available(of)).collect();
            let mut dice = Dice(7);
            let mut living: BTreeMap<DeviceId, u32> = BTreeMap::new();
            for step in 0..600_u32 {
                if dice.below(3) == 0 && !living.is_empty() {
                    let (id, _) = living.iter().nth(dice.below(living.len())).unwrap();
                    let id = *id;
                    let node = file(&host, id, |attr| matches!(attr, Attr::Remove(at) if *at == id));
                    assert_eq!(host.write(node, b"1"), Ok(Written::Done), "{board}, step {step}");
                    living.remove(&id);
                } else {
                    let of = dice.below(host.types.len());
                    let free = host.available(of);
                    let parent = &host.parents[host.types[of].parent];
                    let path = format!("{}/mdev_supported_types/{}/create", parent.path, host.types[of].name);
                    let node = host.tree.resolve(&path).unwrap();
                    let uuid = format!("00000000-0000-4000-8000-{step:012x}");
                    let answer = host.write(node, uuid.as_bytes());
                    assert_eq!(
                        answer.is_ok(),
                        free > 0,
                        "{board}, step {step}: {free} left, {answer:?}"
                    );
                    if answer.is_ok() {
                        living.insert(host.by_uuid(&uuid).unwrap(), step);
                    }
                }
                for gpu in 0..host.gpus.len() {
                    holds(&host, gpu, board);
                }
            }
            assert!(living.len() < 600, "{board}: something was refused");
            for id in living.into_keys() {
                let node = file(&host, id, |attr| matches!(attr, Attr::Remove(at) if *at == id));
                host.write(node, b"1").unwrap();
            }
            let last: Vec<u32> = (0..host.types.len()).map(|of| host.available(of)).collect();
            assert_eq!(first, last, "{board}");
        }
    }

    fn file(host: &Host, id: DeviceId, wanted: impl Fn(&Attr) -> bool) -> u64 {
        let children = host.tree.children(host.devices[&id].dir, std::time::Instant::now());
        let found = children
            .into_iter()
            .find(|(_, _, node)| matches!(&node.kind, Kind::File(attr) if wanted(attr)));
        found.unwrap().0
    }

    /// What must be true of a card by arithmetic alone, whatever its rule.
    fn holds(host: &Host, gpu: GpuId, board: &str) {
        let at = &host.gpus[gpu];
        let live = host.live(gpu);
        let size = |live: &Live| at.shares[live.type_at].framebuffer;
        if let Some(table) = &at.board.nvidia {
            assert!(
                live.iter().map(size).sum::<u32>() <= table.framebuffer * 1024,
                "{board}: framebuffer"
            );
        }
        if at.mode == Mode::Mixed {
            let mut taken = Vec::new();
            for device in &live {
                let (id, slots) = (device.assigned.placement.unwrap(), at.places[device.type_at].slots);
                assert!(fits(id, slots, &taken), "{board}: {id} lies on another");
                taken.push((id, slots));
            }
        } else if let Some(first) = live
            .first()
            .filter(|_| at.mode == Mode::Equal && at.board.nvidia.is_some())
        {
            assert!(
                live.iter().all(|other| size(other) == size(first)),
                "{board}: two sizes"
            );
            assert!(
                live.len() <= at.shares[first.type_at].max as usize,
                "{board}: more than max"
            );
        }
        for parent in at.parents.iter().filter(|_| at.board.sriov.is_some()) {
            assert!(host.on_parent(*parent).count() <= 1, "{board}: two on a VF");
        }
    }
}
