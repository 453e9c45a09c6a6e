//! The domains of the file, and what is said about their findings.

use std::{collections::BTreeMap, collections::HashMap, ops::RangeInclusive, time::Duration};

use super::{
    domains::{DomainList, DomainOptions, DomainSettings},
    file::{self, DomainEntry},
    reader::At,
    resolve::{INTERVALS, Resolver, list, shown},
    settings::ProbeSettings,
    suggest::nearest,
    yaml::shorten,
};
use crate::{
    terms::{PolicyDomain, Timestamp},
    verdict::{Acceptance, Expectation, Severity},
};

/// More domains than one instance can watch; the file of a broken inventory ends here, not the memory.
const MAX_DOMAINS: usize = 1_000_000;
/// RFC 8461 §3.2: no max_age is larger.
const MAX_AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31_557_600);

impl Resolver<'_, '_> {
    pub(super) fn domains(&mut self, written: Option<At<Vec<At<DomainEntry>>>>, probe: &ProbeSettings) -> DomainList {
        let Some(entries) = written else { return DomainList::default() };
        if entries.value.len() > MAX_DOMAINS {
            let message = format!("{} domains are listed", entries.value.len());
            self.reader.unexpected(entries.mark, message, &format!("at most {MAX_DOMAINS}"), None);
            return DomainList::default();
        }
        let mut first: HashMap<PolicyDomain, usize> = HashMap::with_capacity(entries.value.len());
        let mut domains = Vec::with_capacity(entries.value.len());
        for entry in entries.value {
            let mark = entry.mark;
            let Some(domain) = self.domain(entry, probe) else { continue };
            if let Some(line) = first.get(&domain.domain) {
                let hint = format!("it is already given in line {line}; keep one of them");
                self.reader.error(mark, format!("the domain {} is given twice", domain.domain), Some(hint));
                continue;
            }
            first.insert(domain.domain.clone(), mark.line);
            domains.push(domain);
        }
        domains.into()
    }

    pub(super) fn domain(&mut self, entry: At<DomainEntry>, probe: &ProbeSettings) -> Option<DomainSettings> {
        let full = match entry.value {
            DomainEntry::Name(domain) => return Some(DomainSettings::new(domain)),
            DomainEntry::Full(full) => *full,
        };
        self.polite(full.interval);
        let interval = full.interval.map(|at| self.duration(Some(at), probe.interval, INTERVALS));
        if let (Some(at), Some(interval)) = (full.interval, interval)
            && probe.timeout > interval
        {
            let message =
                format!("a probe may take {} (probe.timeout), longer than this interval", shown(probe.timeout));
            self.reader.unexpected(at.mark, message, &format!("at least {}", shown(probe.timeout)), None);
        }
        let options = DomainOptions {
            group: full.group.and_then(|at| self.label(at)),
            interval,
            planned_mx: list(full.planned_mx),
            expect: full.expect.map(|at| self.expect(at.value)),
        };
        // Without a name the reader has told why.
        Some(DomainSettings::with(full.domain?.value, options))
    }

    fn expect(&mut self, written: file::Expect) -> Expectation {
        if let Some(hosts) = &written.mx {
            self.reject_twice(&hosts.value, |host| host.as_str().to_owned(), "the host");
            if !hosts.value.is_empty()
                && let Some(mail) = written.mail.filter(|mail| !mail.value)
            {
                self.reader.error(mail.mark, "a domain that takes no mail has no MX to expect", None);
            }
        }
        let least = written.min_max_age.map(|at| self.duration(Some(at), *MAX_AGES.end(), MAX_AGES));
        Expectation {
            mode: written.mode.map(|at| at.value),
            min_max_age: least,
            dane: written.dane.map(|at| at.value),
            mx: written.mx.map(|hosts| hosts.value.into_iter().map(|at| at.value).collect()),
            issuer: written.issuer.and_then(|at| self.label(at)),
            mail: written.mail.map(|at| at.value),
        }
    }

    pub(super) fn severities(
        &mut self,
        written: Option<At<BTreeMap<String, At<Severity>>>>,
    ) -> BTreeMap<String, Severity> {
        let map = written.map_or_else(BTreeMap::new, |at| at.value);
        map.into_iter()
            .filter_map(|(code, at)| self.code(At { value: code, mark: at.mark }).map(|code| (code, at.value)))
            .collect()
    }

    pub(super) fn accept(&mut self, written: Option<At<Vec<At<file::Accept>>>>) -> Vec<Acceptance> {
        let entries = written.map_or_else(Vec::new, |list| list.value);
        entries.into_iter().filter_map(|entry| self.acceptance(entry)).collect()
    }

    fn acceptance(&mut self, entry: At<file::Accept>) -> Option<Acceptance> {
        let written = entry.value;
        let until = written.until.and_then(|at| {
            let end = end_of_day(at.value.0);
            if end.is_none() {
                self.reader.error(at.mark, "this day is beyond the calendar", None);
            }
            end
        });
        Some(Acceptance {
            code: self.code(written.code?)?,
            domain: written.domain.map(|at| at.value),
            mx: written.mx.map(|at| at.value),
            until,
            reason: written.reason.map(|at| at.value),
        })
    }

    fn code(&mut self, at: At<String>) -> Option<String> {
        if self.codes.contains(&at.value.as_str()) {
            return Some(at.value);
        }
        let hint = match nearest(&at.value, self.codes.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "docs/findings.md lists the codes".to_owned(),
        };
        let message = format!("no finding has the code {:?}", shorten(&at.value));
        self.reader.unexpected(at.mark, message, "the code of a finding", Some(hint));
        None
    }
}

/// The first moment of the day after.
fn end_of_day(day: jiff::civil::Date) -> Option<Timestamp> {
    let next = day.tomorrow().ok()?.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_unix_seconds(next.timestamp().as_second()))
}

/// The last day on which an acceptance that ends at `end` still holds.
pub(super) fn last_day(end: Timestamp) -> Option<jiff::civil::Date> {
    let last = jiff::Timestamp::from_second(end.unix_seconds().checked_sub(1)?).ok()?;
    Some(last.to_zoned_datetime(jiff::tz::TimeZone::UTC).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_holds_to_the_end_of_its_day() {
        let day: jiff::civil::Date = "2027-01-01".parse().unwrap();
        let end = end_of_day(day).unwrap();
        assert_eq!(end.to_string(), "2027-01-02T00:00:00Z");
        assert_eq!(last_day(end), Some(day));
        assert_eq!(end_of_day(jiff::civil::Date::MAX), None);
    }
}
