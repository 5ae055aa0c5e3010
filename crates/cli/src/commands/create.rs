//! `mdevkit create`: a device by hand, with nobody's domain behind it.

use crate::ask::AskArgs;
use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::look;
use crate::{hint, random};
use mdevkit_core::{Ask, Code, GroupName, Params, ParentName, Policy, Request, Slot, Uuid, Want, What};
use mdevkit_host::{Config, Host, HostError, ManualAsk};
use serde::Serialize;

/// Create a device by hand and print its UUID; `mdevkit remove` removes it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where it goes the policy says, as it does for a domain's device. It is yours: no domain's start
takes it over, and `mdevkit remove` ends it.

Examples:
  mdevkit create --type mtty-2
  mdevkit create --class Q --framebuffer 4096        the smallest type that is enough
  mdevkit create --type V100DX-4Q --parent 0000:06:00.0 --params frame_rate_limiter=0
  uuid=$(mdevkit create --type nvidia-196 --policy breadth-first)")]
pub(crate) struct Args {
    #[command(flatten)]
    ask: AskArgs,
    /// Out of this group (see: mdevkit groups)
    #[arg(long)]
    group: Option<GroupName>,
    /// On this GPU only, or on this parent
    #[arg(long, value_name = "ADDRESS")]
    parent: Option<ParentName>,
    /// depth-first (pack), breadth-first (spread) or keep-large [default: the group's, else the host's]
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
        let asks = self.ask.asks();
        let [ask] = asks.as_slice() else {
            let message = "say what to create, one thing: --type, or --class and its like, or --profile";
            return Err(Failure::new(Code::Usage, message));
        };
        let uuid = match self.uuid {
            Some(uuid) => uuid,
            None => random::uuid()?,
        };
        let ask = self.complete(ask, uuid, &host.config()?)?;
        let made = host.create(&ask).map_err(|error| refused(error, &ask, &host))?;
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

    /// What to create, with what a profile says where the command line says nothing.
    fn complete(&self, ask: &Ask, uuid: Uuid, config: &Config) -> Result<ManualAsk, Failure> {
        let request = Request {
            group: self.group.clone(),
            policy: self.policy,
            parent: self.parent.clone(),
            params: self.params.clone(),
            ..Request::new(ask.clone())
        };
        let (what, request): (What, Request) = match ask {
            Ask::For(what) => (what.clone(), request),
            Ask::Profile(name) => match config.profiles.get(name) {
                Some(profile) => (profile.what.clone(), profile.complete(&request)),
                None => {
                    let message =
                        format!("this host's configuration has no profile {name} (see: mdevkit config --json)");
                    return Err(Failure::new(Code::Request, message));
                }
            },
        };
        Ok(ManualAsk {
            group: request.group,
            parent: request.parent,
            policy: request.policy,
            params: request.params,
            ..ManualAsk::new(what, uuid)
        })
    }
}

/// A refusal with what would free a place.
fn refused(error: HostError, ask: &ManualAsk, host: &Host) -> Failure {
    let full = matches!(&error, HostError::Refused(refusal) if refusal.code == Code::Full);
    let failure = Failure::from(error);
    let (true, Ok(slot), Ok(survey)) = (full, Slot::new(0), look::all(host)) else {
        return failure;
    };
    let want = Want {
        group: ask.group.clone(),
        parent: ask.parent.clone(),
        ..Want::new(slot, ask.uuid, ask.what.clone())
    };
    failure.with(hint::line(&hint::ways(&want, &survey)))
}
