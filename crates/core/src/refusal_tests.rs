//! The one line: what it says first, that it fits, and that nothing hostile breaks it.

use super::*;
use crate::TypeSpec;
use proptest::prelude::*;

fn id(text: &str) -> TypeId {
    text.parse().unwrap()
}

fn reason(gpu: &str, why: Why) -> Reason {
    Reason {
        pgpu: gpu.parse().unwrap(),
        why,
    }
}

/// Any refusal at all, with whatever a kernel or a file may have said.
fn any_refusal() -> impl Strategy<Value = Refusal> {
    let type_id = || "[a-z0-9_]{1,128}".prop_map(|text: String| id(&text));
    let why = prop_oneof![
        Just(Why::NotSupported),
        Just(Why::Full),
        Just(Why::Promised),
        Just(Why::MigNotSetUp),
        Just(Why::Split),
        Just(Why::Cordoned),
        Just(Why::NotEnabled),
        Just(Why::Excluded),
        proptest::collection::vec(type_id(), 0..4).prop_map(Why::OtherSize),
        any::<String>().prop_map(Why::Refused),
        any::<String>().prop_map(Why::Busy),
        any::<String>().prop_map(|driver| Why::PassedThrough { driver }),
        any::<u32>().prop_map(|total| Why::VfsOff { total }),
        any::<Option<u32>>().prop_map(|node| Why::WrongNode { node }),
        Just(Why::Model {
            offered: DeviceApi::VfioAp,
            model: DeviceApi::VfioPci
        }),
        "(?s).{0,200}".prop_map(Why::Unreadable),
    ];
    let gpu = proptest::sample::select(&["0000:06:00.0", "0000:85:00.0", "mtty"][..]);
    let reason = (gpu, why).prop_map(|(gpu, why)| reason(gpu, why));
    let spec = "[A-Z0-9]{1,128}".prop_map(|text: String| text.parse::<TypeSpec>().unwrap());
    (
        spec,
        proptest::collection::vec(reason, 0..12),
        proptest::collection::vec(type_id(), 0..3),
    )
        .prop_map(|(spec, reasons, means)| {
            let (slot, what) = (Slot::new(0).unwrap(), What::Type(spec));
            if means.len() > 1 {
                Refusal::ambiguous(slot, what, means)
            } else {
                Refusal::new(slot, what, reasons)
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_headline_is_one_line_that_fits(refusal in any_refusal()) {
        let line = refusal.to_string();
        prop_assert!(line.len() <= Refusal::HEADLINE, "{} bytes", line.len());
        prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        prop_assert!(line.contains(&refusal.what.to_string()), "{}", line);
        for reason in &refusal.reasons {
            prop_assert!(!reason.to_string().chars().any(char::is_control));
        }
    }
}

#[test]
fn headlines_group_equal_reasons_the_most_useful_first() {
    let full = |p: &str| reason(p, Why::Full);
    let runs = |p: &str, types: &[&str]| reason(p, Why::OtherSize(types.iter().map(|t| id(t)).collect()));
    let refused = |p: &str, why: &str| reason(p, Why::Refused(why.to_owned()));
    let unreadable = |p: &str, why: &str| reason(p, Why::Unreadable(why.to_owned()));
    for (reasons, tail) in [
        (
            vec![full("a"), runs("b", &["t-1"]), full("c")],
            "1 parent runs another size (t-1), 2 parents are full",
        ),
        (
            vec![runs("a", &["t-1"]), runs("b", &["t-1"])],
            "2 parents run another size (t-1)",
        ),
        (
            vec![runs("a", &["t-1"]), runs("b", &["t-2"])],
            "2 parents run another size (t-1, ...)",
        ),
        (
            vec![runs("a", &["t-1", "t-2"])],
            "1 parent runs another size (t-1, ...)",
        ),
        (
            vec![refused("a", "EIO"), refused("b", "EIO")],
            "2 parents refused (EIO)",
        ),
        (
            vec![refused("a", "EIO"), refused("b", "EPERM")],
            "2 parents refused (EIO, ...)",
        ),
        (
            vec![unreadable("a", "x: EIO"), full("b")],
            "1 parent is full, 1 parent cannot be read (x: EIO)",
        ),
        (vec![unreadable("a", "x\ny")], "1 parent cannot be read (x\\ny)"),
        (
            vec![reason("a", Why::NotSupported), full("b")],
            "1 parent is full, 1 parent does not offer it",
        ),
    ] {
        let refusal = Refusal {
            code: Code::Full,
            ..Refusal::new(Slot::new(0).unwrap(), What::Type("X".parse().unwrap()), reasons)
        };
        assert_eq!(refusal.to_string(), format!("no X left: {tail}"));
    }
}

#[test]
fn a_headline_that_is_too_long_is_cut_between_characters() {
    let refusal = Refusal::new(
        Slot::new(0).unwrap(),
        What::Type("X".parse().unwrap()),
        vec![reason("a", Why::Refused("é".repeat(300)))],
    );
    let line = refusal.to_string();
    assert!(
        (Refusal::HEADLINE - 1..=Refusal::HEADLINE).contains(&line.len()),
        "{}",
        line.len()
    );
    assert!(line.ends_with("é..."), "{line}");
}
