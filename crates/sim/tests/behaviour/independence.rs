//! A simulator that shared the product's rules would only agree with the product.

use std::path::Path;

#[test]
fn no_other_crate_of_this_workspace_is_used() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let mut seen = 0;
    for (table, names) in manifest.iter().filter(|(table, _)| table.ends_with("dependencies")) {
        for name in names.as_table().unwrap().keys() {
            assert!(!name.starts_with("mdevkit"), "[{table}] {name}");
            seen += 1;
        }
    }
    assert!(
        seen > 0 && !manifest.contains_key("target"),
        "the dependencies stand where this test looks"
    );

    // Nor through another crate: the resolved graph.
    let cargo = std::env::var("CARGO").unwrap();
    let tree = std::process::Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--prefix",
            "none",
            "-e",
            "all",
            "-p",
            "mdevkit-sim",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let ours: Vec<_> = String::from_utf8(tree.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("mdevkit"))
        .map(str::to_owned)
        .collect();
    assert_eq!(ours, ["mdevkit-sim"]);
}
