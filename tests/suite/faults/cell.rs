//! A cell of the matrix: what is arranged, and what has to follow.

use std::{collections::BTreeSet, net::Ipv4Addr};

use smtptls_exporter::verdict::State;

use super::peers::{Mail, Web};
use crate::world::{dns::DnsPeer, mail_world::policy_text};

/// Where in the look it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    DnsRecord,
    DnsMx,
    DnsMailHost,
    DnsPolicyHost,
    DnsTlsa,
    DnsReports,
    DnsAlias,
    DnsTcp,
    PolicyConnect,
    PolicyHello,
    PolicyFlight,
    PolicyStatus,
    PolicyHeader,
    PolicyBody,
    MailConnect,
    Greeting,
    Ehlo,
    Starttls,
    MailHello,
    MailFlight,
    EhloTls,
    Quit,
}

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Reset,
    Close,
    Stall,
    Drip,
    Flood,
    Lie,
}

/// When the look at the domain has ended, from the moment it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// Before the first deadline: a limit or the end of the connection stopped it, and no clock.
    AtOnce,
    /// At the latest after so many times the deadline of a lookup, and so many times the one of a probe.
    Within { lookups: u32, probes: u32 },
}

/// How much a peer gets rid of on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// What a flood could say is cut off: the limit of what is read there, in octets.
    Most(usize),
    /// The peer says little.
    Little,
}

/// One cell.
pub(super) struct Cell {
    pub(super) step: Step,
    pub(super) fault: Fault,
    /// What tells it from other cells of the same step and fault; empty where there is no other.
    pub(super) variant: &'static str,
    /// What the peer does, in words.
    pub(super) what: &'static str,
    pub(super) arrange: fn(&mut Plan),
    /// The codes of all findings of the domain that are more than a note.
    pub(super) findings: &'static [&'static str],
    pub(super) delivery: State,
    pub(super) ends: Ends,
    pub(super) taken: Taken,
}

/// The names of one domain.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) domain: String,
    pub(super) mail_host: String,
    pub(super) policy_host: String,
    pub(super) record: String,
    pub(super) reports: String,
    pub(super) tlsa: String,
}

/// Who listens at a port.
#[derive(Clone, Debug)]
pub(super) enum Port<S> {
    /// Somebody with a script.
    Serves(S),
    /// Nobody: the system refuses.
    Nobody,
    /// Somebody who takes no connection.
    Deaf,
}

/// All that is arranged for a domain.
pub(super) struct Plan {
    pub(super) mail: Port<Mail>,
    pub(super) web: Port<Web>,
    /// After the records were set; told the address of both hosts.
    pub(super) dns: Option<fn(&DnsPeer, &Names, Ipv4Addr)>,
    /// The policy without fault.
    pub(super) policy: String,
}

impl Step {
    pub(super) const ALL: [Self; 22] = [
        Self::DnsRecord,
        Self::DnsMx,
        Self::DnsMailHost,
        Self::DnsPolicyHost,
        Self::DnsTlsa,
        Self::DnsReports,
        Self::DnsAlias,
        Self::DnsTcp,
        Self::PolicyConnect,
        Self::PolicyHello,
        Self::PolicyFlight,
        Self::PolicyStatus,
        Self::PolicyHeader,
        Self::PolicyBody,
        Self::MailConnect,
        Self::Greeting,
        Self::Ehlo,
        Self::Starttls,
        Self::MailHello,
        Self::MailFlight,
        Self::EhloTls,
        Self::Quit,
    ];

    /// The first label of the domains of its cells.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::DnsRecord => "dns-record",
            Self::DnsMx => "dns-mx",
            Self::DnsMailHost => "dns-mail-host",
            Self::DnsPolicyHost => "dns-policy-host",
            Self::DnsTlsa => "dns-tlsa",
            Self::DnsReports => "dns-reports",
            Self::DnsAlias => "dns-alias",
            Self::DnsTcp => "dns-tcp",
            Self::PolicyConnect => "policy-connect",
            Self::PolicyHello => "policy-hello",
            Self::PolicyFlight => "policy-flight",
            Self::PolicyStatus => "policy-status",
            Self::PolicyHeader => "policy-header",
            Self::PolicyBody => "policy-body",
            Self::MailConnect => "mail-connect",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::MailHello => "mail-hello",
            Self::MailFlight => "mail-flight",
            Self::EhloTls => "ehlo-tls",
            Self::Quit => "quit",
        }
    }

    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::DnsRecord => "DNS: TXT of `_mta-sts`",
            Self::DnsMx => "DNS: MX",
            Self::DnsMailHost => "DNS: addresses of the mail host",
            Self::DnsPolicyHost => "DNS: addresses of the policy host",
            Self::DnsTlsa => "DNS: TLSA",
            Self::DnsReports => "DNS: TXT of `_smtp._tls`",
            Self::DnsAlias => "DNS: aliases",
            Self::DnsTcp => "DNS over TCP",
            Self::PolicyConnect => "HTTPS: connect",
            Self::PolicyHello => "HTTPS: TLS, in the place of the ServerHello",
            Self::PolicyFlight => "HTTPS: TLS, after the ServerHello",
            Self::PolicyStatus => "HTTPS: status line",
            Self::PolicyHeader => "HTTPS: header",
            Self::PolicyBody => "HTTPS: body",
            Self::MailConnect => "SMTP: connect",
            Self::Greeting => "SMTP: greeting",
            Self::Ehlo => "SMTP: reply to EHLO",
            Self::Starttls => "SMTP: reply to STARTTLS",
            Self::MailHello => "SMTP: TLS, in the place of the ServerHello",
            Self::MailFlight => "SMTP: TLS, after the ServerHello",
            Self::EhloTls => "SMTP: reply to EHLO within TLS",
            Self::Quit => "SMTP: reply to QUIT",
        }
    }

    /// Whether the fault lies with the name server.
    pub(super) fn is_dns(self) -> bool {
        self <= Self::DnsTcp
    }

    /// Whether the fault lies with the policy host.
    pub(super) fn is_policy(self) -> bool {
        (Self::PolicyConnect..=Self::PolicyBody).contains(&self)
    }
}

impl Fault {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Close => "close",
            Self::Stall => "stall",
            Self::Drip => "drip",
            Self::Flood => "flood",
            Self::Lie => "lie",
        }
    }
}

impl Cell {
    /// A cell that ends at once, of which nobody takes much.
    pub(super) fn new(step: Step, fault: Fault, what: &'static str, arrange: fn(&mut Plan)) -> Self {
        let (findings, delivery) = (&[][..], State::Protected);
        Self { step, fault, variant: "", what, arrange, findings, delivery, ends: Ends::AtOnce, taken: Taken::Little }
    }

    /// One of several with its step and fault.
    pub(super) const fn as_(mut self, variant: &'static str) -> Self {
        self.variant = variant;
        self
    }

    /// With these findings, and this for the mail.
    pub(super) const fn finds(mut self, findings: &'static [&'static str], delivery: State) -> Self {
        (self.findings, self.delivery) = (findings, delivery);
        self
    }

    /// With so many times the deadline of a lookup.
    pub(super) const fn lookups(mut self, lookups: u32) -> Self {
        self.ends = Ends::Within { lookups, probes: 0 };
        self
    }

    /// With so many times the deadline of a probe.
    pub(super) const fn probes(mut self, probes: u32) -> Self {
        self.ends = Ends::Within { lookups: 0, probes };
        self
    }

    /// With this limit, in octets, to what is read.
    pub(super) const fn takes(mut self, most: usize) -> Self {
        self.taken = Taken::Most(most);
        self
    }

    /// What its domains are called after; no two cells have the same.
    pub(super) fn label(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!("-{}", self.variant) };
        format!("{}-{}{variant}", self.step.label(), self.fault.word())
    }

    pub(super) fn codes(&self) -> BTreeSet<&'static str> {
        self.findings.iter().copied().collect()
    }

    /// A domain of this cell without its fault, and then with it.
    pub(super) fn plan(&self, names: &[Names]) -> Plan {
        let hosts: Vec<&str> = names.iter().map(|names| names.mail_host.as_str()).collect();
        let policy = policy_text(&hosts);
        let (mail, web) = (Port::Serves(Mail::good()), Port::Serves(Web::good(&policy)));
        let mut plan = Plan { mail, web, dns: None, policy };
        (self.arrange)(&mut plan);
        plan
    }
}

impl Names {
    pub(super) fn of(domain: &str) -> Self {
        let mail_host = format!("mx.{domain}");
        Self {
            policy_host: format!("mta-sts.{domain}"),
            record: format!("_mta-sts.{domain}"),
            reports: format!("_smtp._tls.{domain}"),
            tlsa: format!("_25._tcp.{mail_host}"),
            domain: domain.to_owned(),
            mail_host,
        }
    }
}

impl Plan {
    /// The script of the mail host.
    pub(super) fn mail(&mut self) -> &mut Mail {
        match &mut self.mail {
            Port::Serves(script) => script,
            other => panic!("{other:?}"),
        }
    }

    /// The script of the policy host.
    pub(super) fn web(&mut self) -> &mut Web {
        match &mut self.web {
            Port::Serves(script) => script,
            other => panic!("{other:?}"),
        }
    }
}
