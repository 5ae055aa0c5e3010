//! What a person asks for on the command line, the same words as in a request.
//!
//! Invariant: one of type, need and profile; the command line refuses two of them, as the format does.

use mdevkit_core::{Ask, AtLeast, ProfileName, Resolution, Series, TypeSpec, What};

/// What is wanted: types, or the least that a device must have, or a profile.
#[derive(Debug, Default, clap::Args)]
#[group(id = "asked", multiple = true)]
pub(crate) struct AskArgs {
    /// What is wanted (repeatable): a type's id, full name or short name
    #[arg(long = "type", value_name = "TYPE", conflicts_with_all = ["class", "framebuffer", "heads", "resolution", "profile"])]
    types: Vec<TypeSpec>,
    /// The smallest type of this class that is enough: Q (workstation), B (PC), A (applications), C (compute)
    #[arg(long, value_name = "Q|B|A|C", conflicts_with = "profile")]
    class: Option<Series>,
    /// The smallest type with this much framebuffer at least, in MiB
    #[arg(long, value_name = "MIB", conflicts_with = "profile", value_parser = clap::value_parser!(u32).range(1..))]
    framebuffer: Option<u32>,
    /// The smallest type for this many displays at least
    #[arg(long, value_name = "N", conflicts_with = "profile", value_parser = clap::value_parser!(u32).range(1..))]
    heads: Option<u32>,
    /// The smallest type for displays of this size at least
    #[arg(long, value_name = "WxH", conflicts_with = "profile", value_parser = display)]
    resolution: Option<Resolution>,
    /// What this profile of the host's configuration says
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,
}

impl AskArgs {
    /// What is asked for, in order; nothing when nothing was said.
    pub(crate) fn asks(&self) -> Vec<Ask> {
        let least = AtLeast {
            series: self.class,
            framebuffer_mib: self.framebuffer,
            heads: self.heads,
            resolution: self.resolution,
        };
        let mut asks: Vec<Ask> = self.types.iter().map(|spec| Ask::from(spec.clone())).collect();
        if !least.is_empty() {
            asks.push(Ask::For(What::AtLeast(least)));
        }
        asks.extend(self.profile.iter().map(|name| Ask::Profile(name.clone())));
        asks
    }
}

/// Whether to keep away from the domain's other devices: `--apart`, or `--apart=no` against a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Apart {
    Yes,
    No,
}

fn display(text: &str) -> Result<Resolution, String> {
    match text.parse() {
        Ok(Resolution { width: 0, .. } | Resolution { height: 0, .. }) => {
            Err("a display has one pixel at least".into())
        }
        Ok(resolution) => Ok(resolution),
        Err(error) => Err(error.to_string()),
    }
}
