//! The messages on the wire: one query out, one answer in.

use std::net::IpAddr;

use hickory_resolver::proto::{
    op::{Edns, Message, MessageType, OpCode, Query as WireQuestion, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::opt::EdnsCode, rdata::opt::EdnsOption},
};

use crate::{
    facts::{ExtendedError, LookupFailure},
    protocol::dns::{AnswerRecord, RecordData},
    terms::Octets,
};

/// What passes every path without fragments: the smallest MTU of IPv6, 1280 (RFC 8200 §5), without the IPv6 and UDP headers.
const UDP_PAYLOAD: u16 = 1232;
/// RFC 1035 §4.1.1.
const HEADER_LENGTH: usize = 12;
/// RFC 8914: the option of extended errors.
const EXTENDED_ERROR: EdnsCode = EdnsCode::Unknown(15);
/// A resolver sends one or two extended errors; more would only fill the memory of every observation.
const MAX_EXTENDED_ERRORS: usize = 8;
/// RFC 8914 §2: EXTRA-TEXT is a line for people.
const MAX_EXTRA_TEXT: usize = 512;
/// RFC 2181 §8: a TTL with the highest bit set counts as zero.
const MAX_TTL: u32 = 0x7fff_ffff;

/// What is asked of the server beside the question (RFC 4035 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flags {
    /// The records alone.
    Plain,
    /// DO: the signatures too. A resolver that validates gives nothing that does not hold.
    Signed,
    /// DO and CD: the signatures too, and what does not hold as well.
    Unchecked,
}

/// A question with its id, ready to be sent.
#[derive(Debug)]
pub(super) struct Query {
    id: u16,
    name: Name,
    kind: RecordType,
    edns: bool,
    bytes: Vec<u8>,
}

/// What a message that came in is.
#[derive(Debug)]
pub(super) enum Received {
    /// No answer to this query: late, forged, or for somebody else.
    Stray,
    /// The answer did not fit (RFC 2181 §9): ask again over TCP.
    Truncated,
    /// The answer to this query, and unreadable.
    Unreadable(String),
    /// The server does not know EDNS (RFC 6891 §7): ask again without it.
    WithoutEdns,
    /// The answer.
    Answer(Answer),
}

/// An answer whose id and question are right.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) rcode: ResponseCode,
    pub(super) authentic: bool,
    pub(super) extended_errors: Vec<ExtendedError>,
    /// How many bytes the message had.
    pub(super) bytes: usize,
    /// Who sent it; nothing before whoever asked has noted it.
    pub(super) server: Option<IpAddr>,
    /// How long a denial may be kept (RFC 2308 §5); none where the answer holds no SOA record.
    pub(super) negative_ttl: Option<u32>,
    /// The server does not resolve for us and names others instead (RFC 1034 §4.3.1).
    is_referral: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
}

impl Query {
    /// # Errors
    /// The text of an encoder that fails; a valid name cannot make it.
    pub(super) fn new(name: &Name, kind: RecordType, flags: Flags, edns: bool) -> Result<Self, LookupFailure> {
        let id = rand::random();
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        // RFC 6840 §5.7: this asks for the AD bit of the answer without asking for the signatures.
        message.metadata.authentic_data = true;
        message.metadata.checking_disabled = flags == Flags::Unchecked;
        message.add_query(WireQuestion::query(name.clone(), kind));
        if edns {
            let mut options = Edns::new();
            options.set_max_payload(UDP_PAYLOAD);
            options.set_dnssec_ok(flags != Flags::Plain);
            message.set_edns(options);
        }
        let bytes = message.to_vec().map_err(|error| LookupFailure::Malformed(error.to_string()))?;
        Ok(Self { id, name: name.clone(), kind, edns, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what came in on the socket of this query.
    pub(super) fn read(&self, message: &[u8]) -> Received {
        let Some(&[id_high, id_low, flags, ..]) = message.first_chunk::<HEADER_LENGTH>() else {
            return Received::Stray;
        };
        let (is_response, opcode, truncated) = (flags & 0x80 != 0, flags & 0x78, flags & 0x02 != 0);
        if u16::from_be_bytes([id_high, id_low]) != self.id || !is_response || opcode != 0 {
            return Received::Stray;
        }
        // What was cut may end within a record: there is nothing to read.
        if truncated {
            return Received::Truncated;
        }
        let bytes = message.len();
        let message = match Message::from_vec(message) {
            Ok(message) => message,
            Err(error) => return Received::Unreadable(error.to_string()),
        };
        let rcode = message.metadata.response_code;
        if !self.is_echoed(&message.queries, rcode) {
            return Received::Stray;
        }
        if self.edns && matches!(rcode, ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS) {
            return Received::WithoutEdns;
        }
        Received::Answer(Answer::new(message, bytes))
    }

    /// A server that could not read the question need not repeat it; every other answer has to.
    fn is_echoed(&self, questions: &[WireQuestion], rcode: ResponseCode) -> bool {
        match questions {
            [one] => *one.name() == self.name && one.query_type() == self.kind && one.query_class() == DNSClass::IN,
            [] => !matches!(rcode, ResponseCode::NoError | ResponseCode::NXDomain),
            _ => false,
        }
    }
}

impl Answer {
    fn new(message: Message, bytes: usize) -> Self {
        let negative_ttl = message.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(seconds(record.ttl).min(seconds(soa.minimum))),
            _ => None,
        });
        let names_others = message.authorities.iter().any(|record| record.record_type() == RecordType::NS);
        Self {
            rcode: message.metadata.response_code,
            authentic: message.metadata.authentic_data,
            extended_errors: message.edns.as_ref().map(extended_errors).unwrap_or_default(),
            bytes,
            server: None,
            negative_ttl,
            is_referral: message.answers.is_empty()
                && negative_ttl.is_none()
                && names_others
                && !message.metadata.recursion_available,
            answers: message.answers.into_iter().filter(|record| record.dns_class == DNSClass::IN).collect(),
            authorities: message.authorities.into_iter().filter(|record| record.dns_class == DNSClass::IN).collect(),
        }
    }

    /// Why this is no usable answer, where it is none.
    pub(super) fn failure(&self) -> Option<LookupFailure> {
        match self.rcode {
            ResponseCode::NoError if self.is_referral => {
                Some(LookupFailure::Malformed("a referral, from a server that does not resolve for others".to_owned()))
            }
            ResponseCode::NoError | ResponseCode::NXDomain => None,
            ResponseCode::ServFail => Some(LookupFailure::ServFail),
            ResponseCode::Refused => Some(LookupFailure::Refused),
            other => Some(LookupFailure::Rcode(other.into())),
        }
    }

    /// The aliases and the records that `read` knows.
    pub(super) fn records<T>(&self, read: fn(&RData) -> Option<T>) -> Vec<AnswerRecord<Name, T>> {
        let known = self.answers.iter().filter_map(|record| {
            let data = match &record.data {
                RData::CNAME(target) => RecordData::Cname(target.0.clone()),
                other => RecordData::Record(read(other)?),
            };
            Some(AnswerRecord { owner: record.name.clone(), ttl: seconds(record.ttl), data })
        });
        known.collect()
    }

    /// The records at one name that `read` knows, each with its TTL.
    pub(super) fn records_at<T>(&self, owner: &Name, read: fn(&RData) -> Option<T>) -> Vec<(T, u32)> {
        let of = self.answers.iter().filter(|record| record.name == *owner);
        of.filter_map(|record| Some((read(&record.data)?, seconds(record.ttl)))).collect()
    }

    /// How long the answer may be kept, in seconds: by its records, or by the SOA record of a denial (RFC 2308 §5).
    pub(super) fn ttl(&self) -> u32 {
        let records = self.answers.iter().map(|record| seconds(record.ttl)).min();
        records.or(self.negative_ttl).unwrap_or(0)
    }
}

fn seconds(ttl: u32) -> u32 {
    if ttl > MAX_TTL { 0 } else { ttl }
}

fn extended_errors(edns: &Edns) -> Vec<ExtendedError> {
    let options = edns.options().get_all(EXTENDED_ERROR);
    let errors = options.into_iter().filter_map(|option| match option {
        EdnsOption::Unknown(_, data) => {
            let (code, text) = data.split_first_chunk::<2>()?;
            let text = text.get(..MAX_EXTRA_TEXT).unwrap_or(text);
            Some(ExtendedError { code: u16::from_be_bytes(*code), text: Octets(text.to_vec()) })
        }
        _ => None,
    });
    errors.take(MAX_EXTENDED_ERRORS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        Query::new(&Name::from_ascii("mx.example.").unwrap(), RecordType::A, Flags::Plain, true).unwrap()
    }

    fn reply(query: &Query) -> Message {
        let mut message = Message::response(query.id, OpCode::Query);
        message.add_query(WireQuestion::query(query.name.clone(), query.kind));
        message
    }

    fn read(query: &Query, message: &Message) -> Received {
        query.read(&message.to_vec().unwrap())
    }

    #[test]
    fn the_query_asks_for_recursion_and_the_ad_bit() {
        let query = query();
        let sent = Message::from_vec(query.bytes()).unwrap();
        assert!(sent.metadata.recursion_desired && sent.metadata.authentic_data && !sent.metadata.checking_disabled);
        let edns = sent.edns.unwrap();
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, false));
    }

    #[test]
    fn signatures_and_unchecked_answers_are_asked_for_by_do_and_cd() {
        for (flags, checking_disabled) in [(Flags::Signed, false), (Flags::Unchecked, true)] {
            let query = Query::new(&Name::root(), RecordType::SOA, flags, true).unwrap();
            let sent = Message::from_vec(query.bytes()).unwrap();
            assert!(sent.metadata.authentic_data && sent.edns.unwrap().flags().dnssec_ok);
            assert_eq!(sent.metadata.checking_disabled, checking_disabled);
        }
    }

    #[test]
    fn only_the_echoed_question_is_answered() {
        let query = query();
        assert!(matches!(read(&query, &reply(&query)), Received::Answer(_)));
        let mut upper = reply(&query);
        upper.queries = vec![WireQuestion::query(Name::from_ascii("MX.Example.").unwrap(), RecordType::A)];
        assert!(matches!(read(&query, &upper), Received::Answer(_)));
        let mut other_name = reply(&query);
        other_name.queries = vec![WireQuestion::query(Name::from_ascii("my.example.").unwrap(), RecordType::A)];
        assert!(matches!(read(&query, &other_name), Received::Stray));
        let mut other_type = reply(&query);
        other_type.queries = vec![WireQuestion::query(query.name.clone(), RecordType::AAAA)];
        assert!(matches!(read(&query, &other_type), Received::Stray));
        let mut other_id = reply(&query);
        other_id.metadata.id = query.id.wrapping_add(1);
        assert!(matches!(read(&query, &other_id), Received::Stray));
        assert!(matches!(query.read(query.bytes()), Received::Stray), "a query is no answer");
    }

    #[test]
    fn an_error_may_leave_the_question_out() {
        let query = query();
        let mut message = reply(&query);
        message.queries.clear();
        assert!(matches!(read(&query, &message), Received::Stray));
        message.metadata.response_code = ResponseCode::Refused;
        assert!(matches!(read(&query, &message), Received::Answer(_)));
        message.metadata.response_code = ResponseCode::FormErr;
        assert!(matches!(read(&query, &message), Received::WithoutEdns));
    }

    #[test]
    fn a_referral_is_not_the_absence_of_records() {
        let query = query();
        let mut message = reply(&query);
        let name_server = RData::NS(hickory_resolver::proto::rr::rdata::NS(Name::from_ascii("ns.example.").unwrap()));
        message.add_authority(Record::from_rdata(Name::from_ascii("example.").unwrap(), 60, name_server));
        let failure = |message: &Message| match read(&query, message) {
            Received::Answer(answer) => answer.failure(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(failure(&message), Some(LookupFailure::Malformed(_))));
        message.metadata.recursion_available = true;
        assert_eq!(failure(&message), None);
    }

    #[test]
    fn a_negative_ttl_counts_as_zero() {
        assert_eq!((seconds(0x8000_0000), seconds(0x7fff_ffff)), (0, 0x7fff_ffff));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let query = query();
            let mut message = query.id.to_be_bytes().to_vec();
            message.push(0x80);
            message.extend(tail);
            let _ = query.read(&message);
        }
    }
}
