//! What is bounded, and what no bound may cut.

use super::*;

in_every_place! {
    however_many_versions_of_a_proven_report_come_the_last_counts,
    who_has_a_label_keeps_its_name_on_a_day_that_is_full,
}

/// Totals that grow by the hour, all under one id.
async fn however_many_versions_of_a_proven_report_come_the_last_counts(place: &Place) {
    let store = place.open().await;
    let version = |hour: u64| Sent::new(verified("sender.example"), "1", 100 * hour, hour);
    file(&*store, vec![version(1)]).await;
    for hour in 2..=12 {
        assert_eq!(file(&*store, vec![version(hour)]).await.outcomes, [Filed::Corrected], "{hour}");
    }
    let filing = file(&*store, (13..=24).map(version).collect()).await;
    assert_eq!(filing.outcomes, [Filed::Corrected; 12]);
    assert_eq!(counted(&*store, EXAMPLE).await, [2424, 24]);
    assert_eq!(totals(&*store).await, names(&[("sender.example", 2424)]));
}

/// Names that can be proven are cheap: they push nobody out who has a label of its own.
async fn who_has_a_label_keeps_its_name_on_a_day_that_is_full(place: &Place) {
    let store = place.open().await;
    let most = usize::try_from(REPORTS_OF_THE_REST_MOST).unwrap() + REPORTERS_OF_A_DAY_MOST;
    let cheap = |number: usize| {
        let name = format!("r{number}.example");
        Sent { label: "other".to_owned(), ..Sent::new(verified(&name), &name, 1, 0) }
    };
    let mut folded = DomainReports::default();
    let mut filings = vec![file(&*store, (0..most).map(cheap).collect()).await];
    assert_eq!(filings[0].outcomes.last(), Some(&Filed::Refused(RefusalReason::RateLimited)));
    // As the configuration writes it, which need not be the organization.
    let configured = Sent { label: "mail.large.example".to_owned(), ..Sent::new(verified("large.example"), "a", 7, 0) };
    let earned = (0..60).map(|number| format!("s{number}.example")).map(|name| Sent::new(verified(&name), &name, 5, 0));
    for sent in earned.chain([configured, Sent::new(Reporter::Unverified, "b", 3, 0)]) {
        let filing = file(&*store, vec![sent]).await;
        assert_eq!(filing.outcomes, [Filed::New]);
        filings.push(filing);
    }
    let totals = totals(&*store).await;
    let of_name = |name: &str| totals.get(name).copied();
    assert_eq!(["large.example", "s59.example", "unverified"].map(of_name), [Some(7), Some(5), Some(3)]);
    assert_eq!(of_name("other"), Some(REPORTS_OF_THE_REST_MOST));
    for contribution in filings.iter().flat_map(|filing| &filing.contributions) {
        folded.add(contribution);
    }
    assert_eq!(folded.days, of(&*store, EXAMPLE).await.days, "what is folded in memory is what a start reads");
}
