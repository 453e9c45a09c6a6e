//! The peers of the whole matrix, and the healthy domains beside them.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    version::{TLS12, TLS13},
};
use smtptls_exporter::config::{DnssecMode, Settings};
use tokio::sync::Mutex;

use super::{
    cell::{Cell, Fault, Names, Port, Step},
    peers::{Handshake, Listening, Mail, Web},
    table,
};
use crate::world::{
    mail_world::{DeafAddress, MailWorld, policy_text},
    pki::Identity,
};

/// For one lookup, all tries included, and for one probe of a host. A hundred peers in a build that is not optimised share a machine with
/// whatever else it does: what ends at once has to be told from what waits.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);

/// The runs of the matrix, one after the other: each takes a machine for itself.
pub(super) static ALONE: Mutex<()> = Mutex::const_new(());

/// Domains without fault: the resolver is the same for all; the second has its hosts in the networks of hosts that stall.
pub(super) const HEALTHY: [&str; 2] = ["healthy.example", "beside.example"];

/// The world of the matrix; its peers end when it is dropped.
pub(super) struct Matrix {
    pub(super) world: MailWorld,
    pub(super) faulty: Vec<Faulty>,
    _healthy: Vec<Listening>,
}

/// The domains of a cell, with their peers at one address.
pub(super) struct Faulty {
    pub(super) cell: Cell,
    pub(super) names: Vec<Names>,
    pub(super) mail: Option<Listening>,
    pub(super) web: Option<Listening>,
    address: Ipv4Addr,
    _deaf: Option<DeafAddress>,
}

impl Matrix {
    /// `copies`: how many domains a cell has.
    pub(super) async fn start(copies: impl Fn(&Cell) -> usize) -> Self {
        let world = MailWorld::start().await;
        // A resolver that validates, beside this program: so the TLSA records are asked for.
        world.dns.authentic(true);
        let mut faulty = Vec::new();
        for cell in table::cells() {
            let copies = copies(&cell);
            faulty.push(Faulty::start(&world, cell, copies));
        }
        let stalls = |step: Step| {
            let found = faulty.iter().find(|faulty| (faulty.cell.step, faulty.cell.fault) == (step, Fault::Stall));
            MailWorld::beside(found.unwrap().address, 1)
        };
        let (mail_beside, web_beside) = (stalls(Step::Greeting), stalls(Step::PolicyHello));
        let alone = world.address();
        let mut healthy = Vec::new();
        for (domain, mail_at, web_at) in [(HEALTHY[0], alone, alone), (HEALTHY[1], mail_beside, web_beside)] {
            let names = Names::of(domain);
            publish(&world, &names, mail_at, web_at);
            let identity = world.pki.identity(&[&names.mail_host, &names.policy_host]);
            let policy = policy_text(&[&names.mail_host]);
            let ports = ports(&world);
            healthy.push(Listening::mail((mail_at, ports.0), Mail::good(), tls(&identity)));
            healthy.push(Listening::web((web_at, ports.1), Web::good(&policy), tls(&identity)));
        }
        Self { world, faulty, _healthy: healthy }
    }

    /// The names of all domains, those without fault last: when they begin, all others have begun.
    pub(super) fn domains(&self) -> Vec<String> {
        let faulty = self.faulty.iter().flat_map(|faulty| &faulty.names).map(|names| names.domain.clone());
        faulty.chain(HEALTHY.map(str::to_owned)).collect()
    }

    pub(super) fn settings(&self) -> Settings {
        let domains = self.domains();
        let mut settings = self.world.settings(&domains.iter().map(String::as_str).collect::<Vec<_>>());
        settings.resolver.dnssec = DnssecMode::TrustAd;
        settings.resolver.timeout = DEADLINE;
        settings.probe.timeout = DEADLINE;
        settings
    }

    /// Everybody who listens for a cell.
    pub(super) fn listening(&self) -> impl Iterator<Item = (&Faulty, &Listening)> {
        self.faulty.iter().flat_map(|faulty| faulty.listening().map(move |listening| (faulty, listening)))
    }
}

impl Faulty {
    fn start(world: &MailWorld, cell: Cell, copies: usize) -> Self {
        let label = cell.label();
        let domain = |number: usize| match number {
            1 => format!("{label}.example"),
            number => format!("{label}-{number}.example"),
        };
        let names: Vec<Names> = (1..=copies).map(|number| Names::of(&domain(number))).collect();
        let address = world.address();
        let plan = cell.plan(&names);
        let hosts = names.iter().flat_map(|names| [names.mail_host.as_str(), names.policy_host.as_str()]);
        let identity = world.pki.identity(&hosts.collect::<Vec<_>>());
        for names in &names {
            publish(world, names, address, address);
            if let Some(fault) = plan.dns {
                fault(&world.dns, names, address);
            }
        }
        let (mail_port, web_port) = ports(world);
        let mut deaf = None;
        let mail = match plan.mail {
            Port::Serves(script) => {
                let tls = tls_for(&script.handshake, &identity);
                Some(Listening::mail((address, mail_port), script, tls))
            }
            Port::Nobody => None,
            Port::Deaf => {
                deaf = Some(world.deaf(address));
                None
            }
        };
        let web = match plan.web {
            Port::Serves(script) => {
                let tls = tls_for(&script.handshake, &identity);
                Some(Listening::web((address, web_port), script, tls))
            }
            Port::Nobody => None,
            Port::Deaf => {
                deaf = Some(world.deaf_policy_host(address));
                None
            }
        };
        Self { cell, names, mail, web, address, _deaf: deaf }
    }

    pub(super) fn listening(&self) -> impl Iterator<Item = &Listening> {
        self.mail.iter().chain(&self.web)
    }

    /// The peer that has the fault, where one listens.
    pub(super) fn at_fault(&self) -> Option<&Listening> {
        match self.cell.step {
            step if step.is_dns() => None,
            step if step.is_policy() => self.web.as_ref(),
            _ => self.mail.as_ref(),
        }
    }
}

fn tls(identity: &Identity) -> Arc<ServerConfig> {
    identity.server(&[&TLS12, &TLS13])
}

/// What a handshake needs that goes this way.
fn tls_for(handshake: &Handshake, identity: &Identity) -> Arc<ServerConfig> {
    match handshake {
        Handshake::Certificates(more) => tls(&identity.with_more(*more)),
        Handshake::Tickets(tickets) => {
            let mut config = ServerConfig::clone(&tls(identity));
            config.send_tls13_tickets = *tickets;
            Arc::new(config)
        }
        _ => tls(identity),
    }
}

/// The port of mail hosts and the port of policy hosts.
fn ports(world: &MailWorld) -> (u16, u16) {
    let probe = world.settings(&[]).probe;
    (probe.smtp_port, probe.https_port)
}

/// All records of a domain without fault.
fn publish(world: &MailWorld, names: &Names, mail: Ipv4Addr, web: Ipv4Addr) {
    world.mail_host(&names.domain, &names.mail_host, mail);
    world.dns.a(&names.policy_host, &[&web.to_string()]);
    world.dns.txt(&names.record, &["v=STSv1; id=1;"]);
    world.dns.txt(&names.reports, &["v=TLSRPTv1; rua=mailto:tls@reports.test"]);
}
