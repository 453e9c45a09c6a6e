//! What happens while the world runs: the one table of it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    DemoError,
    authority::Certificate,
    picture::{MAX_AGE, Mood, Picture, body},
    stage::Stage,
};

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// So long after the start.
    pub(super) after: Duration,
    /// To which domain.
    pub(super) domain: &'static str,
    /// What the terminal says.
    pub(super) told: &'static str,
    /// How the domain stands then.
    becomes: fn(Picture) -> Picture,
}

const fn at(seconds: u64, domain: &'static str, told: &'static str, becomes: fn(Picture) -> Picture) -> Event {
    Event { after: Duration::from_secs(seconds), domain, told, becomes }
}

/// In the order of their times.
pub(super) const EVENTS: [Event; 5] = [
    at(30, "expiring.test", "mx.expiring.test gets a new certificate: its warning goes", |picture| {
        picture.host("mx.expiring.test", |host| {
            host.certificate = Some(Certificate::of_90_days(&["mx.expiring.test"], 90));
        })
    }),
    at(60, "hasty.test", "the policy of hasty.test changes and its id does not: an error in a minute", |picture| {
        picture.policy(&body("enforce", &["mx1.hasty.test", "mx2.hasty.test"], MAX_AGE))
    }),
    at(90, "restart.test", "mx2.restart.test goes down: partly deliverable once two probes found it so", |picture| {
        picture.host("mx2.restart.test", |host| host.mood = Mood::Down)
    }),
    at(180, "restart.test", "mx2.restart.test is back", |picture| {
        picture.host("mx2.restart.test", |host| host.mood = Mood::Up)
    }),
    at(300, "hasty.test", "hasty.test gets a new id: the error goes", |picture| picture.id("20260302T1000")),
];

impl Event {
    /// Lets it happen.
    pub(super) fn happen(&self, stage: &Stage) -> Result<(), DemoError> {
        let picture = stage.picture(self.domain);
        let picture = picture.ok_or_else(|| DemoError::World(format!("there is no {}", self.domain)))?;
        stage.show([(self.becomes)(picture)])
    }
}

/// Lets all of them happen at their times; `tell` hears of each.
pub(super) async fn run(stage: Arc<Stage>, tell: impl Fn(&str)) {
    let start = Instant::now();
    for event in EVENTS {
        sleep_until(start + event.after).await;
        match event.happen(&stage) {
            Ok(()) => tell(event.told),
            Err(error) => tracing::error!(%error, "an event of the demonstration did not happen"),
        }
    }
}
