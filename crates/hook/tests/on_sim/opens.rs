//! How many files one `prepare` opens: while it runs, libvirt answers nobody about the domain.

use crate::common::{Fixture, domain};
use std::io::Write;
use std::process::{Command, Stdio};

/// The files that the hook opens (a path that is not there is none), by strace. Needs strace; `cargo xtask test` installs it.
fn opened(fixture: &Fixture, args: &[&str], stdin: &str) -> Vec<String> {
    let trace = fixture.path("tmp/trace");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_mdevkit-hook"))
        .args(args)
        .env_remove("LD_LIBRARY_PATH")
        .env("MDEVKIT_ROOT", fixture.path(""))
        .stdin(Stdio::piped())
        .spawn()
        .expect("strace is installed (apt-get install strace)");
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    assert!(child.wait().unwrap().success());
    std::fs::read_to_string(trace)
        .unwrap()
        .lines()
        .filter(|line| line.contains("open") && !line.contains(" = -1 "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn at_most_12_and_6_for_each_parent() {
    for (boards, parents, spec) in [
        ("v100dx:8", 8, "V100DX-4Q"),
        ("v100dx:8", 8, "nvidia-196"),
        ("v100dx:1", 1, "nvidia-196"),
    ] {
        let fixture = Fixture::new(&[boards]);
        fixture.put("etc/mdevkit/config.toml", "policy = 'depth-first'\n");
        fixture.prepare("d2", &domain(2, &[spec])).done();
        // What the loader and the runtime open, every Rust program opens.
        let floor = opened(&fixture, &["d1", "reconnect", "begin", "-"], "").len();
        let all = opened(&fixture, &["d1", "prepare", "begin", "-"], &domain(1, &[spec]));
        let own = all.len() - floor;
        println!("{boards}, {spec}: {own} files");
        assert!(
            own <= 12 + 6 * parents,
            "{own} files for {parents} parents:\n{}",
            all.join("\n")
        );
    }
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
