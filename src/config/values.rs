//! The words and numbers that stand in the file, each read by one rule.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::reader::{FromNode, Reader};
use super::yaml::{Node, Value, shorten};
use crate::{
    terms::{HumanDuration, MxHost, PolicyDomain},
    verdict::{CertificateThreshold, ExpectedMode, HostPattern, Severity, Share},
};

/// An enumeration of words, each with its meaning.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
        pub enum $name { $( $(#[$variant_meta])* #[serde(rename = $word)] $variant, )* }

        impl $name {
            /// The word of the configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }
        }

        impl FromNode for $name {
            fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                match reader.word(node, &[$($word),*])? { $( $word => Some(Self::$variant), )* _ => None }
            }
        }
    };
}

words! {
    /// Who judges DNSSEC.
    DnssecMode {
        /// Believe the AD bit where every server is on this host and sets it; else validate here.
        Auto = "auto",
        /// Believe the AD bit of the servers.
        TrustAd = "trust-ad",
        /// Validate here.
        Validate = "validate",
        /// No answer counts as signed.
        Off = "off",
    }
}

words! {
    /// Which root certificates are believed beside those of `ca_file`.
    RootSource {
        /// Mozilla's roots, built in.
        Webpki = "webpki",
        /// The trust store of the operating system.
        System = "system",
        /// None but those of `ca_file`.
        None = "none",
    }
}

words! {
    /// A family of addresses.
    AddressFamily {
        /// IPv4.
        Ip4 = "ip4",
        /// IPv6.
        Ip6 = "ip6",
    }
}

words! {
    /// How reports that come by mail prove their sender.
    ReportAuthentication {
        /// By their DKIM signature (RFC 8460 §3).
        Dkim = "dkim",
        /// By the header of the receiving server.
        TrustedHeader = "trusted-header",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// How to log in to an IMAP server.
    ImapAuth {
        /// With a password.
        Password = "password",
        /// With an OAuth token.
        Xoauth2 = "xoauth2",
    }
}

words! {
    /// How many metrics there are.
    MetricsLevel {
        /// One set a domain.
        Summary = "summary",
        /// Each host and finding as well.
        Normal = "normal",
        /// Everything.
        Full = "full",
    }
}

words! {
    /// Which addresses of a mail host get metrics of their own.
    AddressMetrics {
        /// The worst where the set of addresses changes from query to query, else all.
        Auto = "auto",
        /// Each.
        All = "all",
        /// Only the worst.
        Worst = "worst",
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bounded<const LEAST: u64, const MOST: u64>(pub u64);

impl<const LEAST: u64, const MOST: u64> FromNode for Bounded<LEAST, MOST> {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.integer(node, LEAST, MOST).map(Self)
    }
}

impl<const LEAST: u64, const MOST: u64> Bounded<LEAST, MOST> {
    /// As a size; all bounds fit.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// As a port; a bound above 65535 is cut.
    pub fn port(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Bounded<LEAST, MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("Bounded{LEAST}To{MOST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": LEAST, "maximum": MOST})
    }
}

/// Which part of the domains an instance takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardIndex {
    /// What the environment or the host name says.
    Auto,
    /// This one, from 0.
    Number(u32),
}

/// The largest index: the slots of a fleet are counted in four digits.
const SHARD_INDEX_MOST: u32 = 9999;

impl Serialize for ShardIndex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl FromNode for ShardIndex {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Integer(_) => {
                let number = reader.integer(node, 0, SHARD_INDEX_MOST.into())?;
                u32::try_from(number).ok().map(Self::Number)
            }
            _ => reader.text(node, "auto, or a whole number from 0 to 9999", |text| match text {
                "auto" => Ok(Self::Auto),
                other => Err(format!("{:?} is no index of a shard", shorten(other))),
            }),
        }
    }
}

impl JsonSchema for ShardIndex {
    fn schema_name() -> Cow<'static, str> {
        "ShardIndex".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": SHARD_INDEX_MOST},
            {"type": "string", "enum": ["auto"]},
        ]})
    }
}

/// One DNS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerSetting {
    /// Those of the operating system (/etc/resolv.conf).
    System,
    /// This one.
    Address(SocketAddr),
}

impl fmt::Display for ServerSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The port of DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

fn parse_server(text: &str) -> Result<ServerSetting, String> {
    if text == "system" {
        return Ok(ServerSetting::System);
    }
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, DNS_PORT));
    let in_brackets = || text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match (plain, text.parse::<SocketAddr>(), in_brackets()) {
        (Ok(address), ..) | (_, Ok(address), _) => address,
        (.., Some(inner)) if inner.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) => {
            return Err(format!("the port is missing behind {text:?}; write {inner} for port 53"));
        }
        _ => return Err(format!("{:?} is no address of a DNS server", shorten(text))),
    };
    if address.port() == 0 {
        return Err("port 0 is none that a server can have".to_owned());
    }
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(format!("{} is no address of one host", address.ip()));
    }
    Ok(ServerSetting::Address(address))
}

/// An address to listen on: `:PORT`, `IP:PORT` or `[IP6]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ListenAddress(pub String);

fn parse_listen(text: &str) -> Result<ListenAddress, String> {
    let any = text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if any || text.parse::<SocketAddr>().is_ok() {
        Ok(ListenAddress(text.to_owned()))
    } else {
        Err(format!("{:?} is no address to listen on", shorten(text)))
    }
}

/// The end of an acceptance: a day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub jiff::civil::Date);

fn parse_day(text: &str) -> Result<Day, String> {
    let form = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    match text.parse() {
        Ok(day) if form => Ok(Day(day)),
        _ => Err(format!("{:?} is no day of the calendar", shorten(text))),
    }
}

/// A URL of one of the schemes that the key allows. What may be secret in it (user-info and query) is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(pub String);

impl SecretUrl {
    /// Stands for a secret, and is itself allowed in every part of a URL.
    const HIDDEN: &'static str = "***";

    /// Whether it leads to a PostgreSQL database.
    pub fn is_postgres(&self) -> bool {
        self.0.starts_with("postgres://") || self.0.starts_with("postgresql://")
    }

    /// The URL with its user-info and its query hidden.
    pub fn redacted(&self) -> String {
        let (base, query) = match self.0.split_once('?') {
            Some((base, _)) => (base, format!("?{}", Self::HIDDEN)),
            None => (self.0.as_str(), String::new()),
        };
        let Some((scheme, rest)) = base.split_once("://") else { return format!("{base}{query}") };
        // The last @ even behind a slash: a password may hold one unescaped.
        match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://{}@{rest}{query}", Self::HIDDEN),
            None => format!("{base}{query}"),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.redacted().fmt(f)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.redacted())
    }
}

fn parse_url(text: &str) -> Result<SecretUrl, String> {
    const SCHEMES: [&str; 4] = ["https", "http", "postgres", "postgresql"];
    // The text itself stays out of the message: it may hold a password.
    let url: http::Uri = text.parse().map_err(|error| format!("this is no URL: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some(scheme), Some(host)) if SCHEMES.contains(&scheme) && !host.is_empty() => Ok(SecretUrl(text.to_owned())),
        (Some(scheme), Some(_)) => Err(format!("a URL of the scheme {scheme:?} is of no use here")),
        _ => Err("this is no URL with scheme and host".to_owned()),
    }
}

fn parse_path(text: &str) -> Result<PathBuf, &'static str> {
    match text {
        "" => Err("the path is empty"),
        text if text.contains('\0') => Err("no path holds a NUL"),
        text => Ok(text.into()),
    }
}

fn parse_threshold(text: &str) -> Result<CertificateThreshold, String> {
    let expected = || format!("{:?} is neither auto nor a duration nor a share from 0% to 100%", shorten(text));
    match text {
        "auto" => Ok(CertificateThreshold::Auto),
        text if text.contains('%') => Share::parse(text).map(CertificateThreshold::Share).ok_or_else(expected),
        text => text.parse().map(|HumanDuration(left)| CertificateThreshold::Left(left)).map_err(|_| expected()),
    }
}

/// A value that is written as one text: how to read it, how to print it, and its JSON Schema.
macro_rules! texts {
    ($( $type:ty, $name:literal, $expected:literal, $parse:expr, $schema:tt; )*) => { $(
        impl FromNode for $type {
            fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                reader.text(node, $expected, $parse)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )* };
}

texts! {
    PolicyDomain, "Domain", "a domain name", PolicyDomain::parse, {"type": "string", "title": "domain"};
    MxHost, "Host", "a host name", MxHost::parse, {"type": "string", "title": "host"};
    HostPattern, "HostPattern", "a host name or *.domain", HostPattern::parse, {"type": "string", "title": "host or *.domain"};
    ServerSetting, "Server", "system, IP, IP:port or [IP6]:port", parse_server, {"type": "string", "title": "system, IP, IP:port or [IP6]:port"};
    ListenAddress, "ListenAddress", ":port, IP:port or [IP6]:port", parse_listen, {"type": "string", "title": ":port, IP:port or [IP6]:port"};
    Day, "Day", "a day as 2027-01-31", parse_day, {"type": "string", "title": "day", "format": "date"};
    SecretUrl, "Url", "a URL", parse_url, {"type": "string", "title": "URL", "format": "uri"};
    Share, "Share", "a share as 5%", |text| Share::parse(text).ok_or_else(|| format!("{:?} is no share from 0% to 100%", shorten(text))),
        {"type": "string", "title": "share", "pattern": "^[0-9]{1,3}(\\.[0-9]{1,2})? *%$"};
    CertificateThreshold, "CertificateThreshold", "auto, a duration as 30d or a share as 25%", parse_threshold,
        {"type": "string", "title": "auto, duration or share"};
}

impl FromNode for HumanDuration {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "a duration as 30s, 10m or 90d";
        if let Value::Integer(number) = node.value {
            let hint = (number > 0).then(|| format!("seconds are written {number}s"));
            reader.unexpected(node.mark, format!("the number {number} has no unit"), EXPECTED, hint);
            return None;
        }
        reader.text(node, EXPECTED, str::parse)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "title": "duration", "pattern": "^ *([0-9]+ *[a-zA-Zµ]+ *)+$"})
    }
}

impl FromNode for PathBuf {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.text(node, "a path", parse_path)
    }
}

impl FromNode for Severity {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        reader.word(node, &Self::ALL.map(Self::as_str))?.parse().ok()
    }
}

impl FromNode for ExpectedMode {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let word = reader.word(node, &Self::ALL.map(Self::as_str))?;
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

/// JSON Schema of a closed list of words that another room defines.
macro_rules! word_schema {
    ($type:ty, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

word_schema!(Severity, {"type": "string", "enum": Severity::ALL.map(Severity::as_str)});
word_schema!(ExpectedMode, {"type": "string", "enum": ExpectedMode::ALL.map(ExpectedMode::as_str)});

impl Serialize for ServerSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers() {
        for (text, expected) in [
            ("system", "system"),
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(parse_server(text).map(|server| server.to_string()).as_deref(), Ok(expected));
        }
        for text in ["", "localhost", "192.0.2.1:0", "0.0.0.0", "[::1]", "192.0.2.1:99999", "224.0.0.1"] {
            assert!(parse_server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_in_urls_are_hidden() {
        for (url, shown) in [
            ("https://user:pa/ss@h.example/x", "https://***@h.example/x"),
            ("https://user:pass@h.example/x", "https://***@h.example/x"),
            ("https://h.example/x?token=abc", "https://h.example/x?***"),
            ("postgres://u:p@db/name", "postgres://***@db/name"),
        ] {
            let url = SecretUrl(url.to_owned());
            assert_eq!(url.redacted(), shown);
            assert_eq!(format!("{url:?}"), format!("{shown:?}"));
        }
        assert!(parse_url("ftp://h.example/").is_err());
        assert!(parse_url("/x").is_err());
    }

    #[test]
    fn days_and_thresholds() {
        assert!(parse_day("2027-01-01").is_ok() && parse_day("2028-02-29").is_ok());
        for text in ["2027-02-30", "2027-1-1", "01.01.2027", "20270101", "2027-01-01T00:00:00", ""] {
            assert!(parse_day(text).is_err(), "{text}");
        }
        assert_eq!(parse_threshold("25%"), Ok(CertificateThreshold::Share(Share::percent(25))));
        assert!(parse_threshold("soon").is_err() && parse_threshold("120%").is_err());
    }
}
