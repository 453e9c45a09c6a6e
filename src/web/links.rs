//! Where the server stands: below which path it is asked, and below which one browsers find it. A proxy may change the one into the
//! other, so that they are two flags, with the names and the meaning that they have with Prometheus.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, Uri, header};

use crate::terms::{MxHost, PolicyDomain};

/// Links to the own pages: every `href` and `action` is made here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Without a final slash; empty where the server stands at the root.
    prefix: String,
}

impl Links {
    /// The link to a path of the server. It begins with a slash, and holds only what a URL may.
    pub fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The page of a domain. A name needs no encoding: it holds letters, digits, dots, hyphens and underscores.
    pub fn domain(&self, domain: &PolicyDomain) -> String {
        format!("{}/domains/{domain}", self.prefix)
    }

    /// The page of a mail host.
    pub fn host(&self, host: &MxHost) -> String {
        format!("{}/hosts/{host}", self.prefix)
    }
}

/// The path below which every path of the server lies: `/` and what follows it, without a final slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePrefix(String);

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a prefix of paths; write for example /smtptls")]
pub struct RoutePrefixError(String);

/// The URL under which browsers find the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalUrl {
    /// `host` or `host:port` as browsers name it; nothing where only a path was given.
    authority: Option<String>,
    path: RoutePrefix,
}

impl ExternalUrl {
    /// Host and path, for people; nothing where only a path was given.
    pub fn place(&self) -> Option<String> {
        self.authority.as_ref().map(|authority| format!("{authority}{}", self.path.0))
    }
}

/// Why a text is no external URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no URL of a server; write for example https://monitor.example/smtptls, or its path alone: /smtptls")]
pub struct ExternalUrlError(String);

/// Where the server stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    prefix: RoutePrefix,
    links: Links,
    authority: Option<String>,
}

impl Mount {
    /// By the two flags. Without a prefix the path of the external URL is it; without an external URL browsers find the server
    /// where it is asked.
    pub fn new(external: Option<ExternalUrl>, prefix: Option<RoutePrefix>) -> Self {
        let (authority, path) = match external {
            Some(ExternalUrl { authority, path }) => (authority, Some(path)),
            None => (None, None),
        };
        let prefix = prefix.or_else(|| path.clone()).unwrap_or_default();
        let links = Links { prefix: path.unwrap_or_else(|| prefix.clone()).0 };
        Self { prefix, links, authority }
    }

    /// The links of pages.
    pub(super) const fn links(&self) -> &Links {
        &self.links
    }

    /// What stands below the prefix; nothing where the path does not lie there.
    pub(super) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(self.prefix.0.as_str()).filter(|rest| rest.starts_with('/'))
    }

    /// Where to send a browser that asks for this path: to the start page, from the root and from the prefix without its slash.
    pub(super) fn elsewhere(&self, path: &str) -> Option<String> {
        let moved = !self.prefix.0.is_empty() && (path == "/" || path == self.prefix.0);
        moved.then(|| format!("{}/", self.prefix.0))
    }

    /// Whether a request that changes something may: it comes from a page of this server, or from no page at all.
    ///
    /// A page of another site can make a browser send it, and browsers say so: in `Sec-Fetch-Site`, where the connection is encrypted or to
    /// this host itself, else by the `Origin` that they send with every POST. Programs send neither.
    ///
    /// An `Origin` is compared with the name that the external URL says. Without one `Host` alone would be no measure: whoever owns a name
    /// can lead it to this server once a browser has their page (DNS rebinding), and both headers then hold that name. Nobody can do so
    /// with an address, nor with a name that no domain of theirs is in.
    pub(super) fn is_own(&self, headers: &HeaderMap) -> bool {
        if let Some(site) = headers.get("sec-fetch-site") {
            return site == "same-origin" || site == "none";
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Some((_, origin)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(|host| is_nobodys(host));
        // A proxy may have put its own name for the server into `Host`; and beside it a browser may ask at an address.
        [host, self.authority.as_deref()].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(origin))
    }

    /// Whether a page of another site made a browser ask, as far as the browser says.
    pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
        headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
    }
}

/// Whether `host` or `host:port` is one that no stranger can let lead here: an address, or a name of one label, such as `localhost` or
/// the name of a machine in its own network.
fn is_nobodys(host: &str) -> bool {
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed.split_once(']').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.parse::<IpAddr>().is_ok() || (!name.is_empty() && !name.contains('.'))
}

impl RoutePrefix {
    /// The path of a path of the server.
    pub fn path_of(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for RoutePrefix {
    type Err = RoutePrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.trim_matches('/');
        let letters = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
        let segments = path.is_empty() || path.split('/').all(|segment| !matches!(segment, "" | "." | ".." | "-"));
        if !letters || !segments || text.len() > MAX_PREFIX {
            return Err(RoutePrefixError(text.to_owned()));
        }
        Ok(Self(if path.is_empty() { String::new() } else { format!("/{path}") }))
    }
}

/// Leaves room for a path and a query in what the server takes as a target.
const MAX_PREFIX: usize = 256;

impl FromStr for ExternalUrl {
    type Err = ExternalUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ExternalUrlError(text.to_owned());
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let web = match url.scheme_str() {
            None => text.starts_with('/'),
            Some(scheme) => matches!(scheme, "http" | "https"),
        };
        // A name of a user belongs in no link.
        let plain = url.query().is_none() && !text.contains(['#', '@']);
        if !web || !plain {
            return Err(wrong());
        }
        let path = url.path().parse().map_err(|_| wrong())?;
        Ok(Self { authority: url.authority().map(|authority| authority.as_str().to_owned()), path })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn mount(external: Option<&str>, prefix: Option<&str>) -> Mount {
        Mount::new(external.map(|url| url.parse().unwrap()), prefix.map(|prefix| prefix.parse().unwrap()))
    }

    #[test]
    fn the_prefix_is_the_path_of_the_external_url_unless_it_is_said() {
        for (external, prefix, below, link) in [
            (None, None, "/metrics", "/metrics"),
            (Some("https://m.example"), None, "/metrics", "/metrics"),
            (Some("https://m.example/"), None, "/metrics", "/metrics"),
            (Some("https://m.example/mail/tls/"), None, "/mail/tls/metrics", "/mail/tls/metrics"),
            (Some("/mail/"), None, "/mail/metrics", "/mail/metrics"),
            // The proxy takes the path away.
            (Some("https://m.example/mail"), Some("/"), "/metrics", "/mail/metrics"),
            (Some("https://m.example/mail"), Some("inside/"), "/inside/metrics", "/mail/metrics"),
            (None, Some("/mail"), "/mail/metrics", "/mail/metrics"),
        ] {
            let mount = mount(external, prefix);
            assert_eq!(mount.below(below), Some("/metrics"), "{external:?} {prefix:?}");
            assert_eq!(mount.links().to("/metrics"), link, "{external:?} {prefix:?}");
        }
    }

    #[test]
    fn only_what_lies_below_the_prefix_is_asked() {
        let mount = mount(None, Some("/mail"));
        for outside in ["/", "/mail", "/mailbox", "/metrics", "/Mail/metrics", "", "//mail/metrics"] {
            assert_eq!(mount.below(outside), None, "{outside}");
        }
        assert_eq!(mount.below("/mail/"), Some("/"));
        assert_eq!(mount.elsewhere("/"), Some("/mail/".to_owned()));
        assert_eq!(mount.elsewhere("/mail"), Some("/mail/".to_owned()));
        assert_eq!(mount.elsewhere("/metrics"), None);
        assert_eq!(Mount::default().elsewhere("/"), None, "no circle");
    }

    #[test]
    fn links_of_pages() {
        let mount = mount(Some("https://m.example/mail"), None);
        let links = mount.links();
        assert_eq!(
            links.domain(&PolicyDomain::parse("Bücher.example").unwrap()),
            "/mail/domains/xn--bcher-kva.example"
        );
        assert_eq!(links.host(&MxHost::parse("MX_1.example.com.").unwrap()), "/mail/hosts/mx_1.example.com");
    }

    #[test]
    fn what_is_no_prefix_and_no_url() {
        for bad in ["/a b", "/a?b", "/a#b", "/\"a\"", "/ä", "/a//b", "/../a", "/-/ready", "/%2e"] {
            assert!(bad.parse::<RoutePrefix>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "monitor.example",
            "monitor.example:80/mail",
            "'https://m.example'",
            "ftp://m.example/",
            "https://",
            "https:///mail",
            "https://m.example/a b",
            "https://m.example/?a=b",
            "https://m.example/#a",
            "https://user@m.example/",
        ] {
            assert!(bad.parse::<ExternalUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_own_pages_and_programs_change_something() {
        let from = |mount: &Mount, headers: &[(&'static str, &str)]| {
            let mut all = HeaderMap::new();
            for (name, value) in headers {
                all.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            mount.is_own(&all)
        };
        let here = Mount::default();
        assert!(from(&here, &[("host", "m.example:10461")]), "a program");
        assert!(from(&here, &[("sec-fetch-site", "same-origin")]) && from(&here, &[("sec-fetch-site", "none")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(
                !from(&here, &[("sec-fetch-site", site), ("origin", "http://m.example"), ("host", "m.example")]),
                "{site}"
            );
        }
        // Browsers keep that header back where the connection is not encrypted.
        for (origin, host) in [
            ("http://192.0.2.1:10461", "192.0.2.1:10461"),
            ("http://[2001:db8::1]:10461", "[2001:db8::1]:10461"),
            ("http://LocalHost", "localhost"),
            ("http://monitor:10461", "monitor:10461"),
        ] {
            assert!(from(&here, &[("origin", origin), ("host", host)]), "{origin}");
        }
        for origin in ["http://evil.example", "http://192.0.2.1", "null", "192.0.2.1:10461"] {
            assert!(!from(&here, &[("origin", origin), ("host", "192.0.2.1:10461")]), "{origin}");
        }
        // A page of a stranger, whose name leads here by now.
        for host in ["evil.example:10461", "192.0.2.1.evil.example:10461", "localhost.evil.example", "[evil.example]"] {
            assert!(!from(&here, &[("origin", &format!("http://{host}")), ("host", host)]), "{host}");
        }
        let behind = mount(Some("http://m.example/mail"), Some("/"));
        assert!(from(&behind, &[("origin", "http://m.example"), ("host", "10.0.0.1:10461")]));
        assert!(from(&behind, &[("origin", "http://M.example"), ("host", "m.example")]), "as it came");
        assert!(!from(&behind, &[("origin", "http://n.example"), ("host", "n.example")]), "rebound");
        assert!(!from(&behind, &[("origin", "http://n.example"), ("host", "10.0.0.1:10461")]));
    }
}
