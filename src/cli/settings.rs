//! The settings that a command works with: those of the configuration, where there is one.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use crate::{
    config::{self, ConfigErrors, Diagnostic, DomainSettings, Loaded, Settings, inventory::with_files},
    metrics::{Extent, families},
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
                let loaded = load(&path)?;
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

/// Loads a file; the warnings tell as well which names of metrics no family has, which the configuration alone cannot know.
///
/// # Errors
/// As [`config::load`].
pub(crate) fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let mut loaded = config::load(path)?;
    let odd = odd_names(&loaded.settings, &path.display().to_string());
    loaded.warnings.extend(odd);
    Ok(loaded)
}

fn odd_names(settings: &Settings, file: &str) -> Vec<Diagnostic> {
    let odd = Extent::without_family(&settings.metrics).into_iter();
    odd.map(|(key, pattern)| {
        let nearest = config::nearest(&pattern.value, families().map(|family| family.name));
        let hint = nearest.map(|name| format!("did you mean {name}? docs/metrics.md lists them all"));
        let message = format!("{:?} in `{key}` is the name of no family of metrics", pattern.value);
        Diagnostic::about_value(&pattern, file, message, hint)
    })
    .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_metrics_that_there_are_not_are_told_with_their_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.yml");
        let text =
            "domains: [a.example]\nmetrics:\n  allow: [smtptls_finding, smtptls_domain_deliverys]\n  deny: ['go_*']\n";
        std::fs::write(&path, text).unwrap();
        let warnings = load(&path).unwrap().warnings;
        let told: Vec<_> = warnings
            .iter()
            .map(|one| (one.location.unwrap().line, one.message.as_str(), one.hint.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    3,
                    "\"smtptls_domain_deliverys\" in `metrics.allow` is the name of no family of metrics",
                    Some("did you mean smtptls_domain_delivery? docs/metrics.md lists them all")
                ),
                (4, "\"go_*\" in `metrics.deny` is the name of no family of metrics", None),
            ]
        );
        assert!(warnings[0].to_string().contains("c.yml:3:28"), "{}", warnings[0]);
    }
}
