//! The paths of the server in one table: by which method each is asked, and what it answers. The dispatch, the refusal of other
//! methods and the description of the API are made of it.

use http::{HeaderMap, Method};

/// What a request can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Metrics,
    Overview,
    Hosts,
    Host,
    Certificates,
    Failures,
    Style,
    DomainPage,
    Domains,
    Domain,
    DomainChanges,
    DomainReports,
    Changes,
    Probe,
    ProbeDomain,
    ProbeForm,
    Discovery,
    Shards,
    Configuration,
    Findings,
    OpenApi,
    Healthy,
    Ready,
    Reload,
}

/// How a path is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// GET, and HEAD as the same without its body.
    Read,
    /// POST without a body, from a page of our own or from no page at all.
    Act,
}

/// A path of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) route: Route,
    pub(super) access: Access,
    /// Below the prefix. `{name}` is one segment that is not empty, as it stands in the request.
    pub(super) path: &'static str,
    /// What it answers, in one line.
    pub(super) answers: &'static str,
}

/// Where the paths of the API begin: all that they answer is JSON.
pub(super) const API: &str = "/api/";

/// Every path. The first row that fits is taken.
pub(super) static ROUTES: &[Row] = &[
    // The path is that of the command line.
    read(Route::Metrics, "/metrics", "The metrics, in the text format of Prometheus"),
    read(Route::Overview, "/", "The start page"),
    read(Route::Hosts, "/hosts", "The page of all mail hosts"),
    read(Route::Host, "/hosts/{name}", "The page of a mail host"),
    read(Route::Certificates, "/certificates", "The page of all certificates"),
    read(Route::Failures, "/failures", "The page of what TLS reports say fails"),
    read(Route::Style, "/assets/style.css", "The style of the pages"),
    read(Route::DomainPage, "/domains/{name}", "The page of a domain"),
    read(Route::Domains, "/api/v1/domains", "The domains in a line each"),
    read(
        Route::Domain,
        "/api/v1/domains/{name}",
        "The latest judgement of a domain, as `check --format json` prints one",
    ),
    read(
        Route::DomainChanges,
        "/api/v1/domains/{name}/changes",
        "What changed of a domain and of the mail hosts that it uses now",
    ),
    read(Route::DomainReports, "/api/v1/domains/{name}/reports", "What TLS reports say of a domain"),
    read(Route::Changes, "/api/v1/changes", "What changed of every domain and mail host"),
    act(
        Route::ProbeDomain,
        "/api/v1/domains/{name}/probe",
        "Looks at a domain now: its judgement then, or what is not looked at yet",
    ),
    act(Route::ProbeForm, "/domains/{name}/probe", "Looks at a domain now, and leads back to its page"),
    read(
        Route::Probe,
        "/probe",
        "Looks at the domain `target` now: its metrics then, and with `debug=true` what was seen",
    ),
    read(Route::Discovery, "/sd", "The configured domains, as targets for Prometheus (http_sd)"),
    read(Route::Shards, "/api/v1/shards", "Which part of the domains this instance has"),
    read(Route::Configuration, "/config", "The configuration in force, as `config show` prints it"),
    read(Route::Findings, "/api/v1/findings", "The active findings of all domains"),
    read(Route::OpenApi, "/api/v1/openapi.json", "This description of the API"),
    read(Route::Healthy, "/-/healthy", "Whether the program is alive"),
    read(Route::Ready, "/-/ready", "Whether the domains are set up, so that the metrics show them"),
    act(Route::Reload, "/-/reload", "Loads the configuration again"),
];

const fn read(route: Route, path: &'static str, answers: &'static str) -> Row {
    Row { route, access: Access::Read, path, answers }
}

const fn act(route: Route, path: &'static str, answers: &'static str) -> Row {
    Row { route, access: Access::Act, path, answers }
}

/// What the table says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// What it is for, with the name in its path, which is empty where the path has none.
    Route(&'static Row, &'a str),
    /// The path is there for these methods alone, as the header `Allow` has them; what it answers then.
    NotAllowed(&'static str, &'static Row),
    /// No such path.
    Nothing,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.route == other.route
    }
}

impl Eq for Row {}

/// What a handler knows of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The name in the path, percent-encoded as it came; empty where the path has none.
    pub(super) name: &'a str,
    /// What stands behind the question mark.
    pub(super) query: &'a str,
    /// The header.
    pub(super) headers: &'a HeaderMap,
}

/// Finds what a request is for. `path` stands below the prefix; `metrics_path` is the one of the command line.
pub(super) fn find<'a>(method: &Method, path: &'a str, metrics_path: &str) -> Found<'a> {
    let (mut reads, mut acts) = (None, None);
    for row in ROUTES {
        let template = if row.route == Route::Metrics { metrics_path } else { row.path };
        let Some(name) = matches(template, path) else { continue };
        match row.access {
            Access::Read if matches!(*method, Method::GET | Method::HEAD) => return Found::Route(row, name),
            Access::Act if *method == Method::POST => return Found::Route(row, name),
            Access::Read => reads = Some(row),
            Access::Act => acts = Some(row),
        }
    }
    match (reads, acts) {
        (Some(row), Some(_)) => Found::NotAllowed("GET, HEAD, POST", row),
        (Some(row), None) => Found::NotAllowed("GET, HEAD", row),
        (None, Some(row)) => Found::NotAllowed("POST", row),
        (None, None) => Found::Nothing,
    }
}

/// The name in a path of this template; nothing where the path is another one.
fn matches<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, after)) = template.split_once("{name}") else {
        return (template == path).then_some("");
    };
    let name = path.strip_prefix(before)?.strip_suffix(after)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(method: &Method, path: &str) -> Option<(Route, String)> {
        match find(method, path, "/metrics") {
            Found::Route(row, name) => Some((row.route, name.to_owned())),
            _ => None,
        }
    }

    #[test]
    fn every_path_leads_to_its_route_and_to_no_other() {
        for row in ROUTES {
            let method = match row.access {
                Access::Read => Method::GET,
                Access::Act => Method::POST,
            };
            let name = if row.path.contains("{name}") { "example.com" } else { "" };
            let path = row.path.replace("{name}", name);
            assert_eq!(at(&method, &path), Some((row.route, name.to_owned())), "{path}");
            assert_eq!(at(&method, &format!("{path}/")), None, "{path}/");
            assert!(!row.answers.is_empty() && !row.answers.ends_with('.'), "{}", row.answers);
        }
    }

    #[test]
    fn a_name_is_one_segment_and_not_empty() {
        let domain = |path: &str| at(&Method::GET, path);
        assert_eq!(domain("/api/v1/domains/a%2Fb"), Some((Route::Domain, "a%2Fb".to_owned())));
        assert_eq!(domain("/api/v1/domains/reports"), Some((Route::Domain, "reports".to_owned())));
        for other in [
            "/api/v1/domains/",
            "/api/v1/domains//reports",
            "/api/v1/domains/a/b/reports",
            "/api/v1/domains/a/b",
            "/api/v1/changes/",
            "/api/v2/changes",
            "/reports",
            "",
        ] {
            assert_eq!(domain(other), None, "{other}");
        }
    }

    #[test]
    fn other_methods_are_told_what_is_allowed() {
        let refused = |method: Method, path: &str| match find(&method, path, "/metrics") {
            Found::NotAllowed(methods, row) => Some((methods, row.route)),
            _ => None,
        };
        assert_eq!(refused(Method::POST, "/api/v1/domains/example.com"), Some(("GET, HEAD", Route::Domain)));
        assert_eq!(refused(Method::GET, "/-/reload"), Some(("POST", Route::Reload)));
        assert_eq!(refused(Method::DELETE, "/nothing"), None);
        assert_eq!(at(&Method::HEAD, "/"), Some((Route::Overview, String::new())));
    }

    #[test]
    fn the_metrics_are_where_the_command_line_says() {
        let route = |path, metrics_path| match find(&Method::GET, path, metrics_path) {
            Found::Route(row, _) => Some(row.route),
            _ => None,
        };
        assert_eq!(route("/m", "/m"), Some(Route::Metrics));
        assert_eq!(route("/metrics", "/m"), None);
        assert_eq!(route("/", "/"), Some(Route::Metrics), "who asks for it there has no start page");
    }
}
