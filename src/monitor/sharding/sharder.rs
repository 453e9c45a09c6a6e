//! Between the configuration and the monitor: hands it the part that is this instance's.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use super::{Seat, SeatError, Shards, Surroundings};
use crate::{
    config::{Change, Settings},
    monitor::{ReconfigureError, Reconfigurer, Telemetry},
};

/// Why new settings are not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Which instance this is cannot be told.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// The monitor does not take them.
    #[error(transparent)]
    Monitor(#[from] ReconfigureError),
}

/// Which part of the domains this instance takes, before the monitor runs.
#[derive(Debug)]
pub struct Allotment {
    surroundings: Surroundings,
    whole: Arc<Settings>,
    shards: Shards,
}

impl Allotment {
    /// What the configuration says.
    ///
    /// # Errors
    /// [`SeatError`] where it cannot be told which instance this is.
    pub fn new(whole: Arc<Settings>, surroundings: Surroundings) -> Result<Self, SeatError> {
        let shards = Shards::alone(Seat::of(&whole, &surroundings)?);
        Ok(Self { surroundings, whole, shards })
    }

    /// The settings with which the monitor begins.
    pub fn part(&self) -> Arc<Settings> {
        self.shards.part(&self.whole)
    }

    /// Goes on with the monitor that runs by now.
    pub fn with(self, monitor: Reconfigurer, telemetry: Telemetry) -> Sharder {
        let Self { surroundings, whole: _, shards } = self;
        telemetry.set_shards(&shards);
        let (shown, _) = watch::channel(Arc::new(shards));
        Sharder(Arc::new(Office { surroundings, monitor, telemetry, turn: Mutex::new(()), shown }))
    }
}

/// Hands settings to a running monitor, each time the part of this instance. Clones share everything.
#[derive(Clone, Debug)]
pub struct Sharder(Arc<Office>);

#[derive(Debug)]
struct Office {
    surroundings: Surroundings,
    monitor: Reconfigurer,
    telemetry: Telemetry,
    /// One change after the other.
    turn: Mutex<()>,
    shown: watch::Sender<Arc<Shards>>,
}

impl Sharder {
    /// Puts the settings of the whole in force. Their number of shards may be another one: then some domains come or go.
    ///
    /// # Errors
    /// [`ShardError`]; the settings before then stay in force.
    pub async fn apply(&self, whole: Arc<Settings>) -> Result<Change, ShardError> {
        let office = &*self.0;
        let _turn = office.turn.lock().await;
        let shards = Shards::alone(Seat::of(&whole, &office.surroundings)?);
        let change = office.monitor.apply(shards.part(&whole)).await?;
        office.telemetry.set_shards(&shards);
        office.shown.send_replace(Arc::new(shards));
        Ok(change)
    }

    /// Who has which part, as it changes.
    pub fn shards(&self) -> watch::Receiver<Arc<Shards>> {
        self.0.shown.subscribe()
    }
}
