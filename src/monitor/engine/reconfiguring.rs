//! New settings for a running monitor.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{Keeper, Target, Wanted, limits};
use crate::{
    config::{Change, DomainList, Settings},
    monitor::{Edges, EdgesError, Kept, SharedStore, prompt::InForce},
    net::now,
    terms::PolicyDomain,
};

/// Hands new settings to a running monitor.
#[derive(Clone, Debug)]
pub struct Reconfigurer {
    pub(super) commands: mpsc::Sender<Reconfigure>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) store: Option<SharedStore>,
    pub(super) unsaved: watch::Receiver<bool>,
}

#[derive(Debug)]
pub(super) struct Reconfigure {
    settings: Arc<Settings>,
    /// Nothing where only the domains are other ones: then all that is open stays open.
    edges: Option<Box<Edges>>,
    /// What leads to the settings from those that were in force when this was asked for. To find it a million domains are compared;
    /// the keeper has no time for that.
    change: Change,
    before: Arc<Settings>,
    /// What was kept of the domains that are new.
    kept: Kept,
    done: oneshot::Sender<Change>,
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
        self.hand(settings, Some(Box::new(edges))).await
    }

    /// Puts other domains in force and leaves every other setting as it is. Nothing is opened anew for it.
    ///
    /// # Errors
    /// [`ReconfigureError::Stopping`].
    pub async fn apply_domains(&self, domains: DomainList) -> Result<Change, ReconfigureError> {
        let before = Arc::clone(&self.in_force.borrow().settings);
        self.hand(Arc::new(Settings { domains, ..Settings::clone(&before) }), None).await
    }

    /// Waits until what is new is written, of domains that left too; no longer than this.
    pub(in crate::monitor) async fn written(&self, within: Duration) {
        let mut unsaved = self.unsaved.clone();
        if timeout(within, unsaved.wait_for(|waits| !waits)).await.is_err() {
            tracing::warn!("what was seen last could not be written in time");
        }
    }

    async fn hand(&self, settings: Arc<Settings>, edges: Option<Box<Edges>>) -> Result<Change, ReconfigureError> {
        let before = Arc::clone(&self.in_force.borrow().settings);
        let (old, new) = (Arc::clone(&before), Arc::clone(&settings));
        let change = spawn_blocking(move || Change::between(&old, &new)).await;
        // A fault of this program, or the end of it.
        let change = change.map_err(|_| ReconfigureError::Stopping)?;
        let kept = self.kept(&change.added).await;
        let (done, outcome) = oneshot::channel();
        // The last to let go of a million domains has to take them apart: held until then, that is not the keeper.
        let held = Arc::clone(&before);
        let command = Reconfigure { settings, edges, change, before, kept, done };
        self.commands.send(command).await.map_err(|_| ReconfigureError::Stopping)?;
        let outcome = outcome.await.map_err(|_| ReconfigureError::Stopping);
        drop(spawn_blocking(move || drop(held)));
        outcome
    }

    /// What was kept of the domains that are new. Without it they begin anew.
    async fn kept(&self, added: &[PolicyDomain]) -> Kept {
        let Some(store) = self.store.as_ref().and_then(|shared| shared.borrow().clone()) else {
            return Kept::default();
        };
        Kept::load(store.as_ref(), added).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what was kept of the new domains cannot be read; they begin anew");
            Kept::default()
        })
    }
}

impl Keeper {
    pub(super) fn reconfigure(&mut self, command: Reconfigure) {
        let Reconfigure { mut settings, edges, mut change, before, kept, done } = command;
        if !Arc::ptr_eq(&before, &self.settings) {
            // Others came first.
            if edges.is_none() {
                settings = Arc::new(Settings { domains: settings.domains.clone(), ..Settings::clone(&self.settings) });
            }
            change = Change::between(&self.settings, &settings);
        }
        let anew = edges.is_some();
        if let Some(mut edges) = edges {
            edges.succeed(&self.edges, &settings);
            self.edges = Arc::from(edges);
        }
        self.force.send_replace(InForce { settings: Arc::clone(&settings), edges: Arc::clone(&self.edges) });
        let before = std::mem::replace(&mut self.settings, Arc::clone(&settings));
        match anew {
            true => self.configure_intake(&before),
            false => self.configure_attribution(),
        }
        let wanted = self.fleet.follow(settings, self.edges.resolver.dnssec_sight(), &change);
        self.schedule.limit(limits(&self.settings));
        self.watch_resolver();
        self.tell_intervals();
        let due = self.fleet.restore(kept.domains, kept.hosts, now());
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
