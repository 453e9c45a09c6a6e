//! What the operator wants and tolerates; the configuration fills these.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use crate::terms::{HumanDuration, MxHost, PolicyDomain, Timestamp};

/// The mode that a domain's policy is meant to have (RFC 8461 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectedMode {
    /// Senders must refuse hosts that fail.
    Enforce,
    /// Senders report and deliver all the same.
    Testing,
    /// The policy is being withdrawn.
    None,
}

impl ExpectedMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Testing, Self::None];

    /// The word of the policy file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// How a domain is meant to be; what is `None` is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// The mode of the policy.
    pub mode: Option<ExpectedMode>,
    /// The least `max_age` of the policy.
    pub min_max_age: Option<Duration>,
    /// Whether every MX has usable TLSA records.
    pub dane: Option<bool>,
    /// Exactly these hosts are the MX.
    pub mx: Option<Vec<MxHost>>,
    /// A text that stands in the issuer of every MX certificate.
    pub issuer: Option<String>,
    /// Whether the domain takes mail; `false` expects a null MX (RFC 7505).
    pub mail: Option<bool>,
}

/// A share in hundredths of a percent, 0 to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u16);

impl Share {
    const WHOLE: u16 = 10_000;

    /// So many whole percent; above 100 it is 100.
    pub const fn percent(percent: u8) -> Self {
        if percent > 100 { Self(Self::WHOLE) } else { Self(percent as u16 * 100) }
    }

    /// Reads `5%` or `2.5%`, with at most two decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let number = text.trim().strip_suffix('%')?.trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
            return None;
        }
        let hundredths = whole.parse::<u32>().ok()? * 100 + format!("{decimals:0<2}").parse::<u32>().ok()?;
        u16::try_from(hundredths).ok().filter(|&value| value <= Self::WHOLE).map(Self)
    }

    /// As a number from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::WHOLE)
    }

    /// This share of a duration, to the nanosecond.
    pub fn of(self, duration: Duration) -> Duration {
        let nanoseconds = duration.as_nanos().saturating_mul(u128::from(self.0)) / u128::from(Self::WHOLE);
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match rest {
            0 => write!(f, "{whole}%"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            rest => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When a certificate is near its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CertificateThreshold {
    /// By its lifetime, as the finding `certificate-expiring` says.
    #[default]
    Auto,
    /// When less time than this is left.
    Left(Duration),
    /// When less than this share of its lifetime is left.
    Share(Share),
}

impl fmt::Display for CertificateThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Left(left) => HumanDuration(*left).fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl Serialize for CertificateThreshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a value turns into a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Below it a certificate is a warning; auto: a quarter of its lifetime, at most 30 days.
    pub certificate_warning: CertificateThreshold,
    /// Below it a certificate is an error; auto: a twelfth of its lifetime, at most 3 days.
    pub certificate_error: CertificateThreshold,
    /// After so long in mode testing it is time to enforce.
    pub testing_long: Duration,
    /// How long a record and its policy may disagree while a change is being published.
    pub publication_grace: Duration,
    /// From this share of failed sessions on, reports raise a finding.
    pub reports_failing: Share,
    /// A failure is new if so long a time did not show it.
    pub reports_new_after: Duration,
    /// A reporter is silent after so long.
    pub reports_silent: Duration,
    /// From this share of sessions on that other reporters tell of than before, the distribution has shifted.
    pub reports_shift: Share,
    /// What has to hold before enforce is advised.
    pub enforce: EnforceThresholds,
}

/// What has to hold before enforce is advised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforceThresholds {
    /// So long the policy did not change.
    pub policy_stable: Duration,
    /// So long the mode was testing.
    pub testing: Duration,
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            certificate_warning: CertificateThreshold::Auto,
            certificate_error: CertificateThreshold::Auto,
            testing_long: days(90),
            publication_grace: Duration::from_secs(600),
            reports_failing: Share::percent(5),
            reports_new_after: days(30),
            reports_silent: days(3),
            reports_shift: Share::percent(50),
            enforce: EnforceThresholds::default(),
        }
    }
}

impl Default for EnforceThresholds {
    fn default() -> Self {
        Self { policy_stable: days(7), testing: days(14) }
    }
}

/// A finding that the operator knows of: it is shown as accepted and counts nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The finding's code.
    pub code: String,
    /// Only for this domain; all where `None`.
    pub domain: Option<PolicyDomain>,
    /// Only at this mail host; all where `None`.
    pub mx: Option<MxHost>,
    /// From this moment on it holds no longer: the end of the day (UTC) that the configuration names.
    pub until: Option<Timestamp>,
    /// Why, for those who read it later.
    pub reason: Option<String>,
}

impl Acceptance {
    /// Whether it covers a finding with `code` of `domain`, at the mail host `mx` if the finding is about one.
    pub fn matches(&self, code: &str, domain: &PolicyDomain, mx: Option<&MxHost>, now: Timestamp) -> bool {
        self.code == code
            && self.domain.as_ref().is_none_or(|only| only == domain)
            && self.mx.as_ref().is_none_or(|only| Some(only) == mx)
            && self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(Share::parse("5%"), Some(Share::percent(5)));
        assert_eq!(Share::parse("2.5%").map(|s| s.to_string()).as_deref(), Some("2.5%"));
        assert_eq!(Share::parse("0.05 %").map(|s| s.to_string()).as_deref(), Some("0.05%"));
        assert_eq!(Share::percent(25).of(days(100)), days(25));
        assert!((Share::percent(5).ratio() - 0.05).abs() < f64::EPSILON);
        for text in ["5", "%", "101%", "-1%", "1.%", ".5%", "1.234%", "+5%", "100.01%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_acceptance_covers_what_it_names_until_it_ends() {
        let domain = PolicyDomain::parse("example.org").unwrap();
        let mx = MxHost::parse("mx.example.org").unwrap();
        let end = Timestamp::from_unix_seconds(1000);
        let before = Timestamp::from_unix_seconds(999);
        let all = Acceptance { code: "mx-cname".to_owned(), domain: None, mx: None, until: Some(end), reason: None };
        assert!(all.matches("mx-cname", &domain, Some(&mx), before));
        assert!(!all.matches("mx-cname", &domain, Some(&mx), end), "it has ended");
        assert!(!all.matches("mx-null", &domain, Some(&mx), before));
        let one = Acceptance { mx: Some(mx.clone()), ..all };
        assert!(one.matches("mx-cname", &domain, Some(&mx), before));
        assert!(!one.matches("mx-cname", &domain, None, before), "the finding is about no host");
    }
}
