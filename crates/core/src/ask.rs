//! What a request wants: a type, the least that it needs, or a profile that says it.
//!
//! Invariant: [`What`] can be looked up on a host as it is; a profile has to be resolved first
//! ([`Profile::complete`]), and nothing that plans ever sees one.

use crate::value::{ValueError, serde_as_text};
use crate::{Description, GroupName, Params, Policy, ProfileName, Request, Resolution, TypeId, TypeName, TypeSpec};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The series of an NVIDIA vGPU type: the letter that its name ends with.
///
/// ```
/// assert_eq!("Q".parse::<mdevkit_core::Series>()?.to_string(), "Q");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Virtual applications.
    A,
    /// Virtual PC.
    B,
    /// Compute.
    C,
    /// Virtual workstation.
    Q,
}

impl FromStr for Series {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "A" => Self::A,
            "B" => Self::B,
            "C" => Self::C,
            "Q" => Self::Q,
            _ => return Err(ValueError::new("class", text, "it is A, B, C or Q")),
        })
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::Q => "Q",
        })
    }
}

/// How much a domain's NUMA nodes matter for where its device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Numa {
    /// On one of the domain's nodes, or nowhere.
    Strict,
    /// On one of the domain's nodes if there is room, else elsewhere.
    #[default]
    Prefer,
    /// Anywhere.
    Ignore,
}

impl FromStr for Numa {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(match text {
            "strict" => Self::Strict,
            "prefer" => Self::Prefer,
            "ignore" => Self::Ignore,
            _ => return Err(ValueError::new("numa", text, "it is strict, prefer or ignore")),
        })
    }
}

impl fmt::Display for Numa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::Prefer => "prefer",
            Self::Ignore => "ignore",
        })
    }
}

/// The least that a device must have; the smallest type that has it is taken.
///
/// ```
/// use mdevkit_core::AtLeast;
/// let four = AtLeast { series: Some("Q".parse()?), framebuffer_mib: Some(4096), ..AtLeast::default() };
/// assert_eq!(four.to_string(), "class Q, framebuffer 4096 MiB");
/// # Ok::<(), mdevkit_core::ValueError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AtLeast {
    /// Of this series, exactly.
    pub series: Option<Series>,
    /// Framebuffer in MiB, at least.
    pub framebuffer_mib: Option<u32>,
    /// Displays, at least (count).
    pub heads: Option<u32>,
    /// The largest display, at least.
    pub resolution: Option<Resolution>,
}

impl AtLeast {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for AtLeast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.series.map(|series| format!("class {series}")),
            self.framebuffer_mib.map(|mib| format!("framebuffer {mib} MiB")),
            self.heads.map(|heads| format!("heads {heads}")),
            self.resolution.map(|resolution| format!("resolution {resolution}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

/// What is wanted, as a host can look it up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A type by id, full name or short name.
    Type(TypeSpec),
    /// The smallest type that has this.
    AtLeast(AtLeast),
}

impl What {
    /// Whether a type is what is wanted: by id, by name, or because it has enough of everything. What its driver
    /// does not say it does not have.
    ///
    /// ```
    /// use mdevkit_core::{AtLeast, Description, What};
    /// let need = What::AtLeast(AtLeast { framebuffer_mib: Some(4096), ..AtLeast::default() });
    /// let id = "nvidia-197".parse()?;
    /// let eight = Description { framebuffer_mib: Some(8192), ..Description::default() };
    /// assert!(need.means(&id, None, &eight));
    /// assert!(!need.means(&id, None, &Description::default()));
    /// # Ok::<(), mdevkit_core::ValueError>(())
    /// ```
    pub fn means(&self, id: &TypeId, name: Option<&TypeName>, description: &Description) -> bool {
        match self {
            Self::Type(spec) => spec.as_str() == id.as_str() || name.is_some_and(|name| spec.names(name)),
            Self::AtLeast(least) => {
                let enough = |least: Option<u32>, has: Option<u32>| least.is_none_or(|least| has >= Some(least));
                least
                    .series
                    .is_none_or(|series| name.and_then(TypeName::series) == Some(series))
                    && enough(least.framebuffer_mib, description.framebuffer_mib)
                    && enough(least.heads, description.heads)
                    && least.resolution.is_none_or(|least| {
                        description
                            .resolution
                            .is_some_and(|has| has.width >= least.width && has.height >= least.height)
                    })
            }
        }
    }
}

impl From<TypeSpec> for What {
    fn from(spec: TypeSpec) -> Self {
        Self::Type(spec)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(spec) => spec.fmt(f),
            Self::AtLeast(need) => need.fmt(f),
        }
    }
}

/// What a request says it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// This.
    For(What),
    /// What that profile of the configuration says.
    Profile(ProfileName),
}

impl From<TypeSpec> for Ask {
    fn from(spec: TypeSpec) -> Self {
        Self::For(What::Type(spec))
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(what) => what.fmt(f),
            Self::Profile(name) => write!(f, "profile {name}"),
        }
    }
}

/// A named want of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What is wanted.
    pub what: What,
    /// The group to take it from.
    pub group: Option<GroupName>,
    /// How to choose among physical GPUs.
    pub policy: Option<Policy>,
    /// How much the domain's NUMA nodes matter.
    pub numa: Option<Numa>,
    /// Whether to keep away from the domain's other devices.
    pub apart: Option<bool>,
    /// The vGPU's parameters.
    pub params: Option<Params>,
}

impl Profile {
    /// The request with what the profile says where the request says nothing.
    #[must_use]
    pub fn complete(&self, request: &Request) -> Request {
        Request {
            ask: Ask::For(self.what.clone()),
            group: request.group.clone().or_else(|| self.group.clone()),
            policy: request.policy.or(self.policy),
            numa: request.numa.or(self.numa),
            apart: request.apart.or(self.apart),
            params: request.params.clone().or_else(|| self.params.clone()),
            ..request.clone()
        }
    }
}

/// The profiles of a configuration.
pub type Profiles = BTreeMap<ProfileName, Profile>;

serde_as_text!(Series);
serde_as_text!(Numa);
