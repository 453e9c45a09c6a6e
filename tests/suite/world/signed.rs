//! DNSSEC for the name server: a private root, signed and unsigned zones below it, and every way in which signing goes wrong.
//!
//! Records are signed as they are answered, so whatever a test sets at the [`DnsPeer`](super::dns::DnsPeer) under a signed zone
//! is signed. The DS records of a zone are answered by its parent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use hickory_resolver::proto::{
    dnssec::{
        Algorithm, DigestType, PublicKeyBuf, SigningKey, TBS,
        crypto::Ed25519SigningKey,
        rdata::{DNSKEY, DNSSECRData, DS, NSEC, RRSIG, sig::SigInput},
    },
    op::{Message, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType, SerialNumber,
        rdata::{NS, SOA, opt::EdnsOption},
    },
};

use super::dns::{TTL, canonical, wire_name};

/// How a zone below the signed root is signed and delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// As it should be.
    Signed,
    /// Delegated without a DS record and not signed: insecure.
    Unsigned,
    /// The DS record is for another key: bogus.
    WrongDs,
    /// The signatures over the records ended yesterday; those over the keys hold: bogus.
    Expired,
    /// The signatures over the records begin tomorrow: bogus.
    NotYetValid,
    /// The zone gives no signatures over its records, although its DS record stands: bogus.
    NoSignatures,
    /// The signatures are for other records: bogus.
    Tampered,
    /// The zone's denials hold no proof: bogus.
    NoDenial,
    /// Every denial holds the NSEC records of all names, none of them signed: each leads a validator to ask for the next denial.
    Maze,
    /// Says that its signatures are RSA/SHA-1: fit for a resolver that believes the AD bit, because they are not.
    Sha1Signed,
    /// Signed well, delegated by a SHA-1 digest alone: secure and weak.
    Sha1Delegation,
}

/// What the name server does about DNSSEC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Gives signatures to those who ask with DO, and judges nothing.
    #[default]
    Forwarder,
    /// Judges: AD where all is secure; SERVFAIL with an extended error where it is bogus, unless it is asked with CD.
    Validating,
    /// Judges, and says SERVFAIL without an extended error.
    ValidatingTerse,
    /// Says that everything is secure.
    Credulous,
    /// A forwarder that leaves nothing but the SOA record in the authority section.
    NoAuthority,
    /// Throws away everything that belongs to DNSSEC, as home routers do.
    Stripping,
}

/// The signed world behind a name server.
pub struct Signed {
    zones: BTreeMap<String, SignedZone>,
    lifetimes: HashMap<(String, RecordType), (i64, i64)>,
    pub role: Role,
}

struct SignedZone {
    apex: Name,
    key: Box<dyn SigningKey>,
    dnskey: DNSKEY,
    signing: Signing,
}

/// What a query asks for beside its question.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
    pub authentic_data: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Secure,
    Insecure,
    /// With the code of the extended error.
    Bogus(u16),
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("zones", &self.zones.keys()).field("role", &self.role).finish()
    }
}

impl Default for Signed {
    /// A signed root alone.
    fn default() -> Self {
        let mut signed = Self { zones: BTreeMap::new(), lifetimes: HashMap::new(), role: Role::default() };
        signed.add(".", Signing::Signed);
        signed
    }
}

impl Signed {
    pub fn add(&mut self, zone: &str, signing: Signing) {
        let (key, dnskey) = new_key();
        let name = canonical(zone);
        self.zones.insert(name, SignedZone { apex: wire_name(zone), key, dnskey, signing });
    }

    pub fn lifetime(&mut self, name: &str, kind: RecordType, from: i64, to: i64) {
        self.lifetimes.insert((canonical(name), kind), (from, to));
    }

    /// The zones.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.zones.keys()
    }

    /// The anchor as a DNSKEY line.
    pub fn anchor(&self) -> String {
        format!(". 300 IN DNSKEY {}", self.zones["."].dnskey)
    }

    /// The anchor as a DS line.
    pub fn anchor_digest(&self) -> String {
        format!(". 300 IN DS {}", ds(&Name::root(), &self.zones["."].dnskey, DigestType::SHA256))
    }

    /// The records that zones themselves answer with: keys, delegations, name servers, starts of authority.
    pub fn own(&self, name: &Name, kind: RecordType) -> Option<Vec<Record>> {
        let zone = self.zones.get(&canonical(&name.to_ascii()))?;
        let data = match kind {
            RecordType::DNSKEY if zone.signing != Signing::Unsigned => {
                RData::DNSSEC(DNSSECRData::DNSKEY(zone.dnskey.clone()))
            }
            RecordType::DS if !name.is_root() => match zone.signing {
                Signing::Unsigned => return None,
                Signing::WrongDs => ds_data(name, &new_key().1, DigestType::SHA256),
                Signing::Sha1Delegation => ds_data(name, &zone.dnskey, DigestType::SHA1),
                _ => ds_data(name, &zone.dnskey, DigestType::SHA256),
            },
            RecordType::NS => RData::NS(NS(wire_name("ns.invalid"))),
            RecordType::SOA => soa(),
            _ => return None,
        };
        Some(vec![Record::from_rdata(name.clone(), TTL, data)])
    }

    /// Makes of an answer what the role gives: signatures, proofs of denial, AD, SERVFAIL. `owners`: the names that have records,
    /// with their types.
    pub fn dress(&self, answer: &mut Message, wishes: Wishes, owners: &BTreeMap<String, BTreeSet<RecordType>>) {
        if !matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return;
        }
        let question = answer.queries[0].clone();
        let mut end = question.name().clone();
        while let Some(target) = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == end && question.query_type() != RecordType::CNAME => {
                Some(target.0.clone())
            }
            _ => None,
        }) {
            end = target;
        }
        let denies = answer.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
        let mut state = State::Secure;
        let mut rrsets: Vec<(Name, RecordType)> = Vec::new();
        for record in &answer.answers {
            let rrset = (record.name.clone(), record.record_type());
            if !rrsets.contains(&rrset) {
                rrsets.push(rrset);
            }
        }
        for (owner, kind) in rrsets {
            state = state.max(self.state(&owner, kind, false));
            let records: Vec<Record> =
                answer.answers.iter().filter(|one| one.name == owner && one.record_type() == kind).cloned().collect();
            if wishes.dnssec_ok && self.role != Role::Stripping {
                let zone = self.zone(&owner, kind);
                let wildcard = !owners.contains_key(&canonical(&owner.to_ascii()))
                    && zone.apex != owner
                    && self.own(&owner, kind).is_none();
                answer.add_answers(self.sign(zone, &records, wildcard));
                if wildcard && zone.signing != Signing::Unsigned {
                    // RFC 4035 §3.1.3.3: and that there is nothing nearer.
                    let proof = self.denial(&owner, kind, ResponseCode::NoError, owners).remove(1);
                    answer.add_authorities(self.sign(zone, &proof, false));
                    answer.add_authorities(proof);
                }
            }
        }
        if denies {
            state = state.max(self.state(&end, question.query_type(), true));
            // Not by the owner: the NSEC record at a delegation is its parent's.
            let zone = self.zone(&end, question.query_type());
            let denial = self.denial(&end, question.query_type(), answer.metadata.response_code, owners);
            answer.authorities.clear();
            for records in denial {
                let proof = records[0].record_type() == RecordType::NSEC;
                let signed = wishes.dnssec_ok && !matches!(self.role, Role::Stripping | Role::NoAuthority);
                if signed {
                    answer.add_authorities(self.sign(zone, &records, false));
                }
                if signed || !proof {
                    answer.add_authorities(records);
                }
            }
        }
        if self.role == Role::Credulous {
            answer.metadata.authentic_data = !wishes.checking_disabled;
            return;
        }
        let judges = matches!(self.role, Role::Validating | Role::ValidatingTerse);
        match state {
            State::Bogus(code) if judges && !wishes.checking_disabled => {
                answer.answers.clear();
                answer.authorities.clear();
                answer.metadata.response_code = ResponseCode::ServFail;
                if let (Role::Validating, Some(edns)) = (self.role, &mut answer.edns) {
                    edns.options_mut().insert(EdnsOption::Unknown(15, code.to_be_bytes().to_vec()));
                }
            }
            _ => {
                answer.metadata.authentic_data = judges
                    && state == State::Secure
                    && !wishes.checking_disabled
                    && (wishes.dnssec_ok || wishes.authentic_data);
            }
        }
    }

    /// The zone that has a name; of the DS records of a zone it is the one above.
    fn zone(&self, name: &Name, kind: RecordType) -> &SignedZone {
        let within = self.zones.values().filter(|zone| zone.apex.zone_of(name));
        let above = within.filter(|zone| kind != RecordType::DS || zone.apex != *name || name.is_root());
        above.max_by_key(|zone| zone.apex.num_labels()).expect("the root")
    }

    fn state(&self, name: &Name, kind: RecordType, denied: bool) -> State {
        let lowest = self.zone(name, kind);
        let mut zones: Vec<&SignedZone> = self.zones.values().filter(|zone| zone.apex.zone_of(&lowest.apex)).collect();
        zones.sort_by_key(|zone| zone.apex.num_labels());
        for zone in zones {
            // What is wrong with the records of a zone is wrong with its delegations.
            let records = if zone.apex == lowest.apex { kind } else { RecordType::DS };
            match zone.signing {
                Signing::Unsigned => return State::Insecure,
                Signing::WrongDs => return State::Bogus(9),
                _ if records == RecordType::DNSKEY => {}
                Signing::Expired => return State::Bogus(7),
                Signing::NotYetValid => return State::Bogus(8),
                Signing::NoSignatures => return State::Bogus(10),
                Signing::Tampered | Signing::Maze => return State::Bogus(6),
                Signing::NoDenial if denied => return State::Bogus(12),
                Signing::Signed | Signing::NoDenial | Signing::Sha1Signed | Signing::Sha1Delegation => {}
            }
        }
        let now = now();
        match self.lifetimes.get(&(canonical(&name.to_ascii()), kind)) {
            Some((_, to)) if now + to < now => State::Bogus(7),
            _ => State::Secure,
        }
    }

    fn sign(&self, zone: &SignedZone, records: &[Record], wildcard: bool) -> Vec<Record> {
        let (owner, kind, ttl) = (&records[0].name, records[0].record_type(), records[0].ttl);
        const DAY: i64 = 24 * 3600;
        let (from, to) = match (zone.signing, kind) {
            (Signing::Unsigned, _) => return Vec::new(),
            // Those on the way last longer, so that a slow machine does not change which signature ends first.
            (_, RecordType::DNSKEY) => (-DAY, 15 * DAY),
            (Signing::NoSignatures, _) | (Signing::Maze, RecordType::NSEC) => return Vec::new(),
            (Signing::Expired, _) => (-14 * DAY, -DAY),
            (Signing::NotYetValid, _) => (DAY, 14 * DAY),
            (_, RecordType::DS) => (-DAY, 15 * DAY),
            _ => (-DAY, 14 * DAY),
        };
        let (from, to) = self.lifetimes.get(&(canonical(&owner.to_ascii()), kind)).copied().unwrap_or((from, to));
        let at = |offset: i64| SerialNumber::new(u32::try_from(now() + offset).unwrap());
        let input = SigInput {
            type_covered: kind,
            algorithm: match zone.signing {
                Signing::Sha1Signed => Algorithm::from_u8(7),
                _ => zone.key.algorithm(),
            },
            num_labels: owner.num_labels() - u8::from(wildcard),
            original_ttl: ttl,
            sig_expiration: at(to),
            sig_inception: at(from),
            key_tag: zone.dnskey.calculate_key_tag().unwrap(),
            signer_name: zone.apex.clone(),
        };
        let tbs = TBS::from_input(owner, DNSClass::IN, &input, records.iter()).unwrap();
        let mut bytes = zone.key.sign(&tbs).unwrap();
        if zone.signing == Signing::Tampered && kind != RecordType::DNSKEY {
            bytes[0] ^= 1;
        }
        let signature = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, bytes)));
        vec![Record::from_rdata(owner.clone(), ttl, signature)]
    }

    /// The RRsets of a denial: the start of authority, and the NSEC records of RFC 4035 §3.1.3.
    fn denial(
        &self,
        name: &Name,
        kind: RecordType,
        code: ResponseCode,
        owners: &BTreeMap<String, BTreeSet<RecordType>>,
    ) -> Vec<Vec<Record>> {
        let zone = self.zone(name, kind);
        let mut rrsets = vec![vec![Record::from_rdata(zone.apex.clone(), TTL, soa())]];
        if matches!(zone.signing, Signing::Unsigned | Signing::NoDenial) {
            return rrsets;
        }
        let mut names: BTreeMap<Name, BTreeSet<RecordType>> = BTreeMap::new();
        for (owner, kinds) in owners {
            let owner = wire_name(owner);
            if self.zone(&owner, RecordType::A).apex == zone.apex {
                names.entry(owner).or_default().extend(kinds);
            }
        }
        names.entry(zone.apex.clone()).or_default().extend([RecordType::SOA, RecordType::NS, RecordType::DNSKEY]);
        for child in self.zones.values().filter(|child| !child.apex.is_root() && child.apex != zone.apex) {
            if self.zone(&child.apex, RecordType::DS).apex == zone.apex {
                let kinds = names.entry(child.apex.clone()).or_default();
                kinds.clear();
                kinds.insert(RecordType::NS);
                if child.signing != Signing::Unsigned {
                    kinds.insert(RecordType::DS);
                }
            }
        }
        let ordered: Vec<&Name> = names.keys().collect();
        // The NSEC record at a name, or of the last name before it.
        let covering = |name: &Name| {
            let place = ordered.iter().rposition(|owner| *owner <= name).unwrap_or(ordered.len() - 1);
            let next = ordered.get(place + 1).copied().unwrap_or(&zone.apex);
            let nsec = NSEC::new_cover_self(next.clone(), names[ordered[place]].iter().copied());
            Record::from_rdata(ordered[place].clone(), TTL, RData::DNSSEC(DNSSECRData::NSEC(nsec)))
        };
        let mut proofs = vec![covering(name)];
        if code == ResponseCode::NXDomain {
            let mut encloser = name.base_name();
            while !names.keys().any(|owner| encloser.zone_of(owner)) {
                encloser = encloser.base_name();
            }
            let wildcard = Name::from_ascii("*").unwrap().append_domain(&encloser).unwrap();
            let proof = covering(&wildcard);
            if proof.name != proofs[0].name {
                proofs.push(proof);
            }
        }
        if zone.signing == Signing::Maze {
            proofs = names.keys().map(covering).collect();
        }
        rrsets.extend(proofs.into_iter().map(|proof| vec![proof]));
        rrsets
    }
}

fn new_key() -> (Box<dyn SigningKey>, DNSKEY) {
    let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
    let public = key.to_public_key().unwrap();
    let public = PublicKeyBuf::new(public.into_inner(), Algorithm::ED25519);
    (Box::new(key), DNSKEY::with_flags(257, public))
}

fn ds(zone: &Name, key: &DNSKEY, digest: DigestType) -> DS {
    let hash = key.to_digest(zone, digest).unwrap();
    DS::new(key.calculate_key_tag().unwrap(), Algorithm::ED25519, digest, hash.as_ref().to_vec())
}

fn ds_data(zone: &Name, key: &DNSKEY, digest: DigestType) -> RData {
    RData::DNSSEC(DNSSECRData::DS(ds(zone, key, digest)))
}

fn soa() -> RData {
    RData::SOA(SOA::new(wire_name("ns.invalid"), wire_name("hostmaster.invalid"), 1, 60, 60, 60, 60))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}
