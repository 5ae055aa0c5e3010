//! `mdevkit create`: a device by hand, with nobody's domain behind it.

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::random;
use mdevkit_core::{Params, ParentName, Policy, TypeSpec, Uuid};
use mdevkit_host::ManualAsk;
use serde::Serialize;

/// Create a device by hand and print its UUID; `mdevkit remove` removes it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mdevkit create --type mtty-2
  mdevkit create --type V100DX-4Q --parent 0000:06:00.0 --params frame_rate_limiter=0
  uuid=$(mdevkit create --type nvidia-196 --policy breadth-first)")]
pub(crate) struct Args {
    /// What to create: a type's id, full name or short name
    #[arg(long = "type", value_name = "TYPE")]
    spec: TypeSpec,
    /// On this parent only
    #[arg(long)]
    parent: Option<ParentName>,
    /// depth-first (pack) or breadth-first (spread) [default: the configuration's]
    #[arg(long)]
    policy: Option<Policy>,
    /// The device's UUID [default: a random one]
    #[arg(long)]
    uuid: Option<Uuid>,
    /// The vGPU's parameters, key=value with commas between (NVIDIA)
    #[arg(long, value_name = "K=V,...")]
    params: Option<Params>,
}

/// The answer of `create --json`.
#[derive(Serialize)]
struct Answer {
    uuid: Uuid,
    parent: String,
    r#type: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let policy = match self.policy {
            Some(policy) => policy,
            None => host.config()?.policy,
        };
        let uuid = match self.uuid {
            Some(uuid) => uuid,
            None => random::uuid()?,
        };
        let made = host.create(&ManualAsk {
            spec: self.spec,
            parent: self.parent,
            policy,
            uuid,
            params: self.params,
        })?;
        context.out.detail(format!(
            "created {} of type {} on {}",
            made.uuid, made.type_id, made.parent
        ));
        if context.out.json {
            let (parent, r#type) = (made.parent.to_string(), made.type_id.to_string());
            context.out.json(&Answer {
                uuid: made.uuid,
                parent,
                r#type,
            })?;
        } else {
            context.out.line(made.uuid.to_string())?;
        }
        Ok(Exit::Done)
    }
}
