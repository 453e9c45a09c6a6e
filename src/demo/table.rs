//! The domains of the world, each with one fault that is often met, and what follows from it. What is expected is written from
//! RFC 8461, RFC 7672 and the definitions of the findings; a test holds what is found against it.

use super::{
    authority::Certificate,
    hostile,
    picture::{Answer, MAX_AGE, Mood, Picture, PolicyHost, body},
};
use crate::verdict::{Code, State};

/// How far back the world goes, in days.
pub(super) const FIRST_DAY: u32 = 60;
/// So many days ago the mail hosts got the certificates that they show; those before would have two days left now.
const RENEWED: u32 = 28;

/// One domain.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its group in the configuration.
    pub(super) group: &'static str,
    /// What is wrong, in a few words.
    pub(super) fault: &'static str,
    /// What senders can do.
    pub(super) delivery: State,
    /// What is found, all of it.
    pub(super) findings: Vec<Code>,
    /// How it stood, from so many days ago on; the oldest first.
    pub(super) eras: Vec<(u32, Picture)>,
    /// What reporters tell beside sessions that succeed.
    pub(super) failures: Vec<Failures>,
}

/// Sessions that fail, as reporters see them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    /// For how many days, the last complete one among them.
    pub(super) days: u32,
    /// Of a hundred sessions.
    pub(super) of_hundred: u64,
    pub(super) result_type: &'static str,
    /// At which mail host; nowhere where it is empty.
    pub(super) mx: &'static str,
    /// The senders that fail hold the policy of the time before the last change.
    pub(super) by_old_policy: bool,
}

impl Row {
    /// The domain as it stands when the world begins.
    pub(super) fn now(&self) -> Option<&Picture> {
        self.eras.last().map(|(_, picture)| picture)
    }

    fn new(group: &'static str, fault: &'static str, delivery: State, findings: &[Code], now: Picture) -> Self {
        let eras = vec![(FIRST_DAY, now.clone().with_days_left(2)), (RENEWED, now)];
        Self { group, fault, delivery, findings: findings.to_vec(), eras, failures: Vec::new() }
    }

    /// It stood like this since then; before, as the row says so far.
    fn since(mut self, days: u32, now: Picture) -> Self {
        self.eras.push((days, now));
        self
    }

    fn failing(mut self, failures: Failures) -> Self {
        self.failures.push(failures);
        self
    }
}

impl Failures {
    const fn at(mx: &'static str, result_type: &'static str, days: u32, of_hundred: u64) -> Self {
        Self { days, of_hundred, result_type, mx, by_old_policy: false }
    }

    const fn by_old_policy(self) -> Self {
        Self { by_old_policy: true, ..self }
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    vec![
        good(),
        drift(),
        backup(),
        stale(),
        redirect(),
        typo(),
        ready(),
        dane(),
        renewed(),
        plain(),
        nomail(),
        provider(),
        cleartext(),
        expiring(),
        rejects(),
        hasty(),
        restart(),
        hostile::row(),
    ]
}

fn good() -> Row {
    let hosts = ["mx1.good.test", "mx2.good.test"];
    let now = Picture::with_policy("good.test", "enforce", &hosts);
    let testing = now.clone().id("20260112T1500").policy(&body("testing", &hosts, MAX_AGE)).with_days_left(2);
    let mut row = Row::new("own", "none: the policy went from testing to enforce", State::Protected, &[], now.clone());
    row.eras = vec![(FIRST_DAY, testing), (45, now.clone().with_days_left(2)), (RENEWED, now)];
    row
}

fn drift() -> Row {
    let hosts = ["mx1.drift.test", "mx2.drift.test"];
    let before = Picture::with_policy("drift.test", "enforce", &["mx1.drift.test"]);
    let policy = body("enforce", &["mx1.drift.test"], MAX_AGE);
    let now = Picture::with_policy("drift.test", "enforce", &hosts).policy(&policy);
    let findings = [Code::MxNotInPolicy, Code::ReportsFailing, Code::ReportsNewFailure];
    Row::new("own", "a new mail host is not in the policy", State::Partial, &findings, before)
        .since(6, now)
        .failing(Failures::at("mx2.drift.test", "validation-failure", 6, 15))
}

fn backup() -> Row {
    let hosts = ["mx1.backup.test", "mx2.backup.test"];
    let now = Picture::with_policy("backup.test", "enforce", &hosts);
    let forgotten = |picture: Picture| {
        picture.host("mx2.backup.test", |host| {
            host.certificate = Some(Certificate::of_90_days(&["mx2.backup.test"], -3));
        })
    };
    let mut row = Row::new(
        "own",
        "the backup's certificate was not renewed",
        State::Partial,
        &[Code::CertificateExpired, Code::ReportsNewFailure],
        now,
    );
    row.eras = row.eras.into_iter().map(|(days, picture)| (days, forgotten(picture))).collect();
    row.failing(Failures::at("mx2.backup.test", "certificate-expired", 3, 2))
}

fn stale() -> Row {
    let before = Picture::with_policy("stale.test", "enforce", &["old.stale.test"]);
    let now = Picture::with_policy("stale.test", "enforce", &["new.stale.test"]);
    let findings =
        [Code::StsIdNotChanged, Code::MxNotInCachedPolicy, Code::ReportsNewFailure, Code::ReportsSenderCacheOld];
    Row::new("customers", "mail host and policy changed, the id did not", State::Protected, &findings, before)
        .since(9, now)
        .failing(Failures::at("new.stale.test", "validation-failure", 8, 3).by_old_policy())
}

fn redirect() -> Row {
    let before = Picture::with_policy("redirect.test", "enforce", &["mx.redirect.test"]);
    let place = "https://www.redirect.test/.well-known/mta-sts.txt".to_owned();
    let now = before.clone().answer(Answer::Redirect(place));
    let findings = [Code::StsPolicyRedirect, Code::ReportsNewFailure];
    Row::new("customers", "the policy host redirects to the new web site", State::Partial, &findings, before)
        .since(5, now)
        .failing(Failures::at("", "sts-policy-fetch-error", 5, 2))
}

fn typo() -> Row {
    let text = body("enforced", &["mx.typo.test"], MAX_AGE);
    let now = Picture::with_policy("typo.test", "enforce", &["mx.typo.test"]).policy(&text);
    Row::new("customers", "the policy says \"mode: enforced\"", State::Unprotected, &[Code::StsPolicyInvalid], now)
}

fn ready() -> Row {
    let hosts = ["mx1.ready.test", "mx2.ready.test"];
    let now = Picture::with_policy("ready.test", "testing", &hosts);
    let before = Picture::plain("ready.test", &hosts).reports().with_days_left(2);
    let findings = [Code::StsPolicyModeTesting, Code::StsPolicyReadyForEnforce];
    let mut row =
        Row::new("own", "none: in testing for 40 days, and ready", State::Unprotected, &findings, now.clone());
    row.eras = vec![(FIRST_DAY, before), (40, now.clone().with_days_left(2)), (RENEWED, now)];
    row
}

fn dane() -> Row {
    let now = pinned(Picture::plain("dane.test", &["mx1.dane.test", "mx2.dane.test"]).reports().signed());
    Row::new("own", "none: DANE, and no MTA-STS", State::Protected, &[Code::StsRecordMissing], now)
}

fn renewed() -> Row {
    let now = pinned(Picture::plain("renewed.test", &["mx.renewed.test"]).reports().signed());
    let with_new_key = now.clone().host("mx.renewed.test", |host| {
        host.certificate = Some(Certificate::of_90_days(&["mx.renewed.test"], 86).with_key(1));
    });
    let findings = [Code::DaneMismatch, Code::StsRecordMissing, Code::ReportsFailing, Code::ReportsNewFailure];
    Row::new(
        "customers",
        "the certificate was renewed with a new key, the TLSA record stayed",
        State::Blocked,
        &findings,
        now,
    )
    .since(3, with_new_key)
    .failing(Failures::at("mx.renewed.test", "tlsa-invalid", 3, 60))
}

fn plain() -> Row {
    let own = Certificate::of_90_days(&["mx.plain.test"], 400).self_signed();
    let now = Picture::plain("plain.test", &["mx.plain.test"])
        .host("mx.plain.test", |host| host.certificate = Some(own))
        .aged();
    let findings = [Code::StsRecordMissing, Code::TlsRptRecordMissing, Code::CertificateUntrusted];
    let mut row = Row::new("customers", "no MTA-STS, no reports", State::Unprotected, &findings, now.clone());
    row.eras = vec![(FIRST_DAY, now)];
    row
}

fn nomail() -> Row {
    let now = Picture::plain("nomail.test", &[]).mx(&[(0, ".")]);
    Row::new("own", "none: takes no mail, and says so", State::NoMail, &[Code::MxNull], now)
}

fn provider() -> Row {
    let hosts = ["mx1.bigmail.test", "mx2.bigmail.test"];
    let now = Picture::with_policy("provider.test", "enforce", &hosts);
    let policy_host = now.policy_host.clone().map(|host| PolicyHost { alias: Some("policies.bigmail.test"), ..host });
    let now = Picture { policy_host, ..now };
    let renamed = now.clone().host("mx2.bigmail.test", |host| {
        host.certificate = Some(Certificate::of_90_days(&["edge7.bigmail.test"], 79));
    });
    let findings = [Code::CertificateNameMismatch, Code::ReportsFailing, Code::ReportsNewFailure];
    Row::new(
        "customers",
        "a mail host of the provider shows a certificate for another name",
        State::Partial,
        &findings,
        now,
    )
    .since(10, renamed)
    .failing(Failures::at("mx2.bigmail.test", "certificate-host-mismatch", 10, 12))
}

fn cleartext() -> Row {
    let before = Picture::with_policy("cleartext.test", "enforce", &["mx.cleartext.test"]);
    let now = before.clone().host("mx.cleartext.test", |host| host.certificate = None);
    let findings = [Code::StarttlsNotOffered, Code::ReportsFailing, Code::ReportsNewFailure];
    Row::new("customers", "after an update the mail host offers no STARTTLS", State::Blocked, &findings, before)
        // Three days: what reporters say of yesterday comes three hours after midnight.
        .since(3, now)
        .failing(Failures::at("mx.cleartext.test", "starttls-not-supported", 3, 70))
}

fn expiring() -> Row {
    let now = Picture::with_policy("expiring.test", "enforce", &["mx.expiring.test"]).aged();
    let now = now.host("mx.expiring.test", |host| {
        host.certificate = Some(Certificate::of_90_days(&["mx.expiring.test"], 5));
    });
    let mut row = Row::new(
        "own",
        "the certificate ends in five days",
        State::Protected,
        &[Code::CertificateExpiring],
        now.clone(),
    );
    row.eras = vec![(FIRST_DAY, now)];
    row
}

fn rejects() -> Row {
    let now = Picture::with_policy("rejects.test", "enforce", &["mx.rejects.test"]);
    let turned_away = now.clone().host("mx.rejects.test", |host| {
        host.mood = Mood::Rejects;
        host.banner = "5.7.1 Service unavailable; client host blocked".to_owned();
    });
    Row::new("customers", "the mail host turns this monitor away", State::Unknown, &[Code::SmtpRejected], now)
        .since(3, turned_away)
}

fn hasty() -> Row {
    let hosts = ["mx1.hasty.test", "mx2.hasty.test"];
    let now =
        Picture::with_policy("hasty.test", "enforce", &hosts).policy(&body("enforce", &["*.hasty.test"], MAX_AGE));
    Row::new("customers", "none yet: its policy is about to change", State::Protected, &[], now)
}

fn restart() -> Row {
    let now = Picture::with_policy("restart.test", "enforce", &["mx1.restart.test", "mx2.restart.test"]);
    Row::new("own", "none yet: a mail host is about to restart", State::Protected, &[], now)
}

/// With the TLSA records of the keys that are in use.
fn pinned(mut picture: Picture) -> Picture {
    for host in &mut picture.hosts {
        host.pinned = host.certificate.as_ref().map(|certificate| certificate.key);
    }
    picture
}
