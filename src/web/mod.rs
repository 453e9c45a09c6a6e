//! The web server: metrics, a landing page, the log of changes, looks on demand, and the endpoints of health and reload.

mod admission;
mod apart;
mod api;
mod app;
mod basic;
mod body;
mod changes;
mod connections;
mod discovery;
mod domains;
mod door;
mod findings;
mod links;
mod listen;
mod openapi;
mod own_listener;
mod pages;
mod parameters;
mod probe;
mod prompt;
mod reload;
mod reports;
mod response;
mod route;
mod scrape;
mod selection;
mod server;
mod shards;
mod watched;

#[cfg(test)]
mod tests;

pub use admission::{Admission, check_web_config};
pub use app::{App, MetricsPath, MetricsPathError};
pub use door::ReportDoor;
pub use links::{ExternalUrl, ExternalUrlError, Links, Mount, RoutePrefix, RoutePrefixError};
pub use listen::{BindError, DEFAULT_PORT, ListenAddress, ListenAddressError, bind};
pub use own_listener::{EntranceError, Prepared, ReportEntrance};
pub use probe::TIMEOUT_OFFSET;
pub use reload::{Reload, ReloadRefused};
pub use server::{Limits, serve};
