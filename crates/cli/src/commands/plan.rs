//! `mdevkit plan`: where domains' devices would go now, together or each alone, or why nowhere.

mod read;
mod rows;

use crate::cli::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::hint::{self, Way};
use crate::look;
use crate::out::{count, note};
use mdevkit_core::{Batch, Code, Domain, IdSet, PASSTHROUGH, Plan, Refusal, Want, plan_all};
use mdevkit_host::{Decision, Host, HostError, Survey};
use std::collections::BTreeMap;

/// Show whether domains' devices would fit now, all of them together, and where; or why not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The devices of one domain fit or do not: that is exact. Several domains are placed one after
the other, and when one finds no place, again with that one first: a plan that is shown holds,
and of what does not fit another arrangement may exist. Devices that exist already are shown
where they are. Nothing is created or reserved. Exit status 1 when one is refused, 3 when one
cannot be read; -v tells why each device goes where it goes, and each GPU's reason.

Examples:
  mdevkit plan vm.xml
  mdevkit plan /etc/libvirt/qemu/*.xml           do they all fit at once?
  mdevkit plan --each a.xml b.xml                each of them, if it alone started now
  virsh dumpxml vm | mdevkit plan -")]
pub(crate) struct Args {
    /// Domain XML files; `-` is stdin
    #[arg(required = true, value_name = "FILE", allow_hyphen_values = true)]
    files: Vec<String>,
    /// Each file alone against the host as it is, instead of all together
    #[arg(long)]
    each: bool,
}

/// What came of one file.
struct Planned {
    file: String,
    domain: Domain,
    /// What is to be made; its devices that exist already are not among it.
    wants: Vec<Want>,
    /// Devices that exist already.
    there: Vec<read::There>,
    warnings: Vec<String>,
    answer: Result<Plan, No>,
}

/// Why there is no plan.
struct No {
    failure: Failure,
    /// The refusal, when it is about a device and not about the file as a whole.
    refusal: Option<Box<Refusal>>,
    /// What would free a place for that device.
    ways: Vec<Way>,
    /// Whether the file would fit without the others; none when it was planned alone.
    alone: Option<bool>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let host = context.host();
        let config = host.config()?;
        // The ledger is root's; a plan is for everybody.
        let survey = look::all(&host);
        if let Err(error) = &survey {
            context
                .out
                .detail(format!("mdevkit: no advice on what could stop: {error}"));
        }
        let survey = survey.ok();
        look::warn(&host, &config).or_else(|failure| if survey.is_some() { Err(failure) } else { Ok(()) })?;
        let mut planned: Vec<Planned> = self
            .files
            .iter()
            .map(|file| read::file(file, &host, &config, survey.as_ref()))
            .collect();
        let together = !self.each && planned.iter().filter(|one| one.answer.is_ok()).count() > 1;
        if together {
            plan_together(&mut planned, &host, survey.as_ref())?;
        } else {
            plan_each(&mut planned, &host, survey.as_ref())?;
        }
        for one in &mut planned {
            admit(one, &host);
        }
        if context.out.json {
            context.out.json(&rows::json(&planned))?;
        } else {
            rows::people(&planned, context)?;
        }
        let exits = planned
            .iter()
            .filter_map(|one| one.answer.as_ref().err())
            .map(|no| no.failure.exit);
        // One bad file must not hide the answer about the others; the gravest tells how it ended.
        Ok(exits.max_by_key(|exit| *exit as u8).unwrap_or(Exit::Done))
    }
}

fn plan_each(planned: &mut [Planned], host: &Host, survey: Option<&Survey>) -> Result<(), Failure> {
    for one in planned.iter_mut().filter(|one| one.answer.is_ok()) {
        one.answer = match host.plan(&one.wants)? {
            Decision::Plan(plan) => Ok(plan),
            Decision::Refusal(refusal) => Err(No::refused(refusal, one, survey)),
        };
    }
    Ok(())
}

fn plan_together(planned: &mut [Planned], host: &Host, survey: Option<&Survey>) -> Result<(), Failure> {
    let readable: Vec<usize> = (0..planned.len())
        .filter(|index| planned.get(*index).is_some_and(|one| one.answer.is_ok()))
        .collect();
    let domains: Vec<Vec<Want>> = readable
        .iter()
        .filter_map(|index| Some(planned.get(*index)?.wants.clone()))
        .collect();
    let batch = match survey.map(|survey| plan_all(&domains, &survey.inventory)) {
        Some(Ok(batch)) => batch,
        _ => host.plan_all(&domains)?,
    };
    say_order(&batch, &readable, planned);
    let all = readable.len();
    let mut beside = 0;
    for (index, answer) in readable.into_iter().zip(batch.answers) {
        let Some(one) = planned.get_mut(index) else { continue };
        one.answer = answer.map_err(|refusal| {
            let mut no = No::refused(refusal, one, survey);
            let alone = matches!(host.plan(&one.wants), Ok(Decision::Plan(_)));
            no.alone = Some(alone);
            if alone {
                beside += 1;
                no.failure = no
                    .failure
                    .with(["would fit alone: the other files take its place".to_owned()]);
            }
            no
        });
    }
    if beside > 0 {
        let verb = if beside == 1 { "does" } else { "do" };
        note(format!(
            "{} of {all} {verb} not fit beside the others; they were placed one after the other, and again with \
             those first that had no place: another arrangement may exist",
            count(beside, "file")
        ));
    }
    Ok(())
}

/// A vendor's rules on what one guest may have: a start would be refused for them, or warn.
fn admit(one: &mut Planned, host: &Host) {
    let Ok(plan) = &one.answer else { return };
    let whole = plan
        .placements
        .iter()
        .filter(|place| place.type_id.as_str() == PASSTHROUGH);
    one.warnings
        .extend(whole.map(|place| HostError::Passthrough { slot: place.slot }.to_string()));
    let findings = host.admission(plan, one.domain.os.as_deref());
    if let Some(finding) = findings.iter().find(|finding| finding.refuses) {
        one.answer = Err(No::from(
            Failure::new(Code::Rule, finding.to_string()).within(&one.file),
        ));
        return;
    }
    // What several devices have in common is said once.
    let mut slots: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for finding in &findings {
        let alike = slots.entry((finding.rule, &finding.message)).or_default();
        alike.push(finding.slot.number().into());
    }
    for ((rule, message), slots) in slots {
        let s = if slots.len() == 1 { "" } else { "s" };
        let slots: IdSet = slots.into_iter().collect();
        one.warnings.push(format!("{rule}: slot{s} {slots}: {message}"));
    }
}

/// Says when the order given did not do, and another one did better.
fn say_order(batch: &Batch, readable: &[usize], planned: &[Planned]) {
    if batch.repaired() {
        let name = |at: &usize| Some(planned.get(*readable.get(*at)?)?.file.as_str());
        let order: Vec<&str> = batch.order.iter().filter_map(name).collect();
        note(format!("placed in another order than given: {}", order.join(", ")));
    }
}

impl No {
    fn refused(refusal: Box<Refusal>, one: &Planned, survey: Option<&Survey>) -> Self {
        let want = one.wants.iter().find(|want| want.slot == refusal.slot);
        let ways = match (want, survey) {
            (Some(want), Some(survey)) if refusal.code == Code::Full => hint::ways(want, survey),
            _ => Vec::new(),
        };
        Self {
            failure: Failure::from(&*refusal).within(&one.file).with(hint::line(&ways)),
            refusal: Some(refusal),
            ways,
            alone: None,
        }
    }
}

impl From<Failure> for No {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            refusal: None,
            ways: Vec::new(),
            alone: None,
        }
    }
}
