//! How a domain stands in the world at one time: its records, its policy host, its mail hosts.

use super::authority::Certificate;

/// Where the reports of every domain are to go: it has a mail host.
pub(super) const REPORTS: &str = "v=TLSRPTv1; rua=mailto:tls-reports@reports.test";
/// The `max_age` of most policies: two weeks, in seconds.
pub(super) const MAX_AGE: u32 = 1_209_600;

/// Days that most certificates have left: of 90, as they are renewed a month before their end.
pub(super) const LEFT: i32 = 61;

/// Days since certificates began that are older than all that is known of them.
const AGE: i32 = 100;

/// A domain as it is published, with the hosts that serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// The domain.
    pub(super) name: &'static str,
    /// TXT records at `_mta-sts`.
    pub(super) record: Vec<String>,
    /// TXT records at `_smtp._tls`.
    pub(super) tlsrpt: Vec<String>,
    /// MX records; the target `.` is a null MX. Labels may hold anything but a dot.
    pub(super) mx: Vec<(u16, String)>,
    /// What `mta-sts` of the domain is; nothing where the name does not exist.
    pub(super) policy_host: Option<PolicyHost>,
    /// The mail hosts that are its own, or its provider's.
    pub(super) hosts: Vec<MailHost>,
    /// The zone of the domain is signed.
    pub(super) signed: bool,
}

/// What serves the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PolicyHost {
    /// The name is an alias of this one, at the provider.
    pub(super) alias: Option<&'static str>,
    pub(super) certificate: Certificate,
    pub(super) answer: Answer,
}

/// What a policy host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200, as text.
    Policy(String),
    /// 301, to this place.
    Redirect(String),
}

/// A mail host with one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MailHost {
    pub(super) name: String,
    /// What stands behind the 220 or 554 of the greeting.
    pub(super) banner: String,
    /// What it answers EHLO with, a line each; STARTTLS is added where there is a certificate.
    pub(super) ehlo: Vec<String>,
    /// Nothing where it does not offer STARTTLS.
    pub(super) certificate: Option<Certificate>,
    /// The key whose digest stands in its TLSA record, `3 1 1`.
    pub(super) pinned: Option<usize>,
    pub(super) mood: Mood,
}

/// How a mail host meets who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It serves.
    Up,
    /// It is being restarted: the connection is reset.
    Down,
    /// It turns everybody away with 554.
    Rejects,
}

impl Picture {
    /// A domain with nothing but these mail hosts, in order of preference, without fault.
    pub(super) fn plain(name: &'static str, hosts: &[&str]) -> Self {
        let mx = hosts.iter().zip(1_u16..).map(|(host, place)| (place * 10, (*host).to_owned()));
        Self {
            name,
            record: Vec::new(),
            tlsrpt: Vec::new(),
            mx: mx.collect(),
            policy_host: None,
            hosts: hosts.iter().map(|host| MailHost::good(host)).collect(),
            signed: false,
        }
    }

    /// The same with reports, and a policy for exactly these hosts.
    pub(super) fn with_policy(name: &'static str, mode: &str, hosts: &[&str]) -> Self {
        Self::plain(name, hosts).reports().id("20260301T0900").policy(&body(mode, hosts, MAX_AGE))
    }

    pub(super) fn reports(self) -> Self {
        Self { tlsrpt: vec![REPORTS.to_owned()], ..self }
    }

    pub(super) fn id(self, id: &str) -> Self {
        Self { record: vec![format!("v=STSv1; id={id};")], ..self }
    }

    pub(super) fn policy(self, body: &str) -> Self {
        self.answer(Answer::Policy(body.to_owned()))
    }

    pub(super) fn answer(self, answer: Answer) -> Self {
        let host = format!("mta-sts.{}", self.name);
        let certificate = Certificate::of_90_days(&[&host], LEFT);
        Self { policy_host: Some(PolicyHost { alias: None, certificate, answer }), ..self }
    }

    pub(super) fn mx(self, records: &[(u16, &str)]) -> Self {
        let mx = records.iter().map(|(preference, target)| (*preference, (*target).to_owned()));
        Self { mx: mx.collect(), ..self }
    }

    pub(super) fn signed(self) -> Self {
        Self { signed: true, ..self }
    }

    /// All certificates are older than the world.
    pub(super) fn aged(mut self) -> Self {
        let of_hosts = self.hosts.iter_mut().filter_map(|host| host.certificate.as_mut());
        let of_policy_host = self.policy_host.iter_mut().map(|host| &mut host.certificate);
        of_hosts.chain(of_policy_host).for_each(|certificate| certificate.begun = AGE);
        self
    }

    /// Changes one of the mail hosts.
    pub(super) fn host(mut self, name: &str, change: impl FnOnce(&mut MailHost)) -> Self {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.name == name) {
            change(host);
        }
        self
    }

    /// All hosts have another certificate, with so many days left.
    pub(super) fn with_days_left(mut self, left: i32) -> Self {
        if let Some(host) = &mut self.policy_host {
            host.certificate = Certificate::of_90_days(&[&format!("mta-sts.{}", self.name)], left);
        }
        for host in &mut self.hosts {
            host.certificate = Some(Certificate::of_90_days(&[&host.name], left));
        }
        self
    }
}

impl MailHost {
    /// With STARTTLS and a valid certificate.
    pub(super) fn good(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            banner: format!("{name} ESMTP"),
            ehlo: [name, "SIZE 52428800", "8BITMIME"].map(str::to_owned).to_vec(),
            certificate: Some(Certificate::of_90_days(&[name], LEFT)),
            pinned: None,
            mood: Mood::Up,
        }
    }
}

/// A policy (RFC 8461 §3.2).
pub(super) fn body(mode: &str, patterns: &[&str], max_age: u32) -> String {
    let patterns: String = patterns.iter().map(|pattern| format!("mx: {pattern}\n")).collect();
    format!("version: STSv1\nmode: {mode}\n{patterns}max_age: {max_age}\n")
}
