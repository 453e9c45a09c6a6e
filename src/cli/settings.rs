//! The settings that a command works with: those of the configuration, where there is one.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use crate::{
    config::{self, ConfigErrors, Diagnostic, DomainSettings, Settings, inventory::with_files},
    net::now,
    terms::PolicyDomain,
};

/// Settings with what was odd about them.
#[derive(Debug)]
pub(crate) struct LoadedSettings {
    pub(crate) settings: Settings,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Where settings come from: read again at each reload.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file that the command line names.
    pub(crate) file: Option<PathBuf>,
    /// Domains of the command line, beside those of the file.
    pub(crate) domains: Vec<PolicyDomain>,
}

impl LoadedSettings {
    /// The settings with the domains of `domain_files`, for a command that looks once. A file that cannot be used is told in the
    /// log. What URLs list is left to the monitor.
    pub(crate) fn with_files(mut self) -> Settings {
        for report in with_files(&mut self.settings, now()) {
            if let Some(error) = report.error {
                tracing::warn!(source = report.name, "a list of domains cannot be used: {}", error.message);
            }
        }
        self.settings
    }
}

impl Source {
    /// Reads the settings.
    ///
    /// # Errors
    /// Every mistake in the configuration, or that the named file is not there.
    pub(crate) fn load(&self) -> Result<LoadedSettings, ConfigErrors> {
        let LoadedSettings { mut settings, warnings } = match config::locate(self.file.as_deref())? {
            Some(path) => {
                let loaded = config::load(&path)?;
                LoadedSettings { settings: loaded.settings, warnings: loaded.warnings }
            }
            None => LoadedSettings { settings: Settings::default(), warnings: Vec::new() },
        };
        if !self.domains.is_empty() {
            let more = self.domains.iter().cloned().map(DomainSettings::new);
            settings.domains = settings.domains.iter().cloned().chain(more).collect();
        }
        Ok(LoadedSettings { settings, warnings })
    }
}

/// Whether texts on standard error may be coloured.
pub(crate) fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A configuration that was refused, as text for the user.
pub(crate) fn refused(errors: &ConfigErrors, colour: bool) -> String {
    format!("the configuration is not valid\n\n{}", errors.render(colour))
}

/// The settings of a domain: those that the configuration has, else none but the defaults.
pub(crate) fn of_domain(settings: &Settings, domain: PolicyDomain) -> DomainSettings {
    let known = settings.domains.named(domain.as_str());
    known.cloned().unwrap_or_else(|| DomainSettings::new(domain))
}
