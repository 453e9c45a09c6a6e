//! The finding table: every finding that the program can raise, once.
//!
//! The documentation of the findings, `check --explain`, the check groups of the metrics and the TLS-RPT result types are read
//! from these rows. A new finding is a row here, a rule in [`super::rules`], and its test.

use super::{Check, Severity, SubjectKind};

/// How the severity of a finding comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SeverityRule {
    /// Always the same.
    Fixed(Severity),
    /// By what the domain and the mail host have in force; the worst that applies.
    ByContext {
        /// A policy in enforce, current or still cached.
        enforce: Severity,
        /// The host has secure usable TLSA records. Nothing where that makes no difference.
        dane: Option<Severity>,
        /// A policy in testing.
        testing: Severity,
        /// Neither.
        none: Severity,
        /// A record announces a policy, and no usable one was ever seen here.
        unknown: Severity,
        /// In the place of `none` and `unknown` where DANE-EE holds for the certificate whatever else it says. Nothing where that
        /// makes no difference.
        dane_only: Option<Severity>,
    },
    /// The rule that raises it says which, for the reason given here.
    Stated(&'static str),
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The code's text.
    pub code: &'static str,
    /// Its group.
    pub check: Check,
    /// What it is about.
    pub subject: SubjectKind,
    pub(crate) severity: SeverityRule,
    /// The result type that a sender would report for it (RFC 8460 §4.3), where there is such a word.
    pub result_type: Option<&'static str>,
    /// The rules of the conformance catalogue that it follows.
    pub rules: &'static [&'static str],
    /// What it means, in one sentence.
    pub summary: &'static str,
    /// What it does to mail.
    pub effect: &'static str,
    /// What to do about it in general.
    pub remedy: &'static str,
}

use Severity::{Error, Info, Warning};

/// What breaks the policy of a domain: an error wherever a policy may be relied upon.
const POLICY_BROKEN: SeverityRule = by_policy(Error, Warning, Info, Error);
/// The media type: harmless without a policy.
const POLICY_SPURNED: SeverityRule = by_policy(Error, Warning, Info, Info);
/// What keeps senders from TLS: it stops those that insist on it.
const TLS_BROKEN: SeverityRule = SeverityRule::ByContext {
    enforce: Error,
    dane: Some(Error),
    testing: Warning,
    none: Warning,
    unknown: Warning,
    dane_only: None,
};
/// The dates of a certificate.
const CERTIFICATE_DATES: SeverityRule = certificate(Warning);
/// What of a certificate only those look at that enforce a policy.
const CERTIFICATE_TRUST: SeverityRule = certificate(Info);
const DOWN: SeverityRule = SeverityRule::Stated("warning; error when every path of the domain is down");
const FETCH: Option<&str> = Some("sts-policy-fetch-error");
const INVALID: Option<&str> = Some("sts-policy-invalid");
const WEBPKI: Option<&str> = Some("sts-webpki-invalid");
const NO_STARTTLS: Option<&str> = Some("starttls-not-supported");
const VALIDATION: Option<&str> = Some("validation-failure");

const fn fixed(severity: Severity) -> SeverityRule {
    SeverityRule::Fixed(severity)
}

/// DANE makes no difference.
const fn by_policy(enforce: Severity, testing: Severity, none: Severity, unknown: Severity) -> SeverityRule {
    SeverityRule::ByContext { enforce, dane: None, testing, none, unknown, dane_only: None }
}

const fn certificate(none: Severity) -> SeverityRule {
    SeverityRule::ByContext { enforce: Error, dane: None, testing: Warning, none, unknown: none, dane_only: Some(Info) }
}

macro_rules! findings {
    ($($variant:ident $code:literal $check:ident $subject:ident $severity:expr, $result:expr, [$($rule:literal),*],
        $summary:literal, $effect:literal, $remedy:literal;)*) => {
        /// The code of a finding: what metrics, pages, JSON and runbooks call it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "the summary of each row documents its code")]
        pub enum Code { $($variant,)* }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The row of this code.
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => const { &Row {
                        code: $code, check: Check::$check, subject: SubjectKind::$subject, severity: $severity,
                        result_type: $result, rules: &[$($rule),*], summary: $summary, effect: $effect, remedy: $remedy,
                    } },)*
                }
            }
        }
    };
}

findings! {
    DnsLookupFailed "dns-lookup-failed" Dns Any SeverityRule::Stated("warning; error from the third failure in a row"), None, ["REC-19"],
        "A lookup failed (SERVFAIL, timeout, refused); the last known answer is kept and marked stale.",
        "Some senders deliver as if nothing were published, others put the mail off until the lookup works. Nothing is known about the name until then.",
        "Ask the domain's own name servers for the name (dig +norecurse @SERVER). If they answer, check the delegation, DNSSEC signatures and any firewall that drops large answers.";
    DnssecBogus "dnssec-bogus" Dns Any fixed(Error), Some("dnssec-invalid"), ["DAN-07"],
        "An answer failed DNSSEC validation: validating senders see SERVFAIL.",
        "Senders whose resolver validates, and most large ones do, find nothing at the name: their mail waits and is returned after days.",
        "Sign the zone again, and see that the DS record at the parent belongs to the key in use. If the zone is not meant to be signed, have the DS record removed.";
    DnssecSignatureExpiring "dnssec-signature-expiring" Dns Any SeverityRule::Stated("warning; error under 1 day"), None, ["DAN-22"],
        "A DNSSEC signature on the way to MX, address or TLSA ends soon, and it was not renewed since.",
        "Nothing yet. When it ends, validating senders find nothing at the name, and mail from them stops.",
        "See why the name server does not sign again: the signer has stopped, its key is out of reach, or a secondary no longer gets the zone.";
    DnssecAlgorithmWeak "dnssec-algorithm-weak" Dns Any fixed(Warning), None, ["DAN-22"],
        "A zone on the way is signed or delegated with SHA-1 only.",
        "Newer validators treat the zone as unsigned, so DANE is silently off for their senders.",
        "Roll the zone over to algorithm 13 (ECDSA P-256), and publish a DS record with digest type 2.";
    DomainNonexistent "domain-nonexistent" Mx Domain fixed(Error), None, ["MXT-01"],
        "The domain does not exist (NXDOMAIN).",
        "All mail to it bounces.",
        "Check the spelling. If it is right, the registration has lapsed or the delegation is gone: ask the registrar.";
    DnsDelegationDangling "dns-delegation-dangling" Dns Any fixed(Error), None, ["REC-02", "FET-18"],
        "A CNAME leads to a name that does not exist: broken, and open to takeover where that name can be registered.",
        "Senders see nothing behind the name. Whoever gets hold of the target decides what they see.",
        "Point the CNAME to a name that exists, or delete it.";
    StsRecordMissing "sts-record-missing" Record Domain fixed(Info), None, ["REC-01"],
        "No _mta-sts record: MTA-STS is not deployed.",
        "Nothing stops an attacker on the way from stripping TLS or steering mail to another host.",
        "Publish a policy in mode testing and announce it with an _mta-sts record.";
    StsRecordVanished "sts-record-vanished" Record Domain SeverityRule::Stated("error while senders may hold a policy in enforce, info while only one in testing"), FETCH, ["REC-15", "APP-12"],
        "The record is gone while senders may still hold an enforce policy in their cache.",
        "Senders that hold the policy go on refusing what it does not list, and cannot learn of a newer one; all others deliver unprotected.",
        "Publish the record again. To withdraw a policy, serve it in mode none under a new id first, and wait until the older ones have expired.";
    StsIdNotChanged "sts-id-not-changed" Record Domain fixed(Error), None, ["REC-18"],
        "The policy changed (by meaning) but its id did not, or an id was used again for another policy.",
        "Senders that hold the older policy see an unchanged id and may keep it without end: a mail host that it does not list gets no mail from them.",
        "Publish a new id in the _mta-sts record whenever the policy changes, after the policy itself.";
    StsIdChangedOnly "sts-id-changed-only" Record Domain SeverityRule::Stated("info; warning when the policy then changes under that id"), None, ["REC-18", "REC-22"],
        "The id changed but the policy did not: published out of order, or for nothing.",
        "None if it was for nothing. If the policy follows later, senders that looked in between hold the older one under the new id.",
        "Serve the policy first, at every address, and announce it under a new id then.";
    StsRecordMultiple "sts-record-multiple" Record Domain fixed(Error), None, ["REC-04"],
        "More than one TXT record starts with v=STSv1; so senders treat the domain as having none.",
        "No sender finds the policy. New senders deliver unprotected; those that hold it in their cache keep it until it expires.",
        "Delete all but one of the records.";
    StsRecordInvalid "sts-record-invalid" Record Domain fixed(Error), None, ["REC-05", "REC-07", "REC-08", "REC-10", "REC-14"],
        "The _mta-sts record breaks the grammar.",
        "Senders treat the domain as having no policy: mail is not protected.",
        "Publish the record as v=STSv1; id=… with nothing else.";
    StsRecordIdInvalid "sts-record-id-invalid" Record Domain fixed(Error), None, ["REC-09"],
        "The id of the _mta-sts record is missing, longer than 32 characters or not alphanumeric.",
        "Senders treat the domain as having no policy: mail is not protected.",
        "Use letters and digits only, at most 32, for example the date and time without separators.";
    StsRecordLenient "sts-record-lenient" Record Domain fixed(Warning), None, ["REC-06", "REC-11", "REC-13"],
        "Some senders reject this spelling of the _mta-sts record.",
        "Senders that follow the grammar to the letter ignore the policy; others use it.",
        "Publish the record in its plain form.";
    StsRecordUnrelatedTxt "sts-record-unrelated-txt" Record Domain fixed(Info), None, ["REC-04"],
        "Other TXT records stand at _mta-sts.",
        "Senders skip them. They often come from a wildcard record.",
        "Delete them, or narrow the wildcard, so that nobody has to guess.";
    StsRecordDelegated "sts-record-delegated" Record Domain fixed(Info), None, ["REC-02"],
        "The _mta-sts record is reached through a CNAME.",
        "Senders follow it. Whoever runs the target decides the policy's id.",
        "Nothing to do, as long as the target is meant to be in charge.";
    StsRecordTtlLong "sts-record-ttl-long" Record Domain fixed(Warning), None, ["REC-21"],
        "The TTL of the _mta-sts record is over a day.",
        "Senders see a new id only after it: a wrong policy stays in use that long.",
        "Lower the TTL to an hour or so.";
    StsRecordNote "sts-record-note" Record Domain fixed(Info), None, ["REC-10"],
        "The _mta-sts record holds an unknown but well-formed field.",
        "Senders ignore the field.",
        "Nothing to do; delete the field if nobody knows what it is for.";
    StsSubdomainUncovered "sts-subdomain-uncovered" Record Domain fixed(Info), None, ["REC-16"],
        "A sub-domain with mail of its own has no policy while its parent enforces one.",
        "Senders do not look at the parent's policy: mail to the sub-domain is not protected.",
        "Publish a record and a policy for the sub-domain as well, or a null MX if it takes no mail.";
    StsPolicyUnused "sts-policy-unused" Policy PolicyHost fixed(Warning), None, ["REC-20"],
        "A policy is served but no record announces it.",
        "No sender looks for the policy: mail is not protected.",
        "Publish the _mta-sts record, or take the policy down.";
    StsPolicyHostUnresolvable "sts-policy-host-unresolvable" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-02"],
        "The policy host has no address.",
        "New senders deliver unprotected; those that hold the policy keep it until it expires.",
        "Publish A or AAAA records, or a CNAME, for the policy host.";
    StsPolicyConnectFailed "sts-policy-connect-failed" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-02"],
        "No address of the policy host accepts a connection.",
        "New senders deliver unprotected; those that hold the policy keep it until it expires.",
        "Start the web server, and open port 443 to everybody.";
    StsPolicyAddressFailed "sts-policy-address-failed" Policy PolicyHost fixed(Warning), FETCH, ["FET-02"],
        "One address of the policy host fails while another works.",
        "Senders that pick this address get no policy.",
        "Mend the server behind the address, or take the address out of the DNS.";
    StsPolicyAddressPrivate "sts-policy-address-private" Policy PolicyHost fixed(Error), FETCH, ["FET-02"],
        "The policy host resolves to a private or loopback address: public senders cannot reach it.",
        "Senders get no policy from this address.",
        "Publish the public address. Inside split DNS, set probe.allow_private_addresses.";
    StsPolicyTimeout "sts-policy-timeout" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-12"],
        "The policy did not arrive in time.",
        "Senders give up: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Serve the policy as a static file, from a host that answers everybody at once.";
    StsPolicySlow "sts-policy-slow" Policy PolicyHost fixed(Warning), None, ["FET-12"],
        "The policy takes more than 5 s to fetch.",
        "Impatient senders give up and deliver unprotected.",
        "Serve the policy as a static file, from a host that answers everybody at once.";
    StsPolicyTlsFailed "sts-policy-tls-failed" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-02", "FET-06"],
        "The TLS handshake with the policy host failed.",
        "Senders get no policy: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Set up the web server for this name (SNI) with its certificate, and with TLS 1.2 or newer.";
    StsPolicyCertificateExpired "sts-policy-certificate-expired" Policy PolicyHost POLICY_BROKEN, WEBPKI, ["FET-05"],
        "The policy host's certificate has expired.",
        "Senders refuse the policy: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Renew the certificate, reload the web server, and see why the renewal did not run by itself.";
    StsPolicyCertificateNotYetValid "sts-policy-certificate-not-yet-valid" Policy PolicyHost POLICY_BROKEN, WEBPKI, ["FET-05"],
        "The policy host's certificate is not valid yet.",
        "Senders refuse the policy until then.",
        "Install a certificate that is valid now; check the clock of the machine that issued it.";
    StsPolicyCertificateUntrusted "sts-policy-certificate-untrusted" Policy PolicyHost POLICY_BROKEN, WEBPKI, ["FET-05"],
        "The policy host's chain leads to no trusted root.",
        "Senders refuse the policy. Browsers may hide a missing intermediate; mail servers do not.",
        "Install the full chain of a public CA: the certificate, then its intermediates.";
    StsPolicyCertificateNameMismatch "sts-policy-certificate-name-mismatch" Policy PolicyHost POLICY_BROKEN, WEBPKI, ["FET-03", "FET-04", "FET-18"],
        "The policy host's certificate does not name mta-sts.DOMAIN.",
        "Senders refuse the policy: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Issue a certificate with the policy host among its DNS names; if a provider hosts the policy, the provider has to.";
    StsPolicyCertificateExpiring "sts-policy-certificate-expiring" Policy PolicyHost fixed(Warning), None, ["FET-05"],
        "The policy host's certificate is near its end.",
        "Nothing yet. When it expires, senders refuse the policy.",
        "Renew the certificate and reload the web server; see why the renewal did not run by itself.";
    StsPolicyHttpStatus "sts-policy-http-status" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-08"],
        "The policy host did not answer with status 200.",
        "Senders get no policy: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Serve the policy at /.well-known/mta-sts.txt with status 200.";
    StsPolicyRedirect "sts-policy-redirect" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-09"],
        "The policy host answers with a redirect, which senders must not follow: it works in browsers and fails for mail servers.",
        "Senders get no policy: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Serve the policy itself at this address, without a redirect to another name, path or scheme.";
    StsPolicyMediaType "sts-policy-media-type" Policy PolicyHost POLICY_SPURNED, FETCH, ["FET-11"],
        "The media type of the policy is not text/plain.",
        "Several senders refuse the policy, others accept it.",
        "Serve the file with Content-Type: text/plain.";
    StsPolicyTooLarge "sts-policy-too-large" Policy PolicyHost POLICY_BROKEN, FETCH, ["FET-13"],
        "The body of the policy is over 64 kB.",
        "Senders stop reading and have no policy.",
        "Serve the policy alone; a web page or an application is in its place.";
    StsPolicyDiverges "sts-policy-diverges" Policy PolicyHost fixed(Warning), None, ["REC-22", "FET-10"],
        "Addresses of the policy host serve different policies.",
        "Which policy a sender gets is chance: one that gets the old one may refuse a new mail host, or protect less.",
        "Bring every server, or every node of the CDN, to the same file.";
    StsPolicyInvalid "sts-policy-invalid" Policy Domain POLICY_BROKEN, INVALID, ["POL-01", "POL-02", "POL-03", "POL-04", "POL-05", "POL-07", "POL-09", "POL-10", "POL-11", "POL-13", "POL-14", "POL-15", "POL-16", "POL-17", "POL-18"],
        "The policy cannot be used.",
        "Senders treat it as if there were none: new ones deliver unprotected, others keep the policy that they hold until it expires.",
        "Correct the line, then change the id in the _mta-sts record.";
    StsPolicyLenient "sts-policy-lenient" Policy Domain fixed(Warning), INVALID, ["POL-02", "POL-03", "POL-05", "POL-08", "POL-14", "POL-17"],
        "Some senders reject this spelling of the policy.",
        "Senders that follow the grammar to the letter ignore the policy; others use it.",
        "Correct the line, then change the id in the _mta-sts record.";
    StsPolicyNote "sts-policy-note" Policy Domain fixed(Info), None, ["POL-02", "POL-06", "POL-14", "POL-19"],
        "The policy is unusual but fine.",
        "None: senders use it.",
        "Nothing to do.";
    StsPolicyMaxAgeShort "sts-policy-max-age-short" Policy Domain fixed(Warning), None, ["POL-12"],
        "max_age is under a day.",
        "A sender that mails less often never has the policy in its cache, so an attacker can hide it; 0 protects nobody.",
        "Raise max_age to a week or more once the policy works.";
    StsPolicyMaxAgeExcessive "sts-policy-max-age-excessive" Policy Domain POLICY_BROKEN, INVALID, ["POL-12"],
        "max_age is over 31557600 seconds.",
        "Some senders reject the policy, others cut the value down.",
        "Set max_age to 31557600 at most; a few weeks are enough.";
    StsPolicyWildcardWide "sts-policy-wildcard-wide" Policy Domain
        SeverityRule::Stated("warning; error for a public suffix"), None, ["POL-20"],
        "A pattern of the policy lets any host under a whole domain, or under a public suffix, be a mail host.",
        "Whoever gets a name and a certificate under the suffix passes for one of your mail hosts.",
        "List the mail hosts by name, or a suffix that only the mail provider hands out.";
    StsPolicyMxImpossible "sts-policy-mx-impossible" Policy Domain fixed(Error), None, ["POL-17"],
        "A pattern of the policy can match no MX: it is an IPv4 address.",
        "The host that was meant is not covered.",
        "Write the name of the MX host.";
    StsPolicyMxSingleLabel "sts-policy-mx-single-label" Policy Domain fixed(Warning), None, ["POL-17"],
        "A pattern of the policy is a single label.",
        "No host on the Internet has such a name.",
        "Write the full name of the MX host.";
    StsPolicyModeNone "sts-policy-mode-none" Policy Domain fixed(Info), None, ["APP-12"],
        "The policy is switched off (mode none).",
        "Senders behave as if there were no policy.",
        "Nothing to do while the policy is being withdrawn; keep record and policy until every older policy has expired at the senders.";
    StsPolicyModeTesting "sts-policy-mode-testing" Policy Domain fixed(Info), None, ["APP-03"],
        "The policy is in testing: failures are reported, mail is not protected.",
        "Senders deliver whatever they see.",
        "When reports and this monitor show no failures for two weeks, change the mode to enforce and the id with it.";
    StsPolicyTestingLong "sts-policy-testing-long" Policy Domain fixed(Warning), None, ["APP-03"],
        "The policy has been in testing for longer than thresholds.testing_long (90 days).",
        "Senders report failures and deliver all the same: nobody is protected.",
        "See what reports and this monitor still show, mend it, and set mode enforce under a new id.";
    StsPolicyReadyForEnforce "sts-policy-ready-for-enforce" Policy Domain fixed(Info), None, ["APP-03"],
        "In testing, and everything known says that enforce would lose no mail.",
        "None yet: with enforce the domain would be protected.",
        "Set mode enforce in the policy, with a max_age of a day to a week at first, then publish a new id.";
    StsPolicyDowngraded "sts-policy-downgraded" Policy Domain fixed(Warning), None, ["APP-15"],
        "The mode went from enforce to testing or none.",
        "Senders that learn of it no longer refuse hosts that fail: an attacker on the way can read mail again.",
        "If it was meant, say so with expect.mode. Else serve the policy in mode enforce again, and publish a new id.";
    MxImplicit "mx-implicit" Mx Domain
        by_policy(Warning, Warning, Info, Info), None, ["MXT-02"],
        "No MX record: senders use the domain's own address, which the policy has to list.",
        "Mail goes to the host behind the domain's own address.",
        "Publish an MX record that names the mail host.";
    MxNone "mx-none" Mx Domain SeverityRule::Stated("error; info where expect.mail is false"), None, ["MXT-02"],
        "Neither MX nor address: mail to this domain bounces.",
        "All mail to it bounces.",
        "Publish an MX record; for a domain that takes no mail publish a null MX (0 .).";
    MxNull "mx-null" Mx Domain fixed(Info), None, ["MXT-03"],
        "Null MX: the domain accepts no mail.",
        "Senders bounce mail at once, as the domain asks.",
        "Nothing to do.";
    MxNullWithPolicy "mx-null-with-policy" Mx Domain fixed(Warning), None, ["MXT-03"],
        "Null MX, yet an enforce policy or a TLSRPT record is published.",
        "Nothing: no mail is sent that they could apply to. One of the two is a mistake.",
        "Take the policy and the TLSRPT record down, or publish the real MX.";
    MxNullMixed "mx-null-mixed" Mx Domain fixed(Error), None, ["MXT-03"],
        "A null MX stands beside other MX records.",
        "Some senders bounce, others deliver to the other hosts.",
        "Delete the null MX, or all others.";
    MxInvalidTarget "mx-invalid-target" Mx Mx fixed(Error), VALIDATION, ["MXT-04"],
        "The MX target is an address or no host name.",
        "Senders cannot use this MX record.",
        "Give the host a name with A or AAAA records, and point the MX record to the name.";
    MxCname "mx-cname" Mx Mx fixed(Warning), None, ["MXT-05", "APP-08"],
        "The MX target is a CNAME.",
        "Out of specification (RFC 2181 §10.3): some senders refuse it. Policy and certificate have to carry the name in the MX record, not the target's.",
        "Point the MX record to the final name.";
    MxUnresolvable "mx-unresolvable" Mx Mx DOWN, None, ["MXT-04"],
        "The MX target has no address.",
        "Senders skip this host; if it is the only one, mail waits and bounces after days.",
        "Publish A or AAAA records for the host, or take it out of the MX records.";
    MxAddressesSkipped "mx-addresses-skipped" Mx Mx fixed(Info), None, ["MXT-06"],
        "More MX hosts or addresses than the configured cap: not all were looked at.",
        "Nothing. What was not looked at is not judged.",
        "Raise probe.max_mx or probe.max_addresses if you need all.";
    MxAddressPrivate "mx-address-private" Mx Mx fixed(Error), None, ["MXT-04"],
        "The MX resolves to a private, loopback or otherwise unreachable address: public senders cannot reach it.",
        "Senders cannot deliver to this address.",
        "Publish the public address. Inside split DNS, set probe.allow_private_addresses.";
    MxNotInPolicy "mx-not-in-policy" Mx Mx POLICY_SPURNED, VALIDATION, ["POL-21", "APP-06"],
        "An MX is not covered by the policy: enforcing senders do not deliver to it.",
        "Enforcing senders skip this host. If no other host is left, their mail waits and bounces.",
        "Add the host to the policy, then change the id in the _mta-sts record; or take the host out of the MX records.";
    MxNotInCachedPolicy "mx-not-in-cached-policy" Mx Mx SeverityRule::Stated("warning; info once only senders that look rarely are left"), VALIDATION, ["APP-13"],
        "An MX is not covered by an earlier enforce policy that senders may still cache.",
        "Senders that hold it do not deliver to the host until they have looked for a newer policy: mail is late, or lost where they find none.",
        "Keep the old mail hosts in service until the day that the detail names, and the new policy where senders find it.";
    PolicyMxUnused "policy-mx-unused" Mx Domain fixed(Info), None, ["POL-22"],
        "A pattern of the policy matches no current MX.",
        "Nothing. It is right while an MX is being added or withdrawn.",
        "Remove the pattern when the move is over.";
    SmtpConnectFailed "smtp-connect-failed" Starttls MxAddress DOWN, None, ["MXT-06"],
        "Port 25 is refused or unreachable.",
        "Senders go to the next address or host; if none is left, mail waits.",
        "Start the mail server on this address and open port 25, or take the address out of the DNS.";
    SmtpTimeout "smtp-timeout" Starttls MxAddress DOWN, None, ["MXT-06"],
        "The mail server made no progress in time.",
        "Senders go to the next address or host after a long wait; if none is left, mail waits.",
        "Look for a firewall that drops packets, an overloaded server, or a greeting delay of over half a minute.";
    SmtpRejected "smtp-rejected" Starttls MxAddress fixed(Warning), None, ["MXT-08"],
        "The server turned this monitor away with 4xx or 5xx before TLS (a block or rate limit on this monitor is likely).",
        "Perhaps nothing: other senders may be welcome. TLS on this address could not be looked at.",
        "Allow the monitor's address, give it a host name with matching forward and reverse DNS, or raise its interval.";
    SmtpProtocolError "smtp-protocol-error" Starttls MxAddress DOWN, None, ["MXT-07"],
        "The server broke the SMTP protocol, sent over-long lines or closed the connection.",
        "Senders go to the next address or host; if none is left, mail waits.",
        "See what answers on port 25 of this address: another service, or a filter in front of the mail server.";
    StarttlsNotOffered "starttls-not-offered" Starttls MxAddress TLS_BROKEN, NO_STARTTLS, ["MXT-07", "DAN-06"],
        "STARTTLS is not offered.",
        "Enforcing senders do not deliver here. All others send mail in clear.",
        "Switch TLS on in the mail server (Postfix: smtpd_tls_security_level = may, with a certificate); look for a firewall that strips it.";
    StarttlsRefused "starttls-refused" Starttls MxAddress TLS_BROKEN, NO_STARTTLS, ["MXT-07"],
        "STARTTLS is offered but refused.",
        "Enforcing senders do not deliver here. All others send mail in clear or later.",
        "See the log of the mail server: most often it cannot read its certificate or key.";
    StarttlsInjection "starttls-injection" Starttls MxAddress fixed(Error), None, ["MXT-07"],
        "The server sent clear text after its 220 to STARTTLS: command or response injection is possible.",
        "What an attacker injects before TLS is taken for protected.",
        "Update the mail server (this is CVE-2011-0411 and its like), or see what stands between it and the network.";
    TlsHandshakeFailed "tls-handshake-failed" Starttls MxAddress TLS_BROKEN, VALIDATION, ["MXT-09", "MXT-10"],
        "The TLS handshake failed.",
        "Enforcing senders do not deliver here. Others fall back to clear text, or put the mail off.",
        "Offer TLS 1.2 and 1.3 with current cipher suites, and check key and certificate files.";
    TlsVersionObsolete "tls-version-obsolete" Starttls MxAddress TLS_BROKEN, VALIDATION, ["MXT-09"],
        "The server offers nothing newer than TLS 1.1.",
        "Senders that ask for TLS 1.2, as MTA-STS does, do not deliver here. Others fall back to clear text, or put the mail off.",
        "Switch on TLS 1.2 and 1.3 in the mail server; an update of it or of its TLS library may be due.";
    TlsLegacyAccepted "tls-legacy-accepted" Starttls MxAddress fixed(Info), None, ["MXT-09"],
        "The server still accepts TLS 1.0 or 1.1.",
        "Nothing to senders of today: they agree on a newer version. RFC 8996 forbids the old ones.",
        "Switch TLS 1.0 and 1.1 off, unless mail from very old servers has to come in encrypted (Postfix: smtpd_tls_protocols = >=TLSv1.2).";
    TlsSniDependent "tls-sni-dependent" Starttls MxAddress fixed(Error), VALIDATION, ["MXT-10", "DAN-20"],
        "The handshake fails, or no TLSA record matches, without SNI or with an unknown name.",
        "Senders that send no server name, or the name of an alias, cannot deliver over TLS here.",
        "Give the mail server a default certificate that it presents whatever name is asked for.";
    TlsWeakCiphers "tls-weak-ciphers" Starttls MxAddress fixed(Warning), None, ["MXT-12"],
        "Only key exchanges or ciphers without forward secrecy or AEAD.",
        "Most senders still connect. Those with a current TLS library alone do not, and who records the traffic may read it later.",
        "Allow ECDHE with AES-GCM or ChaCha20 in the mail server (Postfix: smtpd_tls_mandatory_ciphers and smtpd_tls_ciphers at their defaults).";
    AddressesDiverge "addresses-diverge" Starttls Mx fixed(Warning), None, ["MXT-14"],
        "The addresses of one MX get different verdicts.",
        "Whether mail gets through, and how well it is protected, depends on the address that a sender happens to pick.",
        "Bring the servers behind the addresses to the same configuration and certificate.";
    CertificateExpired "certificate-expired" Certificate MxAddress CERTIFICATE_DATES, Some("certificate-expired"), ["APP-09", "MXT-11"],
        "The MX certificate has expired.",
        "Enforcing senders do not deliver here. Others do not check.",
        "Renew the certificate and reload the mail server; see why the renewal did not run by itself.";
    CertificateNotYetValid "certificate-not-yet-valid" Certificate MxAddress CERTIFICATE_DATES, Some("certificate-not-trusted"), ["MXT-11"],
        "The MX certificate is not valid yet.",
        "Enforcing senders do not deliver here until then. Others do not check.",
        "Install a certificate that is valid now; check the clock of the machine that issued it.";
    CertificateNameMismatch "certificate-name-mismatch" Certificate MxAddress CERTIFICATE_TRUST, Some("certificate-host-mismatch"), ["APP-09"],
        "The MX certificate does not name the MX host.",
        "Enforcing senders do not deliver here. Others do not check.",
        "Issue a certificate with the name in the MX record among its DNS names (the mail domain alone does not do).";
    CertificateUntrusted "certificate-untrusted" Certificate MxAddress CERTIFICATE_TRUST, Some("certificate-not-trusted"), ["APP-09", "MXT-11"],
        "The MX certificate leads to no trusted root.",
        "Enforcing senders do not deliver here. Others do not check.",
        "Install the full chain of a public CA: the certificate, then its intermediates.";
    CertificateExpiring "certificate-expiring" Certificate MxAddress
        SeverityRule::Stated("warning below min(lifetime/4, 30 d), info where DANE-EE alone holds; where expired would be an error, error below min(3 d, lifetime/12)"), None, ["MXT-11"],
        "The MX certificate (or an intermediate) is near its end.",
        "Nothing yet. When it expires, enforcing senders do not deliver here.",
        "Renew the certificate and reload the mail server; see why the renewal did not run by itself.";
    CertificateWeak "certificate-weak" Certificate MxAddress fixed(Warning), None, ["MXT-12"],
        "The MX certificate has an RSA key under 2048 bits, or a SHA-1 or MD5 signature.",
        "Senders with a current TLS library do not accept it, and cannot shake hands at all.",
        "Issue a new certificate with an ECDSA P-256 or RSA 2048 key.";
    DaneMismatch "dane-mismatch" Dane MxAddress fixed(Error), Some("tlsa-invalid"), ["DAN-04", "DAN-10", "DAN-11", "DAN-12"],
        "No TLSA record matches the live chain: DANE senders do not deliver.",
        "Senders that apply DANE (Exchange Online, Postfix sites, many providers in Germany and the Netherlands) skip this address; if no other is left, their mail waits and is returned after days.",
        "Publish a TLSA record for the certificate in use at once, beside the old one; take the old one out when it is no longer used.";
    DaneChainInvalid "dane-chain-invalid" Dane MxAddress fixed(Error), Some("certificate-not-trusted"), ["DAN-11", "DAN-12", "DAN-13"],
        "A DANE-TA record matches, but the path to it is incomplete, expired or for another name.",
        "Senders that apply DANE skip this address; if no other is left, their mail waits and is returned after days.",
        "Install a valid certificate for this host with its whole chain, or publish 3 1 1 records, which need neither dates nor names.";
    DaneLookupFailed "dane-lookup-failed" Dane Mx fixed(Error), Some("dnssec-invalid"), ["DAN-07"],
        "Signed addresses resolve and the TLSA query fails.",
        "Senders that apply DANE put the mail off: worse than no TLSA records at all.",
        "Ask the zone's own name servers for TLSA at _25._tcp of the host. Name servers and firewalls that do not know the type, and broken denial of existence, are the usual causes.";
    DaneUnusable "dane-unusable" Dane Mx fixed(Warning), Some("tlsa-invalid"), ["DAN-05", "DAN-08", "DAN-09"],
        "All TLSA records are unusable for SMTP.",
        "Senders that apply DANE insist on TLS and authenticate nobody: an attacker can take the host's place.",
        "Publish 3 1 1 records with the SHA-256 digest of the server's public key.";
    DaneRecordUnusable "dane-record-unusable" Dane Mx fixed(Warning), None, ["DAN-08", "DAN-09"],
        "Some TLSA records are unusable.",
        "Senders skip them; the others count.",
        "Delete them, or publish what was meant.";
    DaneInsecure "dane-insecure" Dane Mx fixed(Warning), None, ["DAN-03"],
        "TLSA records stand in a zone without DNSSEC: senders ignore them.",
        "DANE is off for this host, although it looks switched on.",
        "Sign the zone of the mail host and have its DS record published; or delete the TLSA records.";
    DaneMxInsecure "dane-mx-insecure" Dane Domain SeverityRule::Stated("warning; info where the hosts are outside the domain"), None, ["DAN-02"],
        "The MX hosts have DANE, but the domain's MX records are not signed.",
        "Senders authenticate the host, yet an attacker can name another host as MX: the domain is not protected by DANE.",
        "Sign the domain's own zone with DNSSEC.";
    DanePartial "dane-partial" Dane Domain fixed(Warning), None, ["DAN-21"],
        "Some MX hosts have usable TLSA records and some have none.",
        "An attacker can steer mail to a host without: MX order weighs more than security.",
        "Publish TLSA records for the other hosts as well.";
    DaneCombinationStale "dane-combination-stale" Dane MxAddress fixed(Warning), Some("tlsa-invalid"), ["DAN-15", "DAN-16"],
        "A published combination of usage, selector and matching type has no record for the live chain, although another one matches.",
        "Senders that use only that combination do not deliver: the publisher owes a matching record for each.",
        "Publish the missing record, or take the stale combination out of the DNS.";
    DaneRollover "dane-rollover" Dane Mx fixed(Info), None, ["DAN-17"],
        "A TLSA record for another key is published beside the live one: a rollover is prepared.",
        "Nothing: senders use the record that matches.",
        "Nothing to do. Wait two TTLs before the new key goes live, and take the old record out afterwards.";
    DaneRecordStale "dane-record-stale" Dane Mx fixed(Info), None, ["DAN-17"],
        "A record has matched nothing for more than 30 days.",
        "None while another record matches. Whoever has the old key could still pass for the host.",
        "Take the record out of the DNS, unless it belongs to a key that is kept in reserve.";
    DaneTaOnly "dane-ta-only" Dane Mx fixed(Info), None, ["DAN-14"],
        "Only CA keys are pinned.",
        "Nothing now. A CA may issue from another intermediate at any renewal, and then no record matches.",
        "List all active and backup intermediates of the CA, or add 3 1 1 records for the server's own key.";
    DaneAnswerLarge "dane-answer-large" Dane Mx fixed(Warning), None, ["DAN-14"],
        "The TLSA answer is large: Full(0) data, more than 12 records, or over 1232 bytes.",
        "Answers that do not fit a packet get lost on the way, and some senders stop after a dozen records: DANE senders may put mail off.",
        "Publish digests (3 1 1), and only those of keys in use or about to be.";
    TlsRptRecordMissing "tlsrpt-record-missing" TlsRpt TlsRpt
        SeverityRule::ByContext {
            enforce: Warning, dane: Some(Warning), testing: Warning, none: Info, unknown: Warning, dane_only: None,
        }, None, ["RPT-01"],
        "No _smtp._tls record.",
        "Senders that fail to deliver over TLS do not tell you.",
        "Publish the record with an address that takes the daily reports.";
    TlsRptRecordMultiple "tlsrpt-record-multiple" TlsRpt TlsRpt fixed(Error), None, ["RPT-02"],
        "More than one record starts with v=TLSRPTv1; so there is none.",
        "No sender reports to you.",
        "Delete all but one of the records; several addresses go into one rua, separated by commas.";
    TlsRptRecordInvalid "tlsrpt-record-invalid" TlsRpt TlsRpt fixed(Error), None, ["RPT-03", "RPT-04", "RPT-05", "RPT-06", "RPT-07"],
        "The _smtp._tls record breaks the grammar or has no usable rua.",
        "No sender reports to you.",
        "Publish the record as v=TLSRPTv1; rua=mailto:… with nothing else.";
    TlsRptRecordLenient "tlsrpt-record-lenient" TlsRpt TlsRpt fixed(Warning), None, ["RPT-03", "RPT-07", "RPT-09"],
        "Some reporters reject this spelling of the _smtp._tls record.",
        "Some senders do not report to you.",
        "Publish the record in its plain form.";
    TlsRptRecordNote "tlsrpt-record-note" TlsRpt TlsRpt fixed(Info), None, ["RPT-10", "RPT-13"],
        "The _smtp._tls record is unusual but fine: an unknown field, a very short TTL.",
        "None: senders use it.",
        "Nothing to do.";
    TlsRptRuaSharesFate "tlsrpt-rua-shares-fate" TlsRpt TlsRpt fixed(Info), None, ["REP-14", "RPT-11"],
        "Every destination of the reports depends on the monitored domain itself.",
        "When mail to the domain is blocked, the reports that would tell of it may be lost too.",
        "Name a second destination that does not depend on the domain: an https: endpoint elsewhere, or a mailbox in another domain.";
    TlsRptRuaUnreachable "tlsrpt-rua-unreachable" TlsRpt TlsRpt fixed(Warning), None, ["RPT-11", "RPT-15"],
        "A report destination cannot take reports: its domain has no mail host, or the endpoint does not answer.",
        "Reports that go there are lost, and nobody tells you.",
        "Name a mailbox in a domain that takes mail, or mend the endpoint; take the destination out of the record if nobody reads it.";
    ReportsFailing "reports-failing" TlsRpt Reports fixed(Warning), None, ["FLD-14"],
        "Reporters see failures above the configured share (thresholds.reports_failing). It ends after two complete days below it.",
        "Senders that enforce do not deliver in the sessions that fail; others deliver without protection.",
        "See by result type which host fails and why, and whether this monitor sees the same.";
    ReportsNewFailure "reports-new-failure" TlsRpt Reports fixed(Warning), None, ["FLD-17"],
        "A failure type, or a failing reporter that used to succeed, that the last 30 days (thresholds.reports_new_after) did not show. It ends after seven complete days without it.",
        "Something changed: in your policy, certificates or TLSA records, or at one sender.",
        "Compare with what changed here on that day, and follow the advice for the result type.";
    ReportsSilent "reports-silent" TlsRpt Reports fixed(Warning), None, ["REP-02"],
        "A reporter that sent regularly, or all of them, stopped (thresholds.reports_silent). It ends with the next report.",
        "Failures at these senders are no longer told.",
        "See whether the mailbox or endpoint of the reports still takes them, and whether the TLSRPT record still names it.";
    ReportsSenderCacheOld "reports-sender-cache-old" TlsRpt Reports fixed(Info), None, ["APP-02"],
        "A reporter still applies an earlier version of the policy, longer than a daily refresh explains.",
        "That sender treats mail by the earlier policy until it expires there.",
        "When a sender looks again is its own affair: nobody here can hasten it. Keep what the earlier policy names in service until then, and see that the id of the record changed with the policy.";
    ReportsDistributionShift "reports-distribution-shift" TlsRpt Reports fixed(Info), None, ["FLD-18"],
        "The distribution of sessions over the reporting senders changed beyond the configured share (thresholds.reports_shift).",
        "None by itself: other senders write than before, or one of them reports in another way.",
        "Nothing to do where the change is known. Else see which sender came, went or grew.";
    ExpectationNotMet "expectation-not-met" None Domain fixed(Error), None, [],
        "The domain is not as expect in the configuration says.",
        "What was agreed for this domain does not hold.",
        "Mend the domain, or correct expect in the configuration.";
    VantageLimited "vantage-limited" None Monitor fixed(Info), None, [],
        "This side cannot see all.",
        "Nothing. What cannot be seen from here is not judged.",
        "Run the monitor where port 25 is open and both address families have a route; check its resolver.";
}
