//! The folder of a demonstration: configuration, root certificate, state, and the reports that arrive.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use super::{DemoError, many::Many, network::Addresses, reports::Report, table::Row};

const CONFIG: &str = "smtptls-exporter.yml";
const ROOT: &str = "root.pem";
const STATE: &str = "state";
const REPORTS: &str = "reports";
/// So many of the further domains are looked at in a second, on the average.
const MANY_PER_SECOND: u32 = 150;
/// … and none of them more often than this, in seconds.
const MANY_INTERVAL: u32 = 30;

/// The folder. One that was made by itself is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Makes the folder; a temporary one where none is named.
    ///
    /// # Errors
    /// [`DemoError::Taken`] where there is something in it, so that nothing is lost; [`DemoError::Folder`] where it cannot be made.
    pub(super) fn make(named: Option<&Path>) -> Result<Self, DemoError> {
        let (path, temporary) = match named {
            Some(path) => (std::path::absolute(path).map_err(|error| DemoError::folder(path, error))?, false),
            None => {
                let name = format!("smtptls-exporter-demo-{:08x}", rand::random::<u32>());
                (std::env::temp_dir().join(name), true)
            }
        };
        let failed = |error| DemoError::folder(&path, error);
        // The reports of a temporary folder lie where everybody may look.
        DirBuilder::new().recursive(!temporary).mode(0o700).create(&path).map_err(failed)?;
        let folder = Self { path, temporary };
        if fs::read_dir(&folder.path).map_err(|error| DemoError::folder(&folder.path, error))?.next().is_some() {
            return Err(DemoError::Taken(folder.path.clone()));
        }
        for part in [STATE, REPORTS] {
            let part = folder.path.join(part);
            fs::create_dir(&part).map_err(|error| DemoError::folder(&part, error))?;
        }
        Ok(folder)
    }

    pub(super) const fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Writes the configuration and what it names.
    pub(super) fn write(&self, rows: &[Row], many: Many, addresses: &Addresses, root: &str) -> Result<(), DemoError> {
        for (name, text) in [(ROOT, root), (CONFIG, &config(rows, many, addresses))] {
            let path = self.path.join(name);
            fs::write(&path, text).map_err(|error| DemoError::folder(&path, error))?;
        }
        Ok(())
    }

    /// Lets a report arrive, packed as senders pack it.
    pub(super) fn report(&self, report: &Report) -> Result<(), DemoError> {
        let path = self.path.join(REPORTS).join(format!("{}.gz", report.file_name));
        // Under its name only when it is whole: a file below another name in this folder would be taken up as well.
        let part = self.path.join(format!("{}.part", report.file_name));
        let written =
            pack(&report.json).and_then(|packed| fs::write(&part, packed)).and_then(|()| fs::rename(&part, &path));
        written.map_err(|error| DemoError::folder(&path, error))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %error, "the folder of the demonstration could not be removed");
        }
    }
}

fn pack(json: &str) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(json.as_bytes())?;
    encoder.finish()
}

/// The configuration: everything is probed often, so that something is to be seen.
fn config(rows: &[Row], many: Many, addresses: &Addresses) -> String {
    let mut text = format!(
        "# Written by \"smtptls-exporter demo\", and of use while it runs. Nothing in it leaves this machine.\n\
         resolver: {{servers: ['{dns}'], dnssec: trust-ad, timeout: 2s}}\n\
         probe:\n  interval: 30s\n  mx_interval: 30s\n  retry_interval: 5s\n  policy_retry_interval: 30s\n  timeout: 10s\n  \
         helo_name: monitor.demo.test\n  families: [ip4]\n  per_address: 64\n  per_network: 64\n  per_provider: 64\n  roots: none\n  \
         ca_file: {ROOT}\n  smtp_port: {smtp}\n  https_port: {https}\n  allow_private_addresses: true\n  legacy_tls: false\n\
         thresholds: {{publication_grace: 10s}}\n\
         reports:\n  http: {{path: /tlsrpt}}\n  maildir: [{REPORTS}]\n  authentication: none\n\
         state: {{dir: {STATE}}}\n\
         domains:\n",
        dns = addresses.name_server,
        smtp = addresses.smtp_port,
        https = addresses.policy_hosts.port(),
    );
    for row in rows {
        let Some(now) = row.now() else { continue };
        text.push_str(&format!("  # {}\n  - {{domain: {}, group: '{}'}}\n", row.fault, now.name, row.group));
    }
    let interval = (many.0 / MANY_PER_SECOND).max(MANY_INTERVAL);
    for name in many.names() {
        text.push_str(&format!("  - {{domain: {name}, group: many, interval: {interval}s}}\n"));
    }
    text
}
