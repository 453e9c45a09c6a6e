//! The worked cells of the definition of delivery, each from facts to the word.

use smtptls_exporter::{
    facts::{ConnectFailure, DnssecSight, Phase, Security, SmtpOutcome, TlsaRecord},
    verdict::{Assessment, Code, Reason, State},
};

use super::{
    case::{A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, World, find, policy_body},
    signed::{bogus, own},
};
use crate::dane::pki::stranger;

const A3: &str = "2001:db8::1";
const A4: &str = "2001:db8::2";

/// Two hosts, one address each, both listed in the policy; signed.
fn two(mode: &str) -> World {
    World::good(mode).body(&policy_body(mode, &["*.example.com"])).mx(MX2, &[A2]).signed()
}

/// The same with two addresses each.
fn four(mode: &str) -> World {
    World::good(mode).body(&policy_body(mode, &["*.example.com"])).host(MX1, &[A1, A3]).mx(MX2, &[A2, A4]).signed()
}

/// Nothing of MTA-STS.
fn none(world: World) -> World {
    world.no_record().no_policy_host()
}

fn live(name: &'static str) -> [TlsaRecord; 1] {
    [own([3, 1, 1], name)]
}

fn wrong() -> [TlsaRecord; 1] {
    [stranger([3, 1, 1])]
}

fn unusable() -> [TlsaRecord; 1] {
    [stranger([1, 1, 1])]
}

fn both_match(world: World) -> World {
    world.tlsa(MX1, &live(MX1)).tlsa(MX2, &live(MX2))
}

fn both_mismatch(world: World) -> World {
    world.tlsa(MX1, &wrong()).tlsa(MX2, &wrong())
}

fn clear(world: World, address: &str) -> World {
    world.smtp(address, SmtpOutcome::StarttlsNotOffered)
}

fn down(world: World, address: &str) -> World {
    world.smtp(address, SmtpOutcome::ConnectFailed(ConnectFailure::Refused))
}

fn turned_away(world: World, address: &str) -> World {
    world.smtp(address, SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: "no".into() })
}

fn states(seen: &Assessment) -> [State; 4] {
    let senders = &seen.senders;
    [senders.opportunistic, senders.sts, senders.dane, senders.both].map(|kind| kind.state)
}

/// `check` at once: opportunistic, sts, dane, both, and the domain. The words are those of the table.
#[test]
fn the_cells_without_a_past() {
    use State::{Blocked, Partial, Protected, Unknown, Unprotected};
    let only_mx1 = |world: World| world.chain(A2, |_| super::case::expired(super::signed::chain_of(MX2)));
    let rows: [(&str, World, [State; 4], State); 18] = [
        (
            "enforce, all pass | no TLSA | protected",
            two("enforce"),
            [Unprotected, Protected, Unprotected, Protected],
            Protected,
        ),
        (
            "enforce, all pass | TLSA on 1 of 2 hosts, match | protected (dane: partial, exposed)",
            two("enforce").tlsa(MX1, &live(MX1)),
            [Unprotected, Protected, Partial, Protected],
            Protected,
        ),
        (
            "enforce, all pass | TLSA on 1 of 2 hosts, mismatch | partial (degraded for dane)",
            two("enforce").tlsa(MX1, &wrong()),
            [Unprotected, Protected, Unprotected, Partial],
            Partial,
        ),
        (
            "enforce, all pass | TLSA on all, mismatch on all | blocked",
            both_mismatch(two("enforce")),
            [Unprotected, Protected, Blocked, Blocked],
            Blocked,
        ),
        (
            "enforce, only mx1 passes | TLSA: only mx2 matches | blocked (sts partial, dane partial, both: none passes)",
            only_mx1(two("enforce")).tlsa(MX1, &wrong()).tlsa(MX2, &live(MX2)),
            [Unprotected, Partial, Partial, Blocked],
            Blocked,
        ),
        (
            "enforce, all pass | provider's TLSA match, own MX unsigned | protected (dane: unprotected)",
            both_match(two("enforce")).mx_is(Security::Insecure),
            [Unprotected, Protected, Unprotected, Protected],
            Protected,
        ),
        (
            "none deployed | TLSA on all, match; MX secure | protected",
            both_match(none(two("enforce"))),
            [Unprotected, Unprotected, Protected, Protected],
            Protected,
        ),
        (
            "none deployed | TLSA on 1 of 2, match | partial (exposed)",
            none(two("enforce")).tlsa(MX1, &live(MX1)),
            [Unprotected, Unprotected, Partial, Partial],
            Partial,
        ),
        (
            "none deployed | match, MX insecure | unprotected",
            both_match(none(two("enforce"))).mx_is(Security::Insecure),
            [Unprotected, Unprotected, Unprotected, Unprotected],
            Unprotected,
        ),
        (
            "none deployed | all unusable, STARTTLS works | unprotected",
            none(two("enforce")).tlsa(MX1, &unusable()).tlsa(MX2, &unusable()),
            [Unprotected, Unprotected, Unprotected, Unprotected],
            Unprotected,
        ),
        (
            "none deployed | all unusable, no STARTTLS | blocked",
            clear(clear(none(two("enforce")).tlsa(MX1, &unusable()).tlsa(MX2, &unusable()), A1), A2),
            [Unprotected, Unprotected, Blocked, Blocked],
            Blocked,
        ),
        (
            "testing, MX not in policy | no TLSA | unprotected",
            two("testing").edit("*.example.com", "other.example.com"),
            [Unprotected, Unprotected, Unprotected, Unprotected],
            Unprotected,
        ),
        (
            "testing | mismatch on all | blocked",
            both_mismatch(two("testing")),
            [Unprotected, Unprotected, Blocked, Blocked],
            Blocked,
        ),
        (
            "enforce, all pass | no TLSA | 1 of 4 addresses down | partial (degraded)",
            down(four("enforce"), A4),
            [Unprotected, Partial, Unprotected, Partial],
            Partial,
        ),
        (
            "enforce, known paths pass | no TLSA | 1 of 4 cannot-tell | protected, 1 not seen",
            turned_away(four("enforce"), A4),
            [Unprotected, Protected, Unprotected, Protected],
            Protected,
        ),
        (
            "none deployed | no TLSA | 1 of 4 down | unprotected, with the finding",
            down(none(four("enforce")), A4),
            [Unprotected, Unprotected, Unprotected, Unprotected],
            Unprotected,
        ),
        (
            "any | any | all answer 554 to this client | unknown",
            turned_away(turned_away(both_match(two("enforce")), A1), A2),
            [Unknown, Unknown, Unknown, Unknown],
            Unknown,
        ),
        (
            "any | any | MX bogus | blocked",
            both_match(two("enforce")).with(|world| world.domain.mx = bogus(DOMAIN)),
            [Blocked, Blocked, Blocked, Blocked],
            Blocked,
        ),
    ];
    for (cell, world, kinds, domain) in rows {
        let seen = world.assess();
        assert_eq!((states(&seen), seen.delivery), (kinds, domain), "{cell}: {:#?}", seen.senders);
    }
}

#[test]
fn the_reasons_that_the_cells_give() {
    let reason = |world: World| world.assess().senders.dane.reason;
    assert_eq!(reason(two("enforce").tlsa(MX1, &live(MX1))), Reason::Exposed);
    assert_eq!(reason(none(two("enforce")).tlsa(MX1, &live(MX1))), Reason::Exposed);
    assert_eq!(two("enforce").tlsa(MX1, &wrong()).assess().senders.both.reason, Reason::Degraded);
    assert_eq!(down(four("enforce"), A4).assess().senders.sts.reason, Reason::Degraded);
    let seen = turned_away(four("enforce"), A4).assess();
    assert_eq!((seen.senders.sts.paths.secure, seen.senders.sts.paths.cannot_tell), (3, 1));
    assert!(find(&down(none(four("enforce")), A4).assess(), Code::SmtpConnectFailed).is_some());
}

/// What senders hold from before.
#[test]
fn the_cells_with_a_past() {
    let after = |days: u32, now: World| {
        let mut monitor = Monitor::new();
        assert_eq!(monitor.see(&two("enforce")).delivery, State::Protected);
        monitor.later(days * DAY).see(&now)
    };
    let fails = || two("enforce").status(404);
    // fetch fails | enforce alive, all pass | no TLSA | partial (exposed)
    let seen = after(1, fails());
    assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::ViewsDiffer));
    // fetch fails | enforce alive, no MX matches | no TLSA | blocked
    let target = smtptls_exporter::facts::MxTarget::Host(super::case::host("mx.provider.example"));
    let moved = fails().targets(vec![target]).host("mx.provider.example", &["192.0.2.9"]).signed();
    assert_eq!(after(1, moved).delivery, State::Blocked);
    // fetch fails | expired | no TLSA | unprotected
    // (while its id stands some senders renew it without a fetch; a new id and the first 404 end that, definitions 2.1 and 2.3)
    assert_eq!(after(7, fails()).delivery, State::Partial);
    let new_id = || fails().records(&["v=STSv1; id=2;"]);
    let mut monitor = Monitor::new();
    monitor.see(&two("enforce"));
    monitor.later(DAY).see(&new_id());
    assert_eq!(monitor.later(6 * DAY).see(&new_id()).delivery, State::Partial);
    assert_eq!(monitor.later(2 * DAY).see(&new_id()).delivery, State::Unprotected);
    // record gone | enforce alive, all pass | no TLSA | partial (exposed)
    let seen = after(1, two("enforce").no_record());
    assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::ViewsDiffer));
    // The same with DANE at every path: an enforcing kind is protected, and nobody is refused.
    assert_eq!(after(1, both_match(fails())).delivery, State::Protected);
    assert_eq!(after(1, both_mismatch(fails())).delivery, State::Blocked);
}

/// A view that is held is one of its kind: what it refuses counts (§1.5, line 6).
#[test]
fn what_holders_of_a_policy_are_refused_counts() {
    let mut monitor = Monitor::new();
    let narrow = |world: World| world.edit("*.example.com", MX1);
    monitor.see(&narrow(two("enforce")));
    let seen = monitor.later(DAY).see(&both_match(narrow(two("enforce")).status(404)));
    assert_eq!(seen.senders.dane.state, State::Protected);
    assert_eq!(
        seen.delivery,
        State::Partial,
        "senders that hold the policy do not deliver to {MX2}: {:#?}",
        seen.senders
    );
}

/// The same seen from where DNSSEC is not.
fn without_dnssec(world: World, sight: DnssecSight) -> World {
    let world = world.with(|world| {
        world.vantage.dnssec = sight;
        world.domain.dnssec_healthy = false;
        world.domain.mx.security = Security::Indeterminate;
    });
    [MX1, MX2].into_iter().fold(world, |world, host| {
        world
            .addresses_are(host, Security::Indeterminate)
            .host_lookup(host, |seen| (seen.dnssec_healthy, seen.tlsa) = (false, None))
    })
}

/// Two hosts, one address each, both listed in the policy; not signed.
fn two_unsigned(mode: &str) -> World {
    World::good(mode).body(&policy_body(mode, &["*.example.com"])).mx(MX2, &[A2])
}

/// Without sight of DNSSEC nobody can say what DANE makes of the host that answers: that is no proof that senders have no path.
#[test]
fn one_host_of_two_down_where_dnssec_is_not_seen() {
    for sight in [DnssecSight::Off, DnssecSight::Blind] {
        let unseen = |mode| without_dnssec(two_unsigned(mode), sight);
        let seen = down(unseen("enforce"), A1).assess();
        assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::Degraded), "{sight:?}");
        assert_eq!((seen.senders.dane.state, seen.senders.dane.reason), (State::Unknown, Reason::NotSeen));
        for mode in ["testing", "none"] {
            let seen = down(unseen(mode), A1).assess();
            let kinds = [State::Unprotected, State::Unprotected, State::Unknown, State::Unknown];
            assert_eq!((states(&seen), seen.delivery), (kinds, State::Unprotected), "{mode}, {sight:?}");
            assert_eq!((seen.senders.both.paths.refused, seen.senders.both.paths.cannot_tell), (1, 1));
        }
        let seen = down(none(unseen("enforce")), A1).assess();
        assert_eq!((seen.senders.both.state, seen.delivery), (State::Unknown, State::Unprotected), "{sight:?}");
        // A path that nobody has is none for DANE either.
        for mode in ["enforce", "testing", "none"] {
            assert_eq!(down(down(unseen(mode), A1), A2).assess().delivery, State::Blocked, "{mode}, {sight:?}");
        }
    }
}

/// The same where what holders of a policy find at the host that answers is all that is seen of the pair.
#[test]
fn one_host_of_two_down_where_holders_of_a_policy_are_served() {
    let mut monitor = Monitor::new();
    let unseen = |world| without_dnssec(world, DnssecSight::Blind);
    monitor.see(&unseen(two_unsigned("enforce")));
    let seen = monitor.later(DAY).see(&down(unseen(two_unsigned("enforce").status(404)), A1));
    assert_eq!(seen.delivery, State::Partial, "{:#?}", seen.senders);
    assert_ne!(seen.senders.both.state, State::Blocked);
}

/// Nothing is known here of the policy because our own resolver fails: the host that answers may be as good as any.
#[test]
fn one_host_of_two_down_where_the_policy_is_not_seen() {
    let unseen = |world: World| {
        let failed = super::case::failed("_mta-sts.example.com");
        world.no_policy_host().with(|world| (world.domain.sts_record, world.domain.resolver_healthy) = (failed, false))
    };
    for world in [two_unsigned("enforce"), two("enforce"), two("testing")] {
        let seen = down(unseen(world), A1).assess();
        assert_eq!((seen.senders.sts.state, seen.senders.sts.reason), (State::Unknown, Reason::NotSeen));
        assert_ne!(seen.delivery, State::Blocked, "{:#?}", seen.senders);
    }
    assert_eq!(down(down(unseen(two("enforce")), A1), A2).assess().delivery, State::Blocked);
}

/// none deployed | no TLSA | all time out 3 times, canary fine | blocked
#[test]
fn all_time_out_while_others_answer() {
    let silent = [A1, A2].into_iter().fold(none(two("enforce")), |world, address| {
        world.smtp(address, SmtpOutcome::ConnectFailed(ConnectFailure::Timeout))
    });
    let silent = silent.answered("198.51.100.7");
    let mut monitor = Monitor::new();
    monitor.see(&none(two("enforce")));
    let delivery: Vec<State> = (0..3).map(|_| monitor.later(10 * MINUTE).see(&silent).delivery).collect();
    assert_eq!(delivery, [State::Unprotected, State::Unprotected, State::Blocked]);
}
