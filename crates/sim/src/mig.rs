//! MIG: a GPU cut into GPU instances, which a vGPU needs to exist before it.
//!
//! What of it the kernel's files depend on: which instances exist and how many vGPUs each holds. NVIDIA
//! open-gpu-kernel-modules, `kernel_vgpu_mgr.c` (`kvgpumgrGetAvailableInstances`): a MIG type is available when an
//! instance of its profile has room and holds no other size; in MIG mode no other type is, and the other way round.
//!
//! Room for instances is counted in compute and memory slices and by each profile's maximum. The real driver has
//! positions besides, so it may refuse an order of instances that this one takes.

use nix::errno::Errno;
use serde::Deserialize;

/// What a board's GPU can be cut into.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MigData {
    pub(crate) compute: u32,
    pub(crate) memory: u32,
    pub(crate) profiles: Vec<Profile>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// As `nvidia-smi mig -lgip` lists it: `1g.5gb+me`.
    pub(crate) name: String,
    /// Slices.
    pub(crate) compute: u32,
    pub(crate) memory: u32,
    /// Instances of it on one GPU.
    pub(crate) max: u32,
}

/// A GPU instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: u32,
    /// The place of its profile in the board's list.
    pub(crate) profile: usize,
}

impl MigData {
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.profiles.iter().position(|profile| profile.name == name)
    }

    /// One more instance beside these. EINVAL: no such profile; ENOSPC: no room for it.
    pub(crate) fn cut(&self, instances: &[Instance], name: &str) -> Result<Instance, Errno> {
        let profile = self.position(name).ok_or(Errno::EINVAL)?;
        let of = |at: usize| self.profiles.get(at).ok_or(Errno::EINVAL);
        let wanted = of(profile)?;
        let (mut compute, mut memory, mut same) = (wanted.compute, wanted.memory, 1);
        for instance in instances {
            let other = of(instance.profile)?;
            compute += other.compute;
            memory += other.memory;
            same += u32::from(instance.profile == profile);
        }
        if compute > self.compute || memory > self.memory || same > wanted.max {
            return Err(Errno::ENOSPC);
        }
        let taken = |id: &u32| instances.iter().any(|instance| instance.id == *id);
        let id = (1..).find(|id| !taken(id)).ok_or(Errno::ENOSPC)?;
        Ok(Instance { id, profile })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_a100_is_cut_as_far_as_its_slices_go() {
        let text = include_str!("../boards/a100.toml");
        let board: crate::board::Board = toml::from_str(text).unwrap();
        let mig = board.mig.unwrap();
        let mut all: Vec<Instance> = Vec::new();
        for (name, answer) in [
            ("3g.20gb", Ok(1)),
            ("3g.20gb", Ok(2)),
            ("1g.5gb", Err(Errno::ENOSPC)),
            ("7g.40gb", Err(Errno::ENOSPC)),
            ("9g.90gb", Err(Errno::EINVAL)),
        ] {
            let cut = mig.cut(&all, name);
            assert_eq!(cut.map(|instance| instance.id), answer, "{name}");
            all.extend(cut);
        }
        all.clear();
        for id in 1..=7 {
            all.push(mig.cut(&all, "1g.5gb").unwrap());
            assert_eq!(all.last().unwrap().id, id);
        }
        assert_eq!(mig.cut(&all, "1g.5gb"), Err(Errno::ENOSPC));
        all.remove(2);
        assert_eq!(mig.cut(&all, "1g.5gb").unwrap().id, 3);
    }
}
