//! New settings for a running monitor.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{Keeper, Target, Wanted, key::Key, limits};
use crate::{
    config::{Change, Settings},
    monitor::{Edges, EdgesError, Kept, SharedStore, prompt::InForce},
    net::now,
    store::StoreError,
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
    /// What is kept of the new domains cannot be read. Without their past they would begin anew, and that would take the place of what
    /// is kept.
    #[error("what is kept of the new domains cannot be read: {0}")]
    Unreadable(#[from] StoreError),
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

    /// Puts the domains of these settings in force with what goes by them, the domains of all instances and the mailboxes, and leaves
    /// every other setting as it is. Nothing else is opened anew for it.
    ///
    /// # Errors
    /// [`ReconfigureError`]; the domains before then stay in force.
    pub async fn apply_domains(&self, part: &Settings) -> Result<Change, ReconfigureError> {
        let before = Arc::clone(&self.in_force.borrow().settings);
        self.hand(Arc::new(with_domains_of(&before, part)), None).await
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
        let kept = self.kept(&change.added).await?;
        let (done, outcome) = oneshot::channel();
        // The last to let go of a million domains has to take them apart: held until then, that is not the keeper.
        let held = Arc::clone(&before);
        let command = Reconfigure { settings, edges, change, before, kept, done };
        self.commands.send(command).await.map_err(|_| ReconfigureError::Stopping)?;
        let outcome = outcome.await.map_err(|_| ReconfigureError::Stopping);
        drop(spawn_blocking(move || drop(held)));
        outcome
    }

    /// What was kept of the domains that are new. Where no store is open they begin anew, and where there are none nothing is read: what
    /// leaves can always leave.
    async fn kept(&self, added: &[PolicyDomain]) -> Result<Kept, StoreError> {
        let store = self.store.as_ref().and_then(|shared| shared.borrow().clone());
        match store {
            Some(store) if !added.is_empty() => {
                let kept = Kept::load(store.as_ref(), added).await?;
                Ok(Kept { of: Some(store), ..kept })
            }
            _ => Ok(Kept::default()),
        }
    }
}

/// These settings with the domains of others, and with what goes by the domains.
fn with_domains_of(before: &Settings, part: &Settings) -> Settings {
    let mut settings =
        Settings { domains: part.domains.clone(), inventory: part.inventory.clone(), ..Settings::clone(before) };
    settings.reports.imap.clone_from(&part.reports.imap);
    settings
}

impl Keeper {
    pub(super) fn reconfigure(&mut self, command: Reconfigure) {
        let Reconfigure { mut settings, edges, mut change, before, kept, done } = command;
        if !Arc::ptr_eq(&before, &self.settings) {
            // Others came first.
            if edges.is_none() {
                settings = Arc::new(with_domains_of(&self.settings, &settings));
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
        let read_to = kept.of.is_some().then_some(kept.reports.place);
        match anew {
            true => self.configure_intake(&before, read_to),
            false => self.configure_domains(&before, read_to),
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
            self.schedule.remove(&target.into());
        }
        self.begin_spread(wanted.now);
        let time = Instant::now();
        let targets: Vec<Target> = match change.probing_changed {
            true => {
                let domains = self.settings.domains.iter().map(|one| Target::Domain(one.domain.clone()));
                domains.chain(self.schedule.keys().filter_map(Key::other).cloned()).collect()
            }
            false => change.changed.iter().cloned().map(Target::Domain).collect(),
        };
        for target in targets {
            let interval = self.interval(&target);
            if let Some(at) = self.schedule.within(&(&target).into(), interval, time, rand::random) {
                self.tell_due(&target, at);
            }
        }
    }
}

#[cfg(test)]
pub(in crate::monitor) mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::{config::parse, store};

    pub(in crate::monitor) fn settings(text: &str) -> Settings {
        let text = format!("resolver: {{servers: [192.0.2.53], dnssec: off}}\nprobe: {{roots: none}}\n{text}");
        parse("test.yml", &text).unwrap().settings
    }

    /// Hands settings to a keeper that does no more than put them in force; with what is in force.
    pub(in crate::monitor) async fn alone(
        settings: Settings,
        store: Option<SharedStore>,
    ) -> (Reconfigurer, impl Fn() -> Arc<Settings>) {
        let edges = Arc::new(Edges::open(&settings).await.unwrap());
        let (force, in_force) = watch::channel(InForce { settings: Arc::new(settings), edges });
        let (commands, mut inbox) = mpsc::channel::<Reconfigure>(1);
        tokio::spawn(async move {
            while let Some(command) = inbox.recv().await {
                force.send_modify(|force| force.settings = command.settings);
                command.done.send(command.change).unwrap();
            }
        });
        let (_, unsaved) = watch::channel(false);
        let seen = in_force.clone();
        (Reconfigurer { commands, in_force, store, unsaved }, move || Arc::clone(&seen.borrow().settings))
    }

    #[tokio::test]
    async fn a_domain_of_which_nothing_can_be_read_does_not_begin_anew() {
        let folder = tempdir().unwrap();
        let store = store::open(folder.path(), now()).await.unwrap().store;
        let (_open, shared) = watch::channel(Some(Arc::clone(&store)));
        let (reconfigurer, in_force) = alone(settings("domains: [a.example]"), Some(shared)).await;
        let two = settings("domains: [a.example, b.example]");
        store.close().await;
        let refused = reconfigurer.apply_domains(&two).await.unwrap_err();
        assert!(matches!(refused, ReconfigureError::Unreadable(_)), "{refused}");
        assert_eq!(in_force().domains.len(), 1);
        let change = reconfigurer.apply_domains(&Settings::default()).await.unwrap();
        assert_eq!(change.removed.len(), 1, "what leaves can always leave");
    }

    #[tokio::test]
    async fn what_goes_by_the_domains_is_put_in_force_with_them_and_nothing_else() {
        let (reconfigurer, in_force) = alone(settings("domains: [a.example]"), None).await;
        let mailbox = "reports: {imap: [{server: imap.example, user: a, password_file: /run/secrets/imap}]}";
        let mut part = settings(&format!("domains: [b.example]\n{mailbox}\nown_mx: [mx.example]"));
        part.inventory = Some(settings("domains: [a.example, b.example]").domains);
        assert!(part.reports.imap.is_some() && !part.own_mx.is_empty());
        reconfigurer.apply_domains(&part).await.unwrap();
        let now = in_force();
        assert_eq!(
            (&now.domains, &now.inventory, &now.reports.imap),
            (&part.domains, &part.inventory, &part.reports.imap)
        );
        assert!(now.own_mx.is_empty());
    }
}
