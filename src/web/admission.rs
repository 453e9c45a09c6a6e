//! Who may ask, as the file of `--web.config.file` says, and what it changes while the program runs. All paths but that of reports
//! come by here.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    basic::{Basic, Verdict},
    body::Pieces,
    response::plain,
};
use crate::{
    config::{
        Diagnostic,
        web::{self, LoadedWeb, RateLimit, Stamp, WebSettings},
    },
    monitor::Telemetry,
    net::{ServerCertificate, TlsPart, WebTlsError, now, web_tls},
};

/// So often the files are looked at: a certificate that was renewed is in force a moment later.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So long the files have to stay as they are before they are put in force: one that is being written is not whole.
const REST: Duration = Duration::from_secs(1);
/// So often they may change meanwhile before whoever asked for it hears that they do not rest.
const RESTS_MOST: usize = 10;
/// What a client is asked for. The name of the realm is shown to people.
const CHALLENGE: &str = "Basic realm=\"smtptls-exporter\", charset=\"UTF-8\"";
/// After so many seconds a password that had no turn may be sent again.
const COME_AGAIN: HeaderValue = HeaderValue::from_static("5");

/// The web configuration in force, and the file that it comes from.
#[derive(Debug)]
pub struct Admission {
    path: PathBuf,
    rest: Duration,
    in_force: ArcSwap<InForce>,
    seen: tokio::sync::Mutex<Seen>,
    telemetry: Telemetry,
}

/// The files, each as it was when it was looked at.
type Stamps = Vec<(PathBuf, Option<Stamp>)>;

/// What was read last, whether or not it could be used.
#[derive(Debug)]
struct Seen {
    stamps: Stamps,
    refused: Option<String>,
}

/// All that the file and those that it names come to.
#[derive(Debug)]
pub(super) struct InForce {
    settings: WebSettings,
    tls: Option<ServerCertificate>,
    basic: Option<Arc<Basic>>,
    bucket: Option<Arc<Bucket>>,
}

/// What was read at one time.
struct Read {
    stamps: Stamps,
    outcome: Result<(LoadedWeb, Option<ServerCertificate>), String>,
}

/// Reads the file and what it names, and checks that all of it can be used; what is odd is returned.
///
/// # Errors
/// What is wrong, as text for people.
pub fn check_web_config(path: &Path) -> Result<Vec<Diagnostic>, String> {
    read(path).outcome.map(|(loaded, _)| loaded.warnings)
}

impl Admission {
    /// Reads the file for the first time. Blocks.
    ///
    /// # Errors
    /// What is wrong, as text for people.
    pub fn open(path: &Path, telemetry: Telemetry) -> Result<Arc<Self>, String> {
        Self::open_with(path, telemetry, REST)
    }

    /// The same; `rest`: how long what was changed has to stay as it is.
    pub(super) fn open_with(path: &Path, telemetry: Telemetry, rest: Duration) -> Result<Arc<Self>, String> {
        let Read { stamps, outcome } = read(path);
        let (loaded, tls) = outcome?;
        tell(&loaded.warnings);
        let in_force = InForce::new(loaded.settings, tls, None)?;
        tracing::info!(file = %path.display(), tls = in_force.tls.is_some(), users = in_force.settings.users.len(), "web configuration");
        telemetry.web_config_loaded(true, now());
        Ok(Arc::new(Self {
            path: path.to_owned(),
            rest,
            in_force: ArcSwap::from_pointee(in_force),
            seen: tokio::sync::Mutex::new(Seen { stamps, refused: None }),
            telemetry,
        }))
    }

    /// What is in force now.
    pub(super) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Whether nobody gets in without a certificate: then no reporter does either, where reports come to the same listener.
    pub fn wants_certificates(&self) -> bool {
        let in_force = self.in_force.load();
        in_force.settings.tls.as_ref().is_some_and(|tls| tls.client_certificates.mandatory())
    }

    /// Reads anew what has changed, once it rests, and puts it in force. What cannot be used leaves all as it was, and so does what
    /// would open to all what is closed: a file that was emptied or cut looks like one that asks for nothing.
    ///
    /// # Errors
    /// What is wrong, now or since the last change, as text for people.
    pub async fn refresh(&self) -> Result<(), String> {
        let mut seen = self.seen.lock().await;
        let Some(Read { stamps, outcome }) = self.changed(seen.stamps.clone()).await? else {
            return seen.refused.clone().map_or(Ok(()), Err);
        };
        let before = self.in_force.load_full();
        let outcome = outcome.and_then(|(loaded, tls)| {
            if let Some(lost) = lost(&before.settings, &loaded.settings) {
                return Err(format!(
                    "{}: {lost}; as a file that was cut looks the same, that takes a restart of the monitor",
                    self.path.display()
                ));
            }
            let in_force = InForce::new(loaded.settings, tls, Some(&before))?;
            tell(&loaded.warnings);
            Ok(in_force)
        });
        self.telemetry.web_config_loaded(outcome.is_ok(), now());
        seen.stamps = stamps;
        match outcome {
            Ok(in_force) => {
                self.in_force.store(Arc::new(in_force));
                seen.refused = None;
                tracing::info!(file = %self.path.display(), "the web configuration was loaded again");
                Ok(())
            }
            Err(refused) => {
                tracing::error!("the web configuration was refused, what was read before stays in force: {refused}");
                seen.refused = Some(refused.clone());
                Err(refused)
            }
        }
    }

    /// Follows the files until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let look = async {
                sleep(LOOK_EVERY).await;
                // What is wrong is told in the log, once.
                let _ = self.refresh().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = look => {}
            }
        }
    }

    /// What the files come to since they were seen; nothing where they are as they were.
    async fn changed(&self, seen: Stamps) -> Result<Option<Read>, String> {
        let path = self.path.clone();
        let Some(mut last) = blocking(move || (!rests(&seen)).then(|| read(&path))).await? else { return Ok(None) };
        for _ in 0..RESTS_MOST {
            sleep(self.rest).await;
            let path = self.path.clone();
            let (rested, latest) = blocking(move || match rests(&last.stamps) {
                true => (true, last),
                false => (false, read(&path)),
            })
            .await?;
            if rested {
                return Ok(Some(latest));
            }
            last = latest;
        }
        // It is not noted as seen: the next look comes to it again.
        tracing::warn!(file = %self.path.display(), "the web configuration changes all the time; what was read before stays in force");
        Err(format!("{}: it or a file that it names is being written all the time", self.path.display()))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())
}

/// Whether the files are as they were. Blocks.
fn rests(stamps: &Stamps) -> bool {
    stamps.iter().all(|(path, stamp)| Stamp::of(path) == *stamp)
}

/// What no longer keeps anybody out.
fn lost(before: &WebSettings, after: &WebSettings) -> Option<&'static str> {
    let verifies = |settings: &WebSettings| settings.tls.as_ref().is_some_and(|tls| tls.client_certificates.verified());
    match () {
        () if before.tls.is_some() && after.tls.is_none() => Some("TLS is in force, and it has no `tls_server_config`"),
        () if !before.users.is_empty() && after.users.is_empty() => {
            Some("passwords are asked for, and it has no `basic_auth_users`")
        }
        () if verifies(before) && !verifies(after) => {
            Some("certificates of clients are verified, and its `client_auth_type` verifies none")
        }
        () => None,
    }
}

/// Reads all of it. Blocks.
fn read(path: &Path) -> Read {
    // The stamps first: what changes while it is read is read again.
    let stamp = |path: &Path| (path.to_owned(), Stamp::of(path));
    let mut stamps = vec![stamp(path)];
    let loaded = web::load(path).map_err(|errors| format!("the web configuration is not valid\n\n{errors}"));
    let outcome = loaded.and_then(|loaded| {
        stamps.extend(loaded.settings.files().map(stamp));
        let tls = loaded.settings.tls.as_ref().map(|tls| {
            web_tls(tls).map_err(|WebTlsError { part, why }| {
                let name = path.display().to_string();
                let errors = match (part, &tls.client_ca) {
                    (TlsPart::ClientCa, Some(ca)) => web::wrong_value(&name, ca, why),
                    (TlsPart::Key, _) => web::wrong_value(&name, &tls.key, why),
                    _ => web::wrong_value(&name, &tls.certificate, why),
                };
                format!("the web configuration is not valid\n\n{errors}")
            })
        });
        Ok((loaded.clone(), tls.transpose()?))
    });
    Read { stamps, outcome }
}

fn tell(warnings: &[Diagnostic]) {
    for warning in warnings {
        let line = warning.location.map_or(0, |location| location.line);
        tracing::warn!(file = %warning.file, line, "{}", warning.message);
    }
}

impl InForce {
    /// What is the same as before goes on: passwords that are known, and how many requests came lately.
    fn new(settings: WebSettings, tls: Option<ServerCertificate>, before: Option<&Self>) -> Result<Self, String> {
        let basic = match before {
            _ if settings.users.is_empty() => None,
            Some(before) if before.settings.users == settings.users => before.basic.clone(),
            Some(Self { basic: Some(basic), .. }) => Some(Arc::new(basic.with_users(settings.users.clone()))),
            _ => Some(Arc::new(Basic::new(settings.users.clone()).ok_or("this system gives no random numbers")?)),
        };
        let bucket = match before {
            Some(before) if before.settings.rate_limit == settings.rate_limit => before.bucket.clone(),
            _ => settings.rate_limit.map(|limit| Arc::new(Bucket::new(limit, Instant::now()))),
        };
        Ok(Self { settings, tls, basic, bucket })
    }

    /// TLS of a new connection.
    pub(super) fn tls(&self) -> Option<ServerCertificate> {
        self.tls.clone()
    }

    /// Nothing where a request may be answered, else the refusal.
    pub(super) async fn refusal(&self, headers: &HeaderMap, peer: IpAddr) -> Option<Response<Pieces>> {
        if let Some(bucket) = &self.bucket
            && let Err(wait) = bucket.take(Instant::now())
        {
            let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests; come again later.\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
            return Some(response);
        }
        match self.basic.as_ref()?.judge(headers, peer).await {
            Verdict::Known => None,
            Verdict::Unknown => {
                let mut response = plain(StatusCode::UNAUTHORIZED, "A user name and its password are needed.\n");
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
                Some(response)
            }
            Verdict::Busy => {
                let text = "Too many passwords are being looked at; come again later.\n";
                let mut response = plain(StatusCode::TOO_MANY_REQUESTS, text);
                response.headers_mut().insert(RETRY_AFTER, COME_AGAIN);
                Some(response)
            }
        }
    }

    /// Puts the configured headers on an answer, in place of what this program says of itself.
    pub(super) fn dress(&self, response: &mut Response<Pieces>) {
        for (name, value) in &self.settings.headers {
            response.headers_mut().insert(HeaderName::clone(name), value.clone());
        }
    }
}

/// A bucket of requests for all together, as exporter-toolkit has it: full at the start, one more in each interval.
#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    left: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, left: Mutex::new((f64::from(limit.burst), now)) }
    }

    /// Takes one; how long until there is one, where there is none.
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (held, at) = *left;
        let interval = self.limit.interval.as_secs_f64();
        let came = now.saturating_duration_since(at).as_secs_f64() / interval;
        let held = (held + came).min(f64::from(self.limit.burst));
        if held >= 1.0 {
            *left = (held - 1.0, now);
            return Ok(());
        }
        *left = (held, now);
        Err(Duration::try_from_secs_f64((1.0 - held) * interval).unwrap_or(self.limit.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_burst_and_fills_by_the_interval() {
        let start = Instant::now();
        let bucket = Bucket::new(RateLimit { interval: Duration::from_secs(1), burst: 3 }, start);
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        assert!((0..3).all(|_| bucket.take(start).is_ok()));
        assert!(bucket.take(start).is_err_and(|wait| wait <= Duration::from_secs(1)));
        assert!(bucket.take(after(500)).is_err_and(|wait| wait <= Duration::from_millis(501)));
        assert!(bucket.take(after(1001)).is_ok() && bucket.take(after(1002)).is_err());
        assert_eq!((0..10).filter(|_| bucket.take(after(3_600_000)).is_ok()).count(), 3, "no more than the burst");
    }
}
