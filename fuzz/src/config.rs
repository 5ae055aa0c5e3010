//! The configuration: refused with its line, or read as the reader of TOML reads it.

use mdevkit_core::{GroupName, Member, What};
use mdevkit_host::Config;
use std::collections::BTreeSet;
use std::time::Duration;

/// Input: the file's text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(why) => {
            assert!(crate::is_one_line(&why), "{why:?}");
            // Where the reader of TOML knows no place it says none; a place is one in the file.
            if let Some(rest) = why.strip_prefix("line ") {
                let number: usize = rest
                    .split(':')
                    .next()
                    .and_then(|it| it.parse().ok())
                    .expect("a line has a number");
                assert!((1..=text.matches('\n').count() + 1).contains(&number), "{why}");
            }
            return;
        }
    };
    assert_eq!(Config::parse(text).as_ref(), Ok(&config), "the same text says the same");

    let table: toml::Table = toml::from_str(text).expect("what is accepted is TOML");
    let count = |key: &str| {
        table
            .get(key)
            .and_then(toml::Value::as_table)
            .map_or(0, toml::Table::len)
    };
    assert_eq!(
        (config.groups.len(), config.profiles.len()),
        (count("group"), count("profile"))
    );
    assert_eq!(config.gpus.len(), count("gpu"));

    let mut members: BTreeSet<&Member> = BTreeSet::new();
    for group in &config.groups {
        assert!(!group.members.is_empty(), "{} is empty", group.name);
        assert!(
            group.members.iter().all(|it| members.insert(it)),
            "a GPU of {} is in two groups",
            group.name
        );
        assert!(
            group.name.ids().is_none(),
            "{} is an automatic group's name",
            group.name
        );
    }
    for (name, profile) in &config.profiles {
        assert!(
            !matches!(profile.what, What::AtLeast(least) if least.is_empty()),
            "{name} asks for nothing"
        );
        let configured = |name: &GroupName| config.groups.iter().any(|group| group.name == *name);
        assert!(
            profile
                .group
                .as_ref()
                .is_none_or(|group| group.ids().is_some() || configured(group))
        );
    }
    let limits = config.limits;
    for limit in [limits.run, limits.lock, limits.ready, limits.removal] {
        assert!(
            (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&limit),
            "{limit:?}"
        );
    }
    assert_eq!(config.rulebook().groups, config.groups);
}
