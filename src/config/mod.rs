//! The configuration: the file as written, the settings as resolved, the difference between two of them.

mod diagnostic;
mod diff;
mod domains;
pub mod file;
pub mod inventory;
mod load;
mod reader;
mod reference;
mod reports;
mod resolve;
mod resolve_domains;
mod resolve_sources;
mod schema;
mod settings;
mod show;
mod suggest;
mod values;
pub mod web;
mod yaml;

pub use diagnostic::{ConfigErrors, Diagnostic, DiagnosticSeverity, Location};
pub use diff::Change;
pub use domains::{DomainList, DomainOptions, DomainSettings};
pub use load::{DEFAULT_FILE, Loaded, load, locate, parse};
pub use reader::At;
pub use reference::reference;
pub use reports::{DEFAULT_REPORT_PATH, ReportListener};
pub use schema::schema;
pub use settings::{FamilySettings, NoDomains, ProbeSettings, ResolverSettings, Settings};
pub use show::{show, show_for};
pub(crate) use suggest::nearest;
pub use values::{
    AddressFamily, AddressMetrics, Bounded, Day, DnssecMode, ImapAuth, ListenAddress, MetricsLevel,
    ReportAuthentication, RootSource, SecretUrl, ServerSetting, ShardIndex,
};

#[cfg(test)]
mod tests;
