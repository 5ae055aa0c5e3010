//! Each mistake names its line and its value.

use super::*;
use mdevkit_core::rule::Rule;
use mdevkit_core::{AtLeast, Numa, What};

#[test]
fn all_of_it_is_read() {
    let config = Config::parse(
        r#"
policy = "spread"
[group.cad]
gpus = ["0000:06:00.0", "10de:1db5"]
policy = "keep-large"
rule = "mixed-sizes"
types = ["V100DX-4Q", "nvidia-197"]
[group.a-second-one]
gpus = ["mtty"]
[gpu."0000:06:00.0"]
types = ["V100DX-8Q"]
cordoned = true
[gpu.mtty]
[profile.cad-large]
type = "V100DX-8Q"
group = "cad"
policy = "pack"
numa = "strict"
apart = true
params = "frame_rate_limiter=0"
[profile.small]
class = "Q"
framebuffer = 2048
heads = 2
resolution = "1920x1080"
group = "10de:1db5"
"#,
    )
    .unwrap();
    let cad = &config.groups[0];
    assert_eq!(
        (cad.name.as_str(), cad.members.len()),
        ("cad", 2),
        "in the file's order"
    );
    assert_eq!(
        (cad.policy, cad.rule),
        (Some(Policy::KeepLarge), Some(Rule::MixedSizes))
    );
    assert_eq!(cad.types.as_ref().unwrap().len(), 2);
    let gpu = &config.gpus[&"0000:06:00.0".parse().unwrap()];
    assert!(gpu.cordoned && gpu.types.as_ref().unwrap().len() == 1);
    let large = &config.profiles[&"cad-large".parse().unwrap()];
    assert_eq!(
        (large.numa, large.apart, large.policy),
        (Some(Numa::Strict), Some(true), Some(Policy::DepthFirst))
    );
    let small = &config.profiles[&"small".parse().unwrap()];
    let least = AtLeast {
        series: Some("Q".parse().unwrap()),
        framebuffer_mib: Some(2048),
        heads: Some(2),
        resolution: Some("1920x1080".parse().unwrap()),
    };
    assert_eq!(small.what, What::AtLeast(least));
    assert_eq!(config.rulebook().groups.len(), 2);
    let cad: GroupName = "cad".parse().unwrap();
    assert_eq!((config.lines.groups[&cad], config.lines.rules[&cad]), (3, 6));
    assert_eq!(config.lines.of_type(&cad, &"nvidia-197".parse().unwrap()), 7);
}

#[test]
fn every_mistake_names_its_line_and_its_value() {
    for (text, line, words) in [
        ("\npolicy = 'pakc'", 2, "\"pakc\""),
        ("policy = 3", 1, "integer `3`"),
        ("polcy = 'pack'", 1, "`polcy`"),
        ("[group.a]\ngpus = ['mtty']\nrule = 'mixed'", 3, "\"mixed\""),
        ("[group.a]\ngpus = ['mtty']\npolicy = 'x'", 3, "\"x\""),
        ("[group.a]\ngpus = ['mtty']\ntypes = [\n 'a',\n 'b/c',\n]", 5, "\"b/c\""),
        (
            "[group.a]\ngpus = ['mtty']\ntypes = ['x', 'x']",
            3,
            "type x stands twice",
        ),
        ("[group.a]\ngpus = ['mtty']\nlabel = 'x'", 3, "`label`"),
        ("[group.a]\ngpus = []", 2, "group a is empty"),
        ("\n[group.a]\npolicy = 'pack'", 2, "`gpus`"),
        ("[group.a]\ngpus = ['06:00.0']", 2, "\"06:00.0\""),
        ("[group.a]\ngpus = ['10de:1db5x']", 2, "\"10de:1db5x\""),
        ("[group.a]\ngpus = 'mtty'", 2, "\"mtty\""),
        (
            "[group.'10de:1db5']\ngpus = ['mtty']",
            1,
            "10de:1db5 has the name of an automatic group",
        ),
        ("[group.'a b']\ngpus = ['mtty']", 1, "\"a b\""),
        (
            "[group.b]\ngpus = ['0000:06:00.0']\n[group.a]\ngpus = [\n'mtty',\n'0000:06:00.0']",
            6,
            "0000:06:00.0 is in group b already (line 2)",
        ),
        (
            "[group.a]\ngpus = ['10de:1db5']\n[group.b]\ngpus = ['10DE:1DB5']",
            4,
            "10de:1db5 is in group a already (line 2)",
        ),
        ("[group.a]\ngpus = ['mtty', 'mtty']", 2, "mtty is in group a already"),
        ("\n[gpu.'06:00.0']\ncordoned = true", 2, "\"06:00.0\""),
        ("[gpu.'a/b']\n", 1, "\"a/b\""),
        ("[gpu.mtty]\ncordoned = 'yes'", 2, "\"yes\""),
        ("[gpu.mtty]\ncordon = true", 2, "`cordon`"),
        ("[gpu.'0000:3b:00.0']\n[gpu.'0000:3B:00.0']", 2, "stands twice"),
        (
            "[profile.a]\ntype = 'x'\nframebuffer = 1024",
            2,
            "type x and for framebuffer 1024 MiB",
        ),
        (
            "[profile.b]\nheads = 1\n\n[profile.a]\ngroup = '10de:1db5'",
            4,
            "profile a asks for nothing",
        ),
        ("[profile.a]\ntype = 'x'\nnuma = 'near'", 3, "\"near\""),
        ("[profile.a]\ntype = 'x'\nparams = 'exec=rm'", 3, "\"exec=rm\""),
        (
            "[profile.a]\ntype = 'x'\ngroup = 'cad'",
            3,
            "group cad, which is not configured",
        ),
        ("[profile.a]\nclass = 'Z'", 2, "\"Z\""),
        ("[profile.a]\nframebuffer = -1", 2, "-1"),
        ("[profile.a]\nresolution = 'big'", 2, "\"big\""),
        ("[profile.a]\nmodel = 'x'", 2, "`model`"),
        ("[log]\nfile = '/x'\nlevel = 'loud'", 3, "\"loud\""),
        ("[limits]\nrun_ms = 1", 1, "run_ms = 1 is out of range"),
        ("[limits]\nwait = 1", 2, "`wait`"),
        ("policy = 'pack'\n[group", 2, ""),
    ] {
        let wrong = Config::parse(text).unwrap_err();
        assert!(wrong.starts_with(&format!("line {line}: ")), "{text:?}: {wrong}");
        assert!(wrong.contains(words), "{text:?}: {wrong}");
        assert!(!wrong.contains('\n'), "{text:?}: {wrong}");
    }
}
