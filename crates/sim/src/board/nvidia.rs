//! NVIDIA's types from id and short name: what their driver prints, by the rules it prints them by.
//!
//! Text: NVIDIA open-gpu-kernel-modules, `os-hypervisor.c` (`"%s\n"`, `"num_heads=%d, frl_config=%d, framebuffer=%dM,
//! max_resolution=%dx%d, max_instance=%d\n"`). Heads, limits and resolutions of each series: the driver's vgpuConfig.xml
//! (R510.47.03 .. R550), in which `max_instance` is the GPU's framebuffer by the type's, except that the 1 GiB types of
//! boards with 48 GiB stop at 32.

use super::data::{Behaviour, Board, DeviceAttr, Nvidia, TypeData};
use crate::capacity::Share;
use crate::mig::MigData;

/// A short name without its board: `2B4` is 2 GiB, series B, `1-5CME` a slice of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Short {
    /// MiB.
    size: u32,
    series: Series,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Series {
    A,
    B,
    C,
    Q,
}

/// Fills in what an NVIDIA board need not say: the types of its table, the files of its devices, its errnos.
pub(super) fn complete(board: &mut Board) -> Result<(), String> {
    if let Some(table) = &board.nvidia {
        let rows = table.types.iter().map(|row| expand(row, table, board.mig.as_ref()));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        board.types.extend(rows);
    }
    if board.parent_driver == "nvidia" {
        let newer = board.sriov.is_some();
        let files = [
            ("nvidia/vgpu_params", Behaviour::VgpuParams, true),
            ("nvidia/vm_name", Behaviour::VmName, true),
            ("nvidia/placement_id", Behaviour::PlacementId, newer),
            ("nvidia/gpu_instance_id", Behaviour::GpuInstanceId, newer),
        ];
        for (path, behaviour, _) in files.into_iter().filter(|(_, _, there)| *there) {
            board.device_attrs.push(DeviceAttr {
                path: path.to_owned(),
                text: String::new(),
                behaviour,
            });
        }
        // nvidia-vgpu-vfio.c, nv_vgpu_vfio_destroy: usage_count != 0.
        board.old.in_use.get_or_insert(nix::errno::Errno::EPERM);
    }
    Ok(())
}

fn expand(row: &str, table: &Nvidia, mig: Option<&MigData>) -> Result<TypeData, String> {
    let wrong = |why: &str| format!("type '{row}': {why}");
    let mut words = row.split_whitespace();
    let (Some(id), Some(name)) = (words.next(), words.next()) else {
        return Err(wrong("needs ID and SHORT-NAME"));
    };
    let short = short_name(name).ok_or_else(|| wrong("no such short name"))?;
    let (mut max, mut gi, mut per_gi) = (None, None, 1);
    for word in words {
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong("not a number"));
        match word.split_once('=') {
            Some(("max", value)) => max = Some(number(value)?),
            Some(("per-gi", value)) => per_gi = number(value)?,
            Some(("gi", value)) => {
                let profile = mig.and_then(|mig| mig.position(value));
                gi = Some(profile.ok_or_else(|| wrong("no such GPU instance profile"))?);
            }
            _ => return Err(wrong("expected max=, gi= or per-gi=")),
        }
    }
    let of_instances = gi.and_then(|at| Some(mig?.profiles.get(at)?.max * per_gi));
    let max = max
        .or(of_instances)
        .unwrap_or_else(|| fit(table.framebuffer, short.size));
    let (heads, frames, resolution) = display(short, table);
    Ok(TypeData {
        id: id.to_owned(),
        name: format!("{}-{name}", table.prefix),
        description: Some(format!(
            "num_heads={heads}, frl_config={frames}, framebuffer={}M, max_resolution={resolution}, max_instance={max}",
            short.size
        )),
        detail: String::new(),
        share: Share {
            framebuffer: short.size,
            max,
            gi,
            per_gi,
            ..Share::default()
        },
    })
}

/// How many of a size (MiB) one GPU of `total` GiB holds.
fn fit(total: u32, size: u32) -> u32 {
    let fit = (total * 1024).checked_div(size).unwrap_or(0);
    if total == 48 && size == 1024 { fit.min(32) } else { fit }
}

fn display(short: Short, table: &Nvidia) -> (u32, u32, &str) {
    let frames = if short.series == Series::B { 45 } else { 60 };
    match (short.series, short.size) {
        (_, 512) => (2, frames, "2560x1600"),
        (Series::A, _) => (1, frames, "1280x1024"),
        (Series::B, _) | (Series::Q, 1024) => (4, frames, "5120x2880"),
        (Series::C, _) => (1, frames, &table.c_resolution),
        (Series::Q, _) => (4, frames, &table.q_resolution),
    }
}

fn short_name(text: &str) -> Option<Short> {
    let text = text.rsplit_once('-').map_or(text, |(_slices, rest)| rest);
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (gib, rest) = text.split_at_checked(at)?;
    let mut rest = rest.chars();
    let series = match rest.next()? {
        'A' => Series::A,
        'B' => Series::B,
        'C' => Series::C,
        'Q' => Series::Q,
        _ => return None,
    };
    if !["", "4", "ME"].contains(&rest.as_str()) {
        return None;
    }
    let size = match gib.parse::<u32>().ok()? {
        0 => 512,
        gib => gib * 1024,
    };
    Some(Short { size, series })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_have_a_size_and_a_series() {
        for (text, size, series) in [
            ("0B", 512, Series::B),
            ("1Q", 1024, Series::Q),
            ("2B4", 2048, Series::B),
            ("48A", 49152, Series::A),
            ("1-5CME", 5120, Series::C),
            ("7-40C", 40960, Series::C),
        ] {
            assert_eq!(short_name(text), Some(Short { size, series }), "{text}");
        }
        for text in ["", "Q", "4X", "4Q5", "4QME4", "-4Q-"] {
            assert_eq!(short_name(text), None, "{text}");
        }
    }

    #[test]
    fn counts_are_the_framebuffer_by_the_size_but_for_the_smallest_of_48_gib() {
        for (total, size, max) in [
            (48, 1024, 32),
            (48, 2048, 24),
            (48, 16384, 3),
            (24, 1024, 24),
            (8, 512, 16),
        ] {
            assert_eq!(fit(total, size), max, "{size} MiB of {total} GiB");
        }
    }
}
