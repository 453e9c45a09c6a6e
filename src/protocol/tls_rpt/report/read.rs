//! From JSON to a report: in one pass, and nothing is kept that is not wanted.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use serde::de::DeserializeSeed;

use super::{
    PolicyType, Quirk, Refusal, RefusalReason, ReportedPolicy, ResultType, TlsReport,
    fields::{Entry, Top},
    objects::{Any, DEPTH_MOST, Found, One, Scalar, depth},
    quirk::Seen,
};
use crate::terms::Timestamp;

/// REP-22: so many bytes of JSON are read, as other receivers do. A report about a million sessions that failed in a hundred ways at a
/// thousand hosts has a hundredth of it.
pub const JSON_MOST: usize = 25 << 20;

/// So many entries of `policies` are kept apart; what the others say is added up. Senders report about one domain at a time, a few
/// about all of a provider's.
pub const POLICIES_MOST: usize = 10_000;

/// So many entries of `failure-details` are kept of one report; the sessions of the others are added up by result type. A detail takes
/// 200 bytes and more in memory, and 3 in JSON.
pub const DETAILS_MOST: usize = 50_000;

/// So many lines of policies and patterns are kept of one report. A policy has four lines and up.
pub const LINES_MOST: usize = 50_000;

const DAY: Duration = Duration::from_secs(86_400);

/// Reads a report from plain JSON (RFC 8460 §4.4), at most [`JSON_MOST`] bytes. What is odd becomes a quirk; where a key stands twice, the
/// last one counts.
///
/// # Errors
/// [`RefusalReason::BadJson`] for what is not JSON, no object, or has nothing of a report in it; [`RefusalReason::TooLarge`] beyond the
/// limits of size and depth.
pub fn read_report(json: &[u8]) -> Result<TlsReport, Refusal> {
    read_json(json, Seen::default())
}

/// The same, with what was odd about the way in which the JSON came.
pub(in crate::protocol::tls_rpt) fn read_json(json: &[u8], mut quirks: Seen) -> Result<TlsReport, Refusal> {
    if json.len() > JSON_MOST {
        let detail = format!("{} bytes of JSON; at most {JSON_MOST} were expected", json.len());
        return Err(Refusal::new(RefusalReason::TooLarge, detail));
    }
    let text = decoded(json, &mut quirks);
    let text = text.trim_start();
    if !text.starts_with('{') {
        let seen: String = text.chars().take(20).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let detail = if seen.is_empty() {
            "there is nothing; the JSON object of a TLS report (RFC 8460 section 4.4) was expected".to_owned()
        } else {
            format!(
                "{seen:?} stands at its beginning; the JSON object of a TLS report (RFC 8460 section 4.4) was expected"
            )
        };
        return Err(Refusal::new(RefusalReason::BadJson, detail));
    }
    match read_text(text, quirks) {
        Err(Failure::Syntax(error)) if error.is_syntax() && text.bytes().any(|byte| byte < b' ') => {
            // A line feed or a control character stands as it is within a text: between texts a blank does as well.
            let blanked: String = text.chars().map(|letter| if letter < ' ' { ' ' } else { letter }).collect();
            quirks.add(Quirk::ControlCharacter);
            read_text(&blanked, quirks).or(Err(Failure::Syntax(error)))
        }
        result => result,
    }
    .map_err(Failure::refusal)
}

/// Why a text is no report.
enum Failure {
    Syntax(serde_json::Error),
    Other(Refusal),
}

impl Failure {
    fn refusal(self) -> Refusal {
        match self {
            Self::Syntax(error) => Refusal::new(RefusalReason::BadJson, format!("not JSON: {error}")),
            Self::Other(refusal) => refusal,
        }
    }
}

fn read_text(text: &str, quirks: Seen) -> Result<TlsReport, Failure> {
    let mut reading = Reading { quirks, ..Reading::default() };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let top = Any { objects: &mut One(&mut Top), reading: &mut reading, in_list: false };
    if let Err(error) = top.deserialize(&mut deserializer) {
        return Err(match reading.too_deep {
            true => {
                let detail = format!("values within values, more than {DEPTH_MOST} deep; a report has eight levels");
                Failure::Other(Refusal::new(RefusalReason::TooLarge, detail))
            }
            false => Failure::Syntax(error),
        });
    }
    if deserializer.end().is_err() {
        reading.quirks.add(Quirk::TrailingData);
    }
    reading.finish().map_err(Failure::Other)
}

/// The bytes as text: without a byte order mark, and with a mark in the place of what is not UTF-8.
fn decoded<'a>(json: &'a [u8], quirks: &mut Seen) -> Cow<'a, str> {
    let wide: Option<fn([u8; 2]) -> u16> = match json {
        [0xfe, 0xff, ..] => Some(u16::from_be_bytes),
        [0xff, 0xfe, ..] => Some(u16::from_le_bytes),
        _ => None,
    };
    if let Some(unit) = wide {
        quirks.add(Quirk::ByteOrderMark);
        quirks.add(Quirk::NotUtf8);
        let units = json.chunks_exact(2).skip(1).filter_map(|pair| Some(unit(pair.try_into().ok()?)));
        return char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    let json = match json.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => {
            quirks.add(Quirk::ByteOrderMark);
            rest
        }
        None => json,
    };
    // Not at once the lossy way, which is several times as slow where nothing is wrong.
    if let Ok(text) = str::from_utf8(json) {
        return Cow::Borrowed(text);
    }
    quirks.add(Quirk::NotUtf8);
    String::from_utf8_lossy(json)
}

/// A report, while it is read.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) report: TlsReport,
    pub(super) quirks: Seen,
    pub(super) contact_is_null: bool,
    /// `policies` is an array, or an object in its place.
    pub(super) policies_found: bool,
    /// Objects and arrays that are open.
    pub(super) level: usize,
    pub(super) lines_kept: usize,
    /// The name that was read last, as it came and as it is compared: details name the same host over and over.
    pub(super) last_name: [String; 2],
    too_deep: bool,
    details_kept: usize,
    /// Where the policies stand; made when the next one is one too many.
    places: HashMap<(PolicyType, Option<String>), usize>,
    /// What is added to the details of the policy at a place.
    rests: HashMap<usize, Remainder>,
}

/// Sessions of details that are not kept, by result type.
#[derive(Clone, Debug, Default)]
pub(super) struct Remainder([Option<u64>; ResultType::ALL.len()]);

impl Remainder {
    pub(super) fn add(&mut self, result_type: ResultType, sessions: u64) {
        if let Some(sum) = self.0.get_mut(result_type as usize) {
            *sum = Some(sum.unwrap_or(0).saturating_add(sessions));
        }
    }

    fn iter(&self) -> impl Iterator<Item = (ResultType, u64)> {
        ResultType::ALL.into_iter().zip(self.0).filter_map(|(result_type, sum)| Some((result_type, sum?)))
    }

    /// Each as one detail that names neither address nor host.
    fn pour_into(&self, policy: &mut ReportedPolicy) {
        let detail = |(result_type, sessions)| super::FailureDetail { result_type, sessions, ..Default::default() };
        policy.failures.extend(self.iter().map(detail));
    }
}

impl Scalar<'_> {
    /// Nothing, or an empty text.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Bare(_) | Self::Array(_) | Self::Object => false,
        }
    }
}

impl Reading {
    /// Whether a value may stand where the reading is.
    pub(super) fn check_depth(&mut self, raw: &str) -> Result<(), &'static str> {
        // The first letter says it for nearly all.
        if raw.starts_with(['[', '{']) && self.level + depth(raw) > DEPTH_MOST {
            self.too_deep = true;
            return Err("too deep");
        }
        Ok(())
    }

    /// A word of a closed vocabulary, and whether there is one.
    pub(super) fn word<W: Default>(&mut self, value: Scalar<'_>, parse: impl Fn(&str) -> W) -> (W, bool) {
        match value {
            Scalar::Text(text) if !text.trim().is_empty() => (parse(&text), true),
            Scalar::Text(_) | Scalar::Null => (W::default(), false),
            Scalar::Bare(_) | Scalar::Array(_) | Scalar::Object => {
                self.quirks.add(Quirk::ValueType);
                (W::default(), true)
            }
        }
    }

    /// An object was looked for.
    pub(super) fn expect_object(&mut self, found: Found) {
        if matches!(found, Found::List(_) | Found::Other) {
            self.quirks.add(Quirk::ValueType);
        }
    }

    pub(super) fn keep_line(&mut self, line: String, list: &mut Vec<String>) {
        if self.lines_kept < LINES_MOST {
            self.lines_kept += 1;
            list.push(line);
        } else {
            self.quirks.add(Quirk::Truncated);
        }
    }

    /// Counts a detail that is kept; `false` where there is no more room.
    pub(super) const fn takes_detail(&mut self) -> bool {
        let room = self.details_kept < DETAILS_MOST;
        if room {
            self.details_kept += 1;
        }
        room
    }

    pub(super) const fn has_room_for_policy(&self) -> bool {
        self.report.policies.len() < POLICIES_MOST
    }

    pub(super) const fn forget_lines(&mut self, policy: &ReportedPolicy) {
        self.lines_kept = self.lines_kept.saturating_sub(policy.policy_string.len() + policy.mx.len());
    }

    pub(super) const fn forget_details(&mut self, policy: &ReportedPolicy) {
        self.details_kept = self.details_kept.saturating_sub(policy.failures.len());
    }

    pub(super) fn forget_policies(&mut self) {
        self.report.policies.clear();
        (self.lines_kept, self.details_kept) = (0, 0);
        self.places.clear();
        self.rests.clear();
    }

    /// Takes in an entry of `policies`: as it is, or added to what stands there already.
    pub(super) fn close(&mut self, entry: Entry) {
        let Entry { mut policy, rest, .. } = entry;
        if self.has_room_for_policy() {
            rest.pour_into(&mut policy);
            self.report.policies.push(policy);
            return;
        }
        self.quirks.add(Quirk::Truncated);
        self.forget_lines(&policy);
        if self.places.is_empty() {
            let places = self.report.policies.iter().enumerate();
            self.places = places.map(|(place, policy)| ((policy.policy_type, policy.domain.clone()), place)).collect();
        }
        let place = match self.places.get(&(policy.policy_type, policy.domain.take())) {
            Some(place) => *place,
            // One for each kind, without a domain: names without end would be memory without end.
            None => *self.places.entry((policy.policy_type, None)).or_insert_with(|| {
                let policies = &mut self.report.policies;
                policies.push(ReportedPolicy { policy_type: policy.policy_type, ..ReportedPolicy::default() });
                policies.len() - 1
            }),
        };
        if let Some(kept) = self.report.policies.get_mut(place) {
            kept.successful = kept.successful.saturating_add(policy.successful);
            kept.failed = kept.failed.saturating_add(policy.failed);
        }
        let sums = self.rests.entry(place).or_default();
        for (result_type, sessions) in rest.iter() {
            sums.add(result_type, sessions);
        }
    }

    /// The report, with what only the whole of it shows.
    fn finish(mut self) -> Result<TlsReport, Refusal> {
        let report = &mut self.report;
        for (place, rest) in &self.rests {
            if let Some(policy) = report.policies.get_mut(*place) {
                rest.pour_into(policy);
            }
        }
        let tells_of_itself = report.organization.is_some() || report.report_id.is_some() || report.begin.is_some();
        if !self.policies_found && !tells_of_itself {
            let detail = "a JSON object without policies, organization-name, report-id and date-range, \
                          which a TLS report (RFC 8460 section 4.4) has";
            return Err(Refusal::new(RefusalReason::BadJson, detail));
        }
        if report.organization.is_none() {
            self.quirks.add(Quirk::OrganizationMissing);
        }
        if self.contact_is_null {
            self.quirks.add(Quirk::ContactInfoNull);
        } else if report.contact.is_none() {
            self.quirks.add(Quirk::ContactInfoMissing);
        }
        match &report.report_id {
            None => self.quirks.add(Quirk::ReportIdMissing),
            Some(id) if id.ends_with('+') => self.quirks.add(Quirk::ReportIdCut),
            Some(_) => {}
        }
        if report.policies.is_empty() {
            self.quirks.add(Quirk::PoliciesEmpty);
        }
        if let Some(quirk) = range_quirk(report.begin, report.end) {
            self.quirks.add(quirk);
        }
        report.quirks = self.quirks.into_quirks();
        Ok(self.report)
    }
}

/// RFC 8460 §4.1: a report covers a day in UTC. Its last second or the first of the next may stand as the end.
fn range_quirk(begin: Option<Timestamp>, end: Option<Timestamp>) -> Option<Quirk> {
    let (Some(begin), Some(end)) = (begin, end) else { return Some(Quirk::DateRangeMissing) };
    if end < begin {
        return Some(Quirk::DateRangeInverted);
    }
    let lasts_a_day = (DAY - Duration::from_secs(1)..=DAY).contains(&end.since(begin));
    let from_midnight = begin.unix_milliseconds().rem_euclid(86_400_000) == 0;
    (!lasts_a_day || !from_midnight).then_some(Quirk::DateRangeNotADay)
}
