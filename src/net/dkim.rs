//! DKIM signatures (RFC 6376) of report mails. The library does the canonical forms and the keys; who is asked, what counts and how
//! long it may take is decided here.
//!
//! Not every signature that the library takes is one: RFC 8460 §3 forbids `l=`, RFC 8301 keys below 1024 bits and SHA-1, and RFC 6376
//! §5.4 demands that From is covered. In a relaxed body the library keeps a line of white space at the end that RFC 6376 §3.4.4 takes
//! away: a signature over such a mail does not hold here. That refuses, and never takes, too much.

use std::{borrow::Borrow, borrow::Cow, collections::HashMap, hash::Hash, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use mail_auth::{
    AuthenticatedMessage, DkimResult as Checked, DnsError, Error, MessageAuthenticator, Parameters, ResolverCache, Txt,
    common::{crypto::Algorithm, parse::TxtRecordParser, verify::DomainKey},
    hickory_resolver::{
        TokioResolver, config::ResolverConfig, net::runtime::TokioRuntimeProvider, proto::op::ResponseCode,
    },
};
use tokio::time::timeout;

use super::resolver::Resolver;
use crate::{
    facts::{Lookup, LookupOutcome},
    protocol::tls_rpt::{Claim, DkimOutcome, DkimResult, SignatureClaim, signature_claims},
    terms::{Octets, PolicyDomain},
};

/// So many signatures for the submitter are looked at, from the top: senders add one or two, and each costs a lookup.
const SIGNATURES_MOST: usize = 5;
/// For all keys of a mail together. Each lookup has its own, shorter time; this bounds the wait for a turn.
const KEYS_WITHIN: Duration = Duration::from_secs(20);
/// A key of 1024 bits makes a signature of so many octets; what is shorter does not count (RFC 8301 §3.2).
const SIGNATURE_LEAST: usize = 128;

/// Looks at the signatures of a mail that could prove the claim: only keys of the claimed organization are asked for.
///
/// Runs the arithmetic on a thread for blocking work. Returns nothing where there is no such signature.
pub async fn check_signatures(resolver: &Resolver, mail: Bytes, claim: &Claim) -> Vec<DkimResult> {
    let claims: Vec<SignatureClaim> =
        signature_claims(&mail).filter(|signature| claim.is_aligned(&signature.domain)).take(SIGNATURES_MOST).collect();
    if claims.is_empty() {
        return Vec::new();
    }
    let mut keys: HashMap<Box<str>, Key> = HashMap::new();
    let mut names: Vec<String> = claims.iter().filter(|signature| counts(signature).is_ok()).map(key_name).collect();
    names.sort();
    names.dedup();
    let lookups = join_all(names.iter().map(|name| resolver.txt(name)));
    match timeout(KEYS_WITHIN, lookups).await {
        Ok(lookups) => {
            for (name, lookup) in names.into_iter().zip(&lookups) {
                keys.insert(format!("{name}.").into(), Key::of(lookup));
            }
        }
        Err(_) => {
            for name in names {
                keys.insert(format!("{name}.").into(), Key::Unknown("no answer in time".to_owned()));
            }
        }
    }
    let domains: Vec<PolicyDomain> = claims.iter().map(|signature| signature.domain.clone()).collect();
    match tokio::task::spawn_blocking(move || verify(&mail, &claims, keys)).await {
        Ok(results) => results,
        // The library stumbled over bytes of the peer.
        Err(error) => {
            tracing::error!(%error, "a signature could not be checked");
            let failed = |domain| DkimResult { domain, outcome: DkimOutcome::Fail("it cannot be checked".to_owned()) };
            domains.into_iter().map(failed).collect()
        }
    }
}

/// What the DNS says at the name of a key.
enum Key {
    Found(Txt),
    Missing(String),
    Unknown(String),
}

impl Key {
    fn of(lookup: &Lookup<Vec<Octets>>) -> Self {
        match &lookup.outcome {
            LookupOutcome::Records { records, .. } => {
                let mut error = None;
                for record in records {
                    let text: Vec<u8> = record.iter().flat_map(Octets::as_bytes).copied().collect();
                    match DomainKey::parse(&text) {
                        Ok(key) => return Self::Found(Txt::DomainKey(key.into())),
                        Err(found) => error = error.or(Some(found)),
                    }
                }
                let why = error.map_or_else(|| "there is none".to_owned(), |error| error.to_string());
                Self::Missing(format!("no usable key at {}: {why}", lookup.name))
            }
            LookupOutcome::NoData | LookupOutcome::NxDomain => {
                Self::Missing(format!("there is no key at {}", lookup.name))
            }
            LookupOutcome::Failed(failure) => Self::Unknown(format!("{}: {failure}", lookup.name)),
        }
    }
}

fn key_name(signature: &SignatureClaim) -> String {
    format!("{}._domainkey.{}", signature.selector.to_ascii_lowercase(), signature.domain)
}

/// Whether a signature is one at all.
fn counts(signature: &SignatureClaim) -> Result<(), String> {
    if signature.partial {
        Err("it covers only a part of the mail (l=, RFC 8460 §3)".to_owned())
    } else if !signature.covers_from {
        Err("it does not cover From (RFC 6376 §5.4)".to_owned())
    } else {
        Ok(())
    }
}

fn verify(mail: &[u8], claims: &[SignatureClaim], keys: HashMap<Box<str>, Key>) -> Vec<DkimResult> {
    let mut results = Vec::new();
    let mut checked = Vec::new();
    for claim in claims {
        let outcome = match (counts(claim), keys.get(format!("{}.", key_name(claim)).as_str())) {
            (Err(why), _) => DkimOutcome::Fail(why),
            (Ok(()), Some(Key::Missing(why))) => DkimOutcome::Fail(why.clone()),
            (Ok(()), Some(Key::Unknown(why))) => DkimOutcome::Unknown(why.clone()),
            (Ok(()), Some(Key::Found(_)) | None) => {
                checked.push(claim);
                continue;
            }
        };
        results.push(DkimResult { domain: claim.domain.clone(), outcome });
    }
    if !checked.is_empty() {
        let mail = with_line_ends(mail);
        let outcome = |claim: &SignatureClaim, outcome| DkimResult { domain: claim.domain.clone(), outcome };
        match hold(&mail, &checked, &KnownKeys(keys)) {
            Ok(found) => results.extend(checked.into_iter().zip(found).map(|(claim, found)| outcome(claim, found))),
            Err(why) => {
                results.extend(checked.into_iter().map(|claim| outcome(claim, DkimOutcome::Fail(why.to_owned()))));
            }
        }
    }
    results
}

/// What the library says of each of these signatures.
fn hold(mail: &[u8], claims: &[&SignatureClaim], keys: &KnownKeys) -> Result<Vec<DkimOutcome>, &'static str> {
    let mut message = AuthenticatedMessage::parse(mail).ok_or("the mail has no header")?;
    message.errors.clear();
    let wanted = |signature: &mail_auth::dkim::Signature| {
        let covers_from = signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"));
        covers_from && claims.iter().any(|claim| matches(claim, signature))
    };
    message.dkim_headers.retain(|header| wanted(&header.header));
    message.dkim_headers.truncate(SIGNATURES_MOST);
    // A resolver that has nobody to ask; the keys are there already, and nothing else is asked for.
    let provider = TokioRuntimeProvider::default();
    let resolver = TokioResolver::builder_with_config(ResolverConfig::default(), provider).build();
    let authenticator = MessageAuthenticator(resolver.map_err(|_| "the verifier cannot be set up")?);
    let parameters: Parameters<'_, _, KnownKeys, Nothing, Nothing, Nothing, Nothing> = Parameters {
        params: &message,
        cache_txt: Some(keys),
        cache_mx: None,
        cache_ptr: None,
        cache_ipv4: None,
        cache_ipv6: None,
    };
    // It waits for nobody, as every answer is there.
    let outputs = authenticator.verify_dkim(parameters).now_or_never().ok_or("the verifier waits for the DNS")?;
    let outcome = |claim: &&SignatureClaim| {
        let its = outputs.iter().filter(|output| output.signature().is_some_and(|signature| matches(claim, signature)));
        let mut outcome = DkimOutcome::Fail("the signature cannot be read".to_owned());
        for output in its {
            let (Some(signature), result) = (output.signature(), output.result()) else { continue };
            outcome = match (signature.a, result) {
                (Algorithm::RsaSha1, _) => DkimOutcome::Fail("rsa-sha1 counts no more (RFC 8301 §3.1)".to_owned()),
                (Algorithm::RsaSha256, _) if signature.b.len() < SIGNATURE_LEAST => {
                    DkimOutcome::Fail("the key has less than 1024 bits (RFC 8301 §3.2)".to_owned())
                }
                (_, Checked::Pass) => return DkimOutcome::Pass,
                (
                    _,
                    Checked::Fail(error)
                    | Checked::Neutral(error)
                    | Checked::PermError(error)
                    | Checked::TempError(error),
                ) => DkimOutcome::Fail(error.to_string()),
                (_, Checked::None) => continue,
            };
        }
        outcome
    };
    Ok(claims.iter().map(outcome).collect())
}

fn matches(claim: &SignatureClaim, signature: &mail_auth::dkim::Signature) -> bool {
    signature.s.eq_ignore_ascii_case(&claim.selector)
        && PolicyDomain::parse(&signature.d).is_ok_and(|domain| domain == claim.domain)
}

/// The mail with the line ends that were signed (RFC 6376 §5.3): mailboxes on Unix keep bare line feeds.
fn with_line_ends(mail: &[u8]) -> Cow<'_, [u8]> {
    let bare = |(place, byte): (usize, &u8)| {
        *byte == b'\n' && place.checked_sub(1).and_then(|before| mail.get(before)) != Some(&b'\r')
    };
    if !mail.iter().enumerate().any(bare) {
        return Cow::Borrowed(mail);
    }
    let mut whole = Vec::with_capacity(mail.len().saturating_add(mail.len() / 32));
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                whole.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                whole.extend_from_slice(b"\r\n");
            }
            None => whole.extend_from_slice(line),
        }
    }
    Cow::Owned(whole)
}

/// The keys that our resolver found. Of any other name it says that there is nothing, so that the library asks nobody.
struct KnownKeys(HashMap<Box<str>, Key>);

impl ResolverCache<Box<str>, Txt> for KnownKeys {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(match self.0.get(name) {
            Some(Key::Found(key)) => key.clone(),
            Some(Key::Missing(_) | Key::Unknown(_)) | None => {
                Txt::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)))
            }
        })
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

/// Stands where the library could keep what it is never asked for.
enum Nothing {}

impl<K, V> ResolverCache<K, V> for Nothing {
    fn get<Q>(&self, _: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match *self {}
    }

    fn remove<Q>(&self, _: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match *self {}
    }

    fn insert(&self, _: K, _: V, _: std::time::Instant) {
        match *self {}
    }
}
