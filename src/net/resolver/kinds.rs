//! The record types that the monitor asks for, and how their records are read.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{RData, RecordType};

use crate::{
    facts::{MxRecord, TlsaRecord},
    protocol::dns::{mx_target, presentation},
    terms::Octets,
};

/// A record type and how its records are read.
#[derive(Clone, Copy)]
pub(super) struct Kind<T> {
    pub(super) record_type: RecordType,
    pub(super) read: fn(&RData) -> Option<T>,
}

impl<T> Kind<T> {
    /// Whether aliases are asked for, and so are not followed.
    pub(super) fn is_alias(&self) -> bool {
        self.record_type == RecordType::CNAME
    }
}

pub(super) const TXT: Kind<Vec<Octets>> = Kind {
    record_type: RecordType::TXT,
    read: |data| match data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|string| Octets(string.to_vec())).collect()),
        _ => None,
    },
};

pub(super) const MX: Kind<MxRecord> = Kind {
    record_type: RecordType::MX,
    read: |data| match data {
        RData::MX(mx) => Some(MxRecord { preference: mx.preference, target: mx_target(mx.exchange.iter()) }),
        _ => None,
    },
};

pub(super) const A: Kind<IpAddr> = Kind {
    record_type: RecordType::A,
    read: |data| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    },
};

pub(super) const AAAA: Kind<IpAddr> = Kind {
    record_type: RecordType::AAAA,
    read: |data| match data {
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    },
};

pub(super) const TLSA: Kind<TlsaRecord> = Kind {
    record_type: RecordType::TLSA,
    read: |data| match data {
        RData::TLSA(tlsa) => Some(TlsaRecord {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: Octets(tlsa.cert_data.clone()),
        }),
        _ => None,
    },
};

/// The alias itself, as a record to be had and not as a link to be followed.
pub(super) const CNAME: Kind<String> = Kind {
    record_type: RecordType::CNAME,
    read: |data| match data {
        RData::CNAME(target) => Some(presentation(target.0.iter())),
        _ => None,
    },
};
