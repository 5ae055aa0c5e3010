//! How many files one `prepare` opens: while it runs, libvirt answers nobody about the domain.

use crate::common::{Fixture, domain};

/// The files that a call opens; a path that is not there is none.
fn opened(fixture: &Fixture, args: &[&str], stdin: &str) -> Vec<String> {
    let mut calls = fixture.traced("open,openat,openat2", args, stdin);
    calls.retain(|line| line.contains("open") && !line.contains(" = -1 "));
    calls
}

#[test]
fn at_most_12_and_6_for_each_gpu() {
    for (boards, gpus, spec) in [
        ("v100dx:8", 8, "V100DX-4Q"),
        ("v100dx:8", 8, "nvidia-196"),
        ("v100dx:1", 1, "nvidia-196"),
    ] {
        let fixture = Fixture::new(&[boards]);
        fixture.put("etc/mdevkit/config.toml", "policy = 'depth-first'\n");
        fixture.put("var/lib/mdevkit/gpus.json", "{\"version\":1,\"gpus\":{}}\n");
        fixture.prepare("d2", &domain(2, &[spec])).done();
        // What the loader and the runtime open, every Rust program opens.
        let floor = opened(&fixture, &["d1", "reconnect", "begin", "-"], "").len();
        let all = opened(&fixture, &["d1", "prepare", "begin", "-"], &domain(1, &[spec]));
        let own = all.len() - floor;
        println!("{boards}, {spec}: {own} files");
        assert!(own <= 12 + 6 * gpus, "{own} files for {gpus} GPUs:\n{}", all.join("\n"));
    }
}

/// Every virtual function has its own say on the room, before the lock and under it.
#[test]
fn at_most_two_for_each_virtual_function_and_20() {
    let fixture = Fixture::new(&["a40:1"]);
    fixture.prepare("d2", &domain(2, &["nvidia-558"])).done();
    let floor = opened(&fixture, &["d1", "reconnect", "begin", "-"], "").len();
    let all = opened(&fixture, &["d1", "prepare", "begin", "-"], &domain(1, &["nvidia-558"]));
    let own = all.len() - floor;
    println!("32 functions: {own} files");
    assert!(own <= 20 + 2 * 32, "{own} files:\n{}", all.join("\n"));
}

#[test]
fn a_domain_without_a_request_opens_nothing() {
    let fixture = Fixture::new(&["v100dx:8"]);
    let floor = opened(&fixture, &["d1", "reconnect", "begin", "-"], "");
    for operation in ["prepare", "release"] {
        let all = opened(&fixture, &["d1", operation, "begin", "-"], &crate::common::plain(1));
        assert_eq!(all.len(), floor.len(), "{operation}: {}", all.join("\n"));
    }
}

#[test]
fn the_hosts_nodes_are_read_only_for_who_is_pinned_and_cares() {
    let fixture = Fixture::new(&["v100dx:8"]);
    let plain = domain(1, &["nvidia-196"]);
    let pinned = plain.replace("<devices>", "<vcpu cpuset='25'>1</vcpu><devices>");
    let careless = pinned.replace("type=\"nvidia-196\"", "type=\"nvidia-196\" numa=\"ignore\"");
    assert_ne!(careless, pinned);
    for (xml, read) in [(&plain, false), (&careless, false), (&pinned, true)] {
        let opened = opened(&fixture, &["d1", "prepare", "begin", "-"], xml);
        let nodes = opened.iter().any(|line| line.contains("devices/system/node"));
        assert_eq!(nodes, read, "{xml}");
        fixture.release("d1", xml).done();
    }
}
