//! How long the keeper stops for each publication, as it tells it in its trace.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::{Context, SubscriberExt as _},
};

/// The keeper's own room.
const KEEPER: &str = "smtptls_exporter::monitor::engine";

/// Collects the seconds of each publication.
#[derive(Clone, Debug, Default)]
pub(crate) struct Publications(Arc<Mutex<Vec<f64>>>);

impl Publications {
    /// Listens from now on, and shows warnings of the program on standard error.
    pub(crate) fn listen() -> Self {
        let heard = Self::default();
        let keeper = Targets::new().with_target(KEEPER, Level::TRACE);
        let shown = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(LevelFilter::WARN);
        let subscriber = Registry::default().with(heard.clone().with_filter(keeper)).with(shown);
        tracing::subscriber::set_global_default(subscriber).expect("nobody listens yet");
        heard
    }

    /// What was heard since the last call.
    pub(crate) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl<S: Subscriber> Layer<S> for Publications {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seconds = Seconds(None);
        event.record(&mut seconds);
        if let Some(seconds) = seconds.0 {
            self.0.lock().expect("nobody panics with it").push(seconds);
        }
    }
}

struct Seconds(Option<f64>);

impl Visit for Seconds {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if field.name() == "seconds" {
            self.0 = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
