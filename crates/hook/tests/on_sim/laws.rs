//! The laws of the hook, one test each.

use crate::common::{Fixture, device, domain, domain_uuid, plain};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

#[test]
fn law_1_operations_that_are_not_ours_return_at_once_whatever_else_is_broken() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("etc/mdevkit/config.toml", "this is wrong");
    fixture.put("run/mdevkit", "a file where a directory should be");
    for operation in [
        "reconnect",
        "start",
        "started",
        "stopped",
        "migrate",
        "restore",
        "attach",
        "--help",
        "",
        "2030",
    ] {
        for stdin in [domain(1, &["mtty-1"]).as_str(), "<broken", ""] {
            fixture.call(&["d1", operation, "begin", "-"], stdin.as_bytes()).done();
        }
    }
    for args in [["-", "shutdown", "-", "shutdown"], ["-", "reload", "begin", "SIGHUP"]] {
        fixture.call(&args, b"").done();
    }
    assert!(fixture.devices().is_empty());
}

#[test]
fn law_2_a_domain_without_a_request_costs_nothing() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("etc/mdevkit/config.toml", "this is wrong, and is not read");
    let foreign = format!(
        "<hostdev type='mdev' model='vfio-pci'><source><address uuid='{}'/></source><alias name='ua-mine'/></hostdev>",
        device(1, 0)
    );
    let with_mdev = plain(1).replace("</devices>", &format!("{foreign}</devices>"));
    for xml in [plain(1), with_mdev] {
        fixture.prepare("d1", &xml).done();
        fixture.release("d1", &xml).done();
        fixture.untouched();
        assert_eq!(fixture.log(), "");
    }
}

#[test]
fn law_2_what_libvirt_really_sends_for_such_a_domain() {
    let fixture = Fixture::new(&["mtty"]);
    for xml in [
        include_str!("../stdin/libvirt-9.0.0-prepare.xml"),
        include_str!("../stdin/libvirt-11.3.0-prepare.xml"),
        include_str!("../stdin/libvirt-9.0.0-release.xml"),
        include_str!("../stdin/libvirt-11.3.0-release.xml"),
    ] {
        fixture.prepare("d1", xml).done();
        fixture.release("d1", xml).done();
    }
    fixture.untouched();
}

#[test]
fn law_3_all_devices_or_none() {
    let fixture = Fixture::new(&["mtty", "mdpy"]);
    let xml = domain(1, &["mtty-2", "mdpy-vga", "mtty-1"]);
    fixture.prepare("d1", &xml).done();
    assert_eq!(fixture.devices().len(), 3);
    for device in fixture.sim.devices() {
        let (uuid, group) = (&device.uuid, device.group);
        assert!(fixture.path(&format!("sys/bus/mdev/devices/{uuid}/mdev_type")).exists());
        assert!(fixture.path(&format!("dev/vfio/{group}")).exists());
    }
    fixture.release("d1", &xml).done();
    assert!(fixture.devices().is_empty());

    fixture
        .prepare("d2", &domain(2, &["mtty-2", "mtty-1", "mdpy-nonsense"]))
        .failed(1, "E-TYPE");
    assert!(fixture.devices().is_empty());
    assert!(!fixture.ledger().contains("uuid"));
}

#[test]
fn law_4_release_removes_what_the_ledger_says_and_twice_is_once() {
    let fixture = Fixture::new(&["mtty"]);
    let (first, second) = (domain(1, &["mtty-1"]), domain(2, &["mtty-1"]));
    fixture.prepare("d1", &first).done();
    fixture.prepare("d2", &second).done();
    // The XML of d1 names d2's device: the ledger decides, not the XML.
    let confused = first.replace(&device(1, 0).to_string(), &device(2, 0).to_string());
    fixture.release("d1", &confused).done();
    assert_eq!(fixture.devices(), [device(2, 0)]);
    fixture.release("d1", &first).done();
    fixture.release("d1", &first).done();
    assert_eq!(fixture.devices(), [device(2, 0)]);
    // A request that was taken out of the live metadata does not lose the device.
    fixture.release("d2", &plain(2)).done();
    assert!(fixture.devices().is_empty());
}

/// A tenant may write into the live metadata what no request may say, and the device must come back all the same.
#[test]
fn law_4_release_does_not_read_what_a_tenant_wrote() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    for (from, to) in [
        ("type=\"mtty-1\"", "type=\"mtty-1\" colour=\"blue\""),
        ("slot=\"0\"", "slot=\"x\""),
        ("ua-mdevkit-0", "ua-mdevkit-0' odd='"),
    ] {
        fixture.prepare("d1", &xml).done();
        assert_eq!(fixture.devices().len(), 1);
        let changed = xml.replace(from, to);
        assert_ne!(changed, xml);
        fixture.release("d1", &changed).done();
        assert!(fixture.devices().is_empty(), "{to}");
    }
}

#[test]
fn a_name_of_any_length_fits_in_the_ledger() {
    let fixture = Fixture::new(&["mtty"]);
    let name = "\"".repeat(100_000);
    fixture.prepare(&name, &domain(1, &["mtty-1", "mtty-1"])).done();
    assert!(fixture.ledger().len() < 4096, "{}", fixture.ledger().len());
}

#[test]
fn law_4_release_leaves_a_device_that_a_guest_holds_and_says_so() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    fixture.prepare("d1", &xml).done();
    fixture.sim.control(&format!("hold {} qemu\n", device(1, 0))).unwrap();
    let answer = fixture.release("d1", &xml);
    answer.done();
    assert!(answer.took < Duration::from_secs(3), "{answer:?}");
    assert_eq!(fixture.devices().len(), 1);
    assert!(fixture.log().contains("in use"), "{}", fixture.log());

    fixture.sim.control(&format!("release {}\n", device(1, 0))).unwrap();
    fixture.call(&["-", "start", "-", "start"], b"").done();
    assert!(fixture.devices().is_empty(), "a starting daemon settles it");
}

#[test]
fn law_6_a_refusal_is_one_line_with_its_code_and_never_holds_a_password() {
    let fixture = Fixture::new(&["v100dx:2"]);
    fixture.prepare("d1", &domain(1, &["V100DX-32Q"])).done();
    fixture.prepare("d2", &domain(2, &["V100DX-8Q"])).done();
    let answer = fixture.prepare("d3", &domain(3, &["V100DX-32Q"]));
    let line = answer.failed(1, "E-FULL");
    assert_eq!(
        line,
        "mdevkit[E-FULL]: no V100DX-32Q left: 1 GPU runs another size (nvidia-197), 1 GPU is full\n"
    );
    assert!(
        fixture.log().contains("0000:07:00.0: runs another size (nvidia-197)"),
        "all reasons are in the log"
    );

    let broken = domain(3, &["V100DX-1Q"])
        .replace("</graphics>", "")
        .replace("passwd='hunter2'/>", "passwd='hunter2'>");
    let answer = fixture.prepare("d3", &broken);
    assert!(!answer.failed(3, "E-XML").contains("hunter2"));
    assert!(!fixture.log().contains("hunter2"));
}

#[test]
fn law_7_the_child_that_removes_holds_none_of_libvirts_pipes() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    fixture.prepare("d1", &xml).done();
    let calls = fixture.traced("execve,dup2,setpgid", &["d1", "release", "end", "-"], &xml);
    assert!(fixture.devices().is_empty());
    // The child's own calls: between its birth and its second program nothing else is of that process.
    let execve = calls
        .iter()
        .find(|call| call.contains("\"__reap\""))
        .expect("a child removes");
    let child = execve.split(' ').next().unwrap();
    let before: Vec<&str> = calls
        .iter()
        .take_while(|call| *call != execve)
        .filter(|call| call.starts_with(child))
        .map(String::as_str)
        .collect();
    for (call, what) in [
        ("setpgid(0, 0)", "a process group of its own"),
        (", 0)", "stdin"),
        (", 1)", "stdout"),
        (", 2)", "stderr"),
    ] {
        assert!(before.iter().any(|line| line.contains(call)), "{what}: {before:?}");
    }
    assert!(!execve.contains("MDEVKIT_ROOT"), "nothing of the environment: {execve}");
}

#[test]
fn law_8_a_domain_may_be_called_anything() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    for name in [
        "--help",
        "-",
        "prepare",
        "a b",
        "$(reboot)",
        "';x",
        "ñandú",
        "__reap",
        "d\u{1b}[2J",
    ] {
        fixture.prepare(name, &xml).done();
        assert_eq!(fixture.devices().len(), 1, "{name:?}");
        fixture.release(name, &xml).done();
        assert!(fixture.devices().is_empty(), "{name:?}");
    }
    assert!(
        !fixture.log().contains('\u{1b}'),
        "a name cannot paint the terminal of who reads the log"
    );
}

#[test]
fn law_9_what_somebody_else_made_is_never_removed() {
    let fixture = Fixture::new(&["mtty"]);
    let create = fixture.path("sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create");
    let make = |uuid: mdevkit_core::Uuid| {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().write(true).open(&create).unwrap();
        file.write_all(uuid.to_string().as_bytes()).unwrap();
    };
    make(device(1, 1));
    make(device(9, 9));
    // d1's second device is there already; its third cannot be had, so that the start is undone.
    fixture
        .prepare("d1", &domain(1, &["mtty-1", "mtty-1", "mtty-9"]))
        .failed(1, "E-TYPE");
    let xml = domain(1, &["mtty-1", "mtty-1"]);
    fixture.prepare("d1", &xml).done();
    fixture.release("d1", &xml).done();
    fixture.call(&["-", "start", "-", "start"], b"").done();
    let mut left = fixture.devices();
    left.sort();
    let mut expected = [device(1, 1), device(9, 9)];
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn the_log_goes_to_the_journal_where_there_is_one() {
    let fixture = Fixture::new(&["mtty"]);
    let socket = fixture.path("run/systemd/journal/socket");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let journal = UnixDatagram::bind(&socket).unwrap();
    journal.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    fixture.prepare("d1\nPRIORITY=0", &domain(1, &["mtty-1"])).done();
    let mut lines = Vec::new();
    let mut datagram = [0; 4096];
    while !lines.iter().any(|line: &String| line.contains("MESSAGE=ready")) {
        let length = journal.recv(&mut datagram).unwrap();
        lines.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
    }
    for line in &lines {
        assert!(line.contains("\nSYSLOG_IDENTIFIER=mdevkit-hook\n"), "{line:?}");
        assert!(
            line.contains("\nMDEVKIT_DOMAIN=d1 PRIORITY=0\n"),
            "a name cannot forge a field: {line:?}"
        );
        assert!(line.contains("\nMDEVKIT_OPERATION=prepare\n"), "{line:?}");
    }
    assert!(
        lines[0].contains("MDEVKIT_ROOT is set"),
        "the one variable is told of: {lines:?}"
    );
    assert_eq!(fixture.log(), "");
}

#[test]
fn a_file_that_cannot_be_logged_to_does_not_stop_a_guest() {
    let fixture = Fixture::new(&["mtty"]);
    fixture.put("var/log/mdevkit", "a file where a directory should be");
    fixture.prepare("d1", &domain(1, &["mtty-1"])).done();
    assert_eq!(fixture.devices().len(), 1);
}

#[test]
fn a_wrong_configuration_refuses_a_start_and_never_keeps_a_device() {
    let fixture = Fixture::new(&["mtty"]);
    let xml = domain(1, &["mtty-1"]);
    fixture.prepare("d1", &xml).done();
    fixture.put("etc/mdevkit/config.toml", "[limits]\nlock_ms = 'soon'\n");
    let answer = fixture.prepare("d2", &domain(2, &["mtty-1"]));
    assert!(answer.failed(4, "E-CONFIG").contains("line 2"));
    fixture.release("d1", &xml).done();
    assert!(fixture.devices().is_empty());
    assert!(!fixture.ledger().contains(&domain_uuid(1).to_string()));
}
