//! What happens while the world runs: the one table of it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    DemoError,
    authority::Certificate,
    picture::{MAX_AGE, Mood, Picture, body},
    stage::Stage,
};
use crate::verdict::{Code, State};

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// So long after the start.
    pub(super) after: Duration,
    /// To which domain.
    pub(super) domain: &'static str,
    /// What the terminal says.
    pub(super) told: &'static str,
    /// What senders can do from then on, once the monitor has seen it.
    pub(super) delivery: State,
    /// What is found then, all of it.
    pub(super) findings: &'static [Code],
    /// How the domain stands then.
    becomes: fn(Picture) -> Picture,
}

/// In the order of their times.
pub(super) const EVENTS: [Event; 5] = [
    Event {
        after: Duration::from_secs(30),
        domain: "expiring.test",
        told: "mx.expiring.test gets a new certificate: its warning goes",
        delivery: State::Protected,
        findings: &[],
        becomes: |picture| {
            picture.host("mx.expiring.test", |host| {
                host.certificate = Some(Certificate::of_90_days(&["mx.expiring.test"], 90));
            })
        },
    },
    Event {
        after: Duration::from_secs(60),
        domain: "hasty.test",
        told: "the policy of hasty.test changes and its id does not: an error within two minutes",
        delivery: State::Protected,
        findings: &[Code::StsIdNotChanged],
        becomes: |picture| picture.policy(&body("enforce", &["mx1.hasty.test", "mx2.hasty.test"], MAX_AGE)),
    },
    Event {
        after: Duration::from_secs(90),
        domain: "restart.test",
        told: "mx2.restart.test goes down: partly deliverable once two probes found it so",
        delivery: State::Partial,
        findings: &[Code::SmtpConnectFailed],
        becomes: |picture| picture.host("mx2.restart.test", |host| host.mood = Mood::Down),
    },
    Event {
        after: Duration::from_secs(180),
        domain: "restart.test",
        told: "mx2.restart.test is back",
        delivery: State::Protected,
        findings: &[],
        becomes: |picture| picture.host("mx2.restart.test", |host| host.mood = Mood::Up),
    },
    Event {
        after: Duration::from_secs(300),
        domain: "hasty.test",
        told: "hasty.test gets a new id: its error goes",
        delivery: State::Protected,
        findings: &[],
        becomes: |picture| picture.id("20260302T1000"),
    },
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
