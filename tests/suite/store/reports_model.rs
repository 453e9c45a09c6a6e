//! Any deliveries in any order: the numbers are those of a model that knows only the decisions.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    reports::{EXAMPLE, Sent, day, file, of, sts, verified, yesterday},
    *,
};
use proptest::prelude::*;
use smtptls_exporter::{
    facts::{Reporter, Transport},
    store::{Filed, ReportsWanted},
    terms::PolicyDomain,
    verdict::{CounterKey, Counters, DomainReports, Measure},
};

const ORG: &str = "example.org";

/// One delivery.
#[derive(Clone, Debug)]
struct Delivery {
    /// Who sends, and with it in whose name: 0 proves nothing.
    sender: usize,
    /// Nothing where the report has none.
    id: Option<u8>,
    /// Sessions and failed ones for two domains; nothing where it does not speak of one.
    numbers: [Option<(u8, u8)>; 2],
    earlier: bool,
    transport: Transport,
}

impl Delivery {
    fn sent(&self, reporter: Reporter) -> Sent {
        let policies = [EXAMPLE, ORG].into_iter().zip(self.numbers);
        let policies = policies.filter_map(|(name, numbers)| {
            numbers.map(|(successful, failed)| (name, vec![sts(u64::from(successful), u64::from(failed))]))
        });
        Sent {
            organization: ["nobody", "first", "second"][self.sender],
            id: self.id.map(|id| id.to_string()),
            transport: self.transport,
            begin: Some(if self.earlier { yesterday() - case::DAY } else { yesterday() }),
            policies: policies.collect(),
            ..Sent::new(reporter, "", 0, 0)
        }
    }

    fn reporter(&self) -> Reporter {
        [Reporter::Unverified, verified("first.example"), verified("second.example")][self.sender].clone()
    }
}

fn deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    let numbers = proptest::option::weighted(0.7, (0_u8..6, 0_u8..4));
    let one = (
        0_usize..3,
        proptest::option::weighted(0.8, 0_u8..3),
        [numbers.clone(), numbers],
        any::<bool>(),
        proptest::sample::select(Transport::ALL.to_vec()),
    );
    let one =
        one.prop_map(|(sender, id, numbers, earlier, transport)| Delivery { sender, id, numbers, earlier, transport });
    let one = one.prop_filter("it is about a domain", |one| one.numbers.iter().any(Option::is_some));
    proptest::collection::vec(one, 1..40)
}

/// Sessions and failed ones of a domain: of all that a sender tells under one id of one day the largest counts, and the sum of
/// these. What has no id stands for itself.
fn model(deliveries: &[Delivery], domain: usize) -> [u64; 2] {
    type Key = (usize, Option<u8>, Option<(u8, u8)>, bool);
    let mut largest: BTreeMap<Key, [u64; 2]> = BTreeMap::new();
    for delivery in deliveries {
        let Some((successful, failed)) = delivery.numbers[domain] else { continue };
        let own = if delivery.id.is_none() { Some((successful, failed)) } else { None };
        let known = largest.entry((delivery.sender, delivery.id, own, delivery.earlier)).or_default();
        let all = u64::from(successful) + u64::from(failed);
        *known = [known[0].max(all), known[1].max(u64::from(failed))];
    }
    largest.values().fold([0, 0], |sum, one| [sum[0] + one[0], sum[1] + one[1]])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn numbers(counters: &Counters) -> [u64; 2] {
    let sts = smtptls_exporter::protocol::tls_rpt::PolicyType::Sts;
    [CounterKey::Sessions(sts), CounterKey::Failed(sts)]
        .map(|key| counters.get(&key).map_or(0, |counter| counter.value))
}

/// Files batches, opening the store anew before each at which `anew` says so; folds in memory what the store answers, and holds the
/// one to the other.
async fn run(place: &Place, batches: Vec<Vec<Sent>>, anew: &[bool]) -> BTreeMap<PolicyDomain, DomainReports> {
    let mut store = place.open().await;
    let mut known: BTreeMap<PolicyDomain, DomainReports> = BTreeMap::new();
    for (batch, anew) in batches.into_iter().zip(anew.iter().cycle()) {
        if *anew {
            store.close().await;
            drop(store);
            store = place.open().await;
        }
        let filing = file(&*store, batch).await;
        for contribution in &filing.contributions {
            known.entry(contribution.domain.clone()).or_default().add(contribution);
        }
        for moved in filing.moved {
            known.get_mut(&moved.domain).unwrap().days.insert(moved.day, moved.reporters);
        }
        for (domain, counters) in filing.counters {
            let before = std::mem::replace(&mut known.get_mut(&domain).unwrap().counters, counters);
            let after = &known[&domain].counters;
            assert!(before.iter().all(|(key, counter)| after[key].value >= counter.value), "a counter fell");
        }
        for name in [EXAMPLE, ORG] {
            let folded = known.get(&domain(name)).cloned().unwrap_or_default();
            assert_eq!(of(&*store, name).await, folded, "{name}");
        }
    }
    for name in [EXAMPLE, ORG] {
        let wanted =
            ReportsWanted { domain: domain(name), since: None, failing: false, before: None, most: usize::MAX };
        // The totals are those of the reports that are kept.
        type Key = (i64, String, Option<String>, Option<String>, Option<u64>);
        let mut largest: BTreeMap<Key, [u64; 2]> = BTreeMap::new();
        for kept in store.reports(&wanted).await.unwrap() {
            let policy = &kept.report.policies[0];
            let own = kept.report.report_id.is_none().then_some(policy.successful * 1000 + policy.failed);
            let day = kept.report.begin.unwrap().unix_seconds() / 86_400;
            let reporter = kept.provenance.reporter.as_str().to_owned();
            let key = (day, reporter, kept.report.organization, kept.report.report_id, own);
            let known = largest.entry(key).or_default();
            *known = [known[0].max(policy.sessions()), known[1].max(policy.failed)];
        }
        let mut expected: BTreeMap<(i64, String), [u64; 2]> = BTreeMap::new();
        for ((day, reporter, ..), numbers) in largest {
            let sum = expected.entry((day, reporter)).or_default();
            *sum = [sum[0] + numbers[0], sum[1] + numbers[1]];
        }
        expected.retain(|_, numbers| numbers[0] > 0);
        let mut found: BTreeMap<(i64, String), [u64; 2]> = BTreeMap::new();
        for total in store.day_totals(&domain(name), day() - 5, day()).await.unwrap() {
            let place = match total.measure {
                Measure::Sessions => 0,
                Measure::Failed => 1,
                Measure::Detail(..) => continue,
            };
            found.entry((total.day, total.reporter)).or_default()[place] = total.sessions;
        }
        assert_eq!(found, expected, "{name}");
    }
    store.close().await;
    known
}

/// In every place there is, with the same result.
async fn run_everywhere(batches: &[Vec<Sent>], anew: &[bool]) -> BTreeMap<PolicyDomain, DomainReports> {
    let known = run(&Place::folder(), batches.to_vec(), anew).await;
    if let Some(place) = Place::database().await {
        assert_eq!(run(&place, batches.to_vec(), anew).await, known);
    }
    known
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_and_however_often_each_counts_once(
        first in deliveries(),
        again in proptest::collection::vec(any::<proptest::sample::Index>(), 0..20),
        size in 1_usize..9,
        anew: [bool; 3],
    ) {
        let mut all = first.clone();
        all.extend(again.iter().map(|index| index.get(&first).clone()));
        let sent: Vec<Sent> = all.iter().map(|one| one.sent(one.reporter())).collect();
        let known = runtime().block_on(run_everywhere(&sent.chunks(size).map(<[Sent]>::to_vec).collect::<Vec<_>>(), &anew));
        for (place, name) in [EXAMPLE, ORG].into_iter().enumerate() {
            let counters = known.get(&domain(name)).map(|known| known.counters.clone()).unwrap_or_default();
            prop_assert_eq!(numbers(&counters), model(&first, place), "{}", name);
        }
    }

    /// The same comes in several names, first unproven or first proven: `run` holds what follows.
    #[test]
    fn whoever_proves_what_was_told_before_nothing_is_lost_or_doubled(
        first in deliveries(),
        names in proptest::collection::vec(0_usize..3, 40),
        size in 1_usize..9,
        anew: [bool; 3],
    ) {
        let names = names.iter().map(|name| [Reporter::Unverified, verified("first.example"), verified("second.example")][*name].clone());
        let sent: Vec<Sent> = first.iter().zip(names).map(|(one, name)| one.sent(name)).collect();
        let known = runtime().block_on(run_everywhere(&sent.chunks(size).map(<[Sent]>::to_vec).collect::<Vec<_>>(), &anew));
        // At most what all contents say that are different, and at least the largest of them.
        for (place, name) in [EXAMPLE, ORG].into_iter().enumerate() {
            let said = |one: &Delivery| one.numbers[place].map(|(successful, failed)| (one.sender, one.id, one.earlier, successful, failed));
            let contents: BTreeSet<_> = first.iter().filter_map(said).collect();
            let sessions = contents.iter().map(|(.., successful, failed)| u64::from(successful + failed));
            let counters = known.get(&domain(name)).map(|known| known.counters.clone()).unwrap_or_default();
            let [counted, _] = numbers(&counters);
            prop_assert!(counted <= sessions.clone().sum());
            prop_assert!(counted >= sessions.max().unwrap_or(0));
        }
    }
}

#[test]
fn the_model_counts_what_people_would() {
    let one =
        Delivery { sender: 1, id: Some(1), numbers: [Some((5, 1)), None], earlier: false, transport: Transport::Mail };
    let corrected = Delivery { numbers: [Some((4, 3)), Some((1, 0))], ..one.clone() };
    let nameless = Delivery { id: None, ..one.clone() };
    let all = [one.clone(), one, corrected, nameless.clone(), nameless];
    assert_eq!((model(&all, 0), model(&all, 1)), ([7 + 6, 3 + 1], [1, 0]));
    let outcomes = runtime().block_on(async {
        let place = Place::folder();
        let store = place.open().await;
        file(&*store, all.iter().map(|one| one.sent(one.reporter())).collect()).await.outcomes
    });
    assert_eq!(outcomes, [Filed::New, Filed::Duplicate, Filed::New, Filed::New, Filed::Duplicate]);
}
