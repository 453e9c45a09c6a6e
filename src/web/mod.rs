//! The web server: metrics, a landing page, the log of changes, and the endpoints of health and reload.

mod api;
mod app;
mod body;
mod changes;
mod door;
mod landing;
mod links;
mod listen;
mod own_listener;
mod pages;
mod reports;
mod server;

#[cfg(test)]
mod tests;

pub use app::{App, MetricsPath, MetricsPathError, Reload};
pub use door::ReportDoor;
pub use listen::{BindError, DEFAULT_PORT, ListenAddress, ListenAddressError, bind};
pub use own_listener::{EntranceError, Prepared, ReportEntrance};
pub use server::{Limits, serve};
