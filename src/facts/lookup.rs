//! What the resolver answered.

use std::{fmt, net::IpAddr, num::NonZeroU32, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::terms::{MxHost, Octets, Timestamp};

/// One question to the DNS and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup<T> {
    /// The name asked for, without the final dot.
    pub name: String,
    /// When the answer was complete. A cached answer keeps the time at which it was got.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: LookupOutcome<T>,
    /// The names that CNAME records led to, in order; empty where there was none. The last one owns the records, or is
    /// the name that does not exist.
    pub cname: Vec<String>,
    /// What DNSSEC says of the answer and of the CNAME chain that led to it; one insecure link makes the whole insecure.
    pub security: Security,
    /// The signatures on the way, where the answer is secure and they were looked at.
    pub signatures: Option<SignatureFacts>,
    /// How many bytes the largest message of the answer had, signatures included where they were asked for; 0 where none came.
    pub message_bytes: usize,
    /// RFC 8914: what the resolver said about the answer beside its code.
    pub extended_errors: Vec<ExtendedError>,
    /// Who answered and how long it took; nothing of it in what was stored before it was noted.
    #[serde(default)]
    pub asked: Asked,
}

/// How a question was asked. Some lookups of every domain are kept in memory: 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// In microseconds.
    took: Option<NonZeroU32>,
    /// The server whose answer stands; of an alias chain the one that answered last. Nothing where none answered.
    pub server: Option<IpAddr>,
}

impl Asked {
    /// A question that took so long, to the microsecond and up to an hour.
    pub fn new(took: Duration, server: Option<IpAddr>) -> Self {
        let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        Self { took: NonZeroU32::new(microseconds), server }
    }

    /// How long it took until all was known, the aliases, the proofs of DNSSEC and questions asked again included. A cached
    /// answer keeps the time that it took when it was got.
    pub fn took(&self) -> Option<Duration> {
        self.took.map(|microseconds| Duration::from_micros(microseconds.get().into()))
    }
}

/// What DNSSEC says of an answer (RFC 4035 §4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Validated, or proven to be absent.
    Secure,
    /// Proven to be unsigned.
    Insecure,
    /// Signed, and the signatures do not hold: validating senders get no answer.
    Bogus,
    /// Cannot be told.
    #[default]
    Indeterminate,
}

/// The signatures on the way from the root to an answer (RFC 4034 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFacts {
    /// When the one that ends first ends.
    pub expires: Timestamp,
    /// When that one began.
    pub inception: Timestamp,
    /// What it covers, for people: `example.com DNSKEY`.
    pub covers: String,
    /// The zone on the way that is signed or delegated with SHA-1 only, and how, in words; nothing where there is none.
    pub weak: Option<String>,
}

/// What came of a lookup. "Could not look" ([`LookupOutcome::Failed`]) and "is not there" are different values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LookupOutcome<T> {
    /// At least one record.
    Records {
        /// In the order of the answer.
        records: Vec<T>,
        /// Smallest TTL of the records and of the CNAME chain that led to them, in seconds, as the resolver showed it.
        ttl: u32,
    },
    /// The name exists, a record of this type does not (RFC 2308 §2.2).
    NoData,
    /// The name does not exist (RFC 8020).
    NxDomain,
    /// There was no usable answer: nothing is known.
    Failed(LookupFailure),
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LookupFailure {
    /// The resolver could not get or validate an answer.
    ServFail,
    /// The resolver does not serve us or this name.
    Refused,
    /// Another response code (RFC 6895).
    Rcode(u16),
    /// No answer in time, after all retries.
    Timeout,
    /// The resolver could not be reached: own side.
    Unreachable(String),
    /// What came was no DNS message, or none for this question, or was cut and could not be had whole.
    Malformed(String),
    /// The CNAME chain loops or is longer than the limit.
    CnameChain,
    /// The answer is signed and the signatures do not hold; why, in words, as far as it is known.
    Bogus(String),
}

/// A TLSA record as published (RFC 6698 §2.1), usable or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TlsaRecord {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
    /// Certificate association data.
    pub data: Octets,
}

/// The TLSA lookups of a mail host (RFC 7672 §2.2.2, §2.2.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsaObservation {
    /// The CNAME record at the host's own name, asked for by itself where the host is an alias and its addresses are insecure: the
    /// alias alone may still be secure.
    pub alias: Option<Lookup<String>>,
    /// One lookup a TLSA base domain, in the order in which senders try them. Only those that were needed.
    pub lookups: Vec<TlsaLookup>,
}

/// The TLSA lookup of one TLSA base domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsaLookup {
    /// The TLSA base domain: the host, or what it is an alias of.
    pub base: MxHost,
    /// The records at `_25._tcp.<base>`.
    pub lookup: Lookup<TlsaRecord>,
}

/// An extended DNS error (RFC 8914).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedError {
    /// INFO-CODE.
    pub code: u16,
    /// EXTRA-TEXT, from outside.
    pub text: Octets,
}

impl ExtendedError {
    /// RFC 8914 §4.7 to §4.13: whether the code says that DNSSEC validation failed. Code 5, "indeterminate", says that nothing
    /// is known.
    pub fn is_bogus(&self) -> bool {
        matches!(self.code, 6..=12)
    }
}

/// An MX record (RFC 5321 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MxRecord {
    /// Lower is tried first.
    pub preference: u16,
    /// The exchange.
    pub target: MxTarget,
}

/// The exchange of an MX record, by what it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MxTarget {
    /// A host name.
    Host(MxHost),
    /// The root: a null MX (RFC 7505 §3).
    Null,
    /// An address where a name belongs.
    Address(IpAddr),
    /// No host name at all, escaped.
    Invalid(String),
}

/// The A and AAAA lookups of one name. A family that is switched off was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLookup {
    /// The A lookup.
    pub ip4: Option<Lookup<IpAddr>>,
    /// The AAAA lookup.
    pub ip6: Option<Lookup<IpAddr>>,
}

impl<T> Lookup<T> {
    /// The records, or none.
    pub fn records(&self) -> &[T] {
        match &self.outcome {
            LookupOutcome::Records { records, .. } => records,
            _ => &[],
        }
    }

    /// The TTL of the records.
    pub fn ttl(&self) -> Option<u32> {
        match &self.outcome {
            LookupOutcome::Records { ttl, .. } => Some(*ttl),
            _ => None,
        }
    }

    /// Why there was no answer, where there was none.
    pub fn failure(&self) -> Option<&LookupFailure> {
        match &self.outcome {
            LookupOutcome::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// Whether the DNS answered: with records, or that there are none.
    pub fn answered(&self) -> bool {
        self.failure().is_none()
    }

    /// Whether the DNS answered that nothing is there.
    pub fn is_absent(&self) -> bool {
        matches!(self.outcome, LookupOutcome::NoData | LookupOutcome::NxDomain)
    }

    /// Whether a CNAME leads to a name that does not exist.
    pub fn is_dangling(&self) -> bool {
        !self.cname.is_empty() && matches!(self.outcome, LookupOutcome::NxDomain)
    }
}

impl AddressLookup {
    /// Both lookups that were made.
    pub fn lookups(&self) -> impl Iterator<Item = &Lookup<IpAddr>> {
        self.ip4.iter().chain(&self.ip6)
    }

    /// All addresses, IPv4 first, in the order of the answers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.lookups().flat_map(|lookup| lookup.records().iter().copied())
    }

    /// Whether every lookup was answered.
    pub fn answered(&self) -> bool {
        self.lookups().all(Lookup::answered)
    }

    /// The first failure.
    pub fn failure(&self) -> Option<&LookupFailure> {
        self.lookups().find_map(Lookup::failure)
    }

    /// Whether the DNS said, for every family asked, that there is no address.
    pub fn is_absent(&self) -> bool {
        self.lookups().all(Lookup::is_absent)
    }

    /// The CNAME chain, from whichever lookup has one.
    pub fn cname(&self) -> &[String] {
        self.lookups().map(|lookup| lookup.cname.as_slice()).find(|chain| !chain.is_empty()).unwrap_or(&[])
    }

    /// Whether a CNAME leads to a name that does not exist.
    pub fn is_dangling(&self) -> bool {
        self.lookups().any(Lookup::is_dangling)
    }
}

impl Security {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate",
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// As in a zone file, the data in lower-case hexadecimal.
impl fmt::Display for TlsaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl LookupFailure {
    /// A closed word for metrics and JSON.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ServFail => "servfail",
            Self::Refused => "refused",
            Self::Rcode(_) => "rcode",
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Malformed(_) => "malformed",
            Self::CnameChain => "cname-chain",
            Self::Bogus(_) => "bogus",
        }
    }
}

impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServFail => f.write_str("SERVFAIL"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Rcode(code) => write!(f, "response code {code}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Unreachable(why) => write!(f, "the resolver cannot be reached ({why})"),
            Self::Malformed(why) => write!(f, "an unreadable answer ({why})"),
            Self::CnameChain => f.write_str("a CNAME chain that loops or is too long"),
            Self::Bogus(why) => write!(f, "DNSSEC validation failed ({why})"),
        }
    }
}

impl fmt::Display for MxTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Null => f.pad("."),
            Self::Address(address) => address.fmt(f),
            Self::Invalid(text) => f.pad(text),
        }
    }
}
