//! The keeper and the store: what is known goes out.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use super::Keeper;
use crate::{
    monitor::{
        KnownDomain, face,
        scribe::{Outcome, Scribe},
    },
    net::now,
    store::{Bounds, FACES_TOGETHER, PackedFaces},
};

/// Of so many domains that were only seen again, rows are written at the end: it takes a second or two. Of more, what is shown of them is
/// packed together, which takes a tenth of the room and less of the time.
const ROWS_AT_THE_END: usize = 20_000;
/// So many packs of faces are one transaction.
const PACKS: usize = 16;
/// How long writing may go on when the monitor is told to stop. A year's fleet of thousands of domains is written in less.
const DRAIN: Duration = Duration::from_secs(5);
/// … and how long closing the file may take after that.
const CLOSING: Duration = Duration::from_secs(2);

impl Keeper {
    /// Hands the store what is to be written now.
    pub(super) fn save(&mut self) {
        let bounds = self.bounds();
        if let Some(scribe) = &mut self.scribe {
            scribe.hand(self.fleet.take_unsaved(false, now()), bounds);
        }
        self.tell_unsaved();
        self.count_lost();
    }

    /// A write ended.
    pub(super) fn saved(&mut self, outcome: Outcome) {
        let Some(scribe) = &mut self.scribe else { return };
        let aftermath = scribe.settle(outcome);
        match aftermath.back {
            Some(batch) => self.fleet.give_back(&batch),
            // Another instance may wait for the rest of it.
            None if self.fleet.has_former() => scribe.at_once(),
            None => {}
        }
        if aftermath.anew {
            self.fleet.save_all();
        }
        self.hurry();
    }

    /// What is new is written soon.
    pub(super) fn hurry(&mut self) {
        if let Some(scribe) = &mut self.scribe
            && self.fleet.has_news()
        {
            scribe.hurry();
        }
        self.tell_unsaved();
    }

    fn tell_unsaved(&self) {
        let waits = self.scribe.as_ref().is_some_and(|scribe| scribe.is_busy() || self.fleet.has_news());
        self.unsaved.send_if_modified(|before| std::mem::replace(before, waits) != waits);
    }

    /// Writes all that is known, as far as the time allows, and closes the store.
    pub(super) async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN;
        let Some(mut scribe) = self.scribe.take() else { return };
        // What is new first. Then what was only seen again: of few domains their rows, of many what is shown of them.
        let seen = match self.write_rows(&mut scribe, Left::News, deadline).await {
            true => Some(self.fleet.only_seen()),
            false => None,
        };
        let complete = match seen {
            Some(seen) if seen.len() > ROWS_AT_THE_END && scribe.keeps_faces_apart() => {
                write_faces(&mut scribe, &seen, deadline).await
                    && self.write_rows(&mut scribe, Left::Hosts, deadline).await
            }
            Some(_) => self.write_rows(&mut scribe, Left::All, deadline).await,
            None => false,
        };
        if !complete {
            tracing::warn!("not all that is known could be stored before the end");
        }
        scribe.close(deadline + CLOSING).await;
    }

    /// Writes rows until none of these is left; says whether none is.
    async fn write_rows(&mut self, scribe: &mut Scribe, left: Left, deadline: Instant) -> bool {
        let bounds = self.bounds();
        loop {
            if scribe.is_busy() {
                let Ok(outcome) = timeout_at(deadline, scribe.outcome()).await else { return false };
                if let Some(batch) = scribe.settle(outcome).back {
                    self.fleet.give_back(&batch);
                }
                if scribe.is_failing() {
                    return false;
                }
            }
            let batch = match left {
                Left::News => self.fleet.take_unsaved(false, now()),
                Left::Hosts => self.fleet.take_unsaved_hosts(now()),
                Left::All => self.fleet.take_unsaved(true, now()),
            };
            match batch {
                Some(batch) => scribe.hand(Some(batch), bounds),
                None => return true,
            }
        }
    }

    fn bounds(&self) -> Bounds {
        let [domains, hosts, _] = self.fleet.counts();
        // In a store that is shared lie the domains of others as well, and what their hosts are nobody here knows.
        let (domains, hosts) = match &self.settings.inventory {
            Some(all) => (all.len(), all.len().saturating_mul(self.settings.probe.max_mx)),
            None => (domains, hosts),
        };
        Bounds { retention: self.settings.retention(), domains, hosts }
    }

    fn count_lost(&mut self) {
        let lost = self.fleet.take_lost();
        if lost > 0 {
            self.telemetry.state_write_failed(lost);
            tracing::error!(
                lost,
                "changes, or what was known of subjects that left, were lost: too many waited for the store"
            );
        }
    }
}

/// Which rows are to be written.
#[derive(Clone, Copy)]
enum Left {
    /// Of what is new, or has rested.
    News,
    /// Of mail hosts, also of those that show nothing new.
    Hosts,
    /// Of everything.
    All,
}

/// Writes what is shown of these domains, apart from their rows. Says whether all of it is written.
async fn write_faces(scribe: &mut Scribe, seen: &[Arc<KnownDomain>], deadline: Instant) -> bool {
    // One more turn waits for the last outcome.
    for (turn, some) in seen.chunks(PACKS * FACES_TOGETHER).map(Some).chain([None]).enumerate() {
        let packed = match some.map(<[_]>::to_vec) {
            Some(some) => {
                let packed = spawn_blocking(move || some.chunks(FACES_TOGETHER).filter_map(packed).collect());
                Some(packed.await.unwrap_or_else(|error| resume_unwind(error.into_panic())))
            }
            None => None,
        };
        if scribe.is_busy() {
            let Ok(outcome) = timeout_at(deadline, scribe.outcome()).await else { return false };
            scribe.settle(outcome);
        }
        if scribe.is_failing() {
            return false;
        }
        if let Some(packed) = packed {
            scribe.hand_faces(packed, turn == 0);
        }
    }
    true
}

/// The faces of these domains.
fn packed(domains: &[Arc<KnownDomain>]) -> Option<PackedFaces> {
    let faces: Vec<_> = domains.iter().filter_map(|known| Some((known.domain(), face::written(known)?))).collect();
    let packed = PackedFaces::of(faces.iter().map(|(domain, face)| (*domain, &**face)));
    packed.inspect_err(|error| tracing::error!(%error, "what is shown cannot be kept")).ok()
}
