//! The database that instances share: opened as soon as it can be, and from then on open.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, watch};

use crate::{
    monitor::SharedStore,
    store::{Holder, Instance, Lease, Leases, Renewal, Shared, Store, StoreError},
};

/// Opens the database.
pub type Opener = Box<dyn Fn() -> BoxFuture<'static, Result<Shared, StoreError>> + Send + Sync>;

/// The shared database. Who asks for it while it is not open opens it; clones share it.
#[derive(Clone)]
pub struct SharedState(Arc<Inner>);

struct Inner {
    opener: Opener,
    opened: Mutex<Option<Shared>>,
    store: watch::Sender<Option<Arc<dyn Store>>>,
}

impl SharedState {
    /// A database that is not open yet.
    pub fn new(opener: Opener) -> Self {
        Self(Arc::new(Inner { opener, opened: Mutex::new(None), store: watch::Sender::new(None) }))
    }

    /// The store and the leases; opens the database where it is not.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be opened; it may be tried again.
    pub(in crate::monitor) async fn open(&self) -> Result<Shared, StoreError> {
        // One at a time: who comes meanwhile gets what the first one opened.
        let mut opened = self.0.opened.lock().await;
        if let Some(shared) = &*opened {
            return Ok(shared.clone());
        }
        let shared = (self.0.opener)().await?;
        self.0.store.send_replace(Some(Arc::clone(&shared.store)));
        *opened = Some(shared.clone());
        Ok(shared)
    }

    /// The store, once it is open.
    pub(in crate::monitor) fn store(&self) -> SharedStore {
        self.0.store.subscribe()
    }

    /// Ends the work with it.
    pub(in crate::monitor) async fn close(&self) {
        self.0.store.send_replace(None);
        if let Some(shared) = self.0.opened.lock().await.take() {
            shared.store.close().await;
        }
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState").finish_non_exhaustive()
    }
}

/// The leases of a database that may not be open yet.
impl Leases for SharedState {
    fn renew<'a>(
        &'a self,
        instance: &'a Instance,
        held: &'a [Lease],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Renewal, StoreError>> {
        Box::pin(async move { self.open().await?.leases.renew(instance, held, ttl).await })
    }

    fn take<'a>(
        &'a self,
        instance: &'a Instance,
        slot: u32,
        rest: Duration,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        Box::pin(async move { self.open().await?.leases.take(instance, slot, rest, ttl).await })
    }

    fn ask<'a>(&'a self, instance: &'a Instance, ttl: Duration) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.open().await?.leases.ask(instance, ttl).await })
    }

    fn give<'a>(&'a self, holder: &'a Holder, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.open().await?.leases.give(holder, leases).await })
    }

    fn leave<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.open().await?.leases.leave(holder).await })
    }
}
