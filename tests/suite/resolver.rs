//! The resolver against a name server that does everything wrong in turn.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hickory_resolver::proto::op::ResponseCode;
use smtptls_exporter::{
    facts::{ExtendedError, LookupFailure, LookupOutcome, MxTarget, Security},
    net::resolver::{DnssecChoice, Families, Resolver, ResolverOptions},
    terms::{MxHost, Octets},
};

use crate::world::dns::{Behaviour, DnsPeer, RecordType, TTL, TcpFault, Transport};

/// Long enough for a busy machine to answer; only tests in which somebody is silent wait for the end.
const PATIENT: Duration = Duration::from_secs(20);
/// For tests that wait for the end.
const HASTY: Duration = Duration::from_millis(1500);

fn resolver(servers: &[&DnsPeer], timeout: Duration) -> Resolver {
    Resolver::new(ResolverOptions::new(servers.iter().map(|peer| peer.address()).collect(), timeout))
}

/// One that believes the AD bit.
fn trusting(servers: &[&DnsPeer]) -> Resolver {
    let servers = servers.iter().map(|peer| peer.address()).collect();
    Resolver::new(ResolverOptions { dnssec: DnssecChoice::TrustAd, ..ResolverOptions::new(servers, PATIENT) })
}

fn octets(texts: &[&str]) -> Vec<Octets> {
    texts.iter().map(|text| Octets::from(*text)).collect()
}

/// A port of loopback that refuses what comes, for as long as the socket is held: a socket that is connected to somebody
/// else takes nothing, and nobody else gets its port.
fn dead_server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:9").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn records_of_every_type_come_whole() {
    let peer = DnsPeer::start().await;
    peer.txt("_mta-sts.example.test", &["v=STSv1; id=1;", "other"]);
    peer.txt_strings("split.example.test", &[b"v=STSv1; ", b"id=\xff;"]);
    peer.mx(
        "example.test",
        &[(20, "b.example.test"), (10, "MX.Example.test"), (20, "a.example.test"), (5, "192.0.2.1")],
    );
    peer.mx("null.example.test", &[(0, ".")]);
    peer.a("mx.example.test", &["192.0.2.1", "192.0.2.2"]);
    peer.aaaa("mx.example.test", &["2001:db8::1"]);
    peer.ttl("mx.example.test", 17);
    let resolver = resolver(&[&peer], PATIENT);

    let txt = resolver.txt("_MTA-STS.example.test.").await;
    assert_eq!(txt.name, "_mta-sts.example.test");
    assert_eq!(txt.records(), [octets(&["v=STSv1; id=1;"]), octets(&["other"])]);
    assert_eq!((txt.ttl(), txt.security, txt.cname.len()), (Some(TTL), Security::Indeterminate, 0));
    assert_eq!(txt.asked.server, Some(peer.address().ip()));
    let took = txt.asked.took().unwrap();
    assert!(!took.is_zero() && took < PATIENT, "{took:?}");
    assert_eq!(resolver.txt("_mta-sts.example.test").await.asked, txt.asked, "a cached answer keeps what it took");
    let split = resolver.txt("split.example.test").await;
    assert_eq!(split.records(), [vec![Octets::from("v=STSv1; "), Octets::from(b"id=\xff;".to_vec())]]);

    let mx = resolver.mx("example.test").await;
    let targets: Vec<_> = mx.records().iter().map(|record| (record.preference, record.target.clone())).collect();
    let host = |name| MxTarget::Host(MxHost::parse(name).unwrap());
    assert_eq!(
        targets,
        [
            (5, MxTarget::Address("192.0.2.1".parse().unwrap())),
            (10, host("mx.example.test")),
            (20, host("a.example.test")),
            (20, host("b.example.test"))
        ]
    );
    assert_eq!(resolver.mx("null.example.test").await.records()[0].target, MxTarget::Null);

    let both = resolver.addresses("mx.example.test", Families::ALL).await;
    let addresses: Vec<_> = both.addresses().map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    assert_eq!(both.ip4.unwrap().ttl(), Some(17));
    let only = resolver.addresses("mx.example.test", Families { ip4: false, ip6: true }).await;
    assert!(only.ip4.is_none() && only.ip6.is_some());
    assert!(peer.queries().iter().all(|query| query.edns && query.asks_for_ad));
}

#[tokio::test]
async fn absence_is_told_in_two_ways_and_is_no_failure() {
    let peer = DnsPeer::start().await;
    peer.a("host.example.test", &["192.0.2.1"]);
    let resolver = resolver(&[&peer], PATIENT);
    assert_eq!(resolver.txt("nothing.test").await.outcome, LookupOutcome::NxDomain);
    assert_eq!(resolver.txt("host.example.test").await.outcome, LookupOutcome::NoData);
    assert_eq!(resolver.txt("example.test").await.outcome, LookupOutcome::NoData, "an empty non-terminal");
    peer.behave_for("host.example.test", RecordType::A, Behaviour::NoData);
    peer.behave_for("host.example.test", RecordType::AAAA, Behaviour::NxDomain);
    let both = resolver.addresses("host.example.test", Families::ALL).await;
    assert_eq!(both.ip4.unwrap().outcome, LookupOutcome::NoData);
    assert_eq!(both.ip6.unwrap().outcome, LookupOutcome::NxDomain);
    assert_eq!(resolver.stats().failures.map(|(_, count)| count), [0; 8]);
}

#[tokio::test]
async fn a_name_too_long_for_the_dns_does_not_exist_and_is_not_asked_for() {
    let peer = DnsPeer::start().await;
    let long = format!("_mta-sts.{}test", "a.".repeat(124));
    assert_eq!(resolver(&[&peer], PATIENT).txt(&long).await.outcome, LookupOutcome::NxDomain);
    assert!(peer.queries().is_empty());
}

#[tokio::test]
async fn failures_keep_their_kind_and_what_was_said_about_them() {
    let peer = DnsPeer::start().await;
    peer.behave("servfail.test", Behaviour::ServFail);
    peer.extended_error("servfail.test", 7, "signature expired");
    peer.extended_error("servfail.test", 22, "");
    peer.behave("refused.test", Behaviour::Refused);
    peer.behave("notauth.test", Behaviour::Rcode(ResponseCode::NotAuth));
    peer.behave("garbage.test", Behaviour::Garbage);
    peer.behave("referral.test", Behaviour::Referral);
    let resolver = resolver(&[&peer], PATIENT);

    let bogus = resolver.txt("servfail.test").await;
    assert_eq!(bogus.failure(), Some(&LookupFailure::ServFail));
    assert_eq!(
        bogus.extended_errors,
        [
            ExtendedError { code: 7, text: "signature expired".into() },
            ExtendedError { code: 22, text: Octets::default() }
        ]
    );
    assert_eq!(peer.count("servfail.test"), 1, "SERVFAIL is an answer: the same server is not asked again");
    assert_eq!(resolver.txt("refused.test").await.failure(), Some(&LookupFailure::Refused));
    assert_eq!(resolver.txt("notauth.test").await.failure(), Some(&LookupFailure::Rcode(9)));
    assert!(matches!(resolver.txt("garbage.test").await.failure(), Some(LookupFailure::Malformed(_))));
    assert!(matches!(resolver.txt("referral.test").await.failure(), Some(LookupFailure::Malformed(_))));
    let failures: Vec<_> = resolver.stats().failures.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(failures, [("malformed", 2), ("rcode", 1), ("refused", 1), ("servfail", 1)]);
}

#[tokio::test]
async fn extended_errors_come_with_answers_too() {
    let peer = DnsPeer::start().await;
    peer.txt("stale.test", &["old"]);
    peer.extended_error("stale.test", 3, "stale answer");
    let lookup = resolver(&[&peer], PATIENT).txt("stale.test").await;
    assert!(lookup.answered());
    assert_eq!(lookup.extended_errors, [ExtendedError { code: 3, text: "stale answer".into() }]);
}

#[tokio::test]
async fn a_family_can_fail_alone() {
    let peer = DnsPeer::start().await;
    peer.a("mx.test", &["192.0.2.1"]);
    peer.behave_for("mx.test", RecordType::AAAA, Behaviour::ServFail);
    let both = resolver(&[&peer], PATIENT).addresses("mx.test", Families::ALL).await;
    assert_eq!((both.addresses().count(), both.failure()), (1, Some(&LookupFailure::ServFail)));
}

#[tokio::test]
async fn forged_and_stray_answers_are_passed_over() {
    let peer = DnsPeer::start().await;
    peer.a("mx.test", &["192.0.2.1"]);
    peer.behave("mx.test", Behaviour::WrongIdFirst);
    let lookup = resolver(&[&peer], PATIENT).addresses("mx.test", Families { ip4: true, ip6: false }).await;
    assert_eq!(lookup.addresses().map(|address| address.to_string()).collect::<Vec<_>>(), ["192.0.2.1"]);

    for behaviour in [Behaviour::WrongId, Behaviour::WrongQuestion] {
        peer.behave("mx.test", behaviour);
        let lookup = resolver(&[&peer], HASTY).addresses("mx.test", Families { ip4: true, ip6: false }).await;
        assert!(matches!(lookup.failure(), Some(LookupFailure::Malformed(_))), "{behaviour:?}: {lookup:?}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_comes_over_tcp() {
    let peer = DnsPeer::start().await;
    let texts: Vec<String> = (0..60).map(|number| format!("{number} {}", "x".repeat(200))).collect();
    peer.txt("large.test", &texts.iter().map(String::as_str).collect::<Vec<_>>());
    peer.txt("cut.test", &["small"]);
    peer.behave("cut.test", Behaviour::Truncate);
    let resolver = resolver(&[&peer], PATIENT);
    assert_eq!(resolver.txt("large.test").await.records().len(), 60);
    assert_eq!(resolver.txt("cut.test").await.records(), [octets(&["small"])]);
    let transports: Vec<_> = peer.queries().iter().map(|query| query.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp, Transport::Udp, Transport::Tcp]);
    assert!(resolver.stats().queries.contains(&("TXT", 4)));
}

#[tokio::test]
async fn tcp_that_breaks_or_drips_is_a_failure_within_the_time() {
    let peer = DnsPeer::start().await;
    peer.txt("cut.test", &["v=STSv1; id=1;"]);
    peer.behave("cut.test", Behaviour::CutTcp);
    let lookup = resolver(&[&peer], PATIENT).txt("cut.test").await;
    assert!(matches!(lookup.failure(), Some(LookupFailure::Malformed(_))), "{lookup:?}");

    // Not that the resolver cannot be reached: it answered over UDP.
    for fault in [TcpFault::Reset, TcpFault::Close] {
        peer.txt("gone.test", &["v=STSv1; id=1;"]);
        peer.behave("gone.test", Behaviour::Tcp(fault));
        let lookup = resolver(&[&peer], PATIENT).txt("gone.test").await;
        assert!(matches!(lookup.failure(), Some(LookupFailure::Malformed(_))), "{fault:?}: {lookup:?}");
    }

    peer.txt("drip.test", &["v=STSv1; id=1;"]);
    peer.behave("drip.test", Behaviour::DripTcp(Duration::from_secs(5)));
    let start = Instant::now();
    assert_eq!(resolver(&[&peer], HASTY).txt("drip.test").await.failure(), Some(&LookupFailure::Timeout));
    assert!(start.elapsed() < PATIENT);
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without_it() {
    let peer = DnsPeer::start().await;
    peer.txt("old.test", &["here"]);
    peer.behave("old.test", Behaviour::NoEdns);
    let lookup = resolver(&[&peer], PATIENT).txt("old.test").await;
    assert_eq!(lookup.records(), [octets(&["here"])]);
    assert_eq!(peer.queries().iter().map(|query| query.edns).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn silence_is_asked_again_and_then_a_timeout() {
    let peer = DnsPeer::start().await;
    peer.behave("silent.test", Behaviour::Silent);
    let start = Instant::now();
    let lookup = resolver(&[&peer], HASTY).txt("silent.test").await;
    assert_eq!(lookup.failure(), Some(&LookupFailure::Timeout));
    assert_eq!(peer.count("silent.test"), 3);
    assert!(start.elapsed() >= HASTY && start.elapsed() < PATIENT, "{:?}", start.elapsed());

    peer.txt("slow.test", &["at last"]);
    peer.behave("slow.test", Behaviour::SilentAtFirst(2));
    let lookup = resolver(&[&peer], Duration::from_secs(3)).txt("slow.test").await;
    assert_eq!(lookup.records(), [octets(&["at last"])]);
    assert_eq!(peer.count("slow.test"), 3);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_known_at_once() {
    let (_socket, dead) = dead_server();
    let nowhere = Resolver::new(ResolverOptions::new(vec![dead], PATIENT));
    let start = Instant::now();
    let lookup = nowhere.txt("example.test").await;
    assert!(matches!(lookup.failure(), Some(LookupFailure::Unreachable(_))), "{lookup:?}");
    assert!(start.elapsed() < PATIENT / 4);

    let nobody = Resolver::new(ResolverOptions::new(vec![], PATIENT));
    assert!(matches!(nobody.txt("example.test").await.failure(), Some(LookupFailure::Unreachable(_))));
}

#[tokio::test]
async fn the_next_server_answers_where_one_does_not() {
    let (first, second) = (DnsPeer::start().await, DnsPeer::start().await);
    for (name, behaviour) in [
        ("servfail.test", Behaviour::ServFail),
        ("refused.test", Behaviour::Refused),
        ("garbage.test", Behaviour::Garbage),
    ] {
        first.behave(name, behaviour);
        second.txt(name, &["from the second"]);
        let lookup = resolver(&[&first, &second], PATIENT).txt(name).await;
        assert_eq!(lookup.records(), [octets(&["from the second"])], "{name}");
    }
    // What a resolver says about the name stands before what is wrong with a resolver.
    first.behave("both.test", Behaviour::ServFail);
    second.behave("both.test", Behaviour::Refused);
    let lookup = resolver(&[&second, &first], PATIENT).txt("both.test").await;
    assert_eq!(lookup.failure(), Some(&LookupFailure::ServFail));
    // NXDOMAIN is an answer: nobody else is asked.
    second.txt("absent.test", &["only here"]);
    let lookup = resolver(&[&first, &second], PATIENT).txt("absent.test").await;
    assert_eq!((lookup.outcome, second.count("absent.test")), (LookupOutcome::NxDomain, 0));

    second.txt("dead.test", &["alive"]);
    let (_socket, dead) = dead_server();
    let resolver = Resolver::new(ResolverOptions::new(vec![dead, second.address()], PATIENT));
    assert_eq!(resolver.txt("dead.test").await.records(), [octets(&["alive"])]);
}

#[tokio::test]
async fn a_silent_server_comes_last_for_a_while() {
    let (silent, second) = (DnsPeer::start().await, DnsPeer::start().await);
    silent.behave("one.test", Behaviour::Silent);
    second.txt("one.test", &["1"]);
    second.txt("two.test", &["2"]);
    let resolver = resolver(&[&silent, &second], Duration::from_secs(3));
    assert_eq!(resolver.txt("one.test").await.records(), [octets(&["1"])]);
    assert_eq!(resolver.txt("two.test").await.records(), [octets(&["2"])]);
    assert_eq!((silent.count("one.test"), silent.count("two.test")), (1, 0));

    // What the second one says stands at once, even if it is no more than SERVFAIL.
    silent.behave("three.test", Behaviour::Silent);
    second.behave("three.test", Behaviour::ServFail);
    let lookup = self::resolver(&[&silent, &second], Duration::from_secs(3)).txt("three.test").await;
    assert_eq!((lookup.failure(), silent.count("three.test")), (Some(&LookupFailure::ServFail), 1));
}

#[tokio::test]
async fn aliases_are_followed_in_whatever_order_they_come() {
    let peer = DnsPeer::start().await;
    peer.cname("_mta-sts.example.test", "_MTA-STS.provider.test");
    peer.cname("_mta-sts.provider.test", "shared.provider.test");
    peer.txt("shared.provider.test", &["v=STSv1; id=1;"]);
    peer.ttl("_mta-sts.provider.test", 30);
    for behaviour in [Behaviour::Delay(Duration::ZERO), Behaviour::Reversed] {
        peer.behave("_mta-sts.example.test", behaviour);
        let lookup = resolver(&[&peer], PATIENT).txt("_mta-sts.example.test").await;
        assert_eq!(lookup.records(), [octets(&["v=STSv1; id=1;"])], "{behaviour:?}");
        assert_eq!(lookup.cname, ["_mta-sts.provider.test", "shared.provider.test"]);
        assert_eq!(lookup.ttl(), Some(30));
    }
    assert_eq!(peer.queries().len(), 2, "the answer had it all");
}

#[tokio::test]
async fn an_answer_that_ends_in_an_alias_is_followed_by_another_question() {
    let peer = DnsPeer::start().await;
    peer.cname("a.test", "b.test");
    peer.cname("b.test", "c.test");
    peer.txt("c.test", &["found"]);
    peer.behave("a.test", Behaviour::OnlyAlias);
    peer.behave("b.test", Behaviour::OnlyAlias);
    peer.authentic(true);
    let lookup = trusting(&[&peer]).txt("a.test").await;
    assert_eq!(
        (lookup.records(), &lookup.cname[..]),
        (&[octets(&["found"])][..], &["b.test".into(), "c.test".into()][..])
    );
    assert_eq!(lookup.security, Security::Secure);
    assert_eq!(
        peer.queries().iter().map(|query| query.name.as_str()).collect::<Vec<_>>(),
        ["a.test", "b.test", "c.test"]
    );

    // The end has nothing of the type, and says so.
    peer.a("d.test", &["192.0.2.1"]);
    peer.cname("to-d.test", "d.test");
    peer.behave("to-d.test", Behaviour::OnlyAlias);
    let lookup = resolver(&[&peer], PATIENT).txt("to-d.test").await;
    assert_eq!((lookup.outcome, lookup.cname), (LookupOutcome::NoData, vec!["d.test".to_owned()]));
}

#[tokio::test]
async fn an_alias_to_nowhere_dangles() {
    let peer = DnsPeer::start().await;
    peer.cname("mta-sts.example.test", "gone.provider.test");
    for behaviour in [Behaviour::Delay(Duration::ZERO), Behaviour::OnlyAlias] {
        peer.behave("mta-sts.example.test", behaviour);
        let lookup = resolver(&[&peer], PATIENT).addresses("mta-sts.example.test", Families::ALL).await;
        assert!(lookup.is_dangling(), "{lookup:?}");
        assert_eq!(lookup.cname(), ["gone.provider.test"]);
    }
}

#[tokio::test]
async fn aliases_that_loop_or_go_on_are_given_up() {
    let peer = DnsPeer::start().await;
    peer.cname("a.test", "b.test");
    peer.cname("b.test", "a.test");
    for number in 0..9 {
        peer.cname(&format!("n{number}.test"), &format!("n{}.test", number + 1));
        peer.behave(&format!("n{number}.test"), Behaviour::OnlyAlias);
    }
    peer.txt("n9.test", &["far away"]);
    let resolver = resolver(&[&peer], PATIENT);
    let looping = resolver.txt("a.test").await;
    assert_eq!((looping.failure(), &looping.cname[..]), (Some(&LookupFailure::CnameChain), &["b.test".to_owned()][..]));
    assert_eq!(resolver.txt("n0.test").await.failure(), Some(&LookupFailure::CnameChain));
    assert_eq!(resolver.txt("n1.test").await.records(), [octets(&["far away"])], "eight links are followed");
}

#[tokio::test]
async fn the_ad_bit_has_to_be_on_every_answer_of_a_chain() {
    let (signed, unsigned) = (DnsPeer::start().await, DnsPeer::start().await);
    signed.authentic(true);
    signed.cname("a.test", "b.test");
    signed.behave("a.test", Behaviour::OnlyAlias);
    signed.behave("b.test", Behaviour::ServFail);
    unsigned.txt("b.test", &["unsigned"]);
    let resolver = trusting(&[&signed, &unsigned]);
    let lookup = resolver.txt("a.test").await;
    assert_eq!(lookup.records(), [octets(&["unsigned"])]);
    assert_eq!(lookup.security, Security::Insecure);
    assert_eq!(resolver.txt("nothing.test").await.security, Security::Secure, "a denial can be authentic");
}

#[tokio::test]
async fn a_hundred_askers_make_one_query() {
    let peer = DnsPeer::start().await;
    peer.mx("example.test", &[(10, "mx.example.test")]);
    peer.behave("example.test", Behaviour::Delay(Duration::from_millis(100)));
    let resolver = resolver(&[&peer], PATIENT);
    let lookups = join_all((0..100).map(|_| resolver.mx("example.test"))).await;
    assert!(lookups.iter().all(|lookup| lookup == &lookups[0] && lookup.records().len() == 1));
    assert_eq!((peer.count("example.test"), resolver.stats().cache_hits), (1, 99));
}

#[tokio::test]
async fn an_asker_that_goes_away_leaves_the_others_an_answer() {
    let peer = DnsPeer::start().await;
    peer.txt("example.test", &["here"]);
    peer.behave("example.test", Behaviour::Delay(Duration::from_millis(200)));
    let resolver = resolver(&[&peer], PATIENT);
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.txt("example.test").await }
    });
    while peer.count("example.test") == 0 {
        tokio::task::yield_now().await;
    }
    // The second asker waits for the first one's answer when that one goes away, and then asks itself.
    let (second, ()) = tokio::join!(resolver.txt("example.test"), async { first.abort() });
    assert_eq!((second.records(), peer.count("example.test")), (&[octets(&["here"])][..], 2));
}

#[tokio::test]
async fn answers_are_kept_as_long_as_they_may() {
    let peer = DnsPeer::start().await;
    peer.txt("kept.test", &["1"]);
    peer.txt("fresh.test", &["1"]);
    peer.ttl("fresh.test", 0);
    let resolver = resolver(&[&peer], PATIENT);
    let first = resolver.txt("kept.test").await;
    for name in ["kept.test", "fresh.test", "absent.test"] {
        resolver.txt(name).await;
        resolver.txt(name).await;
    }
    assert_eq!((peer.count("kept.test"), peer.count("fresh.test"), peer.count("absent.test")), (1, 2, 1));
    assert_eq!(resolver.txt("KEPT.test.").await, first, "with the time at which it was got");
    peer.txt("kept.test", &["2"]);
    resolver.flush();
    assert_eq!(resolver.txt("kept.test").await.records(), [octets(&["2"])]);

    let options = ResolverOptions { max_cache: Duration::ZERO, ..ResolverOptions::new(vec![peer.address()], PATIENT) };
    let forgetful = Resolver::new(options);
    peer.remove("kept.test");
    assert_eq!(forgetful.txt("kept.test").await.outcome, LookupOutcome::NxDomain);
    peer.txt("kept.test", &["3"]);
    assert_eq!(forgetful.txt("kept.test").await.records(), [octets(&["3"])]);
}

#[tokio::test]
async fn a_name_of_one_s_own_is_asked_for_at_each_look() {
    let peer = DnsPeer::start().await;
    peer.txt("own.test", &["1"]);
    let resolver = resolver(&[&peer], PATIENT);
    assert_eq!(resolver.asking().txt("own.test").await.records(), [octets(&["1"])]);
    peer.txt("own.test", &["2"]);
    assert_eq!(resolver.txt("own.test").await.records(), [octets(&["1"])], "the others have what the last look got");
    assert_eq!(resolver.asking().txt("own.test").await.records(), [octets(&["2"])]);
    assert_eq!((peer.count("own.test"), resolver.stats().cache_hits), (2, 1));
}

#[tokio::test]
async fn where_many_aliases_lead_is_asked_once_a_ttl() {
    let peer = DnsPeer::start().await;
    peer.a("target.test", &["192.0.2.1"]);
    peer.a("brief.test", &["192.0.2.3"]);
    peer.ttl("brief.test", 0);
    for (alias, target) in [("a.test", "target.test"), ("b.test", "target.test"), ("c.test", "brief.test")] {
        peer.cname(alias, target);
        peer.behave(alias, Behaviour::OnlyAlias);
    }
    let resolver = resolver(&[&peer], PATIENT);
    let families = Families { ip6: false, ..Families::ALL };
    let look = async |name: &str, resolver: &Resolver| {
        let lookup = resolver.addresses(name, families).await;
        let lookup = lookup.ip4.unwrap();
        assert_eq!(lookup.cname.len(), 1, "{lookup:?}");
        lookup.records()[0].to_string()
    };
    for name in ["a.test", "b.test", "a.test"] {
        assert_eq!(look(name, &resolver.asking()).await, "192.0.2.1");
    }
    assert_eq!((peer.count("target.test"), peer.count("a.test"), peer.count("b.test")), (1, 2, 1));
    assert_eq!(resolver.stats().cache_hits, 2);
    look("c.test", &resolver.asking()).await;
    look("c.test", &resolver.asking()).await;
    assert_eq!(peer.count("brief.test"), 2, "what may not be kept is not");

    // Who asks what stands there now is not told what stood there.
    peer.a("target.test", &["192.0.2.2"]);
    assert_eq!(look("a.test", &resolver.asking()).await, "192.0.2.1");
    assert_eq!(look("a.test", &resolver.anew()).await, "192.0.2.2");
    assert_eq!(look("b.test", &resolver.asking()).await, "192.0.2.2", "and the others are told with him");
}

#[tokio::test]
async fn an_answer_is_kept_no_longer_than_the_target_of_its_alias() {
    let peer = DnsPeer::start().await;
    peer.a("target.test", &["192.0.2.1"]);
    for alias in ["a.test", "b.test"] {
        peer.cname(alias, "target.test");
        peer.behave(alias, Behaviour::OnlyAlias);
    }
    let max_cache = Duration::from_secs(2);
    let options = ResolverOptions { max_cache, ..ResolverOptions::new(vec![peer.address()], PATIENT) };
    let (resolver, families) = (Resolver::new(options), Families { ip6: false, ..Families::ALL });
    resolver.addresses("a.test", families).await;
    let began = Instant::now();
    tokio::time::sleep(max_cache / 2).await;
    resolver.addresses("b.test", families).await;
    assert!(began.elapsed() < max_cache, "this machine is too busy to tell");
    assert_eq!(peer.count("target.test"), 1);
    tokio::time::sleep(max_cache.saturating_sub(began.elapsed())).await;
    resolver.addresses("b.test", families).await;
    assert_eq!((peer.count("target.test"), peer.count("b.test")), (2, 2));
}

#[tokio::test]
async fn a_burst_is_answered_whole() {
    let peer = DnsPeer::start().await;
    for number in 0..2000 {
        peer.txt(&format!("n{number}.test"), &["here"]);
    }
    let resolver = resolver(&[&peer], PATIENT);
    let names: Vec<String> = (0..2000).map(|number| format!("n{number}.test")).collect();
    let lookups = join_all(names.iter().map(|name| resolver.txt(name))).await;
    let failed: Vec<_> = lookups.iter().filter_map(|lookup| lookup.failure()).collect();
    assert!(failed.is_empty(), "{} of 2000: {:?}", failed.len(), failed[0]);
}

#[tokio::test]
async fn healthy_is_what_answers_something() {
    let peer = DnsPeer::start().await;
    peer.behave("broken.test", Behaviour::ServFail);
    // Three questions each time, of which the first that fails is the last.
    let asks = || peer.count(".");

    // Nothing was answered yet: the root is asked for, once for all.
    let fresh = resolver(&[&peer], PATIENT);
    fresh.txt("broken.test").await;
    let (one, other) = tokio::join!(fresh.healthy(), fresh.healthy());
    assert!(one && other && fresh.healthy().await);
    assert_eq!(asks(), 3);

    // What was answered a while ago proves nothing: the resolver may have died since.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(fresh.healthy().await, "the root is answered");
    assert_eq!(asks(), 6);

    // A resolver that fails on the root as well is not healthy, and is not asked again at once.
    peer.behave(".", Behaviour::ServFail);
    let failing = resolver(&[&peer], PATIENT);
    failing.txt("broken.test").await;
    assert!(!failing.healthy().await && !failing.healthy().await);
    assert_eq!(asks(), 7);
    // An answer to something proves nothing: one that flaps answers every other question.
    failing.txt("absent.test").await;
    assert!(!failing.healthy().await);
    peer.behave(".", Behaviour::Delay(Duration::ZERO));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(!failing.healthy().await, "it failed within the last minute");
    assert_eq!(asks(), 10);
    // Another server that answers is enough.
    peer.behave(".", Behaviour::ServFail);
    let other = DnsPeer::start().await;
    assert!(resolver(&[&peer, &other], PATIENT).healthy().await);

    let (_socket, dead) = dead_server();
    assert!(!Resolver::new(ResolverOptions::new(vec![dead], PATIENT)).healthy().await);
}
