//! The keeper and the intake of reports: what was filed goes into the fleet, and the ways in follow the configuration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{GRACE, Keeper};
use crate::{
    config::Settings,
    monitor::{
        Intake, Telemetry,
        intake::{INCOMING, IntakeNews, MailboxPace, mailboxes, watch_folder, watch_mailbox, watch_own_folder},
    },
    net::{ImapConnector, now},
    store::{Filing, NewsCursor},
    verdict::NEWBORN_FOR,
};

/// The keeper's end of the intake.
pub(super) struct Desk {
    pub(super) intake: Intake,
    pub(super) news: mpsc::Receiver<IntakeNews>,
    pub(super) filer: JoinHandle<()>,
    pub(super) sources: Sources,
}

/// What watches the ways in.
const FOLDER: &str = "the watch over a folder of reports";
const MAILBOX: &str = "the watch over a mailbox of reports";

/// The ways in that are watched from here.
pub(super) struct Sources {
    state: Option<PathBuf>,
    stop: CancellationToken,
    folders: CancellationToken,
    mailboxes: CancellationToken,
    tasks: TaskTracker,
    telemetry: Telemetry,
}

impl Sources {
    pub(super) fn start(
        intake: &Intake,
        settings: &Settings,
        imap: &ImapConnector,
        state: Option<&Path>,
        telemetry: &Telemetry,
        stop: &CancellationToken,
    ) -> Self {
        let mut sources = Self {
            state: state.map(Path::to_owned),
            stop: stop.clone(),
            folders: stop.child_token(),
            mailboxes: stop.child_token(),
            tasks: TaskTracker::new(),
            telemetry: telemetry.clone(),
        };
        sources.begin_folders(intake, settings);
        sources.begin_mailboxes(intake, settings, imap);
        sources
    }

    /// Ends the watch over the folders of the settings before, and begins that of the new ones. What was under way and is not
    /// acknowledged is taken up again, and counts once.
    pub(super) fn renew_folders(&mut self, intake: &Intake, settings: &Settings) {
        self.folders.cancel();
        self.folders = self.stop.child_token();
        self.begin_folders(intake, settings);
    }

    /// The same for the mailboxes, which are reached through the new resolver and trust store.
    pub(super) fn renew_mailboxes(&mut self, intake: &Intake, settings: &Settings, imap: &ImapConnector) {
        self.mailboxes.cancel();
        self.mailboxes = self.stop.child_token();
        self.begin_mailboxes(intake, settings, imap);
    }

    fn begin_folders(&mut self, intake: &Intake, settings: &Settings) {
        for folder in settings.reports.folders() {
            self.begin(FOLDER, watch_folder(intake.clone(), folder.to_owned(), self.folders.clone()));
        }
        if let Some(state) = &self.state {
            self.begin(FOLDER, watch_own_folder(intake.clone(), state.join(INCOMING), self.folders.clone()));
        }
    }

    fn begin_mailboxes(&mut self, intake: &Intake, settings: &Settings, imap: &ImapConnector) {
        for account in mailboxes(settings) {
            let intake = intake.clone();
            let submit = move |raw| {
                let intake = intake.clone();
                async move { intake.submit(raw).await }
            };
            let stop = self.mailboxes.clone();
            self.begin(MAILBOX, watch_mailbox(imap.clone(), account, MailboxPace::default(), submit, stop));
        }
    }

    fn begin(&self, name: &'static str, watch: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(self.telemetry.vital(name, watch));
    }
}

impl Desk {
    /// Waits until nothing is filed any more. The keeper listens no longer: what is filed now is in the store, and shown by the next
    /// run.
    pub(super) async fn close(self) {
        drop(self.news);
        self.sources.tasks.close();
        let ended = timeout(GRACE, async {
            self.sources.tasks.wait().await;
            self.filer.await
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the intake of reports did not stop cleanly"),
            Err(_) => tracing::debug!("a report was cut short; it stays where it came from"),
        }
    }
}

impl Keeper {
    pub(super) fn told(&mut self, news: IntakeNews) {
        match news {
            IntakeNews::Filed(filing) => self.fleet.reports_filed(*filing, now()),
            IntakeNews::Others(domains, intake) => {
                self.fleet.reports_filed(Filing { intake: *intake, ..Filing::default() }, now());
                self.fleet.restore_domain_reports(domains, now());
            }
            IntakeNews::Restored(kept) => self.fleet.restore_reports(kept.domains, kept.intake, now()),
        }
        self.publish_soon();
    }

    /// When a counter that is new may be shown.
    pub(super) fn next_grown_up(&self) -> Option<Instant> {
        let at = self.fleet.next_grown_up()?;
        // A little later, so that the clocks agree that it is time.
        // Never longer than that: the clock may be set.
        Some(Instant::now() + at.since(now()).min(NEWBORN_FOR) + Duration::from_millis(10))
    }

    pub(super) fn grow_up(&mut self) {
        self.fleet.grow_up(now());
        self.publish_soon();
    }

    /// Hands new settings to the intake. The reports of domains that are new were read up to this place.
    pub(super) fn configure_intake(&mut self, before: &Settings, read_to: Option<NewsCursor>) {
        self.configure_attribution(read_to);
        let Some(desk) = &mut self.desk else { return };
        if before.reports != self.settings.reports {
            desk.sources.renew_folders(&desk.intake, &self.settings);
        }
        desk.sources.renew_mailboxes(&desk.intake, &self.settings, &self.edges.imap);
    }

    /// Reports are given to the domains that are configured now. Mailboxes go with the domains where one instance fetches for all; the
    /// other ways in stay as they are.
    pub(super) fn configure_domains(&mut self, before: &Settings, read_to: Option<NewsCursor>) {
        self.configure_attribution(read_to);
        let Some(desk) = &mut self.desk else { return };
        if before.reports.imap != self.settings.reports.imap {
            desk.sources.renew_mailboxes(&desk.intake, &self.settings, &self.edges.imap);
        }
    }

    fn configure_attribution(&self, read_to: Option<NewsCursor>) {
        if let Some(desk) = &self.desk {
            desk.intake.configure(&self.settings, self.edges.resolver.clone(), read_to);
        }
    }
}
