//! Where reports come in: what the keys of `reports` say, with their defaults, and what no single one of them can tell checked.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{file, reader::At, resolve::Resolver, values::ReportAuthentication};
use crate::terms::PolicyDomain;

/// Where reports are posted, unless the configuration says another path.
pub const DEFAULT_REPORT_PATH: &str = "/tlsrpt";

/// Below these the web page has its own.
const TAKEN: [&str; 4] = ["/-/", "/api/", "/metrics", "/domains/"];

/// An own listener for reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportListener {
    /// `:PORT`, `IP:PORT` or `[IP6]:PORT`.
    pub address: String,
    /// The files of the chain and of the key, PEM; nothing where it does not speak TLS itself.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl file::Reports {
    /// Whether any way in is configured.
    pub fn has_source(&self) -> bool {
        self.http.is_some()
            || !self.folders().is_empty()
            || self.imap.as_ref().is_some_and(|list| !list.value.is_empty())
    }

    /// The path at which reports are posted; nothing where they are not.
    pub fn path(&self) -> Option<&str> {
        let http = self.http.as_ref()?;
        Some(http.value.path.as_ref().map_or(DEFAULT_REPORT_PATH, |path| path.value.as_str()))
    }

    /// The own listener, if there is one.
    pub fn listener(&self) -> Option<ReportListener> {
        let http = &self.http.as_ref()?.value;
        let file = |path: &Option<At<PathBuf>>| path.as_ref().map(|path| path.value.clone());
        let certificate = http.tls.as_ref().and_then(|tls| file(&tls.value.cert_file).zip(file(&tls.value.key_file)));
        Some(ReportListener { address: http.listen.as_ref()?.value.0.clone(), certificate })
    }

    /// Maildirs and folders.
    pub fn folders(&self) -> Vec<&Path> {
        self.maildir.iter().flat_map(|list| &list.value).map(|at| at.value.as_path()).collect()
    }

    /// How reports that come by mail prove their sender.
    pub fn authentication(&self) -> ReportAuthentication {
        self.authentication.as_ref().map_or(ReportAuthentication::Dkim, |at| at.value)
    }

    /// Whose Authentication-Results are believed.
    pub fn authserv_id(&self) -> Option<&str> {
        self.authserv_id.as_ref().map(|at| at.value.as_str())
    }

    /// Reporters that have their own metrics in any case.
    pub fn reporters(&self) -> BTreeSet<PolicyDomain> {
        self.reporters.iter().flat_map(|list| &list.value).map(|at| at.value.clone()).collect()
    }
}

impl Resolver<'_, '_> {
    pub(super) fn ways_in(&mut self, written: &mut file::Reports) {
        if let Some(http) = &mut written.http {
            self.report_http(&mut http.value);
        }
        for folder in written.maildir.iter_mut().flat_map(|list| &mut list.value) {
            folder.value = self.base.join(&folder.value);
        }
        if let Some(list) = &written.maildir {
            self.reject_twice(&list.value, |path| path.display().to_string(), "the folder");
        }
        if let Some(list) = &written.reporters {
            self.reject_twice(&list.value, PolicyDomain::to_string, "the reporter");
        }
        let trusts = written.authentication.filter(|at| at.value == ReportAuthentication::TrustedHeader);
        match (&written.authserv_id, trusts) {
            (None, Some(at)) => {
                let hint = "let `authserv_id` be the name that your mail server writes first in Authentication-Results";
                self.reader.error(
                    at.mark,
                    "`authserv_id` is missing: whose header is to be trusted?",
                    Some(hint.to_owned()),
                );
            }
            (Some(at), None) => {
                let hint = "it counts with `authentication: trusted-header`";
                self.reader.warning(at.mark, "`authserv_id` has no effect", Some(hint.to_owned()));
            }
            _ => {}
        }
        if let Some(at) = &written.authserv_id
            && (at.value.is_empty() || !at.value.bytes().all(|byte| byte.is_ascii_graphic()))
        {
            let message = format!("{:?} is no name of a server", at.value);
            self.reader.unexpected(at.mark, message, "printable ASCII without blanks", None);
        }
    }

    fn report_http(&mut self, http: &mut file::ReportsHttp) {
        if let Some(path) = &http.path {
            let text = path.value.as_str();
            let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
            if !text.starts_with('/') || text == "/" || !plain {
                let message = format!("{text:?} is no path of a URL for reports");
                self.reader.unexpected(path.mark, message, "a path that starts with /, as /tlsrpt", None);
            } else if TAKEN.iter().any(|taken| text.starts_with(taken) || text == taken.trim_end_matches('/')) {
                let message = format!("{text} belongs to the web page");
                self.reader.unexpected(path.mark, message, "another path, as /tlsrpt", None);
            }
        }
        let Some(tls) = &mut http.tls else { return };
        let files = [tls.value.cert_file.is_some(), tls.value.key_file.is_some()];
        match files {
            [true, true] if http.listen.is_none() => {
                let hint = "give `listen` an address, as :8443; the listener of the web page has its own settings";
                self.reader.error(tls.mark, "a certificate for reports needs an own listener", Some(hint.to_owned()));
            }
            [true, true] => {
                for file in [&mut tls.value.cert_file, &mut tls.value.key_file] {
                    *file = file.take().and_then(|at| {
                        let mark = at.mark;
                        self.readable_file(at).map(|value| At { value, mark })
                    });
                }
            }
            [false, false] => {}
            _ => self.reader.error(tls.mark, "`cert_file` and `key_file` go together", None),
        }
    }
}
