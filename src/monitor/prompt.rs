//! "Probe now": who wants a domain to be looked at waits here, and hears what was seen, or what is still missing.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use super::{Edges, Snapshot, fleet::Target, once::Strangers};
use crate::{
    config::Settings,
    terms::{MxHost, PolicyDomain},
};

/// What was looked at so shortly ago is not looked at again: long enough that nobody's finger on a button, and no number of
/// scrapers, makes more than one connection in this time to an address; short enough that somebody who mends a fault and asks again
/// waits hardly at all.
pub const REST: Duration = Duration::from_secs(5);

/// So many may wait at once, for whichever domains: half of the connections of the web server, so that a scrape of the metrics
/// always finds one.
pub const WAITING_MOST: usize = 256;

/// Asks a running monitor to look at a domain now. Clones share the bound on those who wait.
#[derive(Clone, Debug)]
pub struct Prompter {
    orders: mpsc::Sender<Order>,
    in_force: watch::Receiver<InForce>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    waiting: Arc<Semaphore>,
    strangers: Strangers,
}

/// What was seen by the end of the look, or of the patience.
#[derive(Clone, Debug)]
pub struct Prompted {
    /// The domain, its mail hosts and their addresses, and no others. Where nothing is missing, all of them were looked at after the wish, or
    /// shortly before it: less than [`REST`] before the first who wanted the same, which was no longer ago than that.
    pub snapshot: Arc<Snapshot>,
    /// What was not looked at; empty where all was.
    pub missing: Vec<Awaited>,
    /// How long all of it took, the waiting included.
    pub took: Duration,
}

/// Something that has to be looked at for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Records, policy and MX list of the domain.
    Domain(PolicyDomain),
    /// The addresses of a mail host, and its TLSA records.
    Host(MxHost),
    /// One address of a mail host.
    Address(MxHost, IpAddr),
}

/// Why there is no look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// No such domain is configured, or not any more.
    #[error("the domain is not configured")]
    NotConfigured,
    /// Too many wait already.
    #[error("too many wait for a look already; try again in {} seconds", REST.as_secs())]
    Busy,
    /// The monitor is stopping.
    #[error("the monitor is stopping")]
    Stopping,
}

/// A wish, on its way to the keeper.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) domain: PolicyDomain,
    /// Nothing that is known from before is used.
    pub(super) anew: bool,
    pub(super) answer: oneshot::Sender<Result<watch::Receiver<Progress>, PromptError>>,
}

/// How far a look is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) missing: Vec<Awaited>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Looking,
    Over,
    /// The domain is not configured any more.
    Gone,
}

/// The settings in force, with the edges that were set up from them.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    pub(super) settings: Arc<Settings>,
    pub(super) edges: Arc<Edges>,
}

impl Prompter {
    pub(super) fn new(
        orders: mpsc::Sender<Order>,
        in_force: watch::Receiver<InForce>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        strangers: Strangers,
    ) -> Self {
        Self { orders, in_force, snapshots, waiting: Arc::new(Semaphore::new(WAITING_MOST)), strangers }
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.in_force.borrow().settings)
    }

    /// Looks at a configured domain now, as a person wants it who has just mended something: no answer is taken that the resolver
    /// has from before, and the policy host is asked however shortly ago a fetch failed (RFC 8461 §3.3 asks senders to wait; a person
    /// asks once). Mail hosts are asked by the usual limits.
    ///
    /// Returns when all was looked at, or when `patience` is over; what was begun then goes on. Those who want the same at the same
    /// time wait for the same look, and what was looked at less than [`REST`] ago is not looked at again.
    ///
    /// # Errors
    /// [`PromptError`].
    pub async fn probe(&self, domain: &PolicyDomain, patience: Duration) -> Result<Prompted, PromptError> {
        self.configured(domain, true, patience).await
    }

    /// The same for a program that asks again and again: answers of the DNS count for as long as they say, a policy host whose last
    /// fetch failed is left in peace for `probe.policy_retry_interval`, and a mail host that turned this monitor away until its
    /// scheduled time. Of those, what is known counts.
    ///
    /// # Errors
    /// [`PromptError`].
    pub async fn scrape(&self, domain: &PolicyDomain, patience: Duration) -> Result<Prompted, PromptError> {
        self.configured(domain, false, patience).await
    }

    /// Looks once at a domain that is not configured, over the same edges and by the same limits. Whether that is allowed
    /// (`probe.allow_any_target`) is the caller's to ask. Nothing of it is kept: the snapshot holds this domain and its mail hosts.
    ///
    /// # Errors
    /// [`PromptError::Busy`] and [`PromptError::Stopping`].
    pub async fn look_once(&self, domain: &PolicyDomain, patience: Duration) -> Result<Prompted, PromptError> {
        let _place = self.waiting.try_acquire().map_err(|_| PromptError::Busy)?;
        let began = Instant::now();
        let mut progress = {
            let in_force = self.in_force.borrow().clone();
            let vantage = Arc::clone(&self.snapshots.borrow().vantage);
            self.strangers.look(domain, in_force, vantage)?
        };
        tokio::select! {
            ended = await_end(&mut progress, patience) => ended?,
            () = self.strangers.stopped() => return Err(PromptError::Stopping),
        }
        let Progress { snapshot, missing, .. } = progress.borrow().clone();
        Ok(Prompted { snapshot, missing, took: began.elapsed() })
    }

    async fn configured(&self, domain: &PolicyDomain, anew: bool, patience: Duration) -> Result<Prompted, PromptError> {
        let _place = self.waiting.try_acquire().map_err(|_| PromptError::Busy)?;
        let began = Instant::now();
        let (answer, accepted) = oneshot::channel();
        let order = Order { domain: domain.clone(), anew, answer };
        let asking = async {
            self.orders.send(order).await.map_err(|_| PromptError::Stopping)?;
            accepted.await.map_err(|_| PromptError::Stopping)?
        };
        let Ok(accepted) = timeout(patience, asking).await else {
            // The keeper had no time for it.
            let snapshot = Arc::new(self.snapshots.borrow().part(domain));
            let missing = vec![Awaited::Domain(domain.clone())];
            return Ok(Prompted { snapshot, missing, took: began.elapsed() });
        };
        let mut progress = accepted?;
        await_end(&mut progress, patience.saturating_sub(began.elapsed())).await?;
        let Progress { stage, snapshot, missing } = progress.borrow().clone();
        match stage {
            Stage::Gone => Err(PromptError::NotConfigured),
            Stage::Looking | Stage::Over => Ok(Prompted { snapshot, missing, took: began.elapsed() }),
        }
    }
}

/// Waits until the look is over or the patience is.
async fn await_end(progress: &mut watch::Receiver<Progress>, patience: Duration) -> Result<(), PromptError> {
    let ended = timeout(patience, progress.wait_for(|progress| progress.stage != Stage::Looking)).await;
    match ended {
        Ok(Err(_)) => Err(PromptError::Stopping),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

impl Awaited {
    pub(super) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Domain(domain) => Some(Self::Domain(domain.clone())),
            Target::Host(host) => Some(Self::Host(host.clone())),
            Target::Address(host, address) => Some(Self::Address(host.clone(), *address)),
            Target::Survey(..) | Target::Canary(_) => None,
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "the records, the policy and the MX list of {domain}"),
            Self::Host(host) => write!(f, "the addresses and TLSA records of {host}"),
            Self::Address(host, address) => write!(f, "{host} at {address}"),
        }
    }
}
