//! Who sent a report mail (RFC 8460 §3): from what a verifier of DKIM or a trusted server found to the name in which it counts.
//!
//! RFC 8460 says "the reporting domain" and no more. Here that is the organizational domain (RFC 7489 §3.2) of the submitter, as
//! `contact-info` or TLS-Report-Submitter name it: relaxed alignment, as DMARC has it.

use self::results::{MethodResult, may_be_of, read_results};
use crate::{
    facts::{Authentication, Reporter},
    terms::PolicyDomain,
};

/// A field of a header is no longer than this; senders fold what is longer, and no line of a report needs more.
const FIELD_MOST: usize = 64 << 10;
/// So many fields of a header are looked at: a mail through ten servers has a hundred.
const FIELDS_MOST: usize = 1000;

/// Whose report a mail says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// The domain of `contact-info`.
    pub contact: Option<PolicyDomain>,
    /// TLS-Report-Submitter.
    pub submitter: Option<PolicyDomain>,
    /// The domains of From, which count where neither of the others is there.
    pub from: Vec<PolicyDomain>,
}

/// A signature that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimResult {
    /// `d=`.
    pub domain: PolicyDomain,
    /// What came of it.
    pub outcome: DkimOutcome,
}

/// What came of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DkimOutcome {
    /// It holds, for the whole body.
    Pass,
    /// It does not; why, in words.
    Fail(String),
    /// Its key could not be looked up; why, in words.
    Unknown(String),
}

/// What follows for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It counts in this name.
    Given(Authentication, Reporter),
    /// Nothing proves it: there is no proof, or it fails. Why, in words.
    Missing(Authentication, String),
    /// It cannot be told now; why, in words.
    Unknown(String),
}

/// What a DKIM-Signature says of itself, as far as it decides whether it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureClaim {
    /// `d=`.
    pub domain: PolicyDomain,
    /// `s=`.
    pub selector: String,
    /// It has an `l=`: what stands behind that many octets is not signed (RFC 8460 §3 forbids it).
    pub partial: bool,
    /// It covers the From field, as RFC 6376 §5.4 demands.
    pub covers_from: bool,
}

impl Claim {
    /// The domains that may prove the report, the strongest claim first.
    pub fn domains(&self) -> impl Iterator<Item = &PolicyDomain> {
        let named = self.contact.is_some() || self.submitter.is_some();
        let from = self.from.iter().filter(move |_| !named);
        self.contact.iter().chain(&self.submitter).chain(from)
    }

    /// Whether a proof for `domain` is one for this report.
    pub fn is_aligned(&self, domain: &PolicyDomain) -> bool {
        let organization = organizational_domain(domain);
        self.domains().any(|claimed| organizational_domain(claimed) == organization)
    }

    /// The name that is claimed, taken on trust.
    pub fn taken_on_trust(&self) -> Reporter {
        self.domains().next().map_or(Reporter::Unverified, |domain| Reporter::Verified(organizational_domain(domain)))
    }

    fn words(&self) -> String {
        let names: Vec<&str> = self.domains().map(PolicyDomain::as_str).collect();
        if names.is_empty() { "nobody (it names no submitter)".to_owned() } else { names.join(", ") }
    }
}

/// The domain that was registered (RFC 7489 §3.2), by the public suffix list; of a public suffix itself that is all of it.
pub fn organizational_domain(domain: &PolicyDomain) -> PolicyDomain {
    let registered = psl::domain_str(domain.as_str()).and_then(|name| PolicyDomain::parse(name).ok());
    registered.unwrap_or_else(|| domain.clone())
}

/// What the signatures of a mail prove (RFC 8460 §3). The key need not carry `s=tlsrpt`: large senders use their ordinary key.
pub fn judge_signatures(claim: &Claim, signatures: &[DkimResult]) -> Proof {
    let aligned = || signatures.iter().filter(|signature| claim.is_aligned(&signature.domain));
    if let Some(good) = aligned().find(|signature| signature.outcome == DkimOutcome::Pass) {
        return Proof::Given(Authentication::Dkim, Reporter::Verified(organizational_domain(&good.domain)));
    }
    // One that may still prove it: to refuse the report now could lose it.
    for signature in aligned() {
        if let DkimOutcome::Unknown(why) = &signature.outcome {
            return Proof::Unknown(why.clone());
        }
    }
    let failures: Vec<String> = aligned()
        .filter_map(|signature| match &signature.outcome {
            DkimOutcome::Fail(why) => Some(format!("{}: {why}", signature.domain)),
            DkimOutcome::Pass | DkimOutcome::Unknown(_) => None,
        })
        .collect();
    if failures.is_empty() {
        Proof::Missing(Authentication::None, format!("no DKIM signature for {}", claim.words()))
    } else {
        Proof::Missing(Authentication::Failed, format!("the DKIM signature does not hold: {}", failures.join("; ")))
    }
}

/// What the Authentication-Results fields of a trusted server say (RFC 8601). Servers put theirs on top and take away those that
/// bear their name and are not theirs (§5). Where one filter looks at signatures and another at DMARC, there are several: of those
/// on top the first that tells of DKIM counts, and what lies below it, or below that of anybody else, may be forged.
pub fn judge_trusted_header(claim: &Claim, mail: &[u8], server: &str) -> Proof {
    let results = match trusted_results(mail, server) {
        Ok(results) => results,
        Err(why) => return Proof::Missing(Authentication::None, why),
    };
    // Servers do not tell of `l=`; the signature itself does. Which of several passed is not told either: so one is enough.
    let partial = signature_claims(mail).any(|signature| signature.partial && claim.is_aligned(&signature.domain));
    let mut failed = None;
    for result in results {
        let Some(domain) = result.signer() else { continue };
        if !claim.is_aligned(&domain) {
            continue;
        }
        match result.result.as_str() {
            "pass" if !partial => {
                let reporter = Reporter::Verified(organizational_domain(&domain));
                return Proof::Given(Authentication::Header, reporter);
            }
            "pass" => failed = Some(format!("{domain}: a signature covers only a part of the mail (l=)")),
            other => failed = Some(format!("{domain}: {server} says dkim={other}")),
        }
    }
    match failed {
        Some(why) => Proof::Missing(Authentication::Failed, format!("the DKIM signature does not hold: {why}")),
        None => Proof::Missing(
            Authentication::None,
            format!("the Authentication-Results field of {server} has no dkim=pass for {}", claim.words()),
        ),
    }
}

/// What a trusted server found of signatures; why nothing is known, in words.
fn trusted_results(mail: &[u8], server: &str) -> Result<Vec<MethodResult>, String> {
    let mut found = false;
    for (name, value) in fields(mail) {
        // What lies below was there before the mail came to the server whose field was found.
        if found && name.eq_ignore_ascii_case(b"Received") {
            break;
        }
        if !name.eq_ignore_ascii_case(b"Authentication-Results") {
            continue;
        }
        if !may_be_of(&value, server) {
            break;
        }
        let Some(field) = read_results(&value) else {
            return Err(format!("an Authentication-Results field that may be of {server} cannot be read"));
        };
        found = true;
        let mut results = field.results;
        results.retain(|result| result.method == "dkim");
        if !results.is_empty() {
            return Ok(results);
        }
    }
    if found { Ok(Vec::new()) } else { Err(format!("no Authentication-Results field of {server} on top")) }
}

/// The DKIM-Signature fields of a mail, from the top, that can be read so far.
pub fn signature_claims(mail: &[u8]) -> impl Iterator<Item = SignatureClaim> {
    fields(mail).filter(|(name, _)| name.eq_ignore_ascii_case(b"DKIM-Signature")).filter_map(|(_, value)| {
        let value = String::from_utf8_lossy(&value).into_owned();
        let tag = |wanted: &str| tags(&value).filter(|(name, _)| *name == wanted).map(|(_, value)| value).last();
        let covered = tag("h")?;
        Some(SignatureClaim {
            domain: PolicyDomain::parse(&tag("d")?).ok()?,
            selector: tag("s")?,
            partial: tag("l").is_some(),
            covers_from: covered.split(':').any(|name| name.eq_ignore_ascii_case("from")),
        })
    })
}

/// The tags of a list (RFC 6376 §3.2), their values without white space.
fn tags(list: &str) -> impl Iterator<Item = (&str, String)> {
    list.split(';').filter_map(|tag| tag.split_once('=')).map(|(name, value)| {
        let value = value.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        (name.trim_ascii(), value)
    })
}

/// The fields of the header of a mail, from the top: names without white space, values as they are, folds in them.
fn fields(mail: &[u8]) -> impl Iterator<Item = (&[u8], Vec<u8>)> {
    let mut lines = mail.split_inclusive(|byte| *byte == b'\n').peekable();
    let unfolded = std::iter::from_fn(move || {
        // The empty line ends the header; one of white space alone is a fold (RFC 5322 §4.2), and is taken below.
        let line = lines.next().filter(|line| !line.trim_ascii().is_empty())?;
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let mut value = value.get(1..).unwrap_or_default().to_vec();
        while let Some(more) = lines.next_if(|next| next.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'))) {
            if value.len() < FIELD_MOST {
                value.extend_from_slice(more);
            }
        }
        Some((name.trim_ascii(), value))
    });
    unfolded.take(FIELDS_MOST)
}

mod results;
#[cfg(test)]
mod tests;
