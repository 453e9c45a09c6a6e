//! `GET /probe?target=DOMAIN`: a look at one domain now, for the scrape that asks (the multi-target pattern).

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode};
use hyper::body::Bytes;

use super::{
    apart::Turns,
    api::Answer,
    body::Pieces,
    parameters::{self, Kind, Parameter},
    prompt::refused,
    response::{plain, response, text},
    route::Asked,
};
use crate::{
    config::{DomainSettings, Settings, show_for},
    metrics::{Format, ProbeOutcome},
    monitor::{PromptError, Prompted, Prompter, Snapshot},
    net::now,
    present::{Look, human, transcript::SECTIONS_MOST},
    terms::PolicyDomain,
};

/// In this header Prometheus tells how many seconds it waits.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";
/// So much earlier the answer is sent, unless the command line says another time: an answer on the way when the time is over is lost.
pub const TIMEOUT_OFFSET: Duration = Duration::from_millis(500);
/// For whoever does not say how long it waits, and at most: the value that users of blackbox_exporter know.
const PATIENCE: Duration = Duration::from_secs(120);

/// Of [`answer`].
pub(super) static PARAMETERS: &[Parameter] = &[
    Parameter { name: "target", says: "The domain to look at", kind: Kind::Text },
    Parameter { name: "debug", says: "As text: what was seen, the metrics, the settings", kind: Kind::Flag },
];

const DEBUG_TYPE: &str = "text/plain; charset=utf-8";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    target: PolicyDomain,
    debug: bool,
    patience: Duration,
}

/// Looks, waits, and answers with the metrics of the domain; with `debug=true`, with all that was seen before them and what was
/// configured after them.
///
/// 400: a parameter is missing or wrong. 404: another instance looks at the domain. 403: the domain is not configured, and `probe.allow_any_target` is false. 429: too many
/// wait already, for a look or for the text of one. `offset`: how much earlier than a scraper gives up. `metrics` writes the page of a domain; `elsewhere` says why it is another
/// instance that looks at one.
///
/// # Errors
/// The answer of the API where the text could not be made.
pub(super) async fn answer(
    prompter: &Prompter,
    metrics: impl FnOnce(&Snapshot, &PolicyDomain, &ProbeOutcome) -> Bytes + Send + 'static,
    elsewhere: impl FnOnce(&PolicyDomain) -> Option<String>,
    turns: &Turns,
    offset: Duration,
    asked: Asked<'_>,
) -> Result<Response<Pieces>, Answer> {
    let wish = match Wish::read(asked.query, asked.headers, offset) {
        Ok(wish) => wish,
        Err(wrong) => return Ok(text(StatusCode::BAD_REQUEST, format!("{wrong}\n"))),
    };
    if let Some(said) = elsewhere(&wish.target) {
        return Ok(text(StatusCode::NOT_FOUND, format!("{said}.\n")));
    }
    let settings = prompter.settings();
    let looked = match prompter.scrape(&wish.target, wish.patience).await {
        Err(PromptError::NotConfigured) if settings.probe.allow_any_target => {
            prompter.look_once(&wish.target, wish.patience).await
        }
        Err(PromptError::NotConfigured) => return Ok(forbidden(&wish.target)),
        looked => looked,
    };
    let prompted = match looked {
        Ok(prompted) => prompted,
        Err(error) => return Ok(refused(error)),
    };
    let made = turns.work(move || made(&wish, &prompted, metrics, &settings)).await?;
    Ok(made.unwrap_or_else(|| refused(PromptError::Busy)))
}

/// The answer to a look.
fn made(
    wish: &Wish,
    prompted: &Prompted,
    metrics: impl FnOnce(&Snapshot, &PolicyDomain, &ProbeOutcome) -> Bytes,
    settings: &Arc<Settings>,
) -> Response<Pieces> {
    let Prompted { snapshot, missing, took } = prompted;
    let outcome = ProbeOutcome::of(snapshot, &wish.target, missing.is_empty(), *took);
    let metrics = metrics(snapshot, &wish.target, &outcome);
    if !wish.debug {
        return response(StatusCode::OK, Format::Prometheus.content_type(), [metrics]);
    }
    let configured = settings.domains.named(wish.target.as_str()).cloned();
    let domain = configured.unwrap_or_else(|| DomainSettings::new(wish.target.clone()));
    let settings = show_for(settings, &domain).unwrap_or_else(|error| format!("they cannot be shown: {error}\n"));
    let seen = format!(
        "What was seen of {}, in {:.3} s of at most {:.3} s:\n\n{}\nThe metrics that would be returned:\n\n",
        wish.target,
        took.as_secs_f64(),
        wish.patience.as_secs_f64(),
        told(&wish.target, prompted),
    );
    let settings = format!("\nThe settings of this probe:\n\n{settings}");
    response(StatusCode::OK, DEBUG_TYPE, [seen.into(), metrics, Bytes::from(settings)])
}

/// What a person reads of a look.
fn told(domain: &PolicyDomain, Prompted { snapshot, missing, .. }: &Prompted) -> String {
    let look = Look { colour: false, unicode: true, verbose: true };
    let state = snapshot.state(domain);
    let seen = state.as_ref().and_then(|state| Some((state.assessment.as_deref()?, state.observation.as_deref())));
    let nothing = || "nothing yet\n".to_owned();
    let mut told = seen.map_or_else(nothing, |(seen, observation)| {
        human::domain_in_part(seen, observation, SECTIONS_MOST, now(), look)
    });
    if !missing.is_empty() {
        told.push_str("\nNot looked at before the time was over:\n");
        for one in missing {
            told.push_str(&format!("  {one}\n"));
        }
    }
    told
}

fn forbidden(target: &PolicyDomain) -> Response<Pieces> {
    let said = format!(
        "{target} is not configured. Add it to `domains`, or let /probe look at any domain with `probe.allow_any_target: true`.\n"
    );
    text(StatusCode::FORBIDDEN, said)
}

impl Wish {
    fn read(query: &str, headers: &HeaderMap, offset: Duration) -> Result<Self, String> {
        let (mut target, mut debug) = (None, false);
        parameters::read(query, &[PARAMETERS], |name, value| {
            match name {
                "target" => {
                    let domain = PolicyDomain::parse(value).map_err(|error| format!("a domain: {error}"))?;
                    target = Some(domain);
                }
                _ => debug = value.parse().map_err(|_| "true or false".to_owned())?,
            }
            Ok(())
        })?;
        let target = target.ok_or("target: it is missing; expected a domain, as in /probe?target=example.com")?;
        Ok(Self { target, debug, patience: patience(headers, offset)? })
    }
}

/// How long the answer may take.
fn patience(headers: &HeaderMap, offset: Duration) -> Result<Duration, String> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(PATIENCE) };
    let seconds = value.to_str().ok().and_then(|value| value.trim().parse::<f64>().ok());
    let timeout = seconds.filter(|seconds| *seconds > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    let timeout =
        timeout.ok_or_else(|| format!("the header {TIMEOUT} is wrong; expected seconds above 0, such as 10"))?;
    // Whoever waits for less than the offset gets what there is time for.
    Ok(timeout.checked_sub(offset).filter(|left| !left.is_zero()).unwrap_or(timeout).min(PATIENCE))
}

/// There is no monitor behind this server.
pub(super) fn unavailable() -> Response<Pieces> {
    plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready: the domains are being set up.\n")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with_timeout(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(TIMEOUT), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_answer_comes_before_the_scraper_gives_up() {
        assert_eq!(patience(&HeaderMap::new(), TIMEOUT_OFFSET), Ok(PATIENCE), "whoever does not say");
        let by = |value, offset| patience(&with_timeout(value), offset).map(|it| it.as_millis());
        let patience = |value| by(value, TIMEOUT_OFFSET);
        assert_eq!(patience("10"), Ok(9500));
        assert_eq!(patience("1.5"), Ok(1000));
        assert_eq!(patience("3600"), Ok(120_000), "the own limit");
        assert_eq!(patience("0.5"), Ok(500), "as blackbox_exporter does");
        assert_eq!(patience("0.2"), Ok(200));
        assert_eq!(by("10", Duration::from_secs(2)), Ok(8000), "--timeout-offset");
        assert_eq!(by("10", Duration::ZERO), Ok(10_000));
        for wrong in ["", "soon", "0", "-1", "NaN", "inf", "1e400", "10s"] {
            assert!(patience(wrong).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_query_is_read_or_refused(query: String) {
            if let Err(said) = Wish::read(&query, &HeaderMap::new(), TIMEOUT_OFFSET) {
                proptest::prop_assert!(said.contains("expected"), "{query:?}: {said}");
            }
        }
    }

    #[test]
    fn what_is_wrong_says_what_was_expected() {
        let read = |query| Wish::read(query, &HeaderMap::new(), TIMEOUT_OFFSET);
        let wish = read("target=Example.COM.&debug=true").unwrap();
        assert_eq!((wish.target.as_str(), wish.debug), ("example.com", true));
        assert!(!read("debug=false&target=b%C3%BCcher.example").unwrap().debug);
        for (query, expected) in [
            ("", "expected a domain, as in /probe?target=example.com"),
            ("debug=true", "expected a domain"),
            ("target=", "expected a domain"),
            ("target=192.0.2.1", "expected a domain"),
            ("target=a..b", "expected a domain"),
            ("target=https%3A%2F%2Fexample.com", "expected a domain"),
            ("target=a.example&target=b.example", "expected once"),
            ("target=a.example&debug=1", "expected true or false"),
            ("target=a.example&module=smtp", "expected target, debug"),
        ] {
            let said = read(query).unwrap_err();
            assert!(said.contains(expected), "{query}: {said}");
        }
    }
}
