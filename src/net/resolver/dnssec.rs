//! What DNSSEC says of an answer: by the AD bit of a resolver that can be believed, or by validation here.

use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout_at},
};

use super::{
    anchors::TrustAnchors,
    control::{Control, ControlOutcome},
    fault::fault,
    options::DnssecChoice,
    rrset::has_signatures,
    source::Source,
    upstream::NoAnswer,
    validator::{Validator, one_link},
    wire::{Answer, Flags},
};
use crate::{
    facts::{DnssecSight, ExtendedError, LookupFailure, Security},
    net::clock,
};

/// Who judges, how it was chosen, and whether it works.
#[derive(Debug)]
pub(super) struct Dnssec {
    choice: DnssecChoice,
    method: OnceCell<Method>,
    control: Control,
}

/// Who judges.
#[derive(Debug)]
enum Method {
    /// Nobody.
    Off,
    /// The resolver, by its AD bit.
    TrustAd,
    /// This side.
    Here(Box<Validator>),
}

/// One answer on the way through a chain of aliases, and what DNSSEC says of it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) answer: Answer,
    pub(super) security: Security,
}

impl Dnssec {
    pub(super) fn new(choice: DnssecChoice) -> Self {
        let sight = if choice == DnssecChoice::Off { DnssecSight::Off } else { DnssecSight::Blind };
        Self { choice, method: OnceCell::new(), control: Control::new(sight) }
    }

    pub(super) fn sight(&self) -> DnssecSight {
        self.control.sight()
    }

    /// Forgets what was found of zones.
    pub(super) fn flush(&self) {
        if let Some(Method::Here(validator)) = self.method.get() {
            validator.flush();
        }
    }

    /// Asks for one name and type, and judges the answer. One that is bogus is no answer.
    pub(super) async fn ask(
        &self,
        source: &Arc<Source>,
        name: &Name,
        kind: RecordType,
        deadline: Instant,
    ) -> Result<Link, NoAnswer> {
        match self.method(source).await {
            Method::Off => {
                let answer = source.ask(name, kind, Flags::Plain, deadline).await?;
                Ok(Link { answer, security: Security::Indeterminate })
            }
            Method::TrustAd => self.ask_trusting(source, name, kind, deadline).await,
            Method::Here(validator) => self.ask_validating(validator, source, name, kind, deadline).await,
        }
    }

    /// Whether the control name validated within the last minute, or does now.
    pub(super) async fn is_healthy(&self, source: &Arc<Source>) -> bool {
        let method = self.method(source).await;
        if matches!(method, Method::Off) {
            return false;
        }
        self.control.is_healthy(Instant::now(), async || ask_control(method, source).await).await
    }

    /// The same for a lookup that has to end in time.
    async fn is_healthy_by(&self, source: &Arc<Source>, deadline: Instant) -> bool {
        timeout_at(deadline, self.is_healthy(source)).await.unwrap_or(false)
    }

    /// `auto` is settled by the first who asks.
    async fn method(&self, source: &Arc<Source>) -> &Method {
        self.method
            .get_or_init(|| async {
                let here = |anchors: &TrustAnchors| {
                    Method::Here(Box::new(Validator::new(Arc::clone(source), anchors.clone())))
                };
                match &self.choice {
                    DnssecChoice::Off => Method::Off,
                    DnssecChoice::TrustAd => Method::TrustAd,
                    DnssecChoice::Validate(anchors) => here(anchors),
                    DnssecChoice::Auto(anchors) => {
                        let local = source.upstream.is_local();
                        match local && source.upstream.root_answers_with_ad(source.timeout).await {
                            true => Method::TrustAd,
                            false => here(anchors),
                        }
                    }
                }
            })
            .await
    }

    async fn ask_trusting(
        &self,
        source: &Arc<Source>,
        name: &Name,
        kind: RecordType,
        deadline: Instant,
    ) -> Result<Link, NoAnswer> {
        let answer = match source.ask(name, kind, Flags::Signed, deadline).await {
            Ok(answer) => answer,
            Err(no_answer) => ask_unchecked(source, name, kind, deadline, no_answer).await?,
        };
        let security = if answer.authentic {
            Security::Secure
        } else if self.is_healthy_by(source, deadline).await {
            Security::Insecure
        } else {
            // It may have stopped validating: then the missing bit tells nothing.
            Security::Indeterminate
        };
        Ok(Link { answer, security })
    }

    async fn ask_validating(
        &self,
        validator: &Validator,
        source: &Arc<Source>,
        name: &Name,
        kind: RecordType,
        deadline: Instant,
    ) -> Result<Link, NoAnswer> {
        // Unchecked: a resolver that validates too would hide what does not hold, and with it the reason.
        let answer = match source.ask(name, kind, Flags::Unchecked, deadline).await {
            Ok(answer) => one_link(name, kind, answer),
            Err(NoAnswer { failure: LookupFailure::ServFail, extended_errors, server }) => {
                let failure = told(&extended_errors).map_or(LookupFailure::ServFail, LookupFailure::Bogus);
                return Err(NoAnswer { failure, extended_errors, server });
            }
            Err(no_answer) => return Err(no_answer),
        };
        // Where the resolver strips signatures from everything, nothing more has to be asked.
        let signed = has_signatures(&answer.answers) || has_signatures(&answer.authorities);
        if !signed && !self.is_healthy_by(source, deadline).await {
            return Ok(Link { answer, security: Security::Indeterminate });
        }
        if !signed && validator.is_unsigned(name, &answer, deadline).await {
            return Ok(Link { answer, security: Security::Insecure });
        }
        let security = match validator.judge(name, kind, &answer, deadline).await {
            Security::Bogus => match confirmed(validator, source, name, kind, &answer, deadline).await {
                Some(why) => {
                    let failure = LookupFailure::Bogus(why);
                    return Err(NoAnswer { failure, extended_errors: answer.extended_errors, server: answer.server });
                }
                None => Security::Indeterminate,
            },
            security => security,
        };
        Ok(Link { answer, security })
    }
}

/// Why an answer that the library calls bogus is so beyond doubt; nothing where a doubt is left.
///
/// The library also says it where it could not ask, and has had faults of its own. So it takes a second witness: a definite
/// finding of ours, or a resolver that validates and refuses the answer. One that validates and gives it stands against it.
async fn confirmed(
    validator: &Validator,
    source: &Arc<Source>,
    name: &Name,
    kind: RecordType,
    answer: &Answer,
    deadline: Instant,
) -> Option<String> {
    let finding = fault(source, Some(validator.anchors()), name, kind, answer, clock::now());
    let found = timeout_at(deadline, finding).await.ok().flatten();
    match source.ask(name, kind, Flags::Signed, deadline).await {
        Ok(checked) if checked.authentic => None,
        // A resolver that validates, and holds the name for unsigned.
        Ok(_) if timeout_at(deadline, source.upstream.root_answers_with_ad(source.timeout)).await.unwrap_or(true) => {
            None
        }
        Err(NoAnswer { failure: LookupFailure::ServFail, extended_errors, .. }) => {
            let said = found.or_else(|| told(&extended_errors));
            Some(said.unwrap_or_else(|| "neither this side nor the resolver can validate the answer".to_owned()))
        }
        Ok(_) | Err(_) => found,
    }
}

/// The SOA record of the root: signed since 2010.
async fn ask_control(method: &Method, source: &Arc<Source>) -> ControlOutcome {
    let deadline = Instant::now() + source.timeout;
    let root = Name::root();
    let validated = match method {
        Method::Off => return ControlOutcome::NoAnswer,
        Method::TrustAd => {
            let answer = source.ask(&root, RecordType::SOA, Flags::Signed, deadline).await;
            answer.map(|answer| answer.authentic)
        }
        Method::Here(validator) => match source.ask(&root, RecordType::SOA, Flags::Unchecked, deadline).await {
            Ok(answer) => Ok(validator.judge(&root, RecordType::SOA, &answer, deadline).await == Security::Secure),
            Err(no_answer) => Err(no_answer),
        },
    };
    match validated {
        Ok(true) => ControlOutcome::Validated,
        Ok(false) => ControlOutcome::NotValidated,
        Err(_) => ControlOutcome::NoAnswer,
    }
}

/// After a resolver that validates gave no answer: whether it is because it validates.
///
/// It is asked once more without checking. An answer then says that the data are there and do not hold, if the first question
/// fails once more: the failure could have been a passing one.
async fn ask_unchecked(
    source: &Arc<Source>,
    name: &Name,
    kind: RecordType,
    deadline: Instant,
    no_answer: NoAnswer,
) -> Result<Answer, NoAnswer> {
    if no_answer.failure != LookupFailure::ServFail {
        return Err(no_answer);
    }
    let bogus = |why: String| NoAnswer {
        failure: LookupFailure::Bogus(why),
        extended_errors: no_answer.extended_errors.clone(),
        server: no_answer.server,
    };
    let said = told(&no_answer.extended_errors);
    let Ok(unchecked) = source.ask(name, kind, Flags::Unchecked, deadline).await else {
        return Err(said.map_or_else(|| no_answer.clone(), bogus));
    };
    let finding = fault(source, None, name, kind, &unchecked, clock::now());
    let found = timeout_at(deadline, finding).await.ok().flatten();
    if let Some(said) = said {
        return Err(bogus(found.unwrap_or(said)));
    }
    match source.ask(name, kind, Flags::Signed, deadline).await {
        Ok(answer) => Ok(answer),
        Err(again) if again.failure == LookupFailure::ServFail => match found {
            Some(found) => Err(bogus(found)),
            // Nothing but the order of its answers tells why. One that flaps answers by turns too.
            None if timeout_at(deadline, source.upstream.is_healthy(source.timeout)).await.unwrap_or(false) => {
                Err(bogus("the resolver answers only where it is told not to check".to_owned()))
            }
            None => Err(no_answer),
        },
        Err(_) => Err(no_answer),
    }
}

/// What a resolver said about a failed validation (RFC 8914), in words.
fn told(errors: &[ExtendedError]) -> Option<String> {
    let error = errors.iter().find(|error| error.is_bogus())?;
    let what = match error.code {
        7 => "a signature has ended",
        8 => "a signature has not begun",
        9 => "no DNSKEY record matches the DS record",
        10 => "signatures are missing",
        11 => "a DNSKEY record is not for the zone",
        12 => "the proof that nothing is there is missing",
        _ => "the signatures do not hold",
    };
    Some(format!("the resolver says: {what} (extended error {})", error.code))
}
