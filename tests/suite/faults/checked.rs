//! The whole matrix in one run of `check`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
    sync::Mutex,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    monitor::{self, Edges},
    verdict::{Assessment, Severity, State},
};
use tokio::runtime::{Builder, Runtime};

use super::{
    cell::{Cell, Ends, Taken},
    world::{ALONE, DEADLINE, HEALTHY, Matrix},
};

/// What a look may take beyond its deadlines where a hundred others run on a machine that has more to do.
const BUSY: Duration = Duration::from_secs(5);
/// What the buffers of the system take beside the program, in octets: a send buffer, which is small at the peers, and a receive buffer,
/// which Linux makes larger than 128 kB only for those who read all that comes.
const BUFFERS: usize = 512 << 10;
/// What a peer says that does not flood, in octets.
const LITTLE: usize = 4096;
/// A question is asked three times, over UDP and TCP, and of TLSA records twice.
const QUERIES: usize = 12;
/// By then a connection that was left is seen to be left, also by who writes to it now and then.
const LEFT: Duration = Duration::from_secs(5);

/// What is seen of a run.
struct Run {
    assessments: Vec<Assessment>,
    /// When the look at each domain had ended, from the beginning of the run.
    ended: HashMap<String, Duration>,
    /// Tasks that are left behind.
    tasks: usize,
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Looks at all domains, in a runtime in which nobody else has tasks.
fn look(matrix: &Matrix) -> Run {
    let runtime = runtime();
    let settings = matrix.settings();
    let ended = Mutex::new(HashMap::new());
    let assessments = runtime.block_on(async {
        let edges = Edges::open(&settings).await.unwrap();
        let started = Instant::now();
        let note = |domain: &smtptls_exporter::terms::PolicyDomain| {
            ended.lock().unwrap().insert(domain.to_string(), started.elapsed());
        };
        monitor::check(&settings, &edges, &settings.domains, note).await
    });
    let end = Instant::now() + LEFT;
    while runtime.metrics().num_alive_tasks() > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    Run { assessments, ended: ended.into_inner().unwrap(), tasks: runtime.metrics().num_alive_tasks() }
}

/// Everything that is otherwise than claimed, so that one run shows all.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + Debug>(&mut self, who: &str, what: &str, seen: &T, claimed: &T) {
        if seen != claimed {
            self.0.push(format!("{who}: {what}: {seen:?} where {claimed:?} is claimed"));
        }
    }

    fn holds(&mut self, who: &str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(format!("{who}: {}", what()));
        }
    }
}

#[test]
fn each_cell_ends_as_it_says_and_hurts_nobody() {
    let _alone = ALONE.blocking_lock();
    let peers = runtime();
    let matrix = peers.block_on(Matrix::start(|_| 1));
    let started = Instant::now();
    let run = look(&matrix);
    let took = started.elapsed();
    let mut differences = Differences::default();
    let by_domain: BTreeMap<&str, &Assessment> =
        run.assessments.iter().map(|assessment| (assessment.domain.as_str(), assessment)).collect();

    for faulty in &matrix.faulty {
        let (cell, names) = (&faulty.cell, &faulty.names[0]);
        judged(&mut differences, cell, by_domain[names.domain.as_str()]);
        in_time(&mut differences, cell, run.ended[&names.domain]);
        if let Some(peer) = faulty.at_fault() {
            differences.holds(&names.domain, peer.tally.accepted() > 0, || "nobody met the fault".to_owned());
            taken(&mut differences, cell, peer.tally.most_sent());
        }
        if cell.step.is_dns() && cell.taken != Taken::Little {
            let sent = matrix.world.dns.flooded();
            differences.holds(&names.domain, sent > 0, || "nobody met the flood".to_owned());
            taken(&mut differences, cell, sent);
        }
    }
    for domain in HEALTHY {
        let assessment = by_domain[domain];
        differences.same(domain, "delivery", &assessment.delivery, &State::Protected);
        differences.same(domain, "findings", &worth(assessment), &Vec::new());
        // It began last, and is not kept waiting by anybody who stalls.
        let ended = run.ended[domain];
        differences.holds(domain, ended < DEADLINE, || format!("it took {ended:?}"));
    }

    differences.same("the run", "tasks left", &run.tasks, &0);
    let open = || matrix.listening().filter(|(_, listening)| listening.tally.open() > 0);
    let end = Instant::now() + LEFT;
    while open().next().is_some() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let open: Vec<String> = open().map(|(faulty, _)| faulty.cell.label()).collect();
    differences.same("the run", "connections left open", &open, &Vec::new());
    let mut asked = BTreeMap::new();
    for query in matrix.world.dns.queries() {
        *asked.entry(format!("{} {}", query.kind, query.name)).or_insert(0_usize) += 1;
    }
    // The root stands for the health of the resolver, and is asked for by all.
    asked.retain(|question, times| *times > QUERIES && !question.ends_with(" ."));
    differences.same("the run", "questions that were asked again and again", &asked, &BTreeMap::new());
    assert!(differences.0.is_empty(), "{} in {took:?}:\n{}", differences.0.len(), differences.0.join("\n"));
}

/// The codes of what is more than a note, each once.
fn worth(assessment: &Assessment) -> Vec<&'static str> {
    let worth = assessment.findings.iter().filter(|finding| finding.severity > Severity::Info);
    let mut codes: Vec<&'static str> = worth.map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn judged(differences: &mut Differences, cell: &Cell, assessment: &Assessment) {
    let who = assessment.domain.as_str();
    differences.same(who, "findings", &worth(assessment), &cell.codes().into_iter().collect());
    differences.same(who, "delivery", &assessment.delivery, &cell.delivery);
    // The fault is the peer's, and never this side's.
    differences.holds(who, !assessment.own_side, || format!("own side: {:?}", assessment.unseen));
}

fn in_time(differences: &mut Differences, cell: &Cell, ended: Duration) {
    let (least, most) = match cell.ends {
        Ends::AtOnce => (Duration::ZERO, DEADLINE),
        Ends::Within { lookups, probes } => {
            let deadlines = DEADLINE * (lookups + probes);
            (deadlines, deadlines + BUSY)
        }
    };
    differences.holds(&cell.label(), (least..most).contains(&ended), || {
        format!("it ended after {ended:?}, and not within {least:?} to {most:?}")
    });
}

fn taken(differences: &mut Differences, cell: &Cell, sent: usize) {
    let most = match cell.taken {
        Taken::Little => LITTLE,
        Taken::Most(most) => most + BUFFERS,
    };
    differences.holds(&cell.label(), sent <= most, || format!("{sent} octets were taken, and {most} are the most"));
}
