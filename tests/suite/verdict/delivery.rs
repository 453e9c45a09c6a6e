//! What would a conforming sender do now? The states by their definition, and the worked cells.

use smtptls_exporter::{
    facts::{ConnectFailure, LookupOutcome, MxTarget, Phase, SmtpOutcome},
    verdict::{Code, Expectation, PathCounts, Reason, SenderState, State},
};

use super::case::{
    A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, World, addresses, expired, failed, find, host, policy_body,
};

const A3: &str = "2001:db8::1";
const A4: &str = "2001:db8::2";

/// Two hosts with two addresses each; the policy covers both.
fn four_paths(mode: &str) -> World {
    World::good(mode).body(&policy_body(mode, &["*.example.com"])).host(MX1, &[A1, A3]).mx(MX2, &[A2, A4])
}

fn bare_four_paths() -> World {
    four_paths("enforce").no_record().no_policy_host()
}

fn refused() -> SmtpOutcome {
    SmtpOutcome::ConnectFailed(ConnectFailure::Refused)
}

fn timed_out() -> SmtpOutcome {
    SmtpOutcome::ConnectFailed(ConnectFailure::Timeout)
}

fn turned_away() -> SmtpOutcome {
    SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: "no".into() }
}

fn counts(secure: usize, open: usize, refused: usize, cannot_tell: usize) -> PathCounts {
    PathCounts { secure, open, refused, cannot_tell }
}

#[test]
fn the_state_of_a_kind_by_its_paths() {
    for secure in 0..=3 {
        for open in 0..=3 {
            for refused in 0..=3 {
                for cannot_tell in 0..=3 {
                    let state = SenderState::from_paths(counts(secure, open, refused, cannot_tell));
                    let expected = match (secure > 0, open > 0, refused > 0) {
                        (false, false, false) => (State::Unknown, Reason::NotSeen),
                        (false, false, true) => (State::Blocked, Reason::NoPath),
                        (true, false, false) => (State::Protected, Reason::AllSecure),
                        (true, true, false) => (State::Partial, Reason::Exposed),
                        (true, false, true) => (State::Partial, Reason::Degraded),
                        (true, true, true) => (State::Partial, Reason::ExposedAndDegraded),
                        (false, true, _) => (State::Unprotected, Reason::NothingEnforced),
                    };
                    assert_eq!((state.state, state.reason), expected, "{secure} {open} {refused} {cannot_tell}");
                }
            }
        }
    }
}

#[test]
fn words_rank_worst_first() {
    let words = State::ALL.map(State::as_str);
    assert_eq!(words, ["blocked", "partial", "unknown", "unprotected", "protected", "no-mail"]);
    assert!(State::Blocked.rank() < State::NoMail.rank());
}

#[test]
fn enforce_and_all_pass() {
    let seen = four_paths("enforce").assess();
    assert_eq!(seen.delivery, State::Protected);
    assert_eq!(seen.senders.sts.paths, counts(4, 0, 0, 0));
    assert_eq!(
        (seen.senders.opportunistic.state, seen.senders.opportunistic.paths),
        (State::Unprotected, counts(0, 4, 0, 0))
    );
}

#[test]
fn enforce_and_one_host_passes() {
    let seen = four_paths("enforce").chain(A2, expired).chain(A4, expired).assess();
    assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::Degraded));
    assert_eq!(seen.senders.sts.paths, counts(2, 0, 2, 0));
}

#[test]
fn enforce_and_no_host_passes() {
    assert_eq!(World::good("enforce").chain(A1, expired).assess().delivery, State::Blocked);
    assert_eq!(World::good("enforce").edit(MX1, "other.example.com").assess().delivery, State::Blocked);
    assert_eq!(World::good("enforce").smtp(A1, SmtpOutcome::StarttlsNotOffered).assess().delivery, State::Blocked);
}

/// A server that takes the handshake and nothing after it gets no mail from who enforces; others send in clear.
#[test]
fn what_breaks_inside_tls_is_refused_where_tls_is_demanded() {
    let broken =
        SmtpOutcome::ProtocolError { phase: Phase::EhloTls, fault: smtptls_exporter::facts::ProtocolFault::Closed };
    let seen = World::good("enforce").at(A1, |probe| probe.outcome = broken.clone()).assess();
    assert_eq!(seen.senders.opportunistic.state, State::Unprotected);
    assert_eq!(seen.delivery, State::Blocked);
}

#[test]
fn testing_and_none_deliver_whatever_they_see() {
    for mode in ["testing", "none"] {
        let world = World::good(mode).chain(A1, expired).mx(MX2, &[A2]);
        let seen = world.assess();
        assert_eq!(seen.delivery, State::Unprotected, "{mode}");
        assert_eq!(seen.senders.sts.paths, counts(0, 2, 0, 0), "{mode}");
    }
}

#[test]
fn nothing_deployed_is_unprotected() {
    assert_eq!(World::bare().assess().delivery, State::Unprotected);
    assert_eq!(
        World::good("enforce").records(&["v=STSv1; id=1;", "v=STSv1; id=2;"]).assess().delivery,
        State::Unprotected
    );
    assert_eq!(World::good("enforce").status(404).assess().delivery, State::Unprotected);
    assert_eq!(World::good("enforce").edit("STSv1", "STSv2").assess().delivery, State::Unprotected);
}

#[test]
fn the_fetch_fails_while_enforce_is_alive() {
    let mut monitor = Monitor::new();
    assert_eq!(monitor.see(&World::good("enforce")).delivery, State::Protected);
    let broken = World::good("enforce").status(404);
    let seen = monitor.later(DAY).see(&broken);
    assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::ViewsDiffer));
    // The holders refuse a host that the policy does not list.
    let moved = broken.clone().targets(vec![MxTarget::Host(host(MX2))]).host(MX2, &[A2]);
    assert_eq!(monitor.later(DAY).see(&moved).delivery, State::Blocked);
    // While its id stands, some senders renew it without a fetch.
    assert_eq!(monitor.later(6 * DAY).see(&broken).delivery, State::Partial);
    // A week after resolvers show the id no more, and the slack of an hour, nobody holds it any more.
    let other_id = broken.records(&["v=STSv1; id=2027;"]);
    assert_eq!(monitor.later(MINUTE).see(&other_id).delivery, State::Partial);
    assert_eq!(monitor.later(7 * DAY + 64 * MINUTE).see(&other_id).delivery, State::Partial);
    assert_eq!(monitor.later(MINUTE).see(&other_id).delivery, State::Unprotected);
}

#[test]
fn the_record_is_gone_while_enforce_is_alive() {
    for gone in [World::good("enforce").no_record(), World::good("enforce").records(&["v=STSv1; id=1; id"])] {
        let mut monitor = Monitor::new();
        monitor.see(&World::good("enforce"));
        let seen = monitor.later(DAY).see(&gone);
        assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::ViewsDiffer));
        // Resolvers show it for five minutes more, and clocks differ.
        assert_eq!(monitor.later(7 * DAY + 64 * MINUTE).see(&gone).delivery, State::Partial);
        assert_eq!(monitor.later(MINUTE).see(&gone).delivery, State::Unprotected);
    }
}

#[test]
fn a_policy_in_testing_that_is_gone_leaves_nothing_behind() {
    let mut monitor = Monitor::new();
    monitor.see(&World::good("testing"));
    assert_eq!(monitor.later(MINUTE).see(&World::good("testing").status(404)).delivery, State::Unprotected);
}

#[test]
fn one_of_four_addresses_is_down() {
    let seen = four_paths("enforce").smtp(A2, refused()).assess();
    assert_eq!((seen.delivery, seen.senders.sts.reason), (State::Partial, Reason::Degraded));
    let seen = bare_four_paths().smtp(A2, refused()).assess();
    assert_eq!(seen.delivery, State::Unprotected);
    assert!(find(&seen, Code::SmtpConnectFailed).is_some());
}

#[test]
fn one_of_four_addresses_cannot_be_told() {
    let seen = four_paths("enforce").smtp(A2, turned_away()).assess();
    assert_eq!(seen.delivery, State::Protected);
    assert_eq!(seen.senders.sts.paths, counts(3, 0, 0, 1));
    assert_eq!(seen.unseen.len(), 1, "{:?}", seen.unseen);
}

#[test]
fn all_time_out_three_times_and_other_hosts_answer() {
    let world = bare_four_paths().answered("198.51.100.1").answered("2001:db8:ffff::1");
    let world = [A1, A2, A3, A4].into_iter().fold(world, |world, address| world.smtp(address, timed_out()));
    let mut monitor = Monitor::new();
    assert_eq!(monitor.see(&world).delivery, State::Unknown);
    assert_eq!(monitor.later(MINUTE).see(&world).delivery, State::Unknown);
    assert_eq!(monitor.later(MINUTE).see(&world).delivery, State::Blocked);
}

#[test]
fn all_turn_this_client_away() {
    for world in [four_paths("enforce"), bare_four_paths()] {
        let world = [A1, A2, A3, A4].into_iter().fold(world, |world, address| world.smtp(address, turned_away()));
        assert_eq!(world.assess().delivery, State::Unknown);
    }
}

#[test]
fn the_mx_gets_servfail() {
    let world = four_paths("enforce").with(|world| world.domain.mx = failed(DOMAIN));
    assert_eq!(world.assess().delivery, State::Blocked);
    let mut monitor = Monitor::new();
    monitor.see(&four_paths("enforce"));
    assert_eq!(monitor.later(MINUTE).see(&world).delivery, State::Protected);
    assert_eq!(monitor.later(MINUTE).see(&world).delivery, State::Protected);
    let seen = monitor.later(MINUTE).see(&world);
    assert_eq!((seen.delivery, seen.senders.sts.paths), (State::Blocked, counts(0, 0, 4, 0)));
    assert_eq!(seen.mx.len(), 2, "what is known of the hosts stays");
}

#[test]
fn no_mail() {
    let null = World::bare().targets(vec![MxTarget::Null]);
    let seen = null.assess();
    assert_eq!(
        (seen.delivery, seen.senders.opportunistic.state, seen.senders.sts.state),
        (State::NoMail, State::NoMail, State::NoMail)
    );
    // A null MX beside others is left out.
    let mixed = World::good("enforce").targets(vec![MxTarget::Null, MxTarget::Host(host(MX1))]);
    assert_eq!(mixed.assess().delivery, State::Protected);
    let nowhere = World::bare().implicit(&[]);
    assert_eq!(nowhere.assess().delivery, State::Blocked);
    let seen = nowhere.expect(Expectation { mail: Some(false), ..Expectation::default() }).assess();
    assert_eq!(seen.delivery, State::NoMail);
    assert_eq!(find(&seen, Code::MxNone).map(|finding| finding.severity.as_str()), Some("info"));
    assert_eq!(World::good("enforce").mx_outcome(LookupOutcome::NxDomain).assess().delivery, State::Blocked);
}

/// A host without an address is one path that everybody is refused on; one that could not be looked up is none.
#[test]
fn a_host_without_an_address_is_a_path() {
    let world = World::good("enforce").body(&policy_body("enforce", &["*.example.com"])).mx(MX2, &[]);
    let seen = world.clone().assess();
    assert_eq!((seen.delivery, seen.senders.opportunistic.paths), (State::Partial, counts(0, 1, 1, 0)));
    let unknown = world.host_lookup(MX2, |seen| seen.addresses.ip4 = Some(failed(MX2)));
    let blind = unknown.clone().host_lookup(MX2, |seen| seen.dnssec_healthy = false).assess();
    assert_eq!((blind.delivery, blind.senders.opportunistic.paths), (State::Protected, counts(0, 1, 0, 1)));
    // Senders that apply DANE leave a host whose addresses they cannot look up (RFC 7672 §2.1.1).
    let seen = unknown.assess();
    assert_eq!((seen.delivery, seen.senders.dane.paths), (State::Partial, counts(0, 1, 1, 0)));
}

/// A family that is switched off may have the address: nothing is said of the host.
#[test]
fn a_family_that_is_not_asked_for_is_not_absent() {
    let world = World::good("enforce").body(&policy_body("enforce", &["*.example.com"])).mx(MX2, &[]);
    let seen = world.host_lookup(MX2, |seen| seen.addresses.ip6 = None).assess();
    assert_eq!(find(&seen, Code::MxUnresolvable), None);
    assert_eq!(seen.senders.sts.paths, counts(1, 0, 0, 1));
    assert!(find(&seen, Code::VantageLimited).is_some_and(|finding| finding.detail.contains("probe.families")));
    let policy = World::good("enforce").no_policy_host().with(|world| {
        world.domain.policy.addresses = addresses("mta-sts.example.com", &[]);
        world.domain.policy.addresses.ip4 = None;
    });
    let seen = policy.assess();
    assert_eq!((seen.policy.fetch_success, seen.delivery), (None, State::Unknown));
    assert_eq!(find(&seen, Code::StsPolicyHostUnresolvable), None);
}
