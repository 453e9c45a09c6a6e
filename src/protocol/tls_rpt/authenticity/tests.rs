use super::*;

fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

fn claim(contact: Option<&str>, submitter: Option<&str>, from: &[&str]) -> Claim {
    Claim {
        contact: contact.map(domain),
        submitter: submitter.map(domain),
        from: from.iter().map(|name| domain(name)).collect(),
    }
}

fn signed(name: &str, outcome: DkimOutcome) -> DkimResult {
    DkimResult { domain: domain(name), outcome }
}

fn given(authentication: Authentication, name: &str) -> Proof {
    Proof::Given(authentication, Reporter::Verified(domain(name)))
}

fn fail() -> DkimOutcome {
    DkimOutcome::Fail("the body was changed".to_owned())
}

#[test]
fn the_organization_is_what_was_registered() {
    for (name, organization) in [
        ("google.com", "google.com"),
        ("a.b.google.com", "google.com"),
        ("mail.example.co.uk", "example.co.uk"),
        // A public suffix has nothing above it that is one organization.
        ("co.uk", "co.uk"),
        // What different people register below a private suffix is not one organization.
        ("one.github.io", "one.github.io"),
    ] {
        assert_eq!(organizational_domain(&domain(name)).as_str(), organization, "{name}");
    }
    assert!(!claim(Some("one.github.io"), None, &[]).is_aligned(&domain("two.github.io")));
}

/// REP-J46, REP-J47, REP-J48.
#[test]
fn a_signature_proves_only_what_is_aligned_with_the_submitter() {
    let google = claim(Some("google.com"), Some("google.com"), &["google.com"]);
    assert_eq!(
        judge_signatures(&google, &[signed("smtp.google.com", DkimOutcome::Pass)]),
        given(Authentication::Dkim, "google.com"),
        "relaxed"
    );
    let sender = claim(Some("sender.test"), None, &["sender.test"]);
    assert!(matches!(
        judge_signatures(&sender, &[signed("other.test", DkimOutcome::Pass)]),
        Proof::Missing(Authentication::None, _)
    ));
    let disagreeing = claim(Some("b.test"), Some("a.test"), &["c.test"]);
    assert_eq!(
        judge_signatures(&disagreeing, &[signed("b.test", DkimOutcome::Pass)]),
        given(Authentication::Dkim, "b.test")
    );
    assert!(
        matches!(judge_signatures(&disagreeing, &[signed("c.test", DkimOutcome::Pass)]), Proof::Missing(..)),
        "From is no submitter where one is named"
    );
    // A report without contact-info in a mail without the fields (FLD-04, REP-06).
    let nameless = claim(None, None, &["mail.sender.test"]);
    assert_eq!(
        judge_signatures(&nameless, &[signed("sender.test", DkimOutcome::Pass)]),
        given(Authentication::Dkim, "sender.test")
    );
    assert!(matches!(
        judge_signatures(&claim(None, None, &[]), &[signed("a.test", DkimOutcome::Pass)]),
        Proof::Missing(..)
    ));
}

#[test]
fn one_good_signature_is_enough_and_one_that_cannot_be_told_is_waited_for() {
    let sender = claim(Some("sender.test"), None, &[]);
    let unknown = || DkimOutcome::Unknown("no answer in time".to_owned());
    let judged = |outcomes: &[DkimOutcome]| {
        let signatures: Vec<_> = outcomes.iter().map(|outcome| signed("sender.test", outcome.clone())).collect();
        judge_signatures(&sender, &signatures)
    };
    assert_eq!(judged(&[fail(), unknown(), DkimOutcome::Pass]), given(Authentication::Dkim, "sender.test"));
    assert_eq!(judged(&[fail(), unknown()]), Proof::Unknown("no answer in time".to_owned()));
    assert!(
        matches!(judged(&[fail()]), Proof::Missing(Authentication::Failed, why) if why.contains("body was changed"))
    );
    assert!(matches!(judged(&[]), Proof::Missing(Authentication::None, _)));
    let foreign = judge_signatures(&sender, &[signed("other.test", unknown())]);
    assert!(matches!(foreign, Proof::Missing(Authentication::None, _)), "nobody waits for a stranger's key");
}

#[test]
fn a_name_is_taken_on_trust_in_the_order_of_the_claims() {
    let reporter = |claim: Claim| claim.taken_on_trust().as_str().to_owned();
    assert_eq!(reporter(claim(Some("tls.b.test"), Some("a.test"), &["c.test"])), "b.test");
    assert_eq!(reporter(claim(None, Some("a.test"), &["c.test"])), "a.test");
    assert_eq!(reporter(claim(None, None, &["c.test"])), "c.test");
    assert_eq!(reporter(claim(None, None, &[])), Reporter::UNVERIFIED);
}

/// A mail with these fields on top of those of every mail.
fn mail(fields: &str) -> Vec<u8> {
    format!("{fields}From: a@sender.test\r\nSubject: x\r\n\r\nDKIM-Signature: d=body.test; s=s; h=from\r\n")
        .into_bytes()
}

#[test]
fn a_trusted_server_is_believed_in_every_spelling_of_the_rfc() {
    let sender = claim(Some("sender.test"), None, &[]);
    for field in [
        "mx.ours.test; dkim=pass header.d=sender.test",
        "mx.ours.test 1; dkim=pass header.i=@mail.sender.test",
        "MX.ours.test;\r\n spf=fail smtp.mailfrom=x.test;\r\n\tDKIM=Pass (2048-bit key; a \\) b) reason=\"good; dkim=fail\"\r\n header.d=sender.test header.s=s",
        "(a (nested) comment) mx.ours.test (x) ; dkim / 1 = pass header . d = sender.test",
        "\"mx.ours.test\"; dkim=fail header.d=other.test; dkim=pass header.b=ab/c=+== header.d=\"sender.test\"",
        "mx.ours.test; dkim=pass header.i=\"a;b\"@sender.test",
        "mx.ours.test; none; dkim=pass header.d=sender.test",
    ] {
        let mail = mail(&format!("Authentication-Results: {field}\r\n"));
        assert_eq!(
            judge_trusted_header(&sender, &mail, "mx.ours.test"),
            given(Authentication::Header, "sender.test"),
            "{field}"
        );
    }
}

#[test]
fn what_a_server_does_not_say_is_not_believed() {
    let sender = claim(Some("sender.test"), None, &[]);
    for (field, authentication) in [
        ("mx.ours.test; none", Authentication::None),
        ("mx.ours.test; dkim=pass header.d=other.test", Authentication::None),
        ("mx.ours.test; dkim=pass", Authentication::None),
        ("mx.ours.test; spf=pass smtp.mailfrom=sender.test", Authentication::None),
        ("mx.ours.test; dkim=fail header.d=sender.test", Authentication::Failed),
        ("mx.ours.test; dkim=temperror header.d=sender.test", Authentication::Failed),
        ("mx.ours.test; spf=pass smtp.helo=\"x; dkim=pass header.d=sender.test\"", Authentication::None),
        ("mx.ours.test; spf=pass (; dkim=pass header.d=sender.test)", Authentication::None),
        // Not closed: whatever follows could be inside.
        ("mx.ours.test; spf=pass (x ; dkim=pass header.d=sender.test", Authentication::None),
        ("mx.ours.test; spf=pass smtp.helo=\"x ; dkim=pass header.d=sender.test", Authentication::None),
        ("mx.ours.test; spf=pass smtp.helo=x) ; dkim=pass header.d=sender.test", Authentication::None),
        ("mx.ours.test.evil.test; dkim=pass header.d=sender.test", Authentication::None),
        ("mx.ours.test 2; dkim=pass header.d=sender.test", Authentication::None),
        ("; dkim=pass header.d=sender.test", Authentication::None),
    ] {
        let judged =
            judge_trusted_header(&sender, &mail(&format!("Authentication-Results: {field}\r\n")), "mx.ours.test");
        assert!(matches!(judged, Proof::Missing(found, _) if found == authentication), "{field}: {judged:?}");
    }
}

#[test]
fn only_the_topmost_fields_of_the_server_count() {
    let sender = claim(Some("sender.test"), None, &[]);
    let forged = "Authentication-Results: mx.ours.test; dkim=pass header.d=sender.test\r\n";
    let ours = "Authentication-Results: mx.ours.test; dkim=none\r\n";
    let other = "Authentication-Results: relay.test; dkim=none\r\n";
    let judged = |fields: &str| judge_trusted_header(&sender, &mail(fields), "mx.ours.test");
    assert!(matches!(judged(&format!("{ours}{forged}")), Proof::Missing(..)));
    assert!(
        matches!(judged(&format!("{other}{forged}")), Proof::Missing(..)),
        "what lies below another's may be forged"
    );
    // One filter for DKIM, and one for DMARC that comes after it, each with a field of its own name between.
    let dmarc = "DMARC-Filter: x\r\nAuthentication-Results: mx.ours.test; dmarc=pass header.from=sender.test\r\n";
    let dkim = "DKIM-Filter: x\r\nAuthentication-Results: MX.ours.test; dkim=pass header.d=sender.test\r\n";
    let received = "Received: from x by y\r\n";
    for given in
        [format!("{dmarc}{dkim}"), format!("{received}{dmarc}{dkim}{other}"), format!("{dkim}{dmarc}{received}")]
    {
        assert!(matches!(judged(&given), Proof::Given(..)), "{given}");
    }
    let broken = "Authentication-Results: mx.ours.test; dmarc=pass (x\r\n";
    let nameless = "Authentication-Results: (x\r\n";
    for missing in [
        format!("{dmarc}{ours}{forged}"),
        format!("{dmarc}{other}{forged}"),
        format!("{dmarc}{received}{forged}"),
        format!("{broken}{dkim}"),
        format!("{dmarc}{broken}{dkim}"),
        format!("{nameless}{dkim}"),
    ] {
        assert!(matches!(judged(&missing), Proof::Missing(..)), "{missing}");
    }
    // As a large provider writes them, without a name: they are not ours, and nothing below them is.
    let foreign = "Authentication-Results: spf=pass (x) smtp.mailfrom=a.test; dkim=pass\r\n";
    assert!(matches!(judged(&format!("{dkim}{foreign}")), Proof::Given(..)));
    assert!(matches!(judged(""), Proof::Missing(..)));
    let in_body = [mail(""), forged.as_bytes().to_vec()].concat();
    assert!(
        matches!(judge_trusted_header(&sender, &in_body, "mx.ours.test"), Proof::Missing(..)),
        "the body is no header"
    );
}

/// REP-12, also where the server does not tell.
#[test]
fn a_signature_over_a_part_of_the_mail_is_none() {
    let sender = claim(Some("sender.test"), None, &[]);
    let results = "Authentication-Results: mx.ours.test; dkim=pass header.d=sender.test\r\n";
    let signature = |more: &str| format!("DKIM-Signature: v=1; d=sender.test; s=s; h=from;\r\n {more} b=x\r\n");
    let judged = |fields: String| judge_trusted_header(&sender, &mail(&fields), "mx.ours.test");
    assert!(matches!(judged(results.to_owned() + &signature("l=10;")), Proof::Missing(Authentication::Failed, _)));
    assert!(matches!(judged(results.to_owned() + &signature("l = 0 ;")), Proof::Missing(Authentication::Failed, _)));
    assert!(matches!(judged(results.to_owned() + &signature("")), Proof::Given(..)));
    for both in [signature("l=10;") + &signature(""), signature("") + &signature("l=10;")] {
        let judged = judged(results.to_owned() + &both);
        assert!(
            matches!(judged, Proof::Missing(Authentication::Failed, _)),
            "which one passed is not told: {judged:?}"
        );
    }
    // The identity may be below the domain that signs.
    let identity = "Authentication-Results: mx.ours.test; dkim=pass header.i=@mail.sender.test\r\n";
    assert!(matches!(judged(identity.to_owned() + &signature("l=10;")), Proof::Missing(Authentication::Failed, _)));
    let foreign = signature("l=10;").replace("sender.test", "other.test");
    assert!(matches!(judged(results.to_owned() + &foreign + &signature("")), Proof::Given(..)));
}

#[test]
fn signatures_are_read_as_far_as_they_are_looked_at() {
    let fields = "DKIM-Signature: v=1; d=Sender.Test; s=a\r\n b; h=To : FROM;\r\n \r\n l=5; b=x\r\n\
                  dkim-signature : d=b.test;s=s;h=subject\r\nDKIM-Signature: s=s; h=from\r\nDKIM-Signature\r\n";
    let found: Vec<_> = signature_claims(&mail(fields)).collect();
    let expected = [
        SignatureClaim { domain: domain("sender.test"), selector: "ab".into(), partial: true, covers_from: true },
        SignatureClaim { domain: domain("b.test"), selector: "s".into(), partial: false, covers_from: false },
    ];
    assert_eq!(found, expected);
}
