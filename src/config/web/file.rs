//! The file as it is written, and what it comes to.

use std::{collections::BTreeMap, path::Path};

use http::{HeaderName, HeaderValue};

use super::{
    ClientCertificates, Hidden, Pem, RateLimit, TlsSettings, WebSettings,
    words::{CipherSuite, GoDuration, KeyExchange, PasswordHash, TlsVersion},
};
use crate::config::{
    diagnostic::Mark,
    reader::{At, FromNode, Reader},
    values::Bounded,
    yaml::{Node, Value},
};

/// More requests than this at once are no limit.
const BURST_MOST: u64 = 1_000_000;

/// A map of the file: one declaration gives the type and its reading.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $( $key:ident: $type:ty, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(super) struct $name { $( $key: Option<At<$type>>, )* }

        impl FromNode for $name {
            fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let mut section = Self::default();
                for (name, _, value) in reader.section(node, &[$(stringify!($key)),*], &[])? {
                    match name {
                        $( stringify!($key) => section.$key = reader.field(name, value), )*
                        _ => {}
                    }
                }
                Some(section)
            }
        }
    };
}

section! {
    /// All of it.
    WebFile {
        tls_server_config: TlsFile,
        http_server_config: HttpFile,
        basic_auth_users: Users,
        rate_limit: RateFile,
    }
}

section! {
    /// `tls_server_config`.
    TlsFile {
        cert: Filled<Hidden>,
        key: Filled<Hidden>,
        client_ca: Filled<Hidden>,
        cert_file: Filled<String>,
        key_file: Filled<String>,
        client_ca_file: Filled<String>,
        client_auth_type: Filled<ClientCertificates>,
        client_allowed_sans: Vec<At<String>>,
        min_version: TlsVersion,
        max_version: TlsVersion,
        cipher_suites: Vec<At<CipherSuite>>,
        prefer_server_cipher_suites: bool,
        curve_preferences: Vec<At<KeyExchange>>,
    }
}

section! {
    /// `http_server_config`.
    HttpFile {
        http2: bool,
        headers: Headers,
    }
}

section! {
    /// `rate_limit`.
    RateFile {
        interval: GoDuration,
        burst: Bounded<0, BURST_MOST>,
    }
}

/// A value of which the empty text says nothing, as in exporter-toolkit.
#[derive(Debug)]
struct Filled<T>(Option<T>);

impl<T: FromNode> FromNode for Filled<T> {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text.is_empty() => Some(Self(None)),
            _ => T::from_node(node, reader).map(|value| Self(Some(value))),
        }
    }
}

fn filled<T>(value: Option<At<Filled<T>>>) -> Option<At<T>> {
    let At { value, mark } = value?;
    value.0.map(|value| At { value, mark })
}

/// `basic_auth_users`.
#[derive(Debug, Default)]
struct Users(BTreeMap<String, PasswordHash>);

impl FromNode for Users {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "a map of user names, each with a bcrypt hash";
        let Value::Map(entries) = &node.value else {
            // It may hold a secret: it is not told what it is.
            reader.unexpected(node.mark, "this is no map", EXPECTED, None);
            return None;
        };
        let mut users = BTreeMap::new();
        for (key, value) in entries {
            let name = &key.text;
            // RFC 7617 §2: what stands before the first colon is the name.
            if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
                reader.unexpected(key.mark, "no client can send this user name", "a name without a colon", None);
                continue;
            }
            let hash = match &value.value {
                Value::Text(text) => PasswordHash::parse(text),
                _ => Err("it is no bcrypt hash".to_owned()),
            };
            match hash {
                Ok(hash) => {
                    if users.insert(name.clone(), hash).is_some() {
                        reader.error(key.mark, format!("the user {name:?} is given twice"), None);
                    }
                }
                Err(wrong) => {
                    let message = format!("the password of {name:?} cannot be used: {wrong}");
                    let hint =
                        "htpasswd -nBC 10 \"\" | tr -d ':\\n' asks for a password and prints its hash".to_owned();
                    reader.unexpected(value.mark, message, "a bcrypt hash", Some(hint));
                }
            }
        }
        Some(Self(users))
    }
}

/// `headers`.
#[derive(Debug, Default)]
struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// What may be set, each with its values where they are known.
    const KNOWN: [(&'static str, &'static [&'static str]); 5] = [
        ("Content-Security-Policy", &[]),
        ("X-Frame-Options", &["deny", "sameorigin"]),
        ("X-Content-Type-Options", &["nosniff"]),
        ("X-XSS-Protection", &[]),
        ("Strict-Transport-Security", &[]),
    ];
}

impl FromNode for Headers {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let mut headers = Vec::new();
        for (name, _, value) in reader.section(node, &Self::KNOWN.map(|(name, _)| name), &[])? {
            let text = match &value.value {
                Value::Text(text) => text.clone(),
                // `X-XSS-Protection: 1` is written without quotes.
                Value::Integer(number) => number.to_string(),
                Value::Null => continue,
                _ => {
                    reader.unexpected(value.mark, format!("found {}", value.value.describe()), "a text", None);
                    continue;
                }
            };
            let allowed = Self::KNOWN.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, values)| values);
            if text.is_empty() {
                continue;
            }
            if !allowed.is_empty() && !allowed.contains(&text.as_str()) {
                let expected = allowed.join(" or ");
                reader.unexpected(value.mark, format!("{text:?} is no value of {name}"), &expected, None);
                continue;
            }
            match (HeaderName::try_from(name), HeaderValue::try_from(&text)) {
                (Ok(name), Ok(value)) => headers.push((name, value)),
                _ => reader.unexpected(value.mark, "this cannot stand in a header", "a line of text", None),
            }
        }
        Some(Self(headers))
    }
}

impl WebFile {
    /// What it comes to; what does not fit together is told.
    pub(super) fn settings(self, reader: &mut Reader<'_>, base: &Path) -> WebSettings {
        let http = self.http_server_config.map(|http| http.value).unwrap_or_default();
        if let Some(At { value: true, mark }) = http.http2 {
            reader.warning(mark, "`http2` has no effect: this program speaks HTTP/1.1", None);
        }
        WebSettings {
            tls: self.tls_server_config.and_then(|At { value, mark }| value.settings(mark, reader, base)),
            headers: http.headers.map(|headers| headers.value.0).unwrap_or_default(),
            users: self.basic_auth_users.map(|users| users.value.0).unwrap_or_default(),
            rate_limit: self.rate_limit.and_then(|At { value, mark }| value.settings(mark, reader)),
        }
    }
}

impl RateFile {
    fn settings(self, mark: Mark, reader: &mut Reader<'_>) -> Option<RateLimit> {
        let interval = self.interval.map_or(std::time::Duration::ZERO, |interval| interval.value.0);
        if interval.is_zero() {
            return None;
        }
        let burst = self.burst.and_then(|burst| u32::try_from(burst.value.0).ok()).unwrap_or(0);
        if burst == 0 {
            let mark = self.burst.map_or(mark, |burst| burst.mark);
            reader.unexpected(mark, "without a `burst` no request at all is answered", "`burst` of 1 or more", None);
        }
        Some(RateLimit { interval, burst })
    }
}

/// PEM in the file or in another one, not both.
fn pem(
    [key, file_key]: [&str; 2],
    inline: Option<At<Filled<Hidden>>>,
    file: Option<At<Filled<String>>>,
    base: &Path,
    reader: &mut Reader<'_>,
) -> Option<At<Pem>> {
    match (filled(inline), filled(file)) {
        (Some(inline), Some(_)) => {
            let hint = "keep one of them".to_owned();
            reader.error(inline.mark, format!("`{key}` and `{file_key}` are both given"), Some(hint));
            None
        }
        (Some(At { value, mark }), None) => Some(At { value: Pem::Inline(value), mark }),
        (None, Some(At { value, mark })) => Some(At { value: Pem::File(base.join(value)), mark }),
        (None, None) => None,
    }
}

impl TlsFile {
    fn settings(self, mark: Mark, reader: &mut Reader<'_>, base: &Path) -> Option<TlsSettings> {
        let before = reader.errors();
        let empty = self.is_empty();
        let certificate = pem(["cert", "cert_file"], self.cert, self.cert_file, base, reader);
        let key = pem(["key", "key_file"], self.key, self.key_file, base, reader);
        let client_ca = pem(["client_ca", "client_ca_file"], self.client_ca, self.client_ca_file, base, reader);
        // What was told of the two is enough said.
        if !empty && reader.errors() == before {
            let mut missing = |names: &str| {
                let message = format!("one of {names} is missing in `tls_server_config`");
                reader.unexpected(mark, message, "a certificate and its key", None);
            };
            if certificate.is_none() {
                missing("`cert` and `cert_file`");
            }
            if key.is_none() {
                missing("`key` and `key_file`");
            }
        }
        let client_auth = filled(self.client_auth_type);
        let client_certificates = client_auth.map_or(ClientCertificates::None, |kind| kind.value);
        match (&client_ca, client_certificates) {
            (Some(ca), ClientCertificates::None) => {
                let hint = "client_auth_type: RequireAndVerifyClientCert".to_owned();
                reader.error(
                    ca.mark,
                    "there is a CA of clients, and no `client_auth_type` that looks at it",
                    Some(hint),
                );
            }
            (None, ClientCertificates::RequiredAndVerified) => {
                let mark = client_auth.map_or(mark, |kind| kind.mark);
                let hint = "`client_ca_file` says who issues the certificates of clients".to_owned();
                reader.error(mark, "no certificate could be verified without a CA of clients", Some(hint));
            }
            (None, ClientCertificates::VerifiedIfGiven) => {
                let mark = client_auth.map_or(mark, |kind| kind.mark);
                let hint = "`client_ca_file` says who issues the certificates of clients".to_owned();
                reader.warning(mark, "there is no CA of clients: whoever shows a certificate is refused", Some(hint));
            }
            _ => {}
        }
        if let Some(sans) = &self.client_allowed_sans {
            match client_certificates {
                ClientCertificates::None => {
                    let hint = "client_auth_type: RequireAndVerifyClientCert".to_owned();
                    reader.error(
                        sans.mark,
                        "`client_allowed_sans` asks for a certificate that no client shows",
                        Some(hint),
                    );
                }
                kind if !kind.verified() => {
                    let message =
                        "`client_allowed_sans` protects nothing here: who issued a certificate is not looked at";
                    reader.warning(sans.mark, message, None);
                }
                _ => {}
            }
        }
        let min_version = self.min_version.map_or(TlsVersion::Tls12, |version| version.value);
        let max_version = self.max_version.map_or(TlsVersion::Tls13, |version| version.value);
        if let Some(min) = self.min_version.filter(|_| min_version > max_version) {
            reader.error(min.mark, "`min_version` is newer than `max_version`", None);
        }
        let suites: Vec<CipherSuite> = values(self.cipher_suites.as_ref());
        if let Some(At { mark, .. }) = self.cipher_suites.filter(|_| max_version == TlsVersion::Tls12)
            && suites.iter().all(|suite| suite.is_of_tls13())
            && !suites.is_empty()
        {
            reader.error(mark, "none of the `cipher_suites` is one of TLS 1.2, the only version here", None);
        }
        Some(TlsSettings {
            certificate: certificate?,
            key: key?,
            client_certificates,
            client_ca,
            client_allowed_sans: values(self.client_allowed_sans.as_ref()),
            min_version,
            max_version,
            cipher_suites: suites,
            server_order: self.prefer_server_cipher_suites.is_none_or(|prefers| prefers.value),
            key_exchanges: values(self.curve_preferences.as_ref()),
        })
    }

    /// Whether nothing in it says anything.
    fn is_empty(&self) -> bool {
        let Self { cert, key, client_ca, cert_file, key_file, client_ca_file, client_auth_type, .. } = self;
        let says = |value: &Option<At<Filled<Hidden>>>| value.is_some();
        let files = [cert_file, key_file, client_ca_file].iter().any(|value| value.is_some());
        let chosen = self.client_allowed_sans.is_some()
            || self.min_version.is_some()
            || self.max_version.is_some()
            || self.cipher_suites.is_some()
            || self.prefer_server_cipher_suites.is_some()
            || self.curve_preferences.is_some();
        !(says(cert) || says(key) || says(client_ca) || files || client_auth_type.is_some() || chosen)
    }
}

fn values<T: Clone>(list: Option<&At<Vec<At<T>>>>) -> Vec<T> {
    list.map(|list| list.value.iter().map(|one| one.value.clone()).collect()).unwrap_or_default()
}
