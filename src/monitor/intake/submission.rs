//! The way of one thing that came in, from its bytes to its receipt.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::join_all};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Intake, Postponed, RawReport, Receipt,
    attribute::{Attribution, Territory, Users, attribute},
    filer::Item,
    open::{Opened, OpenedReport, open},
    reading::Unread,
    shared::{Plan, weight},
};
use crate::{
    config::ReportAuthentication,
    facts::{Authentication, Provenance, Reporter, Transport},
    net::{check_signatures, now},
    protocol::tls_rpt::{
        Claim, Proof, Refusal, RefusalReason, ReportReader, TlsReport, judge_signatures, judge_trusted_header,
    },
    store::{Filed, IncomingReport},
    terms::Timestamp,
};

/// So long a report waits for a key that cannot be looked up: resolvers and zones are repaired within days. Well before the 72 hours
/// after which a report is in no counter, so that what waited behind it still counts.
const KEY_WAIT: Duration = Duration::from_secs(2 * 86_400);
/// A report whose day ended longer ago is kept, and is in no counter: an import of old mail must fire no alert.
const LATE_AFTER: Duration = Duration::from_secs(72 * 3600);
/// The time of a report that says only when it began.
const DAY: Duration = Duration::from_secs(86_400);

/// So many senders are told apart in one mail: it has one, and each costs lookups and arithmetic.
const CLAIMS_MOST: usize = 4;

/// A report that was read, with the domains that it belongs to.
struct Placed {
    report: OpenedReport,
    attribution: Attribution,
}

/// In whose name a report counts, or why it is refused.
type Proven = Result<(Authentication, Reporter), Refusal>;

/// What was read, and the room that it takes.
enum Read {
    Bare(Box<Placed>, Option<OwnedSemaphorePermit>),
    Mail(Vec<Placed>, Option<OwnedSemaphorePermit>),
    Mails(Vec<bytes::Bytes>),
}

pub(super) async fn submit(intake: &Intake, raw: RawReport) -> Receipt {
    let room = intake.shared.room_for_raw(raw.bytes.len()).await;
    let receipt = one(intake, &raw, false).await;
    drop(room);
    receipt
}

/// One report or mail. What breaks this program is refused, with a copy in quarantine: left where it is, it would come and break it again.
async fn one(intake: &Intake, raw: &RawReport, from_mbox: bool) -> Receipt {
    unless_it_breaks(intake, raw, take_in(intake, raw, from_mbox)).await
}

async fn unless_it_breaks(intake: &Intake, raw: &RawReport, taking: impl Future<Output = Receipt>) -> Receipt {
    // What is shared is behind locks that a panic does not close, or is the store's, which has all of a report or nothing.
    match AssertUnwindSafe(taking).catch_unwind().await {
        Ok(receipt) => receipt,
        Err(_) => refuse(intake, raw, broken()).await,
    }
}

fn broken() -> Refusal {
    tracing::error!("a report could not be read: a fault of this program");
    Refusal::new(RefusalReason::BadEncoding, "it could not be read: a fault of this program")
}

async fn take_in(intake: &Intake, raw: &RawReport, from_mbox: bool) -> Receipt {
    let read = match read(intake, raw, from_mbox).await {
        Ok(read) => read,
        Err(postponed) => return Receipt::Later(postponed),
    };
    match read {
        Err(refusal) => refuse(intake, raw, refusal).await,
        Ok(Read::Bare(placed, _room)) => {
            let plan = intake.shared.plan();
            let reporter = match (raw.transport, plan.authentication) {
                (Transport::File, ReportAuthentication::None) => placed.report.claim.taken_on_trust(),
                _ => Reporter::Unverified,
            };
            settle(intake, raw, raw.transport, vec![(*placed, Ok((Authentication::None, reporter)))]).await
        }
        Ok(Read::Mail(placed, _room)) => {
            let mut proven = Vec::with_capacity(placed.len());
            let mut known: Vec<(Claim, Proven)> = Vec::new();
            let plan = intake.shared.plan();
            for one in placed {
                let claim = &one.report.claim;
                let proof = match known.iter().find(|(before, _)| before == claim) {
                    Some((_, proof)) => proof.clone(),
                    None if known.len() >= CLAIMS_MOST => {
                        let why = format!("the mail has reports of more than {CLAIMS_MOST} senders");
                        Err(Refusal::new(RefusalReason::Unauthenticated, why))
                    }
                    None => match prove(&plan, raw, claim).await {
                        Ok(proof) => {
                            known.push((claim.clone(), proof.clone()));
                            proof
                        }
                        Err(postponed) => return Receipt::Later(postponed),
                    },
                };
                proven.push((one, proof));
            }
            // It lay in a folder of files, or was handed in.
            let transport = if raw.transport == Transport::File { Transport::Mail } else { raw.transport };
            settle(intake, raw, transport, proven).await
        }
        Ok(Read::Mails(mails)) => each(intake, raw, mails).await,
    }
}

/// The mails of an mbox, one by one. Where one has to wait, all are handed in again: those that were taken count once.
async fn each(intake: &Intake, raw: &RawReport, mails: Vec<bytes::Bytes>) -> Receipt {
    let (mut taken, mut refused, mut later) = (Vec::new(), None, None);
    for (place, bytes) in mails.into_iter().enumerate() {
        let mail = RawReport {
            bytes,
            transport: Transport::Mail,
            source: format!("{}, mail {}", raw.source, place + 1),
            media_type: None,
            file_name: None,
            waiting_since: raw.waiting_since,
        };
        match Box::pin(one(intake, &mail, true)).await {
            Receipt::Taken(filed) => taken.extend(filed),
            Receipt::Refused(refusal) => refused = refused.or(Some(refusal)),
            Receipt::Later(postponed) => later = later.or(Some(postponed)),
        }
    }
    match (later, refused) {
        (Some(postponed), _) => Receipt::Later(postponed),
        (None, Some(refusal)) if taken.is_empty() => Receipt::Refused(refusal),
        (None, _) => Receipt::Taken(taken),
    }
}

/// Unpacks and reads, a few at a time.
async fn read(intake: &Intake, raw: &RawReport, from_mbox: bool) -> Result<Result<Read, Refusal>, Postponed> {
    let (shared, copy) = (Arc::clone(&intake.shared), raw.clone());
    let work = move |reader: &mut ReportReader| {
        let opened = open(reader, &copy, from_mbox)?;
        let plan = shared.plan();
        let users = match &opened {
            Opened::Bare(report) => shared.users(&plan, [&**report]),
            Opened::Mail(reports) => shared.users(&plan, reports),
            // Each is handed in again.
            Opened::Mails(_) => Users::default(),
        };
        let territory = Territory { domains: &plan.inventory, own: &plan.domains, users: &users };
        let place = |report: OpenedReport| Placed {
            attribution: attribute(&report.report.policies, report.hints(), territory),
            report,
        };
        Ok::<_, Refusal>(match opened {
            Opened::Bare(report) => Read::Bare(Box::new(place(*report)), None),
            Opened::Mail(reports) => Read::Mail(reports.into_iter().map(place).collect(), None),
            Opened::Mails(mails) => Read::Mails(mails),
        })
    };
    let (mut read, turn) = match intake.shared.readers.read(work).await {
        Ok(read) => read,
        Err(Unread::NoThread(error)) => {
            tracing::warn!(%error, "there is no thread to read a report on; it has to come again");
            return Err(Postponed::Busy);
        }
        Err(Unread::Broken) => return Ok(Err(broken())),
    };
    // The turn is kept until there is room for what was read: so no more than a few wait outside of the bounds.
    match &mut read {
        Ok(Read::Bare(placed, room)) => *room = intake.shared.room_for_read(weight(&placed.report.report)).await,
        Ok(Read::Mail(placed, room)) => {
            let weight = placed.iter().map(|one| weight(&one.report.report)).sum();
            *room = intake.shared.room_for_read(weight).await;
        }
        Ok(Read::Mails(_)) | Err(_) => {}
    }
    drop(turn);
    Ok(read)
}

/// Who sent a mail: in whose name it counts, or why it is refused; an error where that cannot be told now.
async fn prove(plan: &Plan, raw: &RawReport, claim: &Claim) -> Result<Proven, Postponed> {
    let proof = match plan.authentication {
        ReportAuthentication::None => Proof::Given(Authentication::None, claim.taken_on_trust()),
        ReportAuthentication::TrustedHeader => judge_trusted_header(claim, &raw.bytes, &plan.authserv_id),
        ReportAuthentication::Dkim => {
            let signatures = check_signatures(&plan.resolver, raw.bytes.clone(), claim).await;
            judge_signatures(claim, &signatures)
        }
    };
    let refusal = |why| Ok(Err(Refusal::new(RefusalReason::Unauthenticated, why)));
    match proof {
        Proof::Given(authentication, reporter) => Ok(Ok((authentication, reporter))),
        Proof::Missing(_, why) => refusal(why),
        Proof::Unknown(why) => match raw.waiting_since {
            Some(since) if now().since(since) > KEY_WAIT => {
                refusal(format!("for two days the key of its signature could not be looked up: {why}"))
            }
            _ => Err(Postponed::Key(why)),
        },
    }
}

/// Files what was proven, and refuses the rest. One report that is taken makes the whole taken.
async fn settle(intake: &Intake, raw: &RawReport, transport: Transport, reports: Vec<(Placed, Proven)>) -> Receipt {
    let arrived_at = now();
    // All of it waits: what counts once would make the rest a duplicate.
    if reports.iter().any(|(placed, proof)| proof.is_ok() && placed.attribution.undecided) {
        return Receipt::Later(Postponed::Hosts);
    }
    let (mut waiting, mut refused) = (Vec::new(), Vec::new());
    for (Placed { report, attribution }, proof) in reports {
        let (authentication, reporter) = match proof {
            Ok(proven) => proven,
            Err(refusal) => {
                refused.push(refusal);
                continue;
            }
        };
        if attribution.shares.is_empty() {
            refused.push(Refusal::new(RefusalReason::UnknownDomain, about(&report.report)));
            continue;
        }
        let provenance = Provenance {
            transport,
            authentication,
            reporter,
            arrived_at,
            source: report.message_id.unwrap_or_else(|| raw.source.clone()),
        };
        let late = is_late(&report.report, arrived_at);
        let shares = attribution.shares.into_iter().collect();
        let report = IncomingReport { report: report.report, provenance, label: String::new(), shares, late };
        let (done, outcome) = oneshot::channel();
        let item = Item { report, foreign: attribution.foreign, done };
        if intake.queue.send(item).await.is_err() {
            return Receipt::Later(Postponed::Stopping);
        }
        waiting.push(outcome);
    }
    let mut taken: Vec<Filed> = Vec::with_capacity(waiting.len());
    for outcome in join_all(waiting).await {
        match outcome.unwrap_or(Err(Postponed::Stopping)) {
            Ok(Filed::Refused(reason)) => {
                refused
                    .push(Refusal::new(reason, "there are too many reports of this kind; it may be sent again later"));
            }
            Ok(filed) => taken.push(filed),
            Err(postponed) => return Receipt::Later(postponed),
        }
    }
    // The store counts what it refuses itself.
    let counted = |refusal: &Refusal| refusal.reason == RefusalReason::RateLimited;
    match (taken.is_empty(), refused.into_iter().reduce(|first, _| first)) {
        (true, Some(refusal)) if counted(&refusal) => keep(intake, raw, refusal).await,
        (true, Some(refusal)) => refuse(intake, raw, refusal).await,
        (false, Some(refusal)) => {
            // A part of the mail was taken; the rest must not go without a copy.
            let kept = match counted(&refusal) {
                true => keep(intake, raw, refusal).await,
                false => refuse(intake, raw, refusal).await,
            };
            match kept {
                Receipt::Later(postponed) => Receipt::Later(postponed),
                Receipt::Refused(_) | Receipt::Taken(_) => Receipt::Taken(taken),
            }
        }
        (_, None) => Receipt::Taken(taken),
    }
}

/// Refuses, and counts that.
async fn refuse(intake: &Intake, raw: &RawReport, refusal: Refusal) -> Receipt {
    let reason = refusal.reason;
    let receipt = keep(intake, raw, refusal).await;
    if let Receipt::Refused(_) = receipt {
        intake.count_refused(reason);
    }
    receipt
}

/// Keeps a copy of what is refused.
async fn keep(intake: &Intake, raw: &RawReport, refusal: Refusal) -> Receipt {
    tracing::info!(source = %raw.source.escape_debug(), reason = %refusal.reason, detail = %refusal.detail.escape_debug(), "a report was refused");
    let (shared, copy, kept) = (Arc::clone(&intake.shared), raw.clone(), refusal.clone());
    let keeping = tokio::task::spawn_blocking(move || match &shared.quarantine {
        Some(quarantine) => quarantine.set_aside(&copy, &kept, now()),
        None => Ok(()),
    });
    let why = match keeping.await {
        Ok(Ok(())) => return Receipt::Refused(refusal),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, "a report that is refused cannot be put into quarantine; it stays where it came from");
    Receipt::Later(Postponed::Quarantine(why))
}

/// Whether it came too late for the counters.
fn is_late(report: &TlsReport, arrived_at: Timestamp) -> bool {
    let end = report.end.or_else(|| report.begin.map(|begin| begin + DAY));
    end.is_some_and(|end| arrived_at.since(end) > LATE_AFTER)
}

/// What a report is about, for people.
fn about(report: &TlsReport) -> String {
    const NAMED: usize = 3;
    let mut names: Vec<&str> = report.policies.iter().filter_map(|policy| policy.domain.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    match names.as_slice() {
        [] => "it names no domain".to_owned(),
        names => {
            let listed = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("it is about {listed}{more}; none of it is configured, and no configured domain is known to use it")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use tokio::{
        sync::{mpsc, watch},
        time::Instant,
    };

    use super::*;
    use crate::{
        config::Settings,
        monitor::{
            Snapshot,
            intake::{Shared, rate::Rates},
        },
        net::resolver::{Resolver, ResolverOptions},
    };

    #[tokio::test]
    async fn a_mail_that_breaks_the_program_goes_to_quarantine_and_does_not_come_again() {
        let state = tempfile::tempdir().unwrap();
        let resolver = Resolver::new(ResolverOptions::new(Vec::new(), Duration::from_secs(1)));
        let (_publisher, snapshots) = watch::channel(Arc::<Snapshot>::default());
        let shared = Shared::new(Plan::new(&Settings::default(), resolver), snapshots, Some(state.path()));
        let intake = Intake {
            queue: mpsc::channel(1).0,
            store: None,
            shared: Arc::new(shared),
            rates: Arc::new(Mutex::new(Rates::new(Instant::now()))),
        };
        let raw = RawReport {
            bytes: Bytes::from_static(b"the mail that breaks it"),
            transport: Transport::Mail,
            source: "7".to_owned(),
            media_type: None,
            file_name: None,
            waiting_since: None,
        };
        let receipt = unless_it_breaks(&intake, &raw, async { panic!("the proof breaks") }).await;
        assert!(matches!(&receipt, Receipt::Refused(refusal) if refusal.detail.contains("a fault of this program")));
        assert_eq!(intake.shared.take_refused(), [(RefusalReason::BadEncoding, 1)].into());
        let mut waiting = vec![state.path().to_owned()];
        let mut kept = Vec::new();
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => waiting.push(entry.path()),
                    false => kept.push(std::fs::read(entry.path()).unwrap()),
                }
            }
        }
        assert!(kept.iter().any(|bytes| **bytes == *raw.bytes), "a copy is kept");
        // One that breaks nothing is as it was.
        let receipt = unless_it_breaks(&intake, &raw, async { Receipt::Later(Postponed::Busy) }).await;
        assert!(matches!(receipt, Receipt::Later(Postponed::Busy)));
    }
}
