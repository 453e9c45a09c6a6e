//! Which configured domains a report is about. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::DomainList,
    protocol::tls_rpt::{PolicyType, ReportedPolicy},
    terms::{MxHost, PolicyDomain},
};

/// So many domains share in what is reported about one mail host; beyond it nothing is attributed unless the report names its
/// domain. Hosters' pools serve more domains than that, and one small report must not write a hundred thousand rows.
const SHARING_MOST: usize = 1000;

/// The configured domains by the mail hosts that they use, as far as is known and as far as reports ask for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) hosts: BTreeMap<MxHost, BTreeSet<PolicyDomain>>,
    /// The hosts of every configured domain were looked up once.
    pub(super) complete: bool,
}

impl Users {
    /// One more domain that uses a host.
    pub(super) fn add(&mut self, host: &MxHost, domain: &PolicyDomain) {
        match self.hosts.get_mut(host.as_str()) {
            Some(users) => _ = users.insert(domain.clone()),
            None => _ = self.hosts.insert(host.clone(), [domain.clone()].into()),
        }
    }

    /// Whether a host has more users than share in what is reported about it: those beyond need not be known.
    pub(super) fn is_crowded(&self, host: &MxHost) -> bool {
        self.hosts.get(host.as_str()).is_some_and(|users| users.len() > SHARING_MOST)
    }
}

/// What is configured, and which mail hosts it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Territory<'a> {
    pub(super) domains: &'a DomainList,
    /// Those of them that this instance looks at: of the others it is not known here which hosts they use.
    pub(super) own: &'a DomainList,
    /// The configured domains that use a mail host.
    pub(super) users: &'a Users,
}

/// What a report says beside its policies of the domain that it is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hints<'a> {
    /// TLS-Report-Domain.
    pub(super) report_domain: Option<&'a PolicyDomain>,
    /// The name of the file.
    pub(super) named_domain: Option<&'a PolicyDomain>,
}

/// The policies of a report by configured domain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attribution {
    pub(super) shares: BTreeMap<PolicyDomain, Vec<ReportedPolicy>>,
    /// Policies about anything else.
    pub(super) foreign: u64,
    /// Whose a mail host is cannot be told before every configured domain was looked at: the report has to come again.
    pub(super) undecided: bool,
}

/// Gives each policy to its own domain; one about a mail host (a `tlsa` policy names the TLSA base domain, RFC 8460 §4.4) to
/// the domains that use the host.
pub(super) fn attribute(policies: &[ReportedPolicy], hints: Hints<'_>, territory: Territory<'_>) -> Attribution {
    let mut attribution = Attribution::default();
    for policy in policies {
        let Some(domains) = concerned(policy, hints, territory) else {
            attribution.undecided = true;
            continue;
        };
        if domains.is_empty() {
            attribution.foreign += 1;
        }
        for domain in domains {
            attribution.shares.entry(domain.clone()).or_default().push(policy.clone());
        }
    }
    if policies.is_empty()
        && let Some(domain) = hinted(hints).filter(|domain| territory.domains.has(domain.as_str()))
    {
        // It says that nothing was sent, and that its sender is there.
        attribution.shares.insert(domain.clone(), Vec::new());
    }
    attribution
}

/// The domain that a report is about, as what stands beside its policies says.
pub(super) fn hinted(hints: Hints<'_>) -> Option<&PolicyDomain> {
    hints.report_domain.or(hints.named_domain)
}

/// The names of mail hosts in policies: [`attribute`] asks for the users of these, and of no others.
pub(super) fn named_hosts<'a>(policies: &'a [ReportedPolicy], domains: &DomainList) -> impl Iterator<Item = &'a str> {
    let of_hosts = policies.iter().filter(|policy| policy.policy_type == PolicyType::Tlsa);
    of_hosts.filter_map(|policy| policy.domain.as_deref()).filter(|name| !domains.has(name))
}

/// The domains that a policy is about; nothing where that cannot be told yet.
fn concerned<'a>(policy: &ReportedPolicy, hints: Hints<'_>, territory: Territory<'a>) -> Option<Vec<&'a PolicyDomain>> {
    let configured = |name: &str| territory.domains.named(name).map(|one| &one.domain);
    let Some(name) = policy.domain.as_deref() else {
        // Older senders leave it out (FLD-11).
        return Some(hinted(hints).and_then(|domain| configured(domain.as_str())).into_iter().collect());
    };
    if let Some(domain) = configured(name) {
        return Some(vec![domain]);
    }
    if policy.policy_type != PolicyType::Tlsa {
        return Some(Vec::new());
    }
    let users = territory.users.hosts.get(name);
    if let Some(domain) = hinted(hints).zip(users).and_then(|(domain, users)| users.get(domain)) {
        return Some(vec![domain]);
    }
    // Whether it uses the host is known to the instance that looks at it. Mail and file name the domain (RFC 8460 §5.1, §5.3); without
    // that, a report about a host that only domains of others use is for nobody here.
    if let Some(domain) =
        hinted(hints).and_then(|domain| configured(domain.as_str())).filter(|one| !territory.own.has(one.as_str()))
    {
        return Some(vec![domain]);
    }
    // "Not looked up yet" is not "nobody uses it", nor is it "nobody else does".
    if !territory.users.complete {
        return None;
    }
    Some(users.filter(|users| users.len() <= SHARING_MOST).into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> PolicyDomain {
        PolicyDomain::parse(name).unwrap()
    }

    fn policy(policy_type: PolicyType, name: Option<&str>) -> ReportedPolicy {
        ReportedPolicy { policy_type, domain: name.map(str::to_owned), successful: 1, ..ReportedPolicy::default() }
    }

    /// Who gets how many policies of these, and how many are foreign. Configured are a.test and b.test, which share mx.test, and
    /// c.test, which has its own.
    fn given(policies: &[ReportedPolicy], report_domain: Option<&str>, named_domain: Option<&str>) -> (String, u64) {
        given_with(&[], policies, report_domain, named_domain)
    }

    /// The same where other instances look at these domains.
    fn given_with(
        elsewhere: &[&str],
        policies: &[ReportedPolicy],
        report_domain: Option<&str>,
        named_domain: Option<&str>,
    ) -> (String, u64) {
        let domains: DomainList = ["a.test", "b.test", "c.test"].map(domain).into_iter().collect();
        let host = |name: &str| MxHost::parse(name).unwrap();
        let hosts = BTreeMap::from([
            (host("mx.test"), ["a.test", "b.test"].map(domain).into()),
            (host("mx.c.test"), [domain("c.test")].into()),
        ]);
        let users = Users { hosts, complete: true };
        let (report_domain, named_domain) = (report_domain.map(domain), named_domain.map(domain));
        let hints = Hints { report_domain: report_domain.as_ref(), named_domain: named_domain.as_ref() };
        let all: DomainList =
            domains.iter().map(|one| one.domain.clone()).chain(elsewhere.iter().copied().map(domain)).collect();
        let found = attribute(policies, hints, Territory { domains: &all, own: &domains, users: &users });
        let shares = found.shares.iter().map(|(name, policies)| format!("{name}:{}", policies.len()));
        (shares.collect::<Vec<_>>().join(" "), found.foreign)
    }

    #[test]
    fn each_policy_goes_to_its_own_domain() {
        use PolicyType::{NoPolicyFound, Sts, Tlsa};
        let policies =
            [policy(Sts, Some("a.test")), policy(Tlsa, Some("a.test")), policy(NoPolicyFound, Some("b.test"))];
        assert_eq!(given(&policies, None, None), ("a.test:2 b.test:1".into(), 0));
        assert_eq!(given(&policies, Some("c.test"), None), ("a.test:2 b.test:1".into(), 0), "the body wins (REP-20)");
        let mixed = [policy(Sts, Some("a.test")), policy(Sts, Some("x.test")), policy(Tlsa, Some("mx.x.test"))];
        assert_eq!(given(&mixed, None, None), ("a.test:1".into(), 2));
        assert_eq!(given(&[policy(Sts, Some("sub.a.test"))], None, None), (String::new(), 1));
    }

    #[test]
    fn a_mail_host_belongs_to_those_who_use_it() {
        use PolicyType::{NoPolicyFound, Sts, Tlsa};
        let shared = [policy(Tlsa, Some("mx.test"))];
        assert_eq!(given(&shared, None, None), ("a.test:1 b.test:1".into(), 0));
        assert_eq!(given(&shared, Some("b.test"), None), ("b.test:1".into(), 0));
        assert_eq!(given(&shared, None, Some("b.test")), ("b.test:1".into(), 0));
        assert_eq!(given(&shared, Some("c.test"), None), ("a.test:1 b.test:1".into(), 0), "c.test does not use it");
        assert_eq!(given(&shared, Some("x.test"), None), ("a.test:1 b.test:1".into(), 0));
        assert_eq!(given(&[policy(Tlsa, Some("mx.c.test"))], None, None), ("c.test:1".into(), 0));
        // Only `tlsa` names hosts.
        assert_eq!(given(&[policy(Sts, Some("mx.test")), policy(NoPolicyFound, Some("mx.test"))], None, None).1, 2);
    }

    #[test]
    fn what_is_about_the_domain_of_another_instance_is_given_to_it() {
        use PolicyType::{NoPolicyFound, Sts, Tlsa};
        let given = |policies: &[ReportedPolicy], hint| given_with(&["far.test"], policies, hint, None);
        let mixed = [policy(Sts, Some("far.test")), policy(Sts, Some("a.test")), policy(Sts, Some("x.test"))];
        assert_eq!(given(&mixed, None), ("a.test:1 far.test:1".into(), 1));
        assert_eq!(given(&[policy(NoPolicyFound, None)], Some("far.test")), ("far.test:1".into(), 0));
        assert_eq!(given(&[], Some("far.test")), ("far.test:0".into(), 0));
        let host = [policy(Tlsa, Some("mx.far.test"))];
        assert_eq!(given(&host, Some("far.test")), ("far.test:1".into(), 0));
        assert_eq!(given(&host, None), (String::new(), 1), "whose it is nobody here knows");
        assert_eq!(given(&[policy(Tlsa, Some("mx.test"))], None), ("a.test:1 b.test:1".into(), 0));
        assert_eq!(given_with(&[], &mixed, None, None), ("a.test:1".into(), 2), "without a database they are foreign");
    }

    #[test]
    fn a_policy_without_a_domain_is_that_of_the_mail_or_the_file() {
        let nameless = [policy(PolicyType::NoPolicyFound, None)];
        assert_eq!(given(&nameless, Some("a.test"), Some("b.test")), ("a.test:1".into(), 0));
        assert_eq!(given(&nameless, None, Some("b.test")), ("b.test:1".into(), 0));
        assert_eq!(given(&nameless, Some("x.test"), Some("b.test")), (String::new(), 1), "the mail says whose it is");
        assert_eq!(given(&nameless, None, None), (String::new(), 1));
        assert_eq!(given(&[], Some("a.test"), None), ("a.test:0".into(), 0), "policies may be empty (FLD-07)");
        assert_eq!(given(&[], None, None), (String::new(), 0));
    }

    /// After a start: what could not be looked up yet is not foreign for ever.
    #[test]
    fn whose_a_mail_host_is_cannot_be_told_before_all_domains_were_looked_at() {
        use PolicyType::{Sts, Tlsa};
        let domains = ["a.test", "b.test"].map(domain).into_iter().collect();
        let hosts = BTreeMap::from([(MxHost::parse("mx.test").unwrap(), [domain("a.test")].into())]);
        let found = |one: ReportedPolicy, report_domain: Option<&str>, complete: bool| {
            let users = Users { hosts: hosts.clone(), complete };
            let report_domain = report_domain.map(domain);
            let hints = Hints { report_domain: report_domain.as_ref(), named_domain: None };
            let found = attribute(&[one], hints, Territory { domains: &domains, own: &domains, users: &users });
            (found.shares.len(), found.foreign, found.undecided)
        };
        for (one, report_domain, while_incomplete, later) in [
            (policy(Tlsa, Some("mx.b.test")), None, (0, 0, true), (0, 1, false)),
            // Others may use it too.
            (policy(Tlsa, Some("mx.test")), None, (0, 0, true), (1, 0, false)),
            (policy(Tlsa, Some("mx.test")), Some("a.test"), (1, 0, false), (1, 0, false)),
            (policy(Tlsa, Some("b.test")), None, (1, 0, false), (1, 0, false)),
            // Only `tlsa` names hosts.
            (policy(Sts, Some("mx.b.test")), None, (0, 1, false), (0, 1, false)),
            (policy(Tlsa, None), None, (0, 1, false), (0, 1, false)),
        ] {
            let of = format!("{one:?}");
            assert_eq!(found(one.clone(), report_domain, false), while_incomplete, "{of}");
            assert_eq!(found(one, report_domain, true), later, "{of}");
        }
    }

    #[test]
    fn a_host_of_very_many_is_nobody_s_unless_the_report_says_whose() {
        let all: BTreeSet<PolicyDomain> = (0..=SHARING_MOST).map(|n| domain(&format!("d{n}.test"))).collect();
        let hosts = BTreeMap::from([(MxHost::parse("mx.test").unwrap(), all.clone())]);
        let users = Users { hosts, complete: true };
        let domains = all.into_iter().collect();
        let territory = Territory { domains: &domains, own: &domains, users: &users };
        let policies = [policy(PolicyType::Tlsa, Some("mx.test"))];
        assert_eq!(attribute(&policies, Hints::default(), territory).foreign, 1);
        let one = domain("d7.test");
        let hints = Hints { report_domain: Some(&one), ..Hints::default() };
        assert_eq!(
            attribute(&policies, hints, territory).shares.into_keys().collect::<Vec<_>>(),
            std::slice::from_ref(&one)
        );
    }
}
