//! DKIM signatures (RFC 6376) as senders make them, written from the RFC.

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize, PublicKey},
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256},
};

use super::made::base64;

/// A key with where it stands in the DNS.
pub(crate) struct Signer {
    pub(crate) domain: String,
    pub(crate) selector: String,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// What a signature says, apart from what it always says.
#[derive(Clone, Copy)]
pub(crate) struct Signing<'a> {
    /// `c=`.
    pub(crate) canonical: (Canonical, Canonical),
    /// `h=`.
    pub(crate) fields: &'a [&'a str],
    /// More tags, each with a semicolon.
    pub(crate) tags: &'a str,
    /// Only so many octets of the body, said by `l=`.
    pub(crate) length: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canonical {
    Simple,
    Relaxed,
}

pub(crate) const USUAL: Signing<'static> = Signing {
    canonical: (Canonical::Relaxed, Canonical::Relaxed),
    fields: &["From", "To", "Subject", "TLS-Report-Domain", "TLS-Report-Submitter", "Content-Type"],
    tags: "",
    length: None,
};

impl Signer {
    pub(crate) fn rsa(domain: &str) -> Self {
        Self::new(domain, "r", Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(crate) fn ed25519(domain: &str) -> Self {
        Self::new(domain, "e", Key::Ed25519(Ed25519KeyPair::generate().unwrap()))
    }

    fn new(domain: &str, selector: &str, key: Key) -> Self {
        Self { domain: domain.to_owned(), selector: selector.to_owned(), key }
    }

    /// Where its record stands.
    pub(crate) fn name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// Its record, with more tags.
    pub(crate) fn record(&self, tags: &str) -> String {
        let (kind, key) = match &self.key {
            Key::Rsa(pair) => {
                ("rsa", AsDer::as_der(KeyPair::public_key(pair) as &PublicKey).unwrap().as_ref().to_vec())
            }
            Key::Ed25519(pair) => ("ed25519", pair.public_key().as_ref().to_vec()),
        };
        format!("v=DKIM1; {tags}k={kind}; p={}", base64(&key).replace("\r\n", ""))
    }

    /// The mail with a signature before it.
    pub(crate) fn sign(&self, mail: &[u8], signing: Signing<'_>) -> Vec<u8> {
        let text = std::str::from_utf8(mail).unwrap();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        let (header_form, body_form) = signing.canonical;
        let mut body = canonical_body(body, body_form);
        body.truncate(signing.length.unwrap_or(body.len()));
        let length = signing.length.map_or_else(String::new, |length| format!("l={length}; "));
        let algorithm = match &self.key {
            Key::Rsa(_) => "rsa-sha256",
            Key::Ed25519(_) => "ed25519-sha256",
        };
        let unsigned = format!(
            " v=1; a={algorithm}; c={}/{}; d={}; s={};\r\n\t{}{length}h={};\r\n\tbh={}; b=",
            header_form.word(),
            body_form.word(),
            self.domain,
            self.selector,
            signing.tags,
            signing.fields.join(":"),
            base64(digest(&SHA256, body.as_bytes()).as_ref()),
        );
        let mut signed = String::new();
        for field in signing.fields {
            if let Some((name, value)) = fields(header).into_iter().rfind(|(name, _)| name.eq_ignore_ascii_case(field))
            {
                signed += &canonical_field(&name, &value, header_form);
            }
        }
        let own = canonical_field("DKIM-Signature", &format!("{unsigned}\r\n"), header_form);
        signed += own.strip_suffix("\r\n").unwrap();
        let signature = match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
                signature
            }
            // RFC 8463 §3: over the hash.
            Key::Ed25519(pair) => pair.sign(digest(&SHA256, signed.as_bytes()).as_ref()).as_ref().to_vec(),
        };
        format!("DKIM-Signature:{unsigned}{}\r\n{text}", base64(&signature).replace("\r\n", "\r\n\t")).into_bytes()
    }
}

impl Canonical {
    const fn word(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }
}

/// Names and values, folds in them.
fn fields(header: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split("\r\n") {
        match line.starts_with([' ', '\t']) {
            true => fields.last_mut().unwrap().1 += &format!("{line}\r\n"),
            false => {
                let (name, value) = line.split_once(':').unwrap();
                fields.push((name.to_owned(), format!("{value}\r\n")));
            }
        }
    }
    fields
}

/// RFC 6376 §3.4.1, §3.4.2.
fn canonical_field(name: &str, value: &str, form: Canonical) -> String {
    match form {
        Canonical::Simple => format!("{name}:{value}"),
        Canonical::Relaxed => {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            format!("{}:{}\r\n", name.to_ascii_lowercase(), words.join(" "))
        }
    }
}

/// RFC 6376 §3.4.3, §3.4.4.
fn canonical_body(body: &str, form: Canonical) -> String {
    let mut lines: Vec<String> = body.split("\r\n").map(str::to_owned).collect();
    // What stands behind the last line end is no line.
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    if form == Canonical::Relaxed {
        for line in &mut lines {
            let trimmed = line.trim_end_matches([' ', '\t']);
            let mut short = String::new();
            for c in trimmed.chars() {
                match c {
                    ' ' | '\t' if short.ends_with(' ') => {}
                    ' ' | '\t' => short.push(' '),
                    other => short.push(other),
                }
            }
            *line = short;
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    match (lines.is_empty(), form) {
        (true, Canonical::Relaxed) => String::new(),
        (true, Canonical::Simple) => "\r\n".to_owned(),
        (false, _) => lines.join("\r\n") + "\r\n",
    }
}
