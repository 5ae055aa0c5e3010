//! GPUs: the tree of a PCI parent, NVIDIA's files, and how types of one GPU exclude each other.

use std::fs::read_link;

use mdevkit_sim::Sim;
use nix::errno::Errno;

use crate::common::{host, names, read, read_bytes, store, uuid};

const GPU: &str = "0000:06:00.0";
const OTHER: &str = "0000:07:00.0";

#[test]
fn eight_v100dx_offer_the_fifteen_types_of_their_driver() {
    let host = host(&["v100dx:8"]);
    let gpus = names(&host.path("sys/class/mdev_bus"));
    assert_eq!(
        gpus,
        [
            "0000:06:00.0",
            "0000:07:00.0",
            "0000:0a:00.0",
            "0000:0b:00.0",
            "0000:85:00.0",
            "0000:86:00.0",
            "0000:89:00.0",
            "0000:8a:00.0",
        ]
    );
    assert_eq!(names(&host.path("sys/bus/pci/devices")), gpus);
    let listing = [
        (
            "nvidia-194",
            "GRID V100DX-1Q",
            "num_heads=4, frl_config=60, framebuffer=1024M, max_resolution=5120x2880, max_instance=32",
            32,
        ),
        (
            "nvidia-196",
            "GRID V100DX-4Q",
            "num_heads=4, frl_config=60, framebuffer=4096M, max_resolution=7680x4320, max_instance=8",
            8,
        ),
        (
            "nvidia-199",
            "GRID V100DX-32Q",
            "num_heads=4, frl_config=60, framebuffer=32768M, max_resolution=7680x4320, max_instance=1",
            1,
        ),
        (
            "nvidia-205",
            "GRID V100DX-32A",
            "num_heads=1, frl_config=60, framebuffer=32768M, max_resolution=1280x1024, max_instance=1",
            1,
        ),
        (
            "nvidia-219",
            "GRID V100DX-2B4",
            "num_heads=4, frl_config=45, framebuffer=2048M, max_resolution=5120x2880, max_instance=16",
            16,
        ),
    ];
    for (at, gpu) in gpus.iter().enumerate() {
        let types = names(&host.path(&format!("sys/class/mdev_bus/{gpu}/mdev_supported_types")));
        let ids: Vec<_> = (194..=207).chain([219]).map(|id| format!("nvidia-{id}")).collect();
        assert_eq!(types, ids);
        for (id, name, description, free) in listing {
            assert_eq!(read(&host.type_file(gpu, id, "name")).unwrap(), format!("{name}\n"));
            assert_eq!(
                read(&host.type_file(gpu, id, "description")).unwrap(),
                format!("{description}\n")
            );
            assert_eq!(host.available(gpu, id), free);
        }
        let numa = read(&host.path(&format!("sys/bus/pci/devices/{gpu}/numa_node"))).unwrap();
        assert_eq!(numa, if at < 4 { "0\n" } else { "1\n" });
    }
    let function = |file: &str| host.path(&format!("sys/bus/pci/devices/{GPU}/{file}"));
    for (file, text) in [
        ("vendor", "0x10de\n"),
        ("device", "0x1db5\n"),
        ("class", "0x030200\n"),
        ("subsystem_vendor", "0x10de\n"),
        ("subsystem_device", "0x1249\n"),
        ("local_cpulist", "0-19,40-59\n"),
    ] {
        assert_eq!(read(&function(file)).unwrap(), text, "{file}");
    }
    assert_eq!(
        read_link(function("driver")).unwrap().to_str(),
        Some("../../../bus/pci/drivers/nvidia")
    );
    assert_eq!(
        read_link(host.path(&format!("sys/class/mdev_bus/{GPU}")))
            .unwrap()
            .to_str(),
        Some("../../devices/pci0000:00/0000:06:00.0")
    );
}

#[test]
fn a_gpu_of_this_driver_runs_one_type_at_a_time() {
    let host = host(&["v100dx:2"]);
    host.create(GPU, "nvidia-196", &uuid(1)).unwrap();
    assert_eq!(host.available(GPU, "nvidia-196"), 7);
    // Same framebuffer, other series: still another type.
    assert_eq!(host.available(GPU, "nvidia-202"), 0);
    assert_eq!(host.available(GPU, "nvidia-194"), 0);
    assert_eq!(host.create(GPU, "nvidia-194", &uuid(2)), Err(Errno::EIO));
    assert_eq!(host.create(GPU, "nvidia-202", &uuid(2)), Err(Errno::EIO));
    // The other GPU is not concerned, but the UUID is taken on the whole host.
    assert_eq!(host.available(OTHER, "nvidia-194"), 32);
    assert_eq!(host.create(OTHER, "nvidia-194", &uuid(1)), Err(Errno::EEXIST));
    host.create(OTHER, "nvidia-194", &uuid(2)).unwrap();
    for n in 3..=9 {
        host.create(GPU, "nvidia-196", &uuid(n)).unwrap();
    }
    assert_eq!(
        (
            host.available(GPU, "nvidia-196"),
            host.create(GPU, "nvidia-196", &uuid(10))
        ),
        (0, Err(Errno::EIO))
    );
    for n in [1, 3, 4, 5, 6, 7, 8, 9] {
        host.remove(&uuid(n)).unwrap();
    }
    assert_eq!(
        (host.available(GPU, "nvidia-196"), host.available(GPU, "nvidia-199")),
        (8, 1)
    );
}

#[test]
fn a_k2_board_is_two_gpus() {
    let host = host(&["k2:2", "mtty"]);
    let gpus = names(&host.path("sys/class/mdev_bus"));
    assert_eq!(
        gpus,
        ["0000:04:00.0", "0000:05:00.0", "0000:83:00.0", "0000:84:00.0", "mtty"]
    );
    let free = |id| host.available("0000:83:00.0", id);
    assert_eq!(
        (free("nvidia-9200"), free("nvidia-9240"), free("nvidia-9260")),
        (8, 4, 2)
    );
    assert_eq!(
        read(&host.type_file("0000:83:00.0", "nvidia-9260", "name")).unwrap(),
        "GRID K260Q\n"
    );
    host.create("0000:83:00.0", "nvidia-9260", &uuid(1)).unwrap();
    assert_eq!((free("nvidia-9200"), free("nvidia-9260")), (0, 1));
    assert_eq!(host.available("0000:84:00.0", "nvidia-9200"), 8);
}

#[test]
fn a_k1_board_is_four_gpus() {
    let host = host(&["k1", "k2"]);
    let gpus = names(&host.path("sys/class/mdev_bus"));
    assert_eq!(gpus.len(), 4 + 2);
    for gpu in gpus.iter().filter(|gpu| gpu.starts_with("0000:2")) {
        assert_eq!(
            read(&host.path(&format!("sys/bus/pci/devices/{gpu}/device"))).unwrap(),
            "0x0ff2\n"
        );
        let free = |id| host.available(gpu, id);
        assert_eq!((free("nvidia-9100"), free("nvidia-9140")), (8, 4), "{gpu}");
    }
    for n in 1..=8 {
        host.create("0000:24:00.0", "nvidia-9100", &uuid(n)).unwrap();
    }
    assert_eq!(host.create("0000:24:00.0", "nvidia-9100", &uuid(9)), Err(Errno::EIO));
    assert_eq!(host.available("0000:24:00.0", "nvidia-9140"), 0);
    assert_eq!(host.available("0000:25:00.0", "nvidia-9140"), 4);
}

#[test]
fn many_gpus_of_several_boards_share_no_address() {
    let host = host(&["v100dx:20", "k2:3", "v100dx:5"]);
    assert_eq!(names(&host.path("sys/class/mdev_bus")).len(), 20 + 6 + 5);
    assert_eq!(Sim::known_boards().len(), 33);
}

#[test]
fn vgpu_params_keep_all_but_the_last_byte() {
    let host = host(&["v100dx"]);
    host.create(GPU, "nvidia-194", &uuid(1)).unwrap();
    let params = host.device(&uuid(1), "nvidia/vgpu_params");
    assert_eq!(read(&params).unwrap(), "\n");
    for (written, kept) in [
        ("frame_rate_limiter=0\n", "frame_rate_limiter=0\n"),
        ("a=1", "a=\n"),
        ("disable_vnc=1, enable_uvm=1\n", "disable_vnc=1, enable_uvm=1\n"),
        (" ", "\n"),
    ] {
        assert_eq!(store(&params, written.as_bytes()), Ok(written.len()));
        assert_eq!(read(&params).unwrap(), kept);
    }
    assert_eq!(store(&params, &[b'x'; 1024]), Ok(1024));
    assert_eq!(store(&params, &[b'x'; 1025]), Err(Errno::E2BIG));
    assert_eq!(read(&params).unwrap().len(), 1024);

    let vm_name = host.device(&uuid(1), "nvidia/vm_name");
    assert_eq!(read(&vm_name).unwrap(), "\n");
    host.sim
        .handle()
        .control(&format!("hold {} guest=win10,debug-threads=on", uuid(1)))
        .unwrap();
    assert_eq!(read(&vm_name).unwrap(), "guest=win10,debug-threads=on\n");
    assert_eq!(store(&params, b"a=1\n"), Err(Errno::EPERM));
    assert_eq!(read_bytes(&params).unwrap().len(), 1024);
}
