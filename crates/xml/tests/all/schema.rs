//! The public format, docs/request.rng: all that is written validates, and the schema and the reader agree.

use crate::common::fixtures;
use mdevkit_core::{DeviceApi, Numa, Policy, Uuid};
use mdevkit_xml::{Eject, Injection, NewDevice, Pick, Replacement, complete, eject, read};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Which of the documents the schema refuses, by index.
fn refused(documents: &[String]) -> BTreeSet<usize> {
    let folder = tempfile::tempdir().unwrap();
    let name = |index: usize| format!("{index}.xml");
    for (index, document) in documents.iter().enumerate() {
        let mut file = std::fs::File::create_new(folder.path().join(name(index))).unwrap();
        file.write_all(document.as_bytes()).unwrap();
    }
    let output = Command::new("xmllint")
        .args(["--noout", "--relaxng"])
        .arg(docs().join("request.rng"))
        .args((0..documents.len()).map(name))
        .current_dir(folder.path())
        .output()
        .expect("xmllint is missing: apt-get install libxml2-utils");
    let said = String::from_utf8_lossy(&output.stderr);
    let is = |index: usize, verdict: &str| said.lines().any(|line| line == format!("{index}.xml {verdict}"));
    (0..documents.len())
        .filter(|index| {
            let (good, bad) = (is(*index, "validates"), is(*index, "fails to validate"));
            assert!(good != bad, "no verdict on {}:\n{said}", documents[*index]);
            bad
        })
        .collect()
}

#[track_caller]
fn assert_all_validate(documents: &[String]) {
    let refused: Vec<&String> = refused(documents).into_iter().map(|index| &documents[index]).collect();
    assert!(refused.is_empty(), "the schema refuses:\n{refused:#?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_document_that_is_written_validates() {
    let mut next = 0;
    let mut documents = Vec::new();
    for (_, xml) in fixtures() {
        let mut fresh = || {
            next += 1;
            Uuid::from_u128(next)
        };
        let need = mdevkit_core::AtLeast {
            series: Some(mdevkit_core::Series::Q),
            heads: Some(4),
            ..Default::default()
        };
        let injection = Injection::new()
            .more()
            .devices(
                NewDevice::new("GRID V100DX-4Q".parse().unwrap()).policy(Policy::BreadthFirst),
                2,
            )
            .device(NewDevice::needing(need).numa(Numa::Strict).apart(true))
            .device(NewDevice::of_profile("cad.large:1".parse().unwrap()).group("10de:1db5".parse().unwrap()));
        let edited = injection.apply(&xml, &mut fresh).unwrap();
        let change = Replacement::new()
            .ask("Dual port serial".parse::<mdevkit_core::TypeSpec>().unwrap())
            .parent(Some("mtty".parse().unwrap()))
            .params(Some("frame_rate_limiter=0,enable_uvm=1".parse().unwrap()));
        let pick = Pick::Slot(edited.devices()[2].0);
        let one = Eject::Slots(vec![edited.devices()[0].0]);
        documents.extend([
            text(&xml),
            text(complete(&xml, DeviceApi::VfioPci, &mut fresh).unwrap().bytes()),
            text(change.apply(edited.bytes(), pick).unwrap().bytes()),
            text(eject(edited.bytes(), &one).unwrap().bytes()),
            text(edited.bytes()),
        ]);
    }
    assert_all_validate(&documents);
}

#[test]
fn the_page_shows_what_validates() {
    let page = std::fs::read_to_string(docs().join("request.md")).unwrap();
    let examples: Vec<String> = page
        .split("```xml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect();
    assert_eq!(examples.len(), 1);
    assert_all_validate(&examples);
    assert_eq!(
        read(examples[0].as_bytes()).unwrap().requests.unwrap().requests.len(),
        3
    );
    // Every attribute that the reader knows has its row.
    let error = read(b"<domain><metadata><r:requests xmlns:r='urn:mdevkit:domain:1'><r:request x=''/></r:requests></metadata></domain>")
        .unwrap_err()
        .to_string();
    let known = error.rsplit_once("known are: ").unwrap().1;
    assert_eq!(known.split(", ").count(), 14);
    for name in known.split(", ").chain(["for", "opened"]) {
        assert!(page.contains(&format!("\n| `{name}` |")), "no row for {name}");
    }
}

/// Attributes, good and bad, and how they are put together.
fn attributes() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let one = |name: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(0.3, prop::sample::select(values))
            .prop_map(move |it| it.map(|value| (name, value.to_owned())))
    };
    const NAMES: &[&str] = &["cad", "10de:1db5", "a.b_c-d", "", "a b", "ä", "a/b"];
    const COUNTS: &[&str] = &["1", "4096", "16", "0", "01", "", "-1", "+1", "4G", "1.0", " 1"];
    let ask = (
        one(
            "type",
            &[
                "V100DX-4Q",
                "nvidia-197",
                "GRID V100DX-4Q",
                "_a",
                "",
                "-a",
                ".a",
                "a  b",
                " a",
                "a ",
                "a/b",
                "a-",
                "é",
            ],
        ),
        one("class", &["A", "B", "C", "Q", "q", "", "QQ", " Q", "D"]),
        one("framebuffer", COUNTS),
        one("heads", COUNTS),
        one(
            "resolution",
            &[
                "1920x1080",
                "1x1",
                "0x1",
                "1x0",
                "1920",
                "1920X1080",
                "x",
                "1x2x3",
                "01x1",
                " 1x1",
            ],
        ),
        one("profile", NAMES),
    );
    let rest = (
        one(
            "slot",
            &[
                "0", "9", "10", "99", "100", "199", "249", "250", "255", "256", "260", "300", "00", "01", "", "-1",
                "1000",
            ],
        ),
        one(
            "uuid",
            &[
                "53764d0e-85a0-42b4-af5c-2046b460b1dc",
                "53764D0E85A042B4AF5C2046B460B1DC",
                " 53 764d0e-85a042b4af5c2046b460b1dc ",
                "--53764d0e85a042b4af5c2046b460b1dc",
                "53764d0e-85a0-42b4-af5c-2046b460b1d",
                "53764d0e-85a0-42b4-af5c-2046b460b1dc-",
                "5-3764d0e85a042b4af5c2046b460b1dc",
                "{53764d0e-85a0-42b4-af5c-2046b460b1dc}",
                "",
            ],
        ),
        one("group", NAMES),
        one(
            "policy",
            &[
                "depth-first",
                "pack",
                "breadth-first",
                "spread",
                "keep-large",
                "best",
                "",
                "Pack",
                " pack",
            ],
        ),
        one(
            "parent",
            &[
                "0000:3b:00.0",
                "mtty",
                "0.0.0312",
                "a..b",
                "..",
                ".",
                "",
                "a/b",
                "a b",
                ".a",
                "a.",
            ],
        ),
        one("numa", &["strict", "prefer", "ignore", "", "Strict", "yes"]),
        one("apart", &["yes", "no", "", "true", "1", "Yes"]),
        one(
            "params",
            &[
                "frame_rate_limiter=0",
                "disable_vnc=1,enable_uvm=0",
                " disable_vnc=1 , enable_profiling=0 ",
                "enable_debugging=2",
                "exec=1",
                "disable_vnc = 1",
                "disable_vnc=1,",
                "",
            ],
        ),
        one("count", &["2"]),
    );
    (ask, rest).prop_map(|((a, b, c, d, e, f), (g, h, i, j, k, l, m, n, o))| {
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o]
            .into_iter()
            .flatten()
            .collect()
    })
}

#[test]
fn the_schema_and_the_reader_agree() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut documents: Vec<String> = Vec::new();
    // One attribute at a time with a good ask, so that each value is judged alone, then all together.
    for round in 0..3000 {
        let mut chosen = attributes().new_tree(&mut runner).unwrap().current();
        if round % 3 > 0 && !chosen.is_empty() {
            let alone = chosen.swap_remove(round % chosen.len());
            let asks = ["type", "class", "framebuffer", "heads", "resolution", "profile"].contains(&alone.0);
            chosen = vec![alone];
            if !asks {
                chosen.push(("type", "a".to_owned()));
            }
        }
        let attributes: String = chosen
            .iter()
            .map(|(name, value)| format!(" {name}=\"{value}\""))
            .collect();
        documents.push(format!(
            "<domain><metadata><r:requests xmlns:r='urn:mdevkit:domain:1'><r:request{attributes}/></r:requests></metadata></domain>"
        ));
    }
    let elsewhere = [
        ("<r:requests xmlns:r='urn:mdevkit:domain:1'/>", true),
        ("<r:requests xmlns:r='urn:mdevkit:domain:1' for=''/>", true),
        ("<r:requests xmlns:r='urn:mdevkit:domain:1' for='x'/>", false),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1' opened='devices=tag for=0'/>",
            true,
        ),
        ("<r:requests xmlns:r='urn:mdevkit:domain:1' opened='devices'/>", false),
        ("<r:requests xmlns:r='urn:mdevkit:domain:1' mode='x'/>", false),
        ("<r:requests xmlns:r='urn:mdevkit:domain:1'>x</r:requests>", false),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'> <!-- x --> </r:requests>",
            true,
        ),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'><r:request type='a'>x</r:request></r:requests>",
            false,
        ),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'><request type='a'/></r:requests>",
            false,
        ),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'><r:want type='a'/></r:requests>",
            false,
        ),
        ("<r:request xmlns:r='urn:mdevkit:domain:1' type='a'/>", false),
        (
            "<r:requests xmlns:r='urn:mdevkit:domain:1'/><r:requests xmlns:r='urn:mdevkit:domain:1'/>",
            false,
        ),
        (
            "<o:requests xmlns:o='urn:o'><o:request count='4'/></o:requests><a/>",
            true,
        ),
        (
            "<o:x xmlns:o='urn:o'><r:want xmlns:r='urn:mdevkit:domain:1'/></o:x>",
            true,
        ),
    ];
    let first = documents.len();
    documents.extend(
        elsewhere
            .iter()
            .map(|(inside, _)| format!("<domain><metadata>{inside}</metadata></domain>")),
    );
    let refused = refused(&documents);
    let mut accepted = 0;
    for (index, document) in documents.iter().enumerate() {
        let reads = read(document.as_bytes());
        assert_eq!(reads.is_ok(), !refused.contains(&index), "{document}\n{reads:?}");
        accepted += usize::from(reads.is_ok());
    }
    for (index, (inside, good)) in elsewhere.iter().enumerate() {
        assert_eq!(refused.contains(&(first + index)), !good, "{inside}");
    }
    assert!(
        (300..2700).contains(&accepted),
        "{accepted} of {} accepted say little",
        documents.len()
    );
}
