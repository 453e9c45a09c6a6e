//! `tlsa suggest`: which TLSA records fit the certificates of a mail host.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args, Subcommand};
use tokio::runtime::Builder;

use super::{
    FAILED, OK, OWN_SIDE, USAGE,
    args::Common,
    complain,
    policy::{AdviceFormat, host},
    print, runtime,
    settings::{Source, colour, refused},
    terminal,
};
use crate::{
    facts::TlsaRecord,
    monitor::{self, Edges},
    net::now,
    present::{tlsa_advice, words},
    protocol::{dane::Combination, tls::read_key_file},
    terms::MxHost,
    verdict::suggest::{Signing, TlsaFacts, TlsaSuggestion, next_record, suggest_tlsa},
};

/// A file of keys or certificates is a few kilobytes; more is something else.
const LARGEST_KEY_FILE: u64 = 1 << 20;

/// What `tlsa` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum TlsaCommand {
    /// Suggest records for the certificates that a mail host uses now, with advice for changing its key
    Suggest(SuggestTlsa),
}

/// The flags of `tlsa suggest`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    group = ArgGroup::new("next").args(["next_key", "next_cert"]),
    after_help = "3 1 1 is the hash of the server's key: names and dates play no part, and it lives as long as the key. 2 1 1 is that of \
    the key of its issuer.\n\n\
    Exit status, the first that applies:\n  \
    2  wrong usage or configuration\n  \
    1  published records do not match, DNSSEC is broken, or the host shows no certificate\n  \
    3  the host could not be looked at for a reason on this side\n  \
    0  otherwise"
)]
pub struct SuggestTlsa {
    /// The mail host, as an MX record names it
    #[arg(value_name = "MX", value_parser = host)]
    pub host: MxHost,
    /// Certificate usage (3 or 2), selector (1 or 0) and matching type (1 or 2)
    #[arg(long, num_args = 3, value_names = ["USAGE", "SELECTOR", "MATCHING"], default_values_t = [3, 1, 1])]
    pub usage: Vec<u8>,
    /// A PEM file with the key that the server is to use next, private or public
    #[arg(long, value_name = "FILE")]
    pub next_key: Option<PathBuf>,
    /// A PEM file with the certificate that the server is to use next
    #[arg(long, value_name = "FILE")]
    pub next_cert: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: AdviceFormat,
}

/// Runs the command and returns the exit status.
pub(super) fn run(command: &TlsaCommand, common: &Common) -> u8 {
    let TlsaCommand::Suggest(arguments) = command;
    let runtime = match runtime(Builder::new_current_thread()) {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    match runtime.block_on(suggest(arguments, common)) {
        Ok((text, status)) => print(&text, status),
        Err(message) => complain(&message, USAGE),
    }
}

async fn suggest(arguments: &SuggestTlsa, common: &Common) -> Result<(String, u8), String> {
    let combination = combination(&arguments.usage)?;
    let next = match arguments.next_key.as_ref().or(arguments.next_cert.as_ref()) {
        Some(file) => next(combination, file)?,
        None => None,
    };
    let source = Source { file: common.config_file.clone(), domains: Vec::new() };
    let settings = source.load().map_err(|errors| refused(&errors, colour()))?.settings;
    let edges = Edges::open(&settings).await.map_err(|error| error.to_string())?;
    let seen = monitor::see_certificates(&settings, &edges, &arguments.host).await;
    let facts = TlsaFacts {
        lookup: &seen.lookup,
        base: &seen.base,
        addresses: &seen.addresses,
        skipped: seen.skipped,
        vantage: &seen.vantage,
    };
    let now = now();
    let suggestion = suggest_tlsa(&facts, combination, next, now);
    // What has records of its own is a mail host, whatever else it is.
    if suggestion.published.is_empty() && !seen.mail_hosts.is_empty() {
        return Err(is_a_domain(&arguments.host, &seen.mail_hosts));
    }
    let text = match arguments.format {
        AdviceFormat::Human => tlsa_advice::report(&suggestion, now, terminal::look(false)),
        AdviceFormat::Json => tlsa_advice::to_json(&suggestion, now).map_err(|error| error.to_string())?,
    };
    Ok((text, exit_status(&suggestion)))
}

/// The records stand at the mail hosts, and each has its own.
fn is_a_domain(name: &MxHost, hosts: &[MxHost]) -> String {
    format!("{name} is a domain; its mail hosts are {}: name one of them", words::list(hosts))
}

/// Only what SMTP has a meaning for (RFC 7672 §3.1), and digests alone: RFC 7671 §10.1.1 discourages whole keys and certificates.
fn combination(usage: &[u8]) -> Result<Combination, String> {
    match *usage {
        [usage @ (2 | 3), selector @ (0 | 1), matching @ (1 | 2)] => Ok(Combination { usage, selector, matching }),
        [0 | 1, ..] => {
            Err("--usage: certificate usages 0 and 1 are not used for SMTP (RFC 7672 section 3.1.3); 3 1 1 is usual"
                .to_owned())
        }
        [_, _, 0] => {
            Err("--usage: matching type 0 puts whole keys into the DNS, which RFC 7671 advises against; 3 1 1 is usual"
                .to_owned())
        }
        _ => {
            Err("--usage: usage 3 or 2, selector 1 or 0 and matching type 1 or 2 were expected, as in 3 1 1".to_owned())
        }
    }
}

/// The record of the next key.
fn next(combination: Combination, file: &Path) -> Result<Option<TlsaRecord>, String> {
    if combination.usage == 2 {
        return Err("--usage 2 is about the issuer: the server's own next key has no record there".to_owned());
    }
    let failed = |why: String| format!("{}: {why}", file.display());
    // A device tells no length beforehand and may have no end.
    let opened = File::open(file).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_KEY_FILE + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > LARGEST_KEY_FILE {
        return Err(failed(format!("it has more than {LARGEST_KEY_FILE} bytes, which no key has")));
    }
    let material = read_key_file(&bytes).map_err(|error| failed(error.to_string()))?;
    next_record(combination, &material).map_err(|error| failed(error.to_string()))
}

/// The exit status, the first that applies: 1 senders that apply DANE do not deliver, or there is no certificate; 3 this side; 0.
fn exit_status(suggestion: &TlsaSuggestion) -> u8 {
    match &suggestion.signing {
        Signing::Broken(_) => FAILED,
        _ if suggestion.holds == Some(false) => FAILED,
        _ if suggestion.own_side => OWN_SIDE,
        _ if suggestion.certificates.is_empty() => FAILED,
        _ => OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::suggest::fixture::{Host, suggested};

    #[test]
    fn only_what_smtp_has_a_meaning_for() {
        assert_eq!(combination(&[3, 1, 1]).unwrap().to_string(), "3 1 1");
        assert_eq!(combination(&[2, 0, 2]).unwrap().to_string(), "2 0 2");
        for wrong in [[0, 1, 1], [1, 0, 1], [3, 1, 0], [3, 2, 1], [4, 1, 1], [3, 1, 3]] {
            assert!(combination(&wrong).unwrap_err().starts_with("--usage: "), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_status_that_applies() {
        let status = |host: &Host| exit_status(&suggested(host));
        assert_eq!(status(&Host::signed()), OK);
        assert_eq!(status(&Host::unsigned()), OK);
        assert_eq!(status(&Host::signed().publishing_its_own()), OK);
        assert_eq!(status(&Host::signed().publishing(&[[7; 32]])), FAILED);
        assert_eq!(status(&Host::signed().silent()), FAILED);
        let mut blocked = Host::signed().silent();
        blocked.vantage.resolver_failing = true;
        assert_eq!(status(&blocked), OWN_SIDE);
        let bogus = Host::signed().with_tlsa(Vec::new(), crate::facts::Security::Bogus);
        assert_eq!(status(&bogus), FAILED);
    }

    #[test]
    fn a_key_file_that_is_none_says_so() {
        let usual = combination(&[3, 1, 1]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        let error = next(usual, file.path()).unwrap_err();
        assert!(error.contains("neither a certificate nor a key"), "{error}");
        let endless = next(usual, Path::new("/dev/zero")).unwrap_err();
        assert!(endless.contains("more than 1048576 bytes"), "{endless}");
        assert!(next(usual, Path::new("/nowhere.pem")).unwrap_err().starts_with("/nowhere.pem: "));
        assert!(next(combination(&[2, 1, 1]).unwrap(), file.path()).unwrap_err().contains("issuer"));
    }
}
