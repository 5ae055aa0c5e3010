//! The file as it is written: every value with its place, so that each mistake can be shown where it stands. (Lists are
//! read as texts: the reader of TOML names only the line where a list begins.)
//!
//! Invariant: a mistake is one line of text, `line N: ...`, and of several the first one is told.

use super::{Config, Limits, Lines, LogConfig};
use mdevkit_core::rule::Rule;
use mdevkit_core::{
    AtLeast, GpuSettings, Group, GroupName, Member, Numa, Params, PciIds, PgpuName, Policy, Profile, ProfileName,
    Profiles, Resolution, Series, TypeSpec, ValueError, What,
};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;

/// A table of named tables.
type Named<K, T> = BTreeMap<Spanned<K>, T>;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    policy: Policy,
    log: LogConfig,
    limits: Limits,
    group: Named<GroupName, GroupTable>,
    gpu: Named<String, GpuTable>,
    profile: Named<ProfileName, ProfileTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    gpus: Spanned<Vec<Spanned<String>>>,
    policy: Option<Policy>,
    rule: Option<Spanned<Rule>>,
    types: Option<Vec<Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GpuTable {
    cordoned: bool,
    types: Option<Vec<Spanned<String>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProfileTable {
    r#type: Option<Spanned<TypeSpec>>,
    class: Option<Series>,
    framebuffer: Option<u32>,
    heads: Option<u32>,
    resolution: Option<Size>,
    group: Option<Spanned<GroupName>>,
    policy: Option<Policy>,
    numa: Option<Numa>,
    apart: Option<bool>,
    params: Option<Params>,
}

/// `WIDTHxHEIGHT`.
struct Size(Resolution);

/// A GPU's name: an address, or a plain word where it is not PCI. These have no colon: `06:00.0` and `0000:06:00` are mistyped addresses.
fn gpu(text: &str) -> Result<PgpuName, ValueError> {
    let name: PgpuName = text.parse()?;
    if name.bdf().is_none() && text.contains(':') {
        return Err(ValueError::new("gpu", text, "an address is written like 0000:3b:00.0"));
    }
    Ok(name)
}

/// A GPU's name, or all of a model.
fn member(text: &str) -> Result<Member, ValueError> {
    let way_out = "it is an address like 0000:3b:00.0, or vendor and device like 10de:1db5";
    match text.parse::<PciIds>() {
        Ok(model) => Ok(Member::Model(model)),
        Err(_) => gpu(text)
            .map(Member::Gpu)
            .map_err(|_| ValueError::new("gpu", text, way_out)),
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Text positions as lines.
struct Places<'t>(&'t str);

impl Places<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.0.get(..span.start).unwrap_or(self.0).matches('\n').count()
    }

    fn wrong(&self, span: &Range<usize>, why: impl std::fmt::Display) -> String {
        format!("line {}: {why}", self.line(span))
    }
}

pub(super) fn parse(text: &str) -> Result<Config, String> {
    let places = Places(text);
    let file: File = toml::from_str(text).map_err(|error: toml::de::Error| {
        // One line, whatever is in it.
        let message: String = error.message().replace(char::is_control, " ");
        match error.span() {
            Some(span) => places.wrong(&span, message),
            None => message,
        }
    })?;
    let mut config = Config {
        policy: file.policy,
        log: file.log,
        limits: file.limits,
        ..Config::default()
    };
    config.groups = groups(file.group, &places, &mut config.lines)?;
    config.gpus = gpus(file.gpu, &places, &mut config.lines)?;
    config.profiles = profiles(file.profile, &config.groups, &places)?;
    Ok(config)
}

fn groups(tables: Named<GroupName, GroupTable>, places: &Places<'_>, lines: &mut Lines) -> Result<Vec<Group>, String> {
    let mut tables: Vec<(Spanned<GroupName>, GroupTable)> = tables.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut groups = Vec::with_capacity(tables.len());
    let mut taken: BTreeMap<Member, (GroupName, usize)> = BTreeMap::new();
    for (name, table) in tables {
        let span = name.span();
        let name = name.into_inner();
        if name.ids().is_some() {
            let why = format!("group {name} has the name of an automatic group; give it a word of its own");
            return Err(places.wrong(&span, why));
        }
        lines.groups.insert(name.clone(), places.line(&span));
        if table.gpus.get_ref().is_empty() {
            let why = format!("group {name} is empty: gpus = [] names nobody; name GPUs, or remove the group");
            return Err(places.wrong(&table.gpus.span(), why));
        }
        let mut members = Vec::new();
        for spanned in table.gpus.into_inner() {
            let line = places.line(&spanned.span());
            let member = member(spanned.get_ref()).map_err(|error| places.wrong(&spanned.span(), error))?;
            if let Some((other, first)) = taken.insert(member.clone(), (name.clone(), line)) {
                let shown = show(&member);
                return Err(format!(
                    "line {line}: {shown} is in group {other} already (line {first}); a GPU is in one group, once"
                ));
            }
            lines.members.insert((name.clone(), member.clone()), line);
            members.push(member);
        }
        let types = types(table.types, places, |spec, line| {
            lines.types.insert((name.clone(), spec), line);
        })?;
        if let Some(rule) = &table.rule {
            lines.rules.insert(name.clone(), places.line(&rule.span()));
        }
        groups.push(Group {
            members,
            policy: table.policy,
            rule: table.rule.map(Spanned::into_inner),
            types,
            ..Group::new(name)
        });
    }
    Ok(groups)
}

fn gpus(
    tables: Named<String, GpuTable>,
    places: &Places<'_>,
    lines: &mut Lines,
) -> Result<BTreeMap<PgpuName, GpuSettings>, String> {
    let mut gpus = BTreeMap::new();
    let mut tables: Vec<(Spanned<String>, GpuTable)> = tables.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    for (name, table) in tables {
        let span = name.span();
        let name = gpu(name.get_ref()).map_err(|error| places.wrong(&span, error))?;
        lines.gpus.insert(name.clone(), places.line(&span));
        let types = types(table.types, places, |spec, line| {
            lines.gpu_types.insert((name.clone(), spec), line);
        })?;
        let settings = GpuSettings {
            cordoned: table.cordoned,
            types,
            switched: BTreeMap::new(),
        };
        // 0000:3B:00.0 and 0000:3b:00.0 are one GPU, and two keys.
        if gpus.insert(name.clone(), settings).is_some() {
            return Err(places.wrong(&span, format!("gpu {name} stands twice")));
        }
    }
    Ok(gpus)
}

/// A list of types, each once.
fn types(
    list: Option<Vec<Spanned<String>>>,
    places: &Places<'_>,
    mut note: impl FnMut(String, usize),
) -> Result<Option<Vec<TypeSpec>>, String> {
    let Some(list) = list else { return Ok(None) };
    let mut types: Vec<TypeSpec> = Vec::new();
    for spanned in list {
        let span = spanned.span();
        let spec: TypeSpec = spanned.get_ref().parse().map_err(|error| places.wrong(&span, error))?;
        if types.contains(&spec) {
            return Err(places.wrong(&span, format!("type {spec} stands twice in this list")));
        }
        note(spec.as_str().to_owned(), places.line(&span));
        types.push(spec);
    }
    Ok(Some(types))
}

fn profiles(
    tables: Named<ProfileName, ProfileTable>,
    groups: &[Group],
    places: &Places<'_>,
) -> Result<Profiles, String> {
    let mut tables: Vec<(Spanned<ProfileName>, ProfileTable)> = tables.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut profiles = Profiles::new();
    for (name, table) in tables {
        let span = name.span();
        let name = name.into_inner();
        let least = AtLeast {
            series: table.class,
            framebuffer_mib: table.framebuffer,
            heads: table.heads,
            resolution: table.resolution.map(|size| size.0),
        };
        let what = match table.r#type {
            Some(spec) if !least.is_empty() => {
                let span = spec.span();
                let spec = spec.into_inner();
                let why = format!("profile {name} asks for type {spec} and for {least}; ask for one of the two");
                return Err(places.wrong(&span, why));
            }
            Some(spec) => What::Type(spec.into_inner()),
            None if least.is_empty() => {
                let why = format!(
                    "profile {name} asks for nothing; give it a type, or class, framebuffer, heads or resolution"
                );
                return Err(places.wrong(&span, why));
            }
            None => What::AtLeast(least),
        };
        if let Some(group) = &table.group {
            let named = group.get_ref();
            // The automatic groups are the host's: it alone can tell whether there is one.
            if named.ids().is_none() && !groups.iter().any(|group| group.name == *named) {
                let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                let why = format!("profile {name} names group {named}, which is not configured; there is: {known}");
                return Err(places.wrong(&group.span(), why));
            }
        }
        let profile = Profile {
            what,
            group: table.group.map(Spanned::into_inner),
            policy: table.policy,
            numa: table.numa,
            apart: table.apart,
            params: table.params,
        };
        profiles.insert(name, profile);
    }
    Ok(profiles)
}

/// A member as the file writes it.
pub(crate) fn show(member: &Member) -> String {
    match member {
        Member::Gpu(name) => name.to_string(),
        Member::Model(ids) => ids.to_string(),
    }
}
