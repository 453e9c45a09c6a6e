//! Faults of this program itself, put into it from outside: what breaks is told, counted, and takes nothing else with it.

use std::{
    net::TcpStream,
    process::Command,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use smtptls_exporter::{
    facts::Vantage,
    monitor::{DomainState, HostState, Monitor, Rendered, Renderer, Telemetry},
};
use tokio::time::{sleep, timeout};

use super::{monitor::PATIENCE, serve::Served, world::mail_world::MailWorld};

/// What the keeper calls in the midst of its work, at each domain that it has judged.
struct Broken {
    at_judged: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Broken")
    }
}

impl Renderer for Broken {
    fn domain(&self, state: &DomainState, _: &Vantage) -> Rendered {
        if state.observation.is_some() {
            (self.at_judged)();
        }
        Rendered::default()
    }

    fn host(&self, _: &HostState, _: &Vantage) -> Rendered {
        Rendered::default()
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

async fn start(world: &MailWorld, at_judged: impl Fn() + Send + Sync + 'static) -> (Monitor, Telemetry) {
    let telemetry = Telemetry::new().unwrap();
    let renderer = Arc::new(Broken { at_judged: Box::new(at_judged) });
    let settings = Arc::new(world.settings(&["example.com"]));
    let monitor = Monitor::start(settings, telemetry.clone(), None, renderer).await.unwrap();
    (monitor, telemetry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_keeper_that_panics_is_missed() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let (monitor, telemetry) = start(&world, || panic!("the rendering breaks")).await;
    let lost = timeout(PATIENCE, telemetry.lost()).await.unwrap();
    assert_eq!(lost, "the keeper of the schedule");
    // It ends in order all the same.
    timeout(PATIENCE, monitor.stop()).await.unwrap();
}

/// Lets the keeper go on, whatever becomes of the test: the end of the runtime would wait for it.
struct Held(Arc<(Mutex<bool>, Condvar)>);

impl Held {
    fn release(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}

/// Without the runtime: a worker that stands still may be the one that all timers wait for.
fn at_last(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A keeper that stands still is silent, and one that has nothing to do is not: that is what the watchdog goes by.
#[test]
fn a_keeper_that_stands_still_has_no_pulse() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let (held, judged) = (Held(Arc::new((Mutex::new(true), Condvar::new()))), Arc::new(AtomicUsize::new(0)));
    let (hold, count) = (Arc::clone(&held.0), Arc::clone(&judged));
    let (_world, _domain, monitor, telemetry) = runtime.block_on(async move {
        let world = MailWorld::start().await;
        let domain = world.domain("example.com").await;
        let at_judged = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let held = hold.0.lock().unwrap();
            drop(hold.1.wait_while(held, |held| *held).unwrap());
        };
        let (monitor, telemetry) = start(&world, at_judged).await;
        (world, domain, monitor, telemetry)
    });
    let pulse = monitor.pulse();
    at_last("the keeper is at work", || judged.load(Ordering::SeqCst) > 0);
    let still = Duration::from_secs(4);
    at_last("it is silent", || pulse.silence() > still);
    held.release();
    at_last("it goes on", || pulse.silence() < still);
    // Nothing is due for hours, and it says that it is alive all the same.
    std::thread::sleep(still);
    at_last("it is alive with nothing to do", || pulse.silence() < still);
    runtime.block_on(async {
        assert!(timeout(Duration::from_millis(1), telemetry.lost()).await.is_err());
        timeout(PATIENCE, monitor.stop()).await.unwrap();
    });
}

/// Without a descriptor nothing can be looked at, and that says nothing of the domains.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_descriptors_no_domain_is_blamed() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let config = world.config_text("domains: [good.example]\n");
    let config = config
        .replace("probe:\n", "probe:\n  interval: 2s\n  mx_interval: 2s\n  retry_interval: 1s\n")
        .replace("timeout: 20s", "timeout: 2s");
    let file = world.config_file("");
    std::fs::write(&file, config).unwrap();
    let served = Served::start(&file).await;
    let protected = "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1";
    served.until(&[protected]).await;

    // From now on it can open nothing.
    let limit = |most: &str| {
        let (pid, limit) = (served.id().to_string(), format!("--nofile={most}:"));
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    };
    limit("4");
    // Waits to be accepted, which fails first.
    let waiting = TcpStream::connect(served.address()).unwrap();
    served.until_said("Too many open files");
    sleep(Duration::from_secs(1)).await;
    let before = good.smtp.connections();
    // Several looks come due.
    sleep(Duration::from_secs(8)).await;
    assert_eq!(good.smtp.connections(), before, "nothing can be dialled");
    limit("1024");
    drop(waiting);

    let (status, metrics) = served.get("/metrics").await;
    assert_eq!(status, 200);
    let failed = |line: &str| line.starts_with("smtptls_probe_failures_total{") && !line.ends_with(" 0");
    assert!(metrics.lines().any(failed), "a look failed:\n{metrics}");
    let blamed: Vec<_> = metrics
        .lines()
        .filter(|line| {
            line.starts_with("smtptls_finding{domain=\"good.example\"") || line.starts_with("smtptls_mx_finding{")
        })
        .filter(|line| !line.contains("code=\"vantage-limited\"") && line.ends_with(" 1"))
        .collect();
    assert_eq!(blamed, [""; 0]);
    assert!(metrics.lines().any(|line| line == "smtptls_task_panics_total 0"));
    served.until(&[protected, "smtptls_domain_findings{domain=\"good.example\",severity=\"error\"} 0"]).await;
}
