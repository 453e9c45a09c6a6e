//! New settings for a running monitor.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use super::{Keeper, Target, Wanted, limits};
use crate::{
    config::{Change, DomainList, Settings},
    monitor::{Edges, EdgesError, Kept, SharedStore, Snapshot, prompt::InForce},
    net::now,
    terms::PolicyDomain,
};

/// Hands new settings to a running monitor.
#[derive(Clone, Debug)]
pub struct Reconfigurer {
    pub(super) commands: mpsc::Sender<Reconfigure>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) store: Option<SharedStore>,
    pub(super) unsaved: watch::Receiver<bool>,
}

#[derive(Debug)]
pub(super) struct Reconfigure {
    wanted: New,
    /// What was kept of the domains that are new.
    kept: Kept,
    done: oneshot::Sender<Change>,
}

/// What is new.
#[derive(Debug)]
enum New {
    /// Any key may be another, and the files behind the settings too.
    Settings(Arc<Settings>, Box<Edges>),
    /// Nothing but the domains.
    Domains(DomainList),
}

/// Why new settings are not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The edges cannot be set up with them.
    #[error(transparent)]
    Edges(#[from] EdgesError),
    /// The monitor is stopping.
    #[error("the monitor is stopping")]
    Stopping,
}

impl Reconfigurer {
    /// Puts new settings in force: running probes go on, and domains that stay keep what is known of them and their due time.
    ///
    /// # Errors
    /// [`ReconfigureError`]; the settings before then stay in force.
    pub async fn apply(&self, settings: Arc<Settings>) -> Result<Change, ReconfigureError> {
        // The files behind the settings (roots, resolv.conf) may have changed with none of them changed: the edges are always
        // set up anew. Here, because that may wait for a resolver, and the keeper must not.
        let edges = Edges::open(&settings).await?;
        let kept = self.kept(&settings.domains).await;
        self.hand(New::Settings(settings, Box::new(edges)), kept).await
    }

    /// Puts other domains in force and leaves every other setting as it is. Nothing is opened anew for it.
    ///
    /// # Errors
    /// [`ReconfigureError::Stopping`].
    pub async fn apply_domains(&self, domains: DomainList) -> Result<Change, ReconfigureError> {
        let kept = self.kept(&domains).await;
        self.hand(New::Domains(domains), kept).await
    }

    /// Waits until what is new is written, of domains that left too; no longer than this.
    pub(in crate::monitor) async fn written(&self, within: Duration) {
        let mut unsaved = self.unsaved.clone();
        if timeout(within, unsaved.wait_for(|waits| !waits)).await.is_err() {
            tracing::warn!("what was seen last could not be written in time");
        }
    }

    async fn hand(&self, wanted: New, kept: Kept) -> Result<Change, ReconfigureError> {
        let (done, outcome) = oneshot::channel();
        let command = Reconfigure { wanted, kept, done };
        self.commands.send(command).await.map_err(|_| ReconfigureError::Stopping)?;
        outcome.await.map_err(|_| ReconfigureError::Stopping)
    }

    /// What was kept of the domains that are new. Without it they begin anew.
    async fn kept(&self, domains: &DomainList) -> Kept {
        let Some(store) = self.store.as_ref().and_then(|shared| shared.borrow().clone()) else {
            return Kept::default();
        };
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let added = domains.iter().filter(|one| !snapshot.domains.contains(one.domain.as_str()));
        let added: Vec<PolicyDomain> = added.map(|one| one.domain.clone()).collect();
        Kept::load(store.as_ref(), &added).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what was kept of the new domains cannot be read; they begin anew");
            Kept::default()
        })
    }
}

impl Keeper {
    pub(super) fn reconfigure(&mut self, Reconfigure { wanted, kept, done }: Reconfigure) {
        let anew = matches!(wanted, New::Settings(..));
        let (settings, edges) = match wanted {
            New::Settings(settings, mut edges) => {
                edges.succeed(&self.edges, &settings);
                (settings, Arc::from(edges))
            }
            New::Domains(domains) => {
                (Arc::new(Settings { domains, ..Settings::clone(&self.settings) }), Arc::clone(&self.edges))
            }
        };
        let change = Change::between(&self.settings, &settings);
        self.edges = edges;
        self.force.send_replace(InForce { settings: Arc::clone(&settings), edges: Arc::clone(&self.edges) });
        let before = std::mem::replace(&mut self.settings, Arc::clone(&settings));
        match anew {
            true => self.configure_intake(&before),
            false => self.configure_attribution(),
        }
        let wanted = self.fleet.configure(settings, self.edges.resolver.dnssec_sight());
        self.schedule.limit(limits(&self.settings));
        self.watch_resolver();
        self.tell_intervals();
        let due = self.fleet.restore(kept.domains, kept.hosts);
        self.fleet.restore_domain_reports(kept.reports.domains, now());
        self.follow_configuration(wanted, &change);
        self.begin(due, now());
        self.hurry();
        self.prompts.touch_all();
        self.publish();
        // Whoever asked may have gone; the settings are in force all the same.
        let _ = done.send(change);
    }

    /// New domains begin spread; those that stay keep their due time, or an earlier one where the interval became shorter. Where
    /// no interval can have changed, those that stay are not walked.
    fn follow_configuration(&mut self, wanted: Wanted, change: &Change) {
        for target in wanted.never {
            self.schedule.remove(&target);
        }
        self.begin_spread(wanted.now);
        let time = Instant::now();
        let targets: Vec<Target> = match change.probing_changed {
            true => {
                let domains = self.settings.domains.iter().map(|one| Target::Domain(one.domain.clone()));
                domains.chain(self.schedule.keys().filter(|key| !matches!(key, Target::Domain(_))).cloned()).collect()
            }
            false => change.changed.iter().cloned().map(Target::Domain).collect(),
        };
        for target in targets {
            let interval = self.interval(&target);
            if let Some(at) = self.schedule.within(&target, interval, time, rand::random) {
                self.tell_due(&target, at);
            }
        }
    }
}
