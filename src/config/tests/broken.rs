//! What broken files are told.

use std::fmt::Write as _;

use super::{super::parse, told};

/// A file, and all that it is told.
const BROKEN: &[(&str, &str)] = &[
    (
        "probe: {interval: soon}",
        "1:19 error: \"soon\" is no duration (expected number at 0); write for example 30s, 10m, 1h 30m or 90d | a duration as 30s, 10m or 90d\n",
    ),
    (
        "probe:\n  intervall: 10m\n  colour: blue\n",
        "2:3 error: unknown key \"intervall\" in `probe` | did you mean `interval`?\n\
         3:3 error: unknown key \"colour\" in `probe` | known keys: interval, mx_interval, retry_interval, policy_retry_interval, timeout, helo_name, contact, families, max_in_flight, per_host, per_address, per_network, per_provider, max_mx, max_addresses, ca_file, roots, smtp_port, https_port, legacy_tls, allow_private_addresses, allow_any_target, opt_out, canaries\n",
    ),
    (
        "probes: {}\nInterval: 10m",
        "1:1 error: unknown key \"probes\" | did you mean `probe`?\n\
         2:1 error: unknown key \"Interval\" | known keys: resolver, probe, own_mx, thresholds, severities, accept, domains, domain_files, http_sd, reports, metrics, shard, state\n",
    ),
    (
        "probe: {interval: 300, timeout: 2 parsecs}",
        "1:19 error: the number 300 has no unit | a duration as 30s, 10m or 90d | seconds are written 300s\n\
         1:33 error: \"2 parsecs\" is no duration (unknown time unit \"parsecs\", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few variations)); write for example 30s, 10m, 1h 30m or 90d | a duration as 30s, 10m or 90d\n",
    ),
    (
        "probe: {max_in_flight: \"256\", smtp_port: 0, https_port: 70000, per_host: 1.5, max_mx: -1}",
        "1:24 error: found the text \"256\" | a whole number from 1 to 65536 | write it without quotes\n\
         1:42 error: 0 is out of range | a whole number from 1 to 65535\n\
         1:57 error: 70000 is out of range | a whole number from 1 to 65535\n\
         1:74 error: found the number 1.5 | a whole number from 1 to 1024\n\
         1:87 error: -1 is out of range | a whole number from 1 to 1000\n",
    ),
    (
        "probe: {interval: 1ms, mx_interval: 30days, timeout: 0s, retry_interval: 20s}",
        "1:19 error: 1ms is too short | 1s to 7d\n\
         1:37 error: 30d is too long | 1s to 7d\n\
         1:54 error: 0s is too short | 1s to 10m\n",
    ),
    (
        "probe: {interval: 20s}",
        "1:19 warning: 20s is a very short interval | peers may block who comes more often than every 30s\n\
         1:19 error: a probe may take longer (30s) than the time between two (20s) | let `timeout` be at most `interval`\n",
    ),
    (
        "probe: {interval: 10m, timeout: 5m, retry_interval: 20m}\nresolver: {timeout: 2m}",
        "1:53 warning: a retry comes no later than the next probe, after 10m\n\
         2:21 error: 2m is too long | 100ms to 1m\n",
    ),
    (
        "probe: {interval: 1m, timeout: 4s}\nresolver: {timeout: 5s}",
        "2:21 error: one DNS question may take longer (5s) than a whole probe (4s) | let `resolver.timeout` be at most `probe.timeout`\n",
    ),
    (
        "probe: {families: []}\nresolver: {servers: []}",
        "1:19 error: without a family nothing can be reached | ip4, ip6 or both\n\
         2:21 error: no DNS server is listed | at least one server\n",
    ),
    (
        "probe: {families: [ipv4, IP6], roots: Mozilla, legacy_tls: yes, allow_private_addresses: 1}",
        "1:20 error: \"ipv4\" is not known here | one of ip4, ip6 | did you mean `ip4`?\n\
         1:26 error: \"IP6\" is not known here | one of ip4, ip6 | did you mean `ip6`?\n\
         1:39 error: \"Mozilla\" is not known here | one of webpki, system, none\n\
         1:60 error: found the text \"yes\" | true or false | write true\n\
         1:90 error: found the number 1 | true or false\n",
    ),
    (
        "probe: {helo_name: 'not a name', contact: \"a (b)\", opt_out: ['mx*.example'], canaries: [192.0.2.1]}",
        "1:20 error: \"not a name\" in \"not a name\" is no label of a host name (letters, digits and inner hyphens, at most 63) | a host name, [192.0.2.1] or [IPv6:2001:db8::1]\n\
         1:43 error: this cannot stand in a User-Agent header | printable ASCII without ( ) and \\\n\
         1:62 error: \"mx*\" in \"mx*.example\" is no label of a host name (letters, digits and inner hyphens, at most 63) | a host name or *.domain\n\
         1:89 error: \"192.0.2.1\" is an address; a domain name was expected | a host name\n",
    ),
    // RFC 5321 §4.1.3: an IPv6 address has its tag, an IPv4 address none.
    (
        "probe: {helo_name: '[2001:db8::1]'}",
        "1:20 error: \"[2001:db8::1]\" is an address; a domain name was expected | a host name, [192.0.2.1] or [IPv6:2001:db8::1]\n",
    ),
    (
        "probe: {helo_name: '[IPv6:192.0.2.1]'}",
        "1:20 error: \"[IPv6:192.0.2.1]\" is an address; a domain name was expected | a host name, [192.0.2.1] or [IPv6:2001:db8::1]\n",
    ),
    (
        "probe: {helo_name: monitor}",
        "1:20 warning: monitor is no fully qualified name | many mail hosts refuse a client that greets them so; write a name with its domain, or [address]\n",
    ),
    (
        "probe: {ca_file: /nowhere/roots.pem}",
        "1:18 error: /nowhere/roots.pem cannot be read: No such file or directory (os error 2) | a readable file\n",
    ),
    (
        "resolver: {servers: [localhost, '192.0.2.1:0', '[::1]', 192.0.2.1, '192.0.2.1:53'], dnssec: trust_ad}",
        "1:22 error: \"localhost\" is no address of a DNS server | system, IP, IP:port or [IP6]:port\n\
         1:33 error: port 0 is none that a server can have | system, IP, IP:port or [IP6]:port\n\
         1:48 error: the port is missing behind \"[::1]\"; write ::1 for port 53 | system, IP, IP:port or [IP6]:port\n\
         1:68 error: the server 192.0.2.1:53 is given twice | it is already given in line 1; keep one of them\n\
         1:93 error: \"trust_ad\" is not known here | one of auto, trust-ad, validate, off | did you mean `trust-ad`?\n",
    ),
    (
        "resolver: {servers: system}",
        "1:21 error: found the text \"system\" | a list | a list of one is written [value]\n",
    ),
    (
        "domains:\n  - example.com\n  - Example.COM.\n  - {domain: bücher.example}\n  - xn--bcher-kva.example\n",
        "3:5 error: the domain example.com is given twice | it is already given in line 2; keep one of them\n\
         5:5 error: the domain xn--bcher-kva.example is given twice | it is already given in line 4; keep one of them\n",
    ),
    (
        "domains: ['', '*.example.com', 192.0.2.1, '⒈.example', 12, null, [a]]",
        "1:11 error: a domain name was expected, and there is nothing | a domain name\n\
         1:15 error: \"*\" in \"*.example.com\" is no label of a host name (letters, digits and inner hyphens, at most 63) | a domain name\n\
         1:32 error: \"192.0.2.1\" is an address; a domain name was expected | a domain name\n\
         1:43 error: \"⒈.example\" is no valid internationalised domain name | a domain name\n\
         1:56 error: found the number 12 | a domain name | if it is meant as text, write it in quotes\n\
         1:60 error: found nothing | a domain name\n\
         1:66 error: found a list | a domain name\n",
    ),
    (
        "domains: [{group: x}, {domain: a.example, interval: 5s, group: ''}, {domain: b.example, intervl: 5m}]",
        "1:11 error: `domain` is missing here | a map with `domain`\n\
         1:53 warning: 5s is a very short interval | peers may block who comes more often than every 30s\n\
         1:53 error: a probe may take 30s (probe.timeout), longer than this interval | at least 30s\n\
         1:64 error: the text is empty | 1 to 200 characters\n\
         1:89 error: unknown key \"intervl\" in `domains` | did you mean `interval`?\n",
    ),
    (
        "domains: [{domain: a.example, expect: {mode: enforced, min_max_age: 2y, mx: [mx.a.example, MX.a.example], mail: false}}]",
        "1:46 error: \"enforced\" is not known here | one of enforce, testing, none | did you mean `enforce`?\n\
         1:69 error: 2y is too long | 1s to 1y\n\
         1:92 error: the host mx.a.example is given twice | it is already given in line 1; keep one of them\n\
         1:113 error: a domain that takes no mail has no MX to expect\n",
    ),
    (
        "domains: example.com",
        "1:10 error: found the text \"example.com\" | a list | a list of one is written [value]\n",
    ),
    (
        "severities: {mx-cnam: warning, mx-null: critical, mx-cname: info, mx-cname: error, nonsense-here: info}",
        "1:14 error: no finding has the code \"mx-cnam\" | the code of a finding | did you mean `mx-cname`?\n\
         1:41 error: \"critical\" is not known here | one of error, warning, info\n\
         1:67 error: the key \"mx-cname\" is given twice\n\
         1:84 error: no finding has the code \"nonsense-here\" | the code of a finding | docs/findings.md lists the codes\n",
    ),
    (
        "accept:\n  - {code: mx-cnames}\n  - {domain: a.example}\n  - {code: mx-cname, until: 2027-02-30, mx: 'a b'}\n  - mx-cname\n",
        "2:12 error: no finding has the code \"mx-cnames\" | the code of a finding | did you mean `mx-cname`?\n\
         3:5 error: `code` is missing here | a map with `code`\n\
         4:29 error: \"2027-02-30\" is no day of the calendar | a day as 2027-01-31\n\
         4:45 error: \"a b\" in \"a b\" is no label of a host name (letters, digits and inner hyphens, at most 63) | a host name\n\
         5:5 error: found the text \"mx-cname\" | a map with keys such as code, domain, mx\n",
    ),
    (
        "thresholds: {certificate_warning: 10d, certificate_error: 20d, reports_failing: 5, publication_grace: 11y}",
        "1:59 error: a certificate would be an error before it is a warning, at 10d | no more than certificate_warning\n\
         1:81 error: found the number 5 | a share as 5% | if it is meant as text, write it in quotes\n\
         1:103 error: 11y is too long | at most 10y\n",
    ),
    (
        "thresholds: {certificate_warning: 120%, certificate_error: never}",
        "1:35 error: \"120%\" is neither auto nor a duration nor a share from 0% to 100% | auto, a duration as 30d or a share as 25%\n\
         1:60 error: \"never\" is neither auto nor a duration nor a share from 0% to 100% | auto, a duration as 30d or a share as 25%\n",
    ),
    (
        "probe: {interval: 5m}\nprobe: {timeout: 5s}\n",
        "2:1 error: the key `probe` is given twice | it is already given in line 1; keep one of them\n",
    ),
    (
        "probe: {interval: 5m, interval: 6m}\n",
        "1:23 error: the key `interval` is given twice | it is already given in line 1; keep one of them\n",
    ),
    ("probe: [\n", "1:8 error: unclosed bracket '['\n"),
    ("probe:\n\tinterval: 5m\n", "2:2 error: tabs disallowed within this context (block indentation)\n"),
    ("a: 1\n---\nb: 2\n", "3:1 error: a second YAML document starts here; one was expected\n"),
    ("- example.com\n", "1:1 error: found a list | a map with keys such as resolver, probe, own_mx\n"),
    ("probe: *nothing\n", "1:8 error: alias references unknown anchor\n"),
    (
        "base: &base {interval: 1m}\nprobe: {<<: *base, timeout: 2m}\n",
        "1:1 error: unknown key \"base\" | known keys: resolver, probe, own_mx, thresholds, severities, accept, domains, domain_files, http_sd, reports, metrics, shard, state\n\
         2:29 error: a probe may take longer (2m) than the time between two (1m) | let `timeout` be at most `interval`\n",
    ),
    (
        "metrics: {level: everything, addresses: yes, max_series: 0}",
        "1:18 error: \"everything\" is not known here | one of summary, normal, full\n\
         1:41 error: \"yes\" is not known here | one of auto, all, worst\n\
         1:58 error: 0 is out of range | a whole number from 1 to 100000000\n",
    ),
    ("shard: {index: 2, total: 2}", "1:16 error: there is no shard 2 of 2 | an index from 0 to total - 1\n"),
    (
        "shard: {index: first, total: 3, lease: 1s}\nstate: {url: 'https://db.example/x'}",
        "1:16 error: \"first\" is no index of a shard | auto, or a whole number from 0 to 9999\n\
         1:40 error: 1s is too short | 3s to 1h\n\
         2:14 error: this is no database | a URL as postgres://host/database\n",
    ),
    ("shard: {index: -1}", "1:16 error: -1 is out of range | a whole number from 0 to 9999\n"),
    (
        "domain_files: ['*/a.yml', d/, a.txt, a.txt, '']",
        "1:16 error: only the last part of a pattern may hold * and ? | a path as domains.d/*.yml\n\
         1:27 error: the pattern names no file | a path as domains.d/*.yml\n\
         1:38 error: the pattern a.txt is given twice | it is already given in line 1; keep one of them\n\
         1:45 error: the pattern names no file | a path as domains.d/*.yml\n",
    ),
    (
        "http_sd: [{url: 'postgres://a.example/', refresh_interval: 100d}]",
        "1:17 error: this is no URL of a web server | https://… or http://…\n\
         1:60 error: 100d is too long | 1s to 7d\n",
    ),
    (
        "http_sd: [{url: 'https://a.example/', username: 'a:b', password_file: p, credentials_file: t}]",
        "1:49 error: a token and a user prove the same; give one of them\n\
         1:49 error: this user cannot be sent (RFC 7617 section 2) | no colon\n",
    ),
    (
        "http_sd: [{url: 'http://a.example/', username: u}, {url: 'http://b.example/', password_file: p}]",
        "1:48 error: `password_file` is missing here\n1:94 error: `username` is missing here\n",
    ),
    (
        "http_sd: [{refresh_interval: 5m}, {url: ftp://a.example/}, {url: /x}]",
        "1:11 error: `url` is missing here | a map with `url`\n\
         1:41 error: a URL of the scheme \"ftp\" is of no use here | a URL\n\
         1:66 error: this is no URL with scheme and host | a URL\n",
    ),
    (
        "reports: {http: {path: tlsrpt, listen: '10461', tls: {cert_file: a}}, imap: [{server: a.example}], authentication: DKIM}",
        "1:24 error: \"tlsrpt\" is no path of a URL for reports | a path that starts with /, as /tlsrpt\n\
         1:40 error: \"10461\" is no address to listen on | :port, IP:port or [IP6]:port\n\
         1:54 error: `cert_file` and `key_file` go together\n\
         1:78 error: `user` is missing here | a map with `user`\n\
         1:78 error: `password_file` is missing here\n\
         1:116 error: \"DKIM\" is not known here | one of dkim, trusted-header, none | did you mean `dkim`?\n",
    ),
    (
        "reports: {imap: [{server: a.example, user: a, password_file: a, port: 143, folder: Entw\u{fc}rfe, move_to: ''}]}",
        "1:71 error: port 143 begins without TLS, and STARTTLS is not spoken here | the port of IMAP over TLS, mostly 993\n\
         1:84 error: \"Entw\u{fc}rfe\" is no name of an IMAP folder | ASCII: other letters in modified UTF-7 (RFC 3501 section 5.1.3)\n\
         1:103 error: \"\" is no name of an IMAP folder | ASCII: other letters in modified UTF-7 (RFC 3501 section 5.1.3)\n",
    ),
    (
        "state: {retention: 1h, dir: ''}",
        "1:20 error: 1h is too short | 1d to 10y\n\
         1:29 error: the path is empty | a path\n",
    ),
    ("probe: {contact: \"a\\u0007b\"}", "1:18 error: the text holds the control character '\\u{7}' | a text\n"),
];

#[test]
fn broken_files_are_told_line_column_and_what_was_expected() {
    let mut wrong = String::new();
    for (text, expected) in BROKEN {
        let told = told(text);
        if told != *expected {
            write!(wrong, "---\n{text}\n  told\n{told}  expected\n{expected}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = "probe:\n  intervall: 5m\n  timeout: soon\ndomains:\n  - example.com\n  - exa mple.com\n";
    let errors = parse("smtptls-exporter.yml", text).unwrap_err();
    assert_eq!(errors.count(), 3);
    let expected = "\
error: unknown key \"intervall\" in `probe`
 --> smtptls-exporter.yml:2:3
  |
2 |   intervall: 5m
  |   ^^^^^^^^^
  |
  = help: did you mean `interval`?

error: \"soon\" is no duration (expected number at 0); write for example 30s, 10m, 1h 30m or 90d
 --> smtptls-exporter.yml:3:12
  |
3 |   timeout: soon
  |            ^^^^ expected a duration as 30s, 10m or 90d

error: \"exa mple\" in \"exa mple.com\" is no label of a host name (letters, digits and inner hyphens, at most 63)
 --> smtptls-exporter.yml:6:5
  |
6 |   - exa mple.com
  |     ^^^^^^^^^^^^ expected a domain name";
    assert_eq!(errors.to_string(), expected);
}
