//! The objects of a report, each with its keys (RFC 8460 §4.4).

use serde::de::MapAccess;

use super::{
    FailureDetail, PolicyType, Quirk, ReportedPolicy, ResultType,
    objects::{Fields, Found, Key, Objects, One, Scalar, read_fields, read_objects, read_scalar},
    read::{Reading, Remainder},
    times::read_time,
};

/// The report.
pub(super) struct Top;

impl<'de> Fields<'de> for Top {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        match key {
            Key::Organization => {
                let value = read_scalar(map, reading)?;
                reading.report.organization = reading.text(value);
            }
            Key::Contact => {
                let value = read_scalar(map, reading)?;
                reading.contact_is_null = matches!(value, Scalar::Null);
                reading.report.contact = reading.text(value);
            }
            Key::ReportId => {
                let value = read_scalar(map, reading)?;
                reading.report.report_id = reading.text(value);
            }
            Key::DateRange => {
                (reading.report.begin, reading.report.end) = (None, None);
                let found = read_objects(&mut One(&mut DateRange), map, reading)?;
                reading.expect_object(found);
            }
            Key::Policies => {
                reading.forget_policies();
                let found = read_objects(&mut Policies, map, reading)?;
                reading.policies_found = matches!(found, Found::Object | Found::List(_));
                match found {
                    Found::Object => reading.quirks.add(Quirk::PoliciesNotArray),
                    Found::Other => reading.quirks.add(Quirk::ValueType),
                    Found::List(_) | Found::Null => {}
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

struct DateRange;

impl<'de> Fields<'de> for DateRange {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        let is_end = match key {
            Key::Begin => false,
            Key::End => true,
            _ => return Ok(false),
        };
        let time = match read_scalar(map, reading)? {
            Scalar::Text(text) => read_time(text.trim(), is_end, &mut reading.quirks),
            Scalar::Bare(text) => read_time(text, is_end, &mut reading.quirks),
            Scalar::Null | Scalar::Array(_) | Scalar::Object => None,
        };
        if is_end {
            reading.report.end = time;
        } else {
            reading.report.begin = time;
        }
        Ok(true)
    }
}

/// The entries of `policies`.
struct Policies;

impl<'de> Objects<'de> for Policies {
    fn object<A: MapAccess<'de>>(&mut self, map: A, reading: &mut Reading) -> Result<(), A::Error> {
        let mut entry = Entry { collects: reading.has_room_for_policy(), ..Entry::default() };
        read_fields(&mut entry, map, reading)?;
        entry.tell(reading);
        reading.close(entry);
        Ok(())
    }
}

/// An entry of `policies`, while it is read.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) policy: ReportedPolicy,
    /// Details that are not kept.
    pub(super) rest: Remainder,
    /// Whether details are kept.
    collects: bool,
    type_told: bool,
    domain_told: bool,
    details: u64,
    detailed_sessions: u64,
    counts: [Option<u64>; 2],
}

impl Entry {
    /// The quirks of an entry that was read.
    fn tell(&mut self, reading: &mut Reading) {
        let [successful, failed] = self.counts;
        if successful.is_none() || failed.is_none() {
            reading.quirks.add(Quirk::CountMissing);
        }
        self.policy.successful = successful.unwrap_or(0);
        self.policy.failed = failed.unwrap_or(0);
        if !self.type_told {
            reading.quirks.add(Quirk::PolicyTypeMissing);
        }
        if !self.domain_told {
            reading.quirks.add(Quirk::PolicyDomainMissing);
        }
        if self.details == 0 && self.policy.failed > 0 {
            reading.quirks.add(Quirk::FailureDetailsMissing);
        } else if self.detailed_sessions != self.policy.failed {
            reading.quirks.add(Quirk::CountsDisagree);
        }
    }
}

impl<'de> Fields<'de> for Entry {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        match key {
            Key::Policy => {
                reading.forget_lines(&self.policy);
                self.policy =
                    ReportedPolicy { failures: std::mem::take(&mut self.policy.failures), ..Default::default() };
                (self.type_told, self.domain_told) = (false, false);
                let found = read_objects(&mut One(&mut PolicyFields(self)), map, reading)?;
                reading.expect_object(found);
            }
            Key::Summary => {
                self.counts = [None, None];
                let found = read_objects(&mut One(&mut Summary(&mut self.counts)), map, reading)?;
                reading.expect_object(found);
            }
            Key::FailureDetails => {
                reading.forget_details(&self.policy);
                self.policy.failures.clear();
                self.rest = Remainder::default();
                (self.details, self.detailed_sessions) = (0, 0);
                match read_objects(&mut Details(self), map, reading)? {
                    Found::Object => reading.quirks.add(Quirk::FailureDetailsNotArray),
                    Found::Null => reading.quirks.add(Quirk::FailureDetailsNull),
                    Found::Other => reading.quirks.add(Quirk::ValueType),
                    Found::List(_) => {}
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

struct PolicyFields<'a>(&'a mut Entry);

impl<'de> Fields<'de> for PolicyFields<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        let policy = &mut self.0.policy;
        match key {
            Key::PolicyType => {
                let value = read_scalar(map, reading)?;
                let (word, told) = reading.word(value, PolicyType::parse);
                (policy.policy_type, self.0.type_told) = (word, told);
                if told && word == PolicyType::Other {
                    reading.quirks.add(Quirk::PolicyTypeUnknown);
                }
            }
            Key::PolicyDomain => {
                let value = read_scalar(map, reading)?;
                self.0.domain_told = !value.is_blank();
                let name = reading.name(value, Quirk::PolicyDomainInvalid);
                if name.as_ref().is_some_and(|name| !name.canonical) {
                    reading.quirks.add(Quirk::PolicyDomainNotCanonical);
                }
                policy.domain = name.map(|name| name.text);
            }
            Key::PolicyString => {
                reading.lines_kept = reading.lines_kept.saturating_sub(policy.policy_string.len());
                policy.policy_string.clear();
                let value = read_scalar(map, reading)?;
                reading.lines(value, &mut policy.policy_string);
            }
            Key::MxHost => {
                reading.lines_kept = reading.lines_kept.saturating_sub(policy.mx.len());
                policy.mx.clear();
                let value = read_scalar(map, reading)?;
                reading.patterns(value, &mut policy.mx);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Successful and failed sessions.
struct Summary<'a>(&'a mut [Option<u64>; 2]);

impl<'de> Fields<'de> for Summary<'_> {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        let [successful, failed] = &mut *self.0;
        let count = match key {
            Key::Successful => successful,
            Key::Failed => failed,
            _ => return Ok(false),
        };
        let value = read_scalar(map, reading)?;
        *count = reading.count(&value);
        Ok(true)
    }
}

/// The entries of `failure-details`.
struct Details<'a>(&'a mut Entry);

impl<'de> Objects<'de> for Details<'_> {
    fn object<A: MapAccess<'de>>(&mut self, map: A, reading: &mut Reading) -> Result<(), A::Error> {
        let mut fields = DetailFields::default();
        read_fields(&mut fields, map, reading)?;
        let detail = fields.told(reading);
        let entry = &mut *self.0;
        entry.details += 1;
        entry.detailed_sessions = entry.detailed_sessions.saturating_add(detail.sessions);
        if entry.collects && reading.takes_detail() {
            entry.policy.failures.push(detail);
        } else {
            reading.quirks.add(Quirk::Truncated);
            entry.rest.add(detail.result_type, detail.sessions);
        }
        Ok(())
    }
}

#[derive(Default)]
struct DetailFields {
    detail: FailureDetail,
    type_told: bool,
    sessions: Option<u64>,
    sending_ip_told: bool,
}

impl DetailFields {
    fn told(mut self, reading: &mut Reading) -> FailureDetail {
        let result_type = self.detail.result_type;
        if !self.type_told || result_type == ResultType::Other {
            reading.quirks.add(Quirk::ResultTypeUnknown);
        }
        if self.sessions.is_none() {
            reading.quirks.add(Quirk::CountMissing);
        }
        self.detail.sessions = self.sessions.unwrap_or(0);
        // A policy that could not be had has no session with a mail host to tell of (FLD-18).
        let before_sessions = matches!(
            result_type,
            ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid
        );
        if !self.sending_ip_told && self.detail.sessions > 0 && !before_sessions {
            reading.quirks.add(Quirk::SendingIpMissing);
        }
        self.detail
    }
}

impl<'de> Fields<'de> for DetailFields {
    fn field<A: MapAccess<'de>>(&mut self, key: Key, map: &mut A, reading: &mut Reading) -> Result<bool, A::Error> {
        let detail = &mut self.detail;
        if !matches!(
            key,
            Key::ResultType
                | Key::Sessions
                | Key::SendingIp
                | Key::ReceivingMx
                | Key::ReceivingHelo
                | Key::ReceivingIp
                | Key::Reason
                | Key::More
        ) {
            return Ok(false);
        }
        let value = read_scalar(map, reading)?;
        match key {
            Key::ResultType => (detail.result_type, self.type_told) = reading.word(value, ResultType::parse),
            Key::Sessions => self.sessions = reading.count(&value),
            Key::SendingIp => {
                self.sending_ip_told = !value.is_blank();
                detail.sending_ip = reading.address(&value);
            }
            Key::ReceivingIp => detail.receiving_ip = reading.address(&value),
            Key::ReceivingMx => {
                detail.receiving_mx = reading.name(value, Quirk::MxHostnameInvalid).map(|name| name.text);
            }
            Key::ReceivingHelo => detail.receiving_helo = reading.text(value),
            Key::Reason => detail.reason = reading.text(value),
            _ => detail.more = reading.text(value),
        }
        Ok(true)
    }
}
