//! Whom a remedy is addressed to. Many domains own neither their mail hosts nor the web server of their policy: for them a finding
//! says what only the provider can do, and what is left to them.

use crate::verdict::{
    AddressAssessment, Outcome, Subject, TlsaStatus,
    case::{Case, Standing},
    words,
};

/// A remedy for a mail host.
pub(super) fn for_host(case: &Case<'_>, host: &str, remedy: &str) -> String {
    if case.is_own(host) {
        remedy.to_owned()
    } else {
        format!("Ask your provider, who runs {host}. What they have to do: {remedy}")
    }
}

/// A remedy for a mail host to which senders that enforce the policy do not deliver.
pub(super) fn for_refused(case: &Case<'_>, host: &str, remedy: &str) -> String {
    let text = for_host(case, host, remedy);
    if case.is_own(host) || case.standing != Standing::Enforce {
        return text;
    }
    // A host that is refused as well, or was not seen, is none that mail could go to instead.
    let taken = |address: &AddressAssessment| matches!(address.sts, Outcome::Secure | Outcome::Open);
    let others = case.mx().iter().any(|mx| mx.target != host && mx.addresses.iter().any(taken));
    let out = others.then_some("take it out of the MX records");
    // Senders that apply DANE refuse the host whatever the policy says.
    let set = (!has_dane(case, host)).then(|| match case.policy_target() {
        None => "set the policy to mode testing under a new id; mail then arrives, and is not protected",
        Some(_) => {
            "have whoever serves the policy set it to mode testing, under a new id; mail then arrives, and is not protected"
        }
    });
    let ways: Vec<&str> = [out, set].into_iter().flatten().collect();
    if ways.is_empty() {
        return text;
    }
    format!("{text} What you can do meanwhile: {}.", ways.join(", or "))
}

/// Whether senders that apply DANE hold a mail host to its TLSA records.
pub(super) fn has_dane(case: &Case<'_>, host: &str) -> bool {
    case.mx().iter().any(|mx| mx.target == host && mx.dane.status == TlsaStatus::Usable)
}

/// A remedy for what a lookup shows. What is wrong with the way to a name of the domain's own may lie in its own zone.
pub(super) fn for_subject(case: &Case<'_>, subject: &Subject, remedy: &str) -> String {
    subject.mx().map_or_else(|| remedy.to_owned(), |host| for_host(case, host, remedy))
}

/// A remedy for the policy host or for the policy that it serves.
pub(super) fn for_policy(case: &Case<'_>, remedy: &str) -> String {
    let host = &case.policy.host.host;
    match (case.policy_provider(), case.policy_target()) {
        (Some(target), _) => format!(
            "The policy is hosted elsewhere: {host} is an alias of {target}. What has to be done there: {remedy}"
        ),
        (None, Some(target)) => format!(
            "{host} is an alias of {target}: what follows is for whoever publishes the file there, you or a provider. {remedy}"
        ),
        (None, None) => remedy.to_owned(),
    }
}

/// The TXT record that announces a policy, as a line of a zone file. Beside an alias no record may stand (RFC 1034 §3.6.2): it goes
/// where the alias leads.
pub(super) fn announcement(case: &Case<'_>, id: &str) -> String {
    let own = case.domain.sts_record_name();
    let name = case.sts_lookup.cname.last().unwrap_or(&own);
    format!("{name}. TXT \"v=STSv1; id={id}\"")
}

/// The last step of every change of a policy, with the line to publish.
pub(super) fn new_id(case: &Case<'_>) -> String {
    let line = announcement(case, &words::next_id(case.now));
    match case.record_host() {
        None => format!("publish a new id:\n{line}"),
        Some(target) => format!("have a new id published at {target}, where the record is kept:\n{line}"),
    }
}

/// What can be said of DANE at providers whose mail hosts are known by their names.
pub(super) fn dane_at(host: &str) -> &'static str {
    /// The zone of the mail hosts that Exchange Online gives to every domain. It is not signed.
    const EXCHANGE_ONLINE: &str = ".mail.protection.outlook.com";
    if host.ends_with(EXCHANGE_ONLINE) {
        " Exchange Online has DANE at other mail hosts, below mx.microsoft: Enable-DnssecForVerifiedDomain gives the domain one of \
         them, and Enable-SmtpDaneInbound switches DANE on; the domain's own zone has to be signed for it."
    } else {
        ""
    }
}
