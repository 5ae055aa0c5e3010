//! What a driver says of its types, and every word that names something: ids, names, descriptions.

use mdevkit_core::rule::{Cost, PlacementFile, TypeFacts, nvidia};
use mdevkit_core::{
    Alias, AtLeast, Bdf, Description, DeviceApi, GroupName, IdSet, Numa, Params, ParentName, PciIds, PgpuName, Policy,
    ProfileName, Resolution, Series, Slot, TypeId, TypeName, TypeSpec, What,
};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// A type. Input: its id (or any other word), its name, its description, with a NUL between them.
pub fn types(data: &[u8]) {
    let mut parts = crate::parts(data).map(String::from_utf8_lossy);
    let mut next = || parts.next().unwrap_or_default();
    let (id, name, description) = (next(), next(), next());
    words(&id);
    let read = Description::read(&description);
    if let Some(resolution) = read.resolution {
        assert_eq!(resolution.to_string().parse::<Resolution>(), Ok(resolution));
    }
    if let PlacementFile::Id(id) = PlacementFile::read(&description) {
        assert_eq!(
            description.trim().trim_start_matches('0'),
            id.to_string().trim_start_matches('0')
        );
    }
    let name = name.parse::<TypeName>().ok();
    if let Some(name) = &name {
        named(name);
    }
    let Ok(id) = id.parse::<TypeId>() else { return };
    let is_path = |text: &str| text.contains('/') || text == "." || text == ".." || text.is_empty();
    assert!(!is_path(id.as_str()) && id.as_str().len() <= 128, "{id:?} is a path");

    let facts = TypeFacts::read(id.clone(), name.as_ref(), Some(&description));
    let short = name.as_ref().and_then(nvidia::read);
    assert_eq!(
        facts.size_mib,
        read.framebuffer_mib.or(short.map(|it| it.framebuffer_mib))
    );
    assert_eq!((facts.max, facts.available, facts.resident), (read.max_instances, 0, 0));
    assert_eq!(facts.cost, Cost::of(&id, Some(&description)));

    // A type is what its own id and name say, and has at least what it has.
    let means = |what: &What| what.means(&id, name.as_ref(), &read);
    assert!(means(&What::Type(id.clone().into())));
    for text in name.iter().flat_map(|it| [Some(it.as_str()), it.short()]).flatten() {
        if let Ok(spec) = text.parse::<TypeSpec>() {
            assert!(means(&What::Type(spec.clone())), "{spec} is not {name:?}");
            assert!(means(&What::Type(spec.lasting())), "stored, {spec} is not {name:?}");
            assert_eq!(spec.lasting().lasting(), spec.lasting());
        }
    }
    let has = AtLeast {
        series: name.as_ref().and_then(TypeName::series),
        framebuffer_mib: read.framebuffer_mib,
        heads: read.heads,
        resolution: read.resolution,
    };
    assert!(means(&What::AtLeast(has)), "{has} is not enough for {has}");
    if let Some(more) = read.framebuffer_mib.and_then(|mib| mib.checked_add(1)) {
        let need = AtLeast {
            framebuffer_mib: Some(more),
            ..has
        };
        assert!(!means(&What::AtLeast(need)), "{has} is enough for {need}");
    }
}

fn named(name: &TypeName) {
    let short = name.short();
    assert!(short.is_none_or(|short| name.as_str().ends_with(short) && !short.is_empty() && !short.contains(' ')));
    let Some(read) = nvidia::read(name) else { return };
    assert!(short.is_some(), "{name} is not NVIDIA's");
    assert_eq!(name.series(), Some(read.series), "{name}");
    assert_eq!(nvidia::framebuffer_mib(name), Some(read.framebuffer_mib));
    assert!((512..=9999 * 1024).contains(&read.framebuffer_mib) && read.slices.is_none_or(|it| (1..=9).contains(&it)));
}

/// Every word of the border: what is accepted is shown as something that is accepted and means the same.
fn words(text: &str) {
    shown_as_it_is_read::<Alias>(text);
    shown_as_it_is_read::<Bdf>(text);
    shown_as_it_is_read::<DeviceApi>(text);
    shown_as_it_is_read::<GroupName>(text);
    // A list that the kernel writes may be empty (an offline node's CPUs); one that a person writes is not, and is refused.
    if !text.parse::<IdSet>().is_ok_and(|set| set.is_empty()) {
        shown_as_it_is_read::<IdSet>(text);
    }
    shown_as_it_is_read::<Numa>(text);
    shown_as_it_is_read::<Params>(text);
    shown_as_it_is_read::<PciIds>(text);
    shown_as_it_is_read::<Policy>(text);
    shown_as_it_is_read::<ProfileName>(text);
    shown_as_it_is_read::<Resolution>(text);
    shown_as_it_is_read::<Series>(text);
    shown_as_it_is_read::<Slot>(text);
    shown_as_it_is_read::<TypeId>(text);
    shown_as_it_is_read::<TypeName>(text);
    shown_as_it_is_read::<TypeSpec>(text);
    for path in [
        shown_as_it_is_read::<ParentName>(text).map(|it| it.to_string()),
        shown_as_it_is_read::<PgpuName>(text).map(|it| it.to_string()),
    ] {
        let safe = |path: &str| !path.contains(['/', '\0']) && path != "." && path != ".." && !path.is_empty();
        assert!(path.is_none_or(|path| safe(&path)), "{text:?} became a path");
    }
}

fn shown_as_it_is_read<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            assert!(crate::is_one_line(&shown), "{shown:?}");
            assert_eq!(
                shown.parse::<T>().ok().as_ref(),
                Some(&value),
                "{text:?} is shown as {shown:?}"
            );
            Some(value)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(crate::is_one_line(&message) && message.len() < 1024, "{message:?}");
            None
        }
    }
}
