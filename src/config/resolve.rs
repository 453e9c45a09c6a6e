//! From the file to the settings: defaults filled in, and what no single value can tell checked.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    file::{self, File},
    reader::{At, Reader},
    settings::{FamilySettings, ProbeSettings, ResolverSettings, Settings},
    values::{AddressFamily, DnssecMode, ServerSetting, ShardIndex},
};
use crate::{
    terms::{HumanDuration, MxHost},
    verdict::{CertificateThreshold, EnforceThresholds, Thresholds},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A probe asks a dozen questions and opens several connections: more often than once a second is an attack, not a watch.
/// The upper bound keeps the freshness of every metric within a week.
pub(super) const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
/// Below it peers are likely to block or slow this monitor, and DNS answers come from caches anyhow.
const POLITE_INTERVAL: Duration = Duration::from_secs(30);
/// A handshake across the world takes half a second; what is silent for ten minutes does not answer (RFC 5321 §4.5.3.2 gives
/// a mail server five).
const PROBE_TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
/// Shorter than a round trip nothing answers; longer than a minute no probe waits for one question.
const RESOLVER_TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Times of the calendar: ten years are more than any certificate or history.
const CALENDAR: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(10 * 31_557_600);
/// Three renewals have to fit in, and a slow database must not take the whole of it; who is silent for an hour is gone.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(3)..=Duration::from_secs(3600);
/// A label of a metric and a header should stay readable.
pub(super) const MAX_LABEL: usize = 200;

pub(super) struct Resolver<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    /// Relative paths in the file start here.
    pub(super) base: &'r Path,
    pub(super) codes: &'r [&'static str],
}

/// The value, or the default.
pub(super) fn or<T>(value: Option<At<T>>, default: T) -> T {
    value.map_or(default, |at| at.value)
}

/// The values of a list, without their places.
pub(super) fn list<T>(values: Option<At<Vec<At<T>>>>) -> Vec<T> {
    values.map_or_else(Vec::new, |list| list.value.into_iter().map(|at| at.value).collect())
}

pub(super) fn shown(duration: Duration) -> HumanDuration {
    HumanDuration(duration)
}

/// RFC 3501 §2.1.
const IMAP_WITHOUT_TLS: u16 = 143;

impl Resolver<'_, '_> {
    pub(super) fn settings(&mut self, file: File) -> Settings {
        let defaults = Settings::default();
        let resolver_timeout = file.resolver.as_ref().and_then(|at| at.value.timeout).map(|at| at.mark);
        let probe_timeout = file.probe.as_ref().and_then(|at| at.value.timeout).map(|at| at.mark);
        let resolver = self.resolver(or(file.resolver, file::Resolver::default()), defaults.resolver);
        let probe = self.probe(or(file.probe, file::Probe::default()), &defaults.probe);
        if resolver.timeout > probe.timeout
            && let Some(mark) = resolver_timeout.or(probe_timeout)
        {
            let (question, whole) = (shown(resolver.timeout), shown(probe.timeout));
            let message = format!("one DNS question may take longer ({question}) than a whole probe ({whole})");
            let hint = "let `resolver.timeout` be at most `probe.timeout`";
            self.reader.error(mark, message, Some(hint.to_owned()));
        }
        let domains = self.domains(file.domains, &probe);
        let shard = self.shard(&or(file.shard, file::Shard::default()), &defaults.shard);
        Settings {
            own_mx: list(file.own_mx),
            thresholds: self.thresholds(or(file.thresholds, file::Thresholds::default()), &defaults.thresholds),
            severities: self.severities(file.severities),
            accept: self.accept(file.accept),
            domains,
            inventory: None,
            domain_files: self.domain_files(file.domain_files),
            http_sd: self.http_sd(file.http_sd),
            reports: self.reports(or(file.reports, file::Reports::default()), &defaults.reports),
            metrics: metrics(or(file.metrics, file::Metrics::default()), defaults.metrics),
            shard,
            state: self.state(or(file.state, file::State::default()), defaults.state),
            resolver,
            probe,
        }
    }

    fn resolver(&mut self, written: file::Resolver, default: ResolverSettings) -> ResolverSettings {
        let servers = match written.servers {
            None => default.servers,
            Some(list) => {
                if list.value.is_empty() {
                    self.reader.unexpected(list.mark, "no DNS server is listed", "at least one server", None);
                }
                self.reject_twice(&list.value, ServerSetting::to_string, "the server");
                list.value.into_iter().map(|at| at.value).collect()
            }
        };
        let dnssec = written.dnssec.as_ref().map_or(default.dnssec, |at| at.value);
        if let Some(at) = &written.trust_anchor_file
            && matches!(dnssec, DnssecMode::TrustAd | DnssecMode::Off)
        {
            let message = "the trust anchors have no effect: nothing is validated here";
            let hint = "let `dnssec` be validate, or auto, which may come to it";
            self.reader.warning(at.mark, message, Some(hint.to_owned()));
        }
        ResolverSettings {
            servers,
            dnssec,
            trust_anchor_file: written.trust_anchor_file.map(|at| self.base.join(at.value)),
            timeout: self.duration(written.timeout, default.timeout, RESOLVER_TIMEOUTS),
        }
    }

    fn probe(&mut self, written: file::Probe, default: &ProbeSettings) -> ProbeSettings {
        let (interval_at, timeout_at, retry_at) = (written.interval, written.timeout, written.retry_interval);
        let interval = self.duration(interval_at, default.interval, INTERVALS);
        self.polite(interval_at);
        let timeout = self.duration(timeout_at, default.timeout, PROBE_TIMEOUTS);
        if timeout > interval
            && let Some(mark) = timeout_at.or(interval_at).map(|at| at.mark)
        {
            let message =
                format!("a probe may take longer ({}) than the time between two ({})", shown(timeout), shown(interval));
            self.reader.error(mark, message, Some("let `timeout` be at most `interval`".to_owned()));
        }
        let mut retry_interval = self.duration(retry_at, default.retry_interval, INTERVALS);
        if retry_interval > interval {
            if let Some(at) = retry_at {
                let message = format!("a retry comes no later than the next probe, after {}", shown(interval));
                self.reader.warning(at.mark, message, None);
            }
            retry_interval = interval;
        }
        ProbeSettings {
            interval,
            mx_interval: {
                self.polite(written.mx_interval);
                self.duration(written.mx_interval, default.mx_interval, INTERVALS)
            },
            retry_interval,
            policy_retry_interval: self.duration(
                written.policy_retry_interval,
                default.policy_retry_interval,
                INTERVALS,
            ),
            timeout,
            helo_name: written.helo_name.and_then(|at| self.helo_name(&at)),
            contact: written.contact.and_then(|at| self.contact(at)),
            families: self.families(written.families, default.families),
            max_in_flight: written.max_in_flight.map_or(default.max_in_flight, |at| at.value.size()),
            per_host: written.per_host.map_or(default.per_host, |at| at.value.size()),
            per_address: written.per_address.map_or(default.per_address, |at| at.value.size()),
            per_network: written.per_network.map_or(default.per_network, |at| at.value.size()),
            per_provider: written.per_provider.map_or(default.per_provider, |at| at.value.size()),
            max_mx: written.max_mx.map_or(default.max_mx, |at| at.value.size()),
            max_addresses: written.max_addresses.map_or(default.max_addresses, |at| at.value.size()),
            ca_file: written.ca_file.and_then(|at| self.readable_file(at)),
            roots: or(written.roots, default.roots),
            smtp_port: written.smtp_port.map_or(default.smtp_port, |at| at.value.port()),
            https_port: written.https_port.map_or(default.https_port, |at| at.value.port()),
            legacy_tls: or(written.legacy_tls, default.legacy_tls),
            allow_private_addresses: or(written.allow_private_addresses, default.allow_private_addresses),
            allow_any_target: or(written.allow_any_target, default.allow_any_target),
            opt_out: list(written.opt_out),
            canaries: list(written.canaries),
        }
    }

    pub(super) fn duration(
        &mut self,
        written: Option<At<HumanDuration>>,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(at) = written else { return default };
        let value = Duration::from(at.value);
        if !bounds.contains(&value) {
            let problem = if value < *bounds.start() { "too short" } else { "too long" };
            let expected = match bounds.start().is_zero() {
                true => format!("at most {}", shown(*bounds.end())),
                false => format!("{} to {}", shown(*bounds.start()), shown(*bounds.end())),
            };
            self.reader.unexpected(at.mark, format!("{} is {problem}", shown(value)), &expected, None);
            return default;
        }
        value
    }

    /// For intervals at which peers are contacted.
    pub(super) fn polite(&mut self, interval: Option<At<HumanDuration>>) {
        if let Some(at) = interval
            && (*INTERVALS.start()..POLITE_INTERVAL).contains(&Duration::from(at.value))
        {
            let hint = format!("peers may block who comes more often than every {}", shown(POLITE_INTERVAL));
            self.reader.warning(at.mark, format!("{} is a very short interval", at.value), Some(hint));
        }
    }

    /// RFC 5321 §4.1.1.1: a domain name or an address literal (§4.1.3).
    fn helo_name(&mut self, at: &At<String>) -> Option<String> {
        let literal = at.value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_address = literal.is_some_and(|inner| match inner.strip_prefix("IPv6:") {
            Some(ip6) => ip6.parse::<Ipv6Addr>().is_ok(),
            None => inner.parse::<Ipv4Addr>().is_ok(),
        });
        if is_address {
            return Some(at.value.clone());
        }
        match MxHost::parse(&at.value) {
            Ok(name) => {
                if !name.as_str().contains('.') {
                    let hint = "many mail hosts refuse a client that greets them so; write a name with its domain, or [address]";
                    self.reader.warning(at.mark, format!("{name} is no fully qualified name"), Some(hint.to_owned()));
                }
                Some(name.as_str().to_owned())
            }
            Err(error) => {
                let expected = "a host name, [192.0.2.1] or [IPv6:2001:db8::1]";
                self.reader.unexpected(at.mark, error.to_string(), expected, None);
                None
            }
        }
    }

    /// It becomes part of a header, inside a comment (RFC 9110 §10.1.5).
    fn contact(&mut self, at: At<String>) -> Option<String> {
        let mark = at.mark;
        let text = self.label(at)?;
        if text.bytes().all(|b| (b' '..=b'~').contains(&b) && !b"()\\".contains(&b)) {
            return Some(text);
        }
        let expected = "printable ASCII without ( ) and \\";
        self.reader.unexpected(mark, "this cannot stand in a User-Agent header", expected, None);
        None
    }

    /// A text of one to [`MAX_LABEL`] characters.
    pub(super) fn label(&mut self, at: At<String>) -> Option<String> {
        let length = at.value.chars().count();
        if (1..=MAX_LABEL).contains(&length) {
            return Some(at.value);
        }
        let message =
            if length == 0 { "the text is empty".to_owned() } else { format!("the text has {length} characters") };
        self.reader.unexpected(at.mark, message, &format!("1 to {MAX_LABEL} characters"), None);
        None
    }

    fn families(&mut self, written: Option<At<Vec<At<AddressFamily>>>>, default: FamilySettings) -> FamilySettings {
        let Some(list) = written else { return default };
        let has = |family| list.value.iter().any(|at| at.value == family);
        let families = FamilySettings { ip4: has(AddressFamily::Ip4), ip6: has(AddressFamily::Ip6) };
        if list.value.is_empty() {
            self.reader.unexpected(list.mark, "without a family nothing can be reached", "ip4, ip6 or both", None);
        }
        families
    }

    pub(super) fn readable_file(&mut self, at: At<PathBuf>) -> Option<PathBuf> {
        let path = self.base.join(at.value);
        let read = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
            true => fs::File::open(&path).map(drop),
            false => Err(std::io::Error::other("it is no file")),
        });
        if let Err(error) = read {
            let message = format!("{} cannot be read: {error}", path.display());
            self.reader.unexpected(at.mark, message, "a readable file", None);
            return None;
        }
        Some(path)
    }

    /// Tells of every item that stands in the list before.
    pub(super) fn reject_twice<T>(&mut self, items: &[At<T>], name: impl Fn(&T) -> String, what: &str) {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for item in items {
            let name = name(&item.value);
            match first.get(&name) {
                None => {
                    first.insert(name, item.mark.line);
                }
                Some(line) => {
                    let hint = format!("it is already given in line {line}; keep one of them");
                    self.reader.error(item.mark, format!("{what} {name} is given twice"), Some(hint));
                }
            }
        }
    }

    fn thresholds(&mut self, written: file::Thresholds, default: &Thresholds) -> Thresholds {
        let enforce = or(written.enforce, file::Enforce::default());
        let thresholds = Thresholds {
            certificate_warning: self.certificate(written.certificate_warning, default.certificate_warning),
            certificate_error: self.certificate(written.certificate_error, default.certificate_error),
            testing_long: self.duration(written.testing_long, default.testing_long, CALENDAR),
            publication_grace: self.duration(written.publication_grace, default.publication_grace, CALENDAR),
            reports_failing: or(written.reports_failing, default.reports_failing),
            reports_new_after: self.duration(written.reports_new_after, default.reports_new_after, CALENDAR),
            reports_silent: self.duration(written.reports_silent, default.reports_silent, CALENDAR),
            reports_shift: or(written.reports_shift, default.reports_shift),
            enforce: EnforceThresholds {
                policy_stable: self.duration(enforce.policy_stable, default.enforce.policy_stable, CALENDAR),
                testing: self.duration(enforce.testing, default.enforce.testing, CALENDAR),
            },
        };
        use CertificateThreshold::{Left, Share};
        let crossed = match (thresholds.certificate_warning, thresholds.certificate_error) {
            (Left(warning), Left(error)) => error > warning,
            (Share(warning), Share(error)) => error > warning,
            _ => false,
        };
        if crossed && let Some(at) = written.certificate_error {
            let message = format!(
                "a certificate would be an error before it is a warning, at {}",
                thresholds.certificate_warning
            );
            self.reader.unexpected(at.mark, message, "no more than certificate_warning", None);
        }
        thresholds
    }

    fn certificate(
        &mut self,
        written: Option<At<CertificateThreshold>>,
        default: CertificateThreshold,
    ) -> CertificateThreshold {
        if let Some(at) = written
            && let CertificateThreshold::Left(left) = at.value
        {
            self.duration(Some(At { value: HumanDuration(left), mark: at.mark }), left, CALENDAR);
        }
        or(written, default)
    }

    fn shard(&mut self, written: &file::Shard, default: &file::Shard) -> file::Shard {
        self.duration(written.lease, Duration::ZERO, LEASES);
        let shard = file::Shard {
            index: written.index.or(default.index),
            total: written.total.or(default.total),
            lease: written.lease.or(default.lease),
        };
        // What `auto` is shows where the monitor runs.
        if let (Some(index), Some(total)) = (shard.index, shard.total)
            && let ShardIndex::Number(number) = index.value
            && u64::from(number) >= total.value.0
        {
            let mark = written.index.map_or(total.mark, |at| at.mark);
            let message = format!("there is no shard {number} of {}", total.value.0);
            self.reader.unexpected(mark, message, "an index from 0 to total - 1", None);
        }
        shard
    }

    fn reports(&mut self, mut written: file::Reports, default: &file::Reports) -> file::Reports {
        self.ways_in(&mut written);
        for imap in written.imap.iter().flat_map(|list| &list.value) {
            let xoauth2 = imap.value.auth.is_some_and(|auth| auth.value == super::values::ImapAuth::Xoauth2);
            let (given, key) = match xoauth2 {
                true => (imap.value.token_file.is_some(), "token_file"),
                false => (imap.value.password_file.is_some(), "password_file"),
            };
            if !given {
                self.reader.error(imap.mark, format!("`{key}` is missing here"), None);
            }
            if let Some(port) = imap.value.port.filter(|port| port.value.port() == IMAP_WITHOUT_TLS) {
                let message = "port 143 begins without TLS, and STARTTLS is not spoken here";
                self.reader.unexpected(port.mark, message.to_owned(), "the port of IMAP over TLS, mostly 993", None);
            }
            for folder in imap.value.folder.iter().chain(&imap.value.move_to) {
                let is_plain = !folder.value.is_empty() && folder.value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
                if !is_plain {
                    let message = format!("{:?} is no name of an IMAP folder", folder.value);
                    let expected = "ASCII: other letters in modified UTF-7 (RFC 3501 section 5.1.3)";
                    self.reader.unexpected(folder.mark, message, expected, None);
                }
            }
        }
        let mut imap = written.imap;
        for one in imap.iter_mut().flat_map(|list| &mut list.value) {
            for path in [&mut one.value.password_file, &mut one.value.token_file].into_iter().flatten() {
                path.value = self.base.join(&path.value);
            }
        }
        file::Reports { authentication: written.authentication.or(default.authentication), imap, ..written }
    }

    fn state(&mut self, written: file::State, default: file::State) -> file::State {
        if let Some(at) = &written.url
            && !at.value.is_postgres()
        {
            self.reader.unexpected(
                at.mark,
                "this is no database".to_owned(),
                "a URL as postgres://host/database",
                None,
            );
        }
        let zero = Duration::ZERO;
        self.duration(written.retention, zero, DAY..=*CALENDAR.end());
        file::State {
            dir: written.dir.or(default.dir),
            url: written.url,
            retention: written.retention.or(default.retention),
        }
    }
}

fn metrics(written: file::Metrics, default: file::Metrics) -> file::Metrics {
    file::Metrics {
        level: written.level.or(default.level),
        addresses: written.addresses.or(default.addresses),
        max_series: written.max_series.or(default.max_series),
        allow: written.allow.or(default.allow),
        deny: written.deny.or(default.deny),
    }
}
