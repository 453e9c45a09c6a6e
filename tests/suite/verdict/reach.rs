//! Whether an address can be reached: line by line of the definition, without a history and with one.

use std::time::Duration;

use smtptls_exporter::{
    facts::{ConnectFailure, Phase, ProtocolFault, SmtpOutcome},
    verdict::{Assessment, Code, Reach, State},
};

use super::case::{A1, A2, DAY, MINUTE, MX_INTERVAL, MX2, Monitor, World, expired, find};

const HOUR: Duration = Duration::from_secs(3600);

fn reach(assessment: &Assessment) -> Reach {
    assessment.mx[0].addresses[0].path.reach
}

fn failing(outcome: SmtpOutcome) -> World {
    World::good("enforce").smtp(A1, outcome)
}

fn connect(failure: ConnectFailure) -> SmtpOutcome {
    SmtpOutcome::ConnectFailed(failure)
}

fn broken() -> Vec<SmtpOutcome> {
    let fault = |phase, fault| SmtpOutcome::ProtocolError { phase, fault };
    vec![
        connect(ConnectFailure::Refused),
        connect(ConnectFailure::Reset),
        connect(ConnectFailure::HostUnreachable),
        fault(Phase::Banner, ProtocolFault::LineTooLong),
        fault(Phase::Ehlo, ProtocolFault::Closed),
        fault(Phase::Starttls, ProtocolFault::UnexpectedCode(250)),
    ]
}

fn timeouts() -> Vec<SmtpOutcome> {
    let phases = [Phase::Connect, Phase::Banner, Phase::Ehlo, Phase::Starttls, Phase::Tls, Phase::EhloTls];
    phases.into_iter().map(SmtpOutcome::Timeout).chain([connect(ConnectFailure::Timeout)]).collect()
}

fn rejections() -> Vec<SmtpOutcome> {
    let reply = |phase, code| SmtpOutcome::Rejected { phase, code, text: "4.7.1 later".into() };
    vec![reply(Phase::Banner, 554), reply(Phase::Banner, 421), reply(Phase::Ehlo, 450), reply(Phase::Ehlo, 502)]
}

/// A host that is reached, whatever comes of STARTTLS, is up.
#[test]
fn up_is_banner_and_ehlo() {
    for outcome in [SmtpOutcome::StarttlsNotOffered, SmtpOutcome::StarttlsRefused { code: 454, text: "no".into() }] {
        assert_eq!(reach(&failing(outcome).assess()), Reach::Up);
    }
    assert_eq!(reach(&World::good("enforce").assess()), Reach::Up);
}

#[test]
fn without_a_history_a_broken_connection_counts_at_once() {
    for outcome in broken() {
        assert_eq!(reach(&failing(outcome.clone()).assess()), Reach::Down, "{outcome:?}");
    }
}

#[test]
fn a_broken_connection_counts_the_second_time() {
    for outcome in broken() {
        let mut monitor = Monitor::new();
        assert_eq!(reach(&monitor.see(&World::good("enforce"))), Reach::Up);
        let world = failing(outcome.clone());
        assert_eq!(reach(&monitor.later(MINUTE).see(&world)), Reach::Up, "{outcome:?}: the last outcome stands");
        assert_eq!(reach(&monitor.later(MINUTE).see(&world)), Reach::Down, "{outcome:?}");
        assert_eq!(reach(&monitor.later(MINUTE).see(&World::good("enforce"))), Reach::Up, "{outcome:?}");
        assert_eq!(reach(&monitor.later(MINUTE).see(&world)), Reach::Up, "{outcome:?}: it counts from the start");
    }
}

#[test]
fn without_a_history_a_timeout_counts_where_another_host_answered() {
    for outcome in timeouts() {
        let world = failing(outcome.clone());
        assert_eq!(reach(&world.assess()), Reach::CannotTell, "{outcome:?}");
        assert_eq!(
            reach(&world.clone().answered("2001:db8::9").assess()),
            Reach::CannotTell,
            "{outcome:?}: other family"
        );
        assert_eq!(reach(&world.answered("198.51.100.1").assess()), Reach::Down, "{outcome:?}");
    }
}

#[test]
fn a_timeout_counts_the_third_time_where_another_host_answered() {
    for outcome in timeouts() {
        let mut monitor = Monitor::new();
        monitor.see(&World::good("enforce"));
        let world = failing(outcome.clone()).answered("198.51.100.1");
        let reached: Vec<Reach> = (0..3).map(|_| reach(&monitor.later(MINUTE).see(&world))).collect();
        assert_eq!(reached, [Reach::Up, Reach::Up, Reach::Down], "{outcome:?}");
    }
}

/// Somebody asks for looks; the failure lasts no longer for it.
#[test]
fn looks_between_those_of_the_schedule_make_nothing_down() {
    for (outcome, until_down) in [(connect(ConnectFailure::Refused), 1), (connect(ConnectFailure::Timeout), 2)] {
        let mut monitor = Monitor::new();
        monitor.see(&World::good("enforce"));
        let world = failing(outcome.clone()).answered("198.51.100.1");
        for minute in 0..until_down {
            for second in [0, 5, 10, 50] {
                let wait = if minute == 0 || second > 0 { Duration::from_secs(5) } else { MINUTE };
                assert_eq!(reach(&monitor.later(wait).see(&world)), Reach::Up, "{outcome:?}: {minute} {second}");
            }
        }
        assert_eq!(reach(&monitor.later(MINUTE).see(&world)), Reach::Down, "{outcome:?}: by the schedule");
    }
}

#[test]
fn a_timeout_where_nobody_answered_never_counts() {
    for outcome in [SmtpOutcome::Timeout(Phase::Banner), connect(ConnectFailure::Timeout)] {
        let mut monitor = Monitor::new();
        let mut world = failing(outcome);
        // A banner that never comes is an answer of TCP, but not of a mail host other than this one.
        world.vantage = smtptls_exporter::facts::Vantage::default();
        for _ in 0..5 {
            assert_eq!(reach(&monitor.later(MINUTE).see(&world)), Reach::CannotTell);
        }
    }
}

#[test]
fn what_answered_before_the_failures_is_no_evidence() {
    let mut monitor = Monitor::new();
    let began = monitor.now;
    monitor.see(&World::good("enforce"));
    let world = failing(SmtpOutcome::Timeout(Phase::Connect));
    // The uplink dies: what answered a minute before it is not probed again meanwhile.
    let before = world.clone().answered_at("198.51.100.1", began);
    let reached: Vec<Reach> = (0..4).map(|_| reach(&monitor.later(MINUTE).see(&before))).collect();
    assert_eq!(reached, [Reach::Up; 4]);
    // Another one answers while this one still fails.
    let after = world.answered_at("198.51.100.1", monitor.now);
    assert_eq!(reach(&monitor.later(MINUTE).see(&after)), Reach::Down);
}

#[test]
fn a_rejection_is_about_this_client() {
    for outcome in rejections() {
        assert_eq!(
            reach(&failing(outcome.clone()).answered("198.51.100.1").assess()),
            Reach::CannotTell,
            "{outcome:?}"
        );
        let mut monitor = Monitor::new();
        for _ in 0..5 {
            let seen = monitor.later(MINUTE).see(&failing(outcome.clone()).answered("198.51.100.1"));
            assert_eq!((reach(&seen), seen.delivery), (Reach::CannotTell, State::Unknown), "{outcome:?}");
            assert!(!seen.own_side);
        }
    }
}

/// `max(3 x mx_interval, 2 h)`: two hours with the default.
#[test]
fn the_last_outcome_stands_for_two_hours() {
    assert_eq!(MX_INTERVAL, 30 * MINUTE);
    let rejected = failing(rejections().remove(0));
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    let seen = monitor.later(2 * HOUR).see(&rejected);
    assert_eq!((reach(&seen), seen.delivery), (Reach::Up, State::Protected));
    let seen = monitor.later(Duration::from_secs(1)).see(&rejected);
    assert_eq!((reach(&seen), seen.delivery), (Reach::CannotTell, State::Unknown));
    assert_eq!(seen.senders.sts.paths.cannot_tell, 1);
}

#[test]
fn an_address_that_was_down_stays_down_for_as_long() {
    let mut monitor = Monitor::new();
    let refused = failing(connect(ConnectFailure::Refused));
    monitor.see(&refused);
    assert_eq!(reach(&monitor.later(MINUTE).see(&refused)), Reach::Down);
    let rejected = failing(rejections().remove(0));
    assert_eq!(reach(&monitor.later(2 * HOUR).see(&rejected)), Reach::Down);
    assert_eq!(reach(&monitor.later(MINUTE).see(&rejected)), Reach::CannotTell);
}

/// The certificate of the last dialogue is judged by today's date.
#[test]
fn what_stands_is_judged_by_the_present() {
    let mut monitor = Monitor::new();
    let soon = |chain| super::case::ending(chain, 30 * MINUTE, 90 * DAY);
    monitor.see(&World::good("enforce").chain(A1, soon));
    let seen = monitor.later(HOUR).see(&failing(rejections().remove(0)));
    assert_eq!(reach(&seen), Reach::Up);
    assert!(find(&seen, Code::CertificateExpired).is_some());
    assert_eq!(seen.delivery, State::Blocked);
}

#[test]
fn a_family_without_a_route_is_this_side_s_matter() {
    let both = World::good("enforce").host(super::case::MX1, &[A1, "2001:db8::1"]);
    for failure in [ConnectFailure::NoRoute, ConnectFailure::Local("too many open files".to_owned())] {
        let seen = both.clone().smtp("2001:db8::1", connect(failure)).assess();
        assert_eq!(seen.senders.sts.paths.cannot_tell, 1);
        assert_eq!((seen.delivery, seen.own_side), (State::Protected, false));
        assert!(find(&seen, Code::SmtpConnectFailed).is_none() && find(&seen, Code::VantageLimited).is_some());
    }
    let lost = both
        .smtp("2001:db8::1", connect(ConnectFailure::HostUnreachable))
        .with(|world| world.vantage.ip6_route = false);
    assert!(find(&lost.assess(), Code::SmtpConnectFailed).is_none());
    let alone = failing(connect(ConnectFailure::NoRoute)).assess();
    assert_eq!((alone.delivery, alone.own_side), (State::Unknown, true));
}

/// While the canaries fail nothing that fails to connect counts, however often, and nothing is left of it afterwards.
#[test]
fn failing_canaries_count_against_nobody() {
    for failure in [ConnectFailure::Refused, ConnectFailure::HostUnreachable, ConnectFailure::Timeout] {
        let mut monitor = Monitor::new();
        let world = failing(connect(failure.clone())).answered("198.51.100.1");
        let shut = world.clone().with(|world| world.vantage.canaries_failing = true);
        for _ in 0..4 {
            let seen = monitor.later(MINUTE).see(&shut);
            assert_eq!((reach(&seen), seen.delivery, seen.own_side), (Reach::CannotTell, State::Unknown, true));
            assert!(find(&seen, Code::SmtpConnectFailed).is_none() && find(&seen, Code::SmtpTimeout).is_none());
            let path = &seen.mx[0].addresses[0].path;
            assert_eq!((path.result_type, path.consecutive_failures), (None, 0));
        }
        let seen = monitor.later(MINUTE).see(&world);
        assert_eq!(reach(&seen), Reach::CannotTell, "{failure:?}: this is the first failure that counts");
    }
}

/// Peers' misbehaviour: a port 25 that is shut off here is called their fault.
#[test]
fn a_blocked_port_here_is_no_fault_there() {
    for outcome in [
        connect(ConnectFailure::Timeout),
        connect(ConnectFailure::HostUnreachable),
        // It was shut off in the middle of a dialogue.
        SmtpOutcome::Timeout(Phase::Ehlo),
    ] {
        let world = failing(outcome).with(|world| world.vantage.smtp_blocked = true);
        let seen = world.assess();
        assert_eq!((seen.delivery, seen.own_side), (State::Unknown, true));
        assert!(find(&seen, Code::SmtpConnectFailed).is_none() && find(&seen, Code::SmtpTimeout).is_none());
        assert!(find(&seen, Code::VantageLimited).is_some_and(|finding| finding.detail.contains("port 25")));
    }
    let refused = failing(connect(ConnectFailure::Refused)).with(|world| world.vantage.smtp_blocked = true);
    assert_eq!(reach(&refused.assess()), Reach::Down, "a refused connection came from the peer");
}

/// Until enough hosts have failed for it to be seen that this side is cut off, the first of them count as down.
#[test]
fn what_went_down_just_before_this_side_was_seen_to_be_cut_off_is_not_down() {
    let refused = failing(connect(ConnectFailure::HostUnreachable));
    let cut_off = refused.clone().with(|world| world.vantage.ip4_route = false);
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    monitor.later(MINUTE).see(&refused);
    assert_eq!(reach(&monitor.later(MINUTE).see(&refused)), Reach::Down);
    assert_eq!(reach(&monitor.later(MINUTE).see(&cut_off)), Reach::Up, "what was known before stands");
    assert_eq!(reach(&monitor.later(2 * HOUR).see(&cut_off)), Reach::CannotTell, "as long as anything does");
    assert_eq!(reach(&monitor.later(MINUTE).see(&refused)), Reach::Down, "it was not this side alone");

    // One that was down for longer is not down for that reason.
    let mut monitor = Monitor::new();
    monitor.see(&World::good("enforce"));
    for _ in 0..4 {
        monitor.later(MX_INTERVAL).see(&refused);
    }
    assert_eq!(reach(&monitor.later(MINUTE).see(&cut_off)), Reach::Down);
}

#[test]
fn a_private_address_is_down_at_once() {
    let mut monitor = Monitor::new();
    let seen = monitor.see(&failing(connect(ConnectFailure::PrivateAddress)));
    assert_eq!((reach(&seen), seen.delivery), (Reach::Down, State::Blocked));
    assert!(find(&seen, Code::SmtpConnectFailed).is_none(), "it has its own finding");
}

/// Warning as long as another path is left, error when every path is down.
#[test]
fn the_last_path_makes_it_an_error() {
    let severity = |world: World, code| find(&world.assess(), code).map(|finding| finding.severity.as_str());
    let fault = SmtpOutcome::ProtocolError { phase: Phase::Banner, fault: ProtocolFault::Closed };
    for (outcome, code) in [
        (connect(ConnectFailure::Refused), Code::SmtpConnectFailed),
        (SmtpOutcome::Timeout(Phase::Banner), Code::SmtpTimeout),
        (fault, Code::SmtpProtocolError),
    ] {
        let alone = failing(outcome).answered("198.51.100.1");
        assert_eq!(severity(alone.clone(), code), Some("error"), "{code}");
        assert_eq!(severity(alone.mx(MX2, &[A2]), code), Some("warning"), "{code}");
    }
    let gone = |world: World| severity(world.host(super::case::MX1, &[]), Code::MxUnresolvable);
    assert_eq!(gone(World::good("enforce")), Some("error"));
    assert_eq!(gone(World::good("enforce").mx(MX2, &[A2])), Some("warning"));
    // A certificate that enforcing senders refuse leaves the path up.
    assert_eq!(gone(World::good("enforce").mx(MX2, &[A2]).chain(A2, expired)), Some("warning"));
}
