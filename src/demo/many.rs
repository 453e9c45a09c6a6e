//! Further domains, as many as asked for: made when somebody asks, and never all at once.

use hickory_resolver::proto::rr::{
    Name, RData,
    rdata::{CNAME, MX},
};

use super::{
    authority::Certificate,
    picture::{LEFT, MAX_AGE, REPORTS, body},
    zone::text_record,
};

/// All of them end so.
const ZONE: &str = "many.test";
/// The mail hosts that all of them share.
const HOSTS: u32 = 4;
/// Digits of the number in a name, at least.
const DIGITS: usize = 5;

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Many(pub(super) u32);

/// What one of them has, by its number, so that a list of them is not all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A policy in enforce that fits.
    Enforces,
    /// A policy in testing.
    Tests,
    /// A policy in enforce without one of the mail hosts.
    Drifts,
    /// No policy.
    Plain,
}

impl Many {
    /// Their names, in order.
    pub(super) fn names(self) -> impl Iterator<Item = String> {
        (1..=self.0).map(name)
    }

    /// Their mail hosts; none where there are no domains.
    pub(super) fn hosts(self) -> impl Iterator<Item = String> {
        (1..=HOSTS).filter(move |_| self.0 > 0).map(host)
    }

    /// The records at a name that belongs to one of them; nothing where there is none.
    pub(super) fn records(self, asked: &str) -> Option<Vec<RData>> {
        let below = asked.strip_suffix(ZONE)?.strip_suffix('.')?;
        let (service, label) = below.rsplit_once('.').unwrap_or(("", below));
        let number = self.number(label)?;
        let kind = Kind::of(number);
        let alias = Name::from_ascii(format!("policies.{ZONE}.")).ok()?;
        match service {
            "" => hosts_of(number).into_iter().zip([10, 20]).map(|(host, preference)| mx(preference, &host)).collect(),
            "_mta-sts" if kind != Kind::Plain => Some(vec![text_record("v=STSv1; id=20260301T0900;")]),
            "mta-sts" if kind != Kind::Plain => Some(vec![RData::CNAME(CNAME(alias))]),
            "_smtp._tls" => Some(vec![text_record(REPORTS)]),
            _ => None,
        }
    }

    /// Whether something stands below a name that has no records itself.
    pub(super) fn exists(self, asked: &str) -> bool {
        let below = asked.strip_suffix(ZONE).and_then(|below| below.strip_suffix('.'));
        let label = below.and_then(|below| below.strip_prefix("_tls."));
        label.is_some_and(|label| self.number(label).is_some())
    }

    /// The certificate and the policy of a policy host, by its name.
    pub(super) fn policy_host(self, host: &str) -> Option<(Certificate, String)> {
        let label = host.strip_prefix("mta-sts.")?.strip_suffix(ZONE)?.strip_suffix('.')?;
        let number = self.number(label)?;
        let hosts = hosts_of(number);
        let [first, second] = [&*hosts[0], &*hosts[1]];
        let text = match Kind::of(number) {
            Kind::Enforces => body("enforce", &[first, second], MAX_AGE),
            Kind::Tests => body("testing", &[first, second], MAX_AGE),
            Kind::Drifts => body("enforce", &[first], MAX_AGE),
            Kind::Plain => return None,
        };
        Some((Certificate::of_90_days(&[host], LEFT), text))
    }

    fn number(self, label: &str) -> Option<u32> {
        let number: u32 = label.strip_prefix('d')?.parse().ok()?;
        ((1..=self.0).contains(&number) && name(number).strip_suffix(ZONE)?.strip_suffix('.')? == label)
            .then_some(number)
    }
}

impl Kind {
    const fn of(number: u32) -> Self {
        match (number % 40, number % 25, number % 60) {
            (3, ..) => Self::Plain,
            (_, 7, _) => Self::Tests,
            (.., 11) => Self::Drifts,
            _ => Self::Enforces,
        }
    }
}

fn name(number: u32) -> String {
    format!("d{number:0DIGITS$}.{ZONE}")
}

fn host(place: u32) -> String {
    format!("mx{place}.{ZONE}")
}

fn hosts_of(number: u32) -> [String; 2] {
    [number % HOSTS, (number + 1) % HOSTS].map(|place| host(place + 1))
}

fn mx(preference: u16, host: &str) -> Option<RData> {
    Some(RData::MX(MX::new(preference, Name::from_ascii(format!("{host}.")).ok()?)))
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::RecordType;

    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let many = Many(120);
        assert_eq!(many.names().next().as_deref(), Some("d00001.many.test"));
        assert_eq!(many.names().last().as_deref(), Some("d00120.many.test"));
        assert!(many.names().all(|name| many.records(&name).is_some_and(|records| records.len() == 2)));
        for name in ["d00000", "d00121", "d1", "d000001", "d+0001", "e00001", "", "x.d00001"] {
            assert_eq!(many.records(&format!("{name}.many.test")), None, "{name}");
        }
        assert_eq!(many.records("d00001.other.test"), None);
        assert_eq!((Many(0).names().count(), Many(0).hosts().count()), (0, 0));
    }

    #[test]
    fn each_kind_is_published_whole() {
        let many = Many(120);
        for (number, mode) in [(1, Some("enforce")), (7, Some("testing")), (11, Some("enforce")), (3, None)] {
            let domain = name(number);
            assert_eq!(many.records(&format!("_mta-sts.{domain}")).is_some(), mode.is_some(), "{domain}");
            let alias = many.records(&format!("mta-sts.{domain}"));
            assert_eq!(alias.is_some_and(|alias| alias[0].record_type() == RecordType::CNAME), mode.is_some());
            let served = many.policy_host(&format!("mta-sts.{domain}"));
            assert_eq!(served.is_some(), mode.is_some());
            if let (Some((certificate, policy)), Some(mode)) = (served, mode) {
                assert_eq!(certificate.names, [format!("mta-sts.{domain}")]);
                assert!(policy.contains(&format!("mode: {mode}\n")));
                let listed = hosts_of(number).iter().filter(|host| policy.contains(&format!("mx: {host}\n"))).count();
                assert_eq!(listed, if number == 11 { 1 } else { 2 }, "{policy}");
            }
            assert!(many.exists(&format!("_tls.{domain}")) && many.records(&format!("_smtp._tls.{domain}")).is_some());
        }
    }
}
