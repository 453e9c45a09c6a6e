//! What stands in the DNS of the world.

use std::{collections::BTreeMap, net::IpAddr};

use hickory_resolver::proto::rr::{
    Name, RData, RecordType,
    rdata::{A, CNAME, MX, TLSA, TXT},
};

use super::{
    DemoError,
    authority::Authority,
    many::Many,
    network::Addresses,
    picture::{MailHost, Picture},
};

/// A character-string of a TXT record holds so many octets (RFC 1035 §3.3).
const STRING_MOST: usize = 255;

/// Names with their records.
#[derive(Debug)]
pub(super) struct Zone {
    /// In canonical form: lower case, without the final dot.
    records: BTreeMap<String, Vec<RData>>,
    /// Zones that are signed.
    signed: Vec<String>,
    many: Many,
}

/// What is found at a name.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    Records(Vec<RData>),
    /// The name is an alias of this one.
    Alias(Name),
    /// The name exists, and has nothing of the type.
    NoData,
    NxDomain,
}

impl Zone {
    /// The zones of these domains, and what they need around them.
    pub(super) fn new<'a>(
        pictures: impl Iterator<Item = &'a Picture>,
        many: Many,
        addresses: &Addresses,
        authority: &Authority,
    ) -> Result<Self, DemoError> {
        let mut zone = Self { records: BTreeMap::new(), signed: Vec::new(), many };
        for picture in pictures {
            zone.add(picture, addresses, authority)?;
        }
        for host in many.hosts() {
            zone.address(&host, addresses)?;
        }
        zone.put("reports.test", RData::MX(MX::new(10, wire_name("mx.reports.test")?)));
        zone.put("mx.reports.test", RData::A(A(addresses.policy_hosts_ip()?)));
        zone.put("policies.many.test", RData::A(A(addresses.policy_hosts_ip()?)));
        Ok(zone)
    }

    fn add(&mut self, picture: &Picture, addresses: &Addresses, authority: &Authority) -> Result<(), DemoError> {
        let name = picture.name;
        for (preference, target) in &picture.mx {
            self.put(name, RData::MX(MX::new(*preference, wire_name(target)?)));
        }
        for text in &picture.record {
            self.put(&format!("_mta-sts.{name}"), text_record(text));
        }
        for text in &picture.tlsrpt {
            self.put(&format!("_smtp._tls.{name}"), text_record(text));
        }
        if let Some(host) = &picture.policy_host {
            let own = format!("mta-sts.{name}");
            if let Some(alias) = host.alias {
                self.put(&own, RData::CNAME(CNAME(wire_name(alias)?)));
            }
            self.put(host.alias.unwrap_or(&own), RData::A(A(addresses.policy_hosts_ip()?)));
        }
        for host in &picture.hosts {
            self.address(&host.name, addresses)?;
            self.pin(host, authority)?;
        }
        if picture.signed {
            self.signed.push(name.to_owned());
        }
        Ok(())
    }

    fn address(&mut self, host: &str, addresses: &Addresses) -> Result<(), DemoError> {
        let address = addresses.of(host).ok_or_else(|| DemoError::World(format!("{host} has no address")))?;
        self.put(host, RData::A(A(address)));
        Ok(())
    }

    fn pin(&mut self, host: &MailHost, authority: &Authority) -> Result<(), DemoError> {
        if let Some(key) = host.pinned {
            let record = TLSA::new(3.into(), 1.into(), 1.into(), authority.key_digest(key)?);
            self.put(&format!("_25._tcp.{}", host.name), RData::TLSA(record));
        }
        Ok(())
    }

    fn put(&mut self, name: &str, record: RData) {
        self.records.entry(name.to_owned()).or_default().push(record);
    }

    /// Looks a name up. The alias is not followed.
    pub(super) fn find(&self, name: &str, kind: RecordType) -> Found {
        let of_many;
        let records = match self.records.get(name) {
            Some(records) => records.as_slice(),
            None => match self.many.records(name) {
                Some(records) => {
                    of_many = records;
                    of_many.as_slice()
                }
                None if self.exists(name) => return Found::NoData,
                None => return Found::NxDomain,
            },
        };
        let found: Vec<RData> = records.iter().filter(|record| record.record_type() == kind).cloned().collect();
        let alias = records.iter().find_map(|record| match record {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        });
        match (found.is_empty(), alias) {
            (false, _) => Found::Records(found),
            (true, Some(target)) => Found::Alias(target),
            (true, None) => Found::NoData,
        }
    }

    /// Whether a name lies in a signed zone.
    pub(super) fn is_signed(&self, name: &str) -> bool {
        self.signed
            .iter()
            .any(|zone| name.strip_suffix(zone.as_str()).is_some_and(|above| above.is_empty() || above.ends_with('.')))
    }

    /// Whether something stands below a name (RFC 8020 §2).
    fn exists(&self, name: &str) -> bool {
        let above = format!(".{name}");
        name == "test" || self.records.keys().any(|other| other.ends_with(&above)) || self.many.exists(name)
    }
}

impl Addresses {
    fn policy_hosts_ip(&self) -> Result<std::net::Ipv4Addr, DemoError> {
        match self.policy_hosts.ip() {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => Err(DemoError::World(format!("{address} is no address of the world"))),
        }
    }
}

pub(super) fn text_record(text: &str) -> RData {
    RData::TXT(TXT::from_bytes(text.as_bytes().chunks(STRING_MOST).collect()))
}

/// A name by its labels, which may hold anything but a dot; `.` is the root.
pub(super) fn wire_name(text: &str) -> Result<Name, DemoError> {
    match text {
        "." => Ok(Name::root()),
        _ => Name::from_labels(text.split('.').map(str::as_bytes))
            .map_err(|error| DemoError::World(format!("{text:?} is no name of the DNS: {error}"))),
    }
}
