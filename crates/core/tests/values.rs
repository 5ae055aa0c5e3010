//! Every word that is parsed at the border: any text gives a value or one bounded, printable line, never a panic, and
//! what was read is printed so that it is read again.
#![expect(clippy::unwrap_used, reason = "a test's helpers may panic")]

use mdevkit_core::ledger::BootId;
use mdevkit_core::{
    Alias, Bdf, Description, DeviceApi, Params, ParentName, Policy, Resolution, Slot, TypeId, TypeName, TypeSpec,
    ValueError,
};
use proptest::prelude::*;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// What must hold of one type for one text.
fn border<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err = ValueError> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            prop_assert_eq!(
                printed.parse::<T>(),
                Ok(value),
                "{:?} was printed as {:?}",
                text,
                printed
            );
        }
        Err(error) => {
            let line = error.to_string();
            // 64 characters of at most 10 bytes each when escaped, and what is said about them.
            prop_assert!(line.len() < 64 * 10 + 200, "{} bytes", line.len());
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
        }
    }
    Ok(())
}

/// The same, for the form in files: text in JSON.
fn in_file<T>(text: &str) -> Result<(), TestCaseError>
where
    T: FromStr<Err = ValueError> + Display + PartialEq + Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let json = serde_json::to_string(text).unwrap();
    let read = serde_json::from_str::<T>(&json).ok();
    prop_assert_eq!(&read, &text.parse::<T>().ok());
    if let Some(value) = read {
        prop_assert_eq!(
            serde_json::to_string(&value).unwrap(),
            serde_json::to_string(&value.to_string()).unwrap()
        );
    }
    border::<T>(text)
}

fn every_type(text: &str) -> Result<(), TestCaseError> {
    in_file::<Bdf>(text)?;
    in_file::<ParentName>(text)?;
    in_file::<TypeId>(text)?;
    in_file::<TypeName>(text)?;
    in_file::<TypeSpec>(text)?;
    in_file::<DeviceApi>(text)?;
    in_file::<Policy>(text)?;
    in_file::<Params>(text)?;
    in_file::<Slot>(text)?;
    in_file::<Alias>(text)?;
    in_file::<BootId>(text)?;
    border::<Resolution>(text)
}

/// A path component that stays where it is put.
fn safe(component: &str) -> bool {
    !component.is_empty()
        && !component.contains(['/', '\0', '\n'])
        && component.chars().any(|c| c != '.')
        && component.len() <= 255
}

/// Text that looks as if it might be one of ours.
fn almost() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9a-fA-F]{3,9}:[0-9a-f]{1,3}:[0-9a-f]{1,3}\\.[0-9a-f]{1,2}",
        "(nvidia|mtty|i915|\\.\\.|-)[-._/ a-zA-Z0-9]{0,140}",
        "(GRID|NVIDIA) ?[-._/ a-zA-Z0-9]{0,20}",
        "ua-mdevkit-[-+0-9]{0,5}",
        "[-+]?[0-9]{1,12}",
        "[0-9]{0,11}x[0-9]{0,11}",
        "(frame_rate_limiter|disable_vnc|exec)=[01x],? ?(enable_uvm=[01])?",
        "(pack|spread|depth-first|breadth-first|vfio-(pci|ccw|ap))",
        "[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_value_or_a_line(text in any::<String>()) {
        every_type(&text)?;
    }

    #[test]
    fn any_text_of_many_lines_is_a_value_or_a_line(text in "(?s).{0,400}") {
        every_type(&text)?;
    }

    #[test]
    fn text_that_looks_like_ours_is_a_value_or_a_line(text in almost()) {
        every_type(&text)?;
    }

    #[test]
    fn what_becomes_part_of_a_path_stays_in_its_place(text in prop_oneof![any::<String>(), almost(), "[./a]{0,6}"]) {
        if let Ok(id) = text.parse::<TypeId>() {
            prop_assert!(safe(id.as_str()));
        }
        if let Ok(parent) = text.parse::<ParentName>() {
            prop_assert!(safe(parent.as_str()));
        }
    }

    #[test]
    fn a_description_is_read_whatever_it_says(text in prop_oneof![
        any::<String>(),
        "((num_heads|frl_config|framebuffer|max_resolution|resolution|max_instance|low_gm_size)[=:] ?[-+0-9a-zA-Z]{0,14}[,\n ]?){0,8}",
        "[0-9]{1,12} MB,? [0-9]{1,12}x[0-9]{1,12}",
    ]) {
        let read = Description::read(&text);
        prop_assert_eq!(Description::read(&text), read);
        if let Some(resolution) = read.resolution {
            prop_assert_eq!(resolution.to_string().parse(), Ok(resolution));
        }
    }
}

#[test]
fn a_pci_parent_has_one_name_however_it_is_spelled() {
    for (text, name) in [
        ("0000:3b:00.0", "0000:3b:00.0"),
        ("0000:3B:00.0", "0000:3b:00.0"),
        ("00000000:3b:00.0", "0000:3b:00.0"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("MTTY", "MTTY"),
    ] {
        assert_eq!(text.parse::<ParentName>().unwrap().as_str(), name);
    }
}

#[test]
fn words_that_may_be_confused_are_told_apart() {
    assert!("depth first".parse::<Policy>().is_err());
    assert!("VFIO-PCI".parse::<DeviceApi>().is_err());
    for params in [
        "",
        "frame_rate_limiter",
        "frame_rate_limiter=2",
        "disable_vnc=1,disable_vnc=0",
        "disable_vnc =1",
        ",",
    ] {
        assert!(params.parse::<Params>().is_err(), "{params:?}");
    }
    for name in ["", " a", "a ", "a\nb", &"x".repeat(256)] {
        assert!(name.parse::<TypeName>().is_err(), "{name:?}");
    }
    for spec in ["", "a  b", " a", "a ", "-a", ".a", "a/b", "a\tb", "ä", &"x".repeat(129)] {
        assert!(spec.parse::<TypeSpec>().is_err(), "{spec:?}");
    }
}
