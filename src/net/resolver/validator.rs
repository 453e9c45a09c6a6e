//! Validation here (RFC 4035 §5), by the library, over answers that we asked for ourselves.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use hickory_resolver::{
    net::{DnsError, NetError, dnssec::DnssecDnsHandle, runtime::TokioRuntimeProvider, xfer::DnsHandle},
    proto::{
        dnssec::{Proof, rdata::DNSSECRData},
        op::{DnsRequest, DnsRequestOptions, DnsResponse, Message, OpCode, Query as Question, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{
    anchors::{self, TrustAnchors},
    cache::{Cache, Known},
    rrset::{has_signatures, keys, signature},
    source::Source,
    upstream::NoAnswer,
    wire::Answer,
};
use crate::facts::Security;

/// How long keys that were found by DS anchors are believed before they are asked for again.
const ANCHORS_KEPT: Duration = Duration::from_secs(3600);
/// How many verdicts about RRsets the library keeps: those of the zones that are kept, and of what they hold.
const MAX_VERDICTS: usize = 16384;

/// How many zones are remembered to be unsigned; at about 100 bytes each this is half a MB.
const MAX_UNSIGNED: usize = 8192;
/// How long that is believed at most: a zone that was just signed should not be missed for long.
const UNSIGNED_KEPT: Duration = Duration::from_secs(300);
/// How long the contrary is.
const SIGNED_KEPT: Duration = Duration::from_secs(2);

/// How many questions the library may ask for one answer, those that the cache answers included. Some twenty do where nothing is
/// kept and five zones lie above; a hostile zone could make each of its denials ask for ten others, and so on without end.
const MAX_QUESTIONS: u32 = 256;

tokio::task_local! {
    /// How many more questions the library may ask for the answer that is being judged.
    static QUESTIONS_LEFT: Cell<u32>;
}

type Handle = DnssecDnsHandle<Feed>;

/// The validator of the library, with what it is fed.
pub(super) struct Validator {
    feed: Feed,
    anchors: TrustAnchors,
    handle: tokio::sync::Mutex<Option<(Instant, Handle)>>,
    tickets: AtomicU16,
    /// Whether a zone is proven to be unsigned. Most zones are, and several names are asked for in each.
    unsigned: Cache<bool>,
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").field("anchors", &self.anchors).finish_non_exhaustive()
    }
}

/// Gives the validator what it asks for: the answer that is to be judged, and the keys and delegations of zones.
#[derive(Clone)]
struct Feed {
    source: Arc<Source>,
    given: Given,
}

/// The answers that are to be judged, by the id of the request for them.
type Given = Arc<Mutex<HashMap<(u16, RecordType), Message>>>;

impl Validator {
    pub(super) fn new(source: Arc<Source>, anchors: TrustAnchors) -> Self {
        let feed = Feed { source, given: Given::default() };
        Self {
            feed,
            anchors,
            handle: tokio::sync::Mutex::new(None),
            tickets: AtomicU16::new(0),
            unsigned: Cache::new(MAX_UNSIGNED),
        }
    }

    /// The anchors that it goes down from.
    pub(super) fn anchors(&self) -> &TrustAnchors {
        &self.anchors
    }

    /// What the library says of an answer about one name, which holds no more than one link of an alias chain (see
    /// [`one_link`]). A bogus one may be our own trouble: the library says so too where it could not ask.
    pub(super) async fn judge(&self, name: &Name, kind: RecordType, answer: &Answer, deadline: Instant) -> Security {
        let judged = async {
            let handle = self.handle().await?;
            let ticket = self.tickets.fetch_add(1, Relaxed);
            let message = message(name, kind, answer);
            // The library hands the request on at once, so nothing is left behind.
            self.feed.given().insert((ticket, kind), message.clone());
            let mut request = DnsRequest::new(message, DnsRequestOptions::default());
            request.metadata.id = ticket;
            request.metadata.message_type = hickory_resolver::proto::op::MessageType::Query;
            request.answers.clear();
            request.authorities.clear();
            handle.send(request).next().await
        };
        match timeout_at(deadline, QUESTIONS_LEFT.scope(Cell::new(MAX_QUESTIONS), judged)).await {
            Ok(Some(verdict)) => security(name, kind, verdict),
            Ok(None) | Err(_) => Security::Indeterminate,
        }
    }

    /// Whether an answer without any signature lies in or below a zone that is proven to be unsigned.
    ///
    /// The library would find the same, by a question for the NS records of every name on the way. That zone is where the SOA
    /// record of a denial stands; a wrong one there costs two questions and proves nothing.
    pub(super) async fn is_unsigned(&self, name: &Name, answer: &Answer, deadline: Instant) -> bool {
        if !self.anchors.are_of_the_root() {
            return false;
        }
        let mut zone = name.to_lowercase();
        while !zone.is_root() {
            if self.unsigned.known(&zone.to_string(), Instant::now()) == Some(true) {
                return true;
            }
            zone = zone.base_name();
        }
        let soa = answer.authorities.iter().find(|record| record.record_type() == RecordType::SOA);
        let Some(apex) = soa.map(|record| record.name.to_lowercase()) else { return false };
        if apex.is_root() || !apex.zone_of(name) {
            return false;
        }
        let entry = self.unsigned.entry(&apex.to_string(), Instant::now());
        let known = entry.answer.get_or_init(|| async {
            let unsigned = match self.feed.source.zone(&apex, RecordType::NS).await {
                Ok(servers) if !has_signatures(&servers.answers) => {
                    self.judge(&apex, RecordType::NS, &servers, deadline).await == Security::Insecure
                }
                _ => false,
            };
            Known { value: unsigned, until: Instant::now() + if unsigned { UNSIGNED_KEPT } else { SIGNED_KEPT } }
        });
        timeout_at(deadline, known).await.is_ok_and(|known| known.value)
    }

    /// Forgets which zones are unsigned.
    pub(super) fn flush(&self) {
        self.unsigned.clear();
    }

    /// The validator with the anchors as keys; nothing where the keys to DS anchors cannot be had.
    async fn handle(&self) -> Option<Handle> {
        let mut handle = self.handle.lock().await;
        let zones = self.anchors.digested_zones();
        if let Some((since, known)) = &*handle
            && (zones.is_empty() || since.elapsed() < ANCHORS_KEPT)
        {
            return Some(known.clone());
        }
        let mut trusted = self.anchors.keys();
        for zone in &zones {
            let apex = self.feed.source.zone(zone, RecordType::DNSKEY).await.ok()?;
            for key in keys(&apex.answers, zone).filter(|key| self.anchors.covers(zone, key)) {
                anchors::insert(&mut trusted, zone, key.public_key());
            }
        }
        let new = Handle::with_trust_anchor(self.feed.clone(), Arc::new(trusted)).validation_cache_size(MAX_VERDICTS);
        *handle = Some((Instant::now(), new.clone()));
        Some(new)
    }
}

impl Feed {
    fn given(&self) -> std::sync::MutexGuard<'_, HashMap<(u16, RecordType), Message>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DnsHandle for Feed {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let Some(question) = request.queries.first().cloned() else {
            return Box::pin(stream::once(async { Err(NetError::from("a request without a question")) }));
        };
        // The library polls all its questions within the task that judges.
        let left = QUESTIONS_LEFT.try_with(|left| left.replace(left.get().saturating_sub(1))).unwrap_or(0);
        if left == 0 {
            return Box::pin(stream::once(async { Err(NetError::from("too many questions for one answer")) }));
        }
        let (name, kind) = (question.name().clone(), question.query_type());
        // The library asks for keys, delegations and zone cuts by itself, and for nothing else.
        let zone = matches!(kind, RecordType::DNSKEY | RecordType::DS | RecordType::NS);
        let given = if zone { None } else { self.given().remove(&(request.metadata.id, kind)) };
        let source = Arc::clone(&self.source);
        Box::pin(stream::once(async move {
            // What the cache answers never waits: without this the deadline would not be seen.
            tokio::task::consume_budget().await;
            let message = match given {
                Some(message) => message,
                None => match source.zone(&name, kind).await {
                    Ok(answer) => message(&name, kind, &answer),
                    Err(NoAnswer { failure, .. }) => return Err(NetError::from(failure.to_string())),
                },
            };
            DnsResponse::from_message(message).map_err(NetError::from)
        }))
    }
}

/// The message that a validator has to see of an answer about one name: the records asked for, or the alias, with their
/// signatures, and what proves that a name is absent. All else could only be found bogus.
fn message(name: &Name, kind: RecordType, answer: &Answer) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.add_query(Question::query(name.clone(), kind));
    let of = |record: &&Record| match covered(record) {
        RecordType::DNAME => record.name.zone_of(name),
        covered => record.name == *name && (covered == kind || covered == RecordType::CNAME),
    };
    message.add_answers(answer.answers.iter().filter(of).cloned());
    let denies = message.answers.is_empty();
    if denies {
        message.metadata.response_code = answer.rcode;
    }
    if denies || message.answers.iter().any(is_expanded) {
        let proof = |record: &&Record| {
            let covered = covered(record);
            matches!(covered, RecordType::NSEC | RecordType::NSEC3) || denies && covered == RecordType::SOA
        };
        message.add_authorities(answer.authorities.iter().filter(proof).cloned());
    }
    message
}

/// The type of a record, or of the records that it signs.
fn covered(record: &Record) -> RecordType {
    signature(record).map_or_else(|| record.record_type(), |signature| signature.input().type_covered)
}

/// The link of an alias chain that an answer begins with, as an answer of its own: so that each is judged by itself.
pub(super) fn one_link(name: &Name, kind: RecordType, mut answer: Answer) -> Answer {
    let at = |kind| answer.answers.iter().any(|record| record.name == *name && record.record_type() == kind);
    if at(kind) || !at(RecordType::CNAME) {
        return answer;
    }
    answer.answers.retain(|record| record.name == *name || covered(record) == RecordType::DNAME);
    answer.rcode = ResponseCode::NoError;
    answer.negative_ttl = None;
    answer
}

fn security(name: &Name, kind: RecordType, verdict: Result<DnsResponse, NetError>) -> Security {
    let (message, denial) = match verdict {
        Ok(response) => (response, None),
        Err(NetError::Dns(DnsError::Nsec { response, proof, .. })) => (*response, Some(proof)),
        // What could not be looked at is no verdict.
        Err(_) => return Security::Indeterminate,
    };
    let asked = |record: &&Record| {
        record.name == *name && (record.record_type() == kind || record.record_type() == RecordType::CNAME)
    };
    let records: Vec<&Record> = message.answers.iter().filter(asked).collect();
    if records.is_empty() {
        return match denial {
            Some(proof) => of(proof),
            None => {
                let is_proof = |record: &Record| {
                    record.proof.is_secure() && matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3)
                };
                let proven = message.authorities.iter().any(is_proof);
                let security = if proven { Security::Secure } else { Security::Insecure };
                // That a name has no record of a type is proven at the name itself.
                match message.metadata.response_code {
                    ResponseCode::NXDomain => opted_out(security, &message),
                    _ => security,
                }
            }
        };
    }
    // RFC 6672 §5.3.1: the alias that follows from a DNAME record has no signature of its own.
    if let Some(proof) = by_dname(&message.answers, &records) {
        return of(proof);
    }
    // A record that came out of a wildcard needs the proof that nothing nearer exists (RFC 4035 §5.3.4).
    let denial = denial.filter(|_| !nothing_nearer(name, &message));
    let proofs = records.iter().map(|record| record.proof).chain(denial);
    let security = proofs.map(of).max_by_key(|security| rank(*security)).unwrap_or_default();
    let wildcard = message.answers.iter().any(is_expanded);
    if wildcard { opted_out(security, &message) } else { security }
}

/// Whether an NSEC record proves that no name nearer than the wildcard exists.
///
/// The library does not find that proof where the record stands at the wildcard itself, as it does wherever nothing follows the
/// wildcard in its zone.
fn nothing_nearer(name: &Name, message: &Message) -> bool {
    let labels = message.answers.iter().filter(|record| is_expanded(record)).filter_map(signature);
    let Some(labels) = labels.map(|signature| signature.input().num_labels).min() else { return false };
    let encloser = name.trim_to(labels.into());
    message.authorities.iter().filter(|record| record.proof.is_secure()).any(|record| {
        let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return false };
        let (owner, next) = (&record.name, nsec.next_domain_name());
        let covers = owner < name && (name < next || next <= owner && next.zone_of(name));
        // RFC 6840 §4.1: what a parent says at a delegation does not reach below it.
        let reaches = !(nsec.is_ancestor_delegation() && owner.zone_of(name));
        let mut nearest = name.base_name();
        while !nearest.zone_of(owner) && !nearest.zone_of(next) {
            nearest = nearest.base_name();
        }
        covers && reaches && nearest == encloser
    })
}

/// RFC 5155 §9.2: what an NSEC3 record with the opt-out flag covers may still be delegated without a signature, so that its
/// absence is not secure.
fn opted_out(security: Security, message: &Message) -> Security {
    let opts_out =
        |record: &Record| matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) if nsec3.opt_out());
    match security {
        Security::Secure if message.authorities.iter().any(opts_out) => Security::Insecure,
        security => security,
    }
}

/// Whether a record is a signature over what came out of a wildcard.
fn is_expanded(record: &Record) -> bool {
    signature(record).is_some_and(|signature| signature.input().num_labels < record.name.num_labels())
}

/// What DNSSEC says of the DNAME record from which the alias follows, where there is one.
fn by_dname(answers: &[Record], records: &[&Record]) -> Option<Proof> {
    let [alias] = records else { return None };
    let RData::CNAME(target) = &alias.data else { return None };
    let signed = answers.iter().any(|record| {
        record.name == alias.name && signature(record).is_some_and(|one| one.input().type_covered == RecordType::CNAME)
    });
    let dname = answers.iter().find(|record| {
        record.record_type() == RecordType::DNAME && record.name.zone_of(&alias.name) && record.name != alias.name
    });
    let dname = dname.filter(|_| !signed)?;
    let RData::Unknown { rdata, .. } = &dname.data else { return None };
    let mut decoder = hickory_resolver::proto::serialize::binary::BinDecoder::new(&rdata.anything);
    let new_end = <Name as hickory_resolver::proto::serialize::binary::BinDecodable<'_>>::read(&mut decoder).ok()?;
    let kept = alias.name.num_labels().checked_sub(dname.name.num_labels())?;
    let labels = alias.name.iter().take(kept.into());
    let expected = Name::from_labels(labels).ok()?.append_domain(&new_end).ok()?;
    (expected == target.0).then_some(dname.proof)
}

const fn of(proof: Proof) -> Security {
    match proof {
        Proof::Secure => Security::Secure,
        Proof::Insecure => Security::Insecure,
        Proof::Bogus => Security::Bogus,
        Proof::Indeterminate => Security::Indeterminate,
    }
}

const fn rank(security: Security) -> u8 {
    match security {
        Security::Secure => 0,
        Security::Insecure => 1,
        Security::Indeterminate => 2,
        Security::Bogus => 3,
    }
}
