//! What a service manager is told (sd_notify(3)), and the sockets that it hands over (sd_listen_fds(3)).

use std::{
    env,
    ffi::OsStr,
    io,
    net::TcpListener,
    os::unix::{ffi::OsStrExt as _, net::UnixDatagram},
    time::Duration,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::monitor::Pulse;

/// Where the service manager listens.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// How often the line of state is told anew, where it says something else than before.
const STATUS_EVERY: Duration = Duration::from_secs(60);
/// A keeper that is silent for so long may still be at work, whatever the watchdog asks: the largest piece of it, to put another
/// million domains in force, takes seconds.
const PATIENCE_LEAST: Duration = Duration::from_secs(10);

/// So soon it is looked again whether a silent keeper is alive: twice its beat.
const AGAIN: Duration = Duration::from_secs(2);

/// What is told to the service manager. Without one nothing is.
///
/// The socket is opened once: a process that has no descriptors left can still say that it is alive.
#[derive(Debug, Default)]
pub(super) struct Notifier {
    socket: Option<UnixDatagram>,
    /// The state has to be told although it is as it was: something else was told meanwhile.
    anew: Notify,
}

impl Notifier {
    /// To whom the environment says.
    pub(super) fn of_environment() -> Self {
        let Some(name) = env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else { return Self::default() };
        let socket = connect(&name).inspect_err(|error| {
            tracing::warn!(socket = %name.display(), %error, "the service manager cannot be told anything");
        });
        Self { socket: socket.ok(), anew: Notify::new() }
    }

    /// All is set up, or the configuration was read again.
    pub(super) fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The configuration is read again. The time comes with it: systemd 253 and later ask for it (`Type=notify-reload`).
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(time) => self.tell(&[NotifyState::Reloading, time]),
            Err(error) => tracing::warn!(%error, "the service manager was not told of the reload"),
        }
    }

    /// What a person reads in the state of the service.
    pub(super) fn status(&self, text: &str) {
        self.tell(&[NotifyState::Status(text)]);
    }

    /// What was told of the state by [`status`](Self::status) holds no more: the one of [`attend`](Self::attend) is told again.
    pub(super) fn status_anew(&self) {
        self.anew.notify_one();
    }

    /// The end begins.
    pub(super) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        // A manager that does not read must not stop the monitor: the socket never waits.
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::warn!(%error, "the service manager was not told {:?}", message.trim_end());
        }
    }

    /// Tells how things stand until the end: to the watchdog at half of its time, while the monitor is alive, and what `status`
    /// says now and then.
    ///
    /// Alive: the keeper turned to its work within half of the watchdog's time (never less than ten seconds), and the runtime, on
    /// which all else runs as this does, gave this task its turn.
    pub(super) async fn attend(&self, pulse: Pulse, status: impl Fn() -> String, stop: CancellationToken) {
        if self.socket.is_none() {
            return;
        }
        self.attend_at(Pace::of(sd_notify::watchdog_enabled()), pulse, status, stop).await;
    }

    async fn attend_at(&self, pace: Pace, pulse: Pulse, status: impl Fn() -> String, stop: CancellationToken) {
        let mut turns = interval(pace.every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut said, mut was_silent) = (String::new(), false);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
                () = self.anew.notified() => said.clear(),
            }
            let silence = pulse.silence();
            let is_silent = silence > pace.patience;
            if pace.is_watched && !is_silent {
                self.tell(&[NotifyState::Watchdog]);
            }
            if is_silent && !was_silent {
                tracing::error!(
                    ?silence,
                    "the keeper does not turn to its work; the watchdog is not told that all is well"
                );
            }
            was_silent = is_silent;
            if is_silent {
                // A process that was stopped goes on here before the keeper had its turn. The watchdog's time may be nearly over then: it is
                // looked again as soon as the keeper can have said something.
                turns.reset_after(pace.every.min(AGAIN));
            }
            let text = status();
            if text != said {
                self.status(&text);
                said = text;
            }
        }
    }
}

/// How often what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// There is a watchdog.
    is_watched: bool,
    every: Duration,
    /// A keeper that is silent for longer is not alive.
    patience: Duration,
}

impl Pace {
    fn of(watchdog: Option<Duration>) -> Self {
        let half = watchdog.map(|time| time / 2).filter(|half| !half.is_zero());
        Self {
            is_watched: half.is_some(),
            every: half.unwrap_or(STATUS_EVERY).min(STATUS_EVERY),
            patience: half.unwrap_or_default().max(PATIENCE_LEAST),
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name.as_bytes().split_first() {
        Some((b'/', _)) => socket.connect(name)?,
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
            socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
        }
        _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "expected a path, or @ and an abstract name")),
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Why the sockets that were handed over cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandedOverError {
    /// None was.
    #[error("--web.systemd-socket: no socket was handed over (LISTEN_FDS); is the service started by its socket unit?")]
    None,
    /// One is no listening socket of TCP.
    #[error(
        "--web.systemd-socket: socket {number} of {all} cannot be served: {source}; expected ListenStream= with a port"
    )]
    Unusable {
        /// Its place among them, from 1.
        number: usize,
        /// How many were handed over.
        all: usize,
        /// What is wrong.
        source: io::Error,
    },
}

/// Takes the sockets that the service manager listens on for us. Must be called before there is a second thread: it takes their
/// number out of the environment.
///
/// # Errors
/// [`HandedOverError`] where there is none, or one that is not of TCP.
pub(super) fn handed_over() -> Result<Vec<TcpListener>, HandedOverError> {
    let mut handed = ListenFd::from_env();
    let all = handed.len();
    let listeners = (0..all).map(|place| {
        let unusable = |source| HandedOverError::Unusable { number: place + 1, all, source };
        let listener = handed.take_tcp_listener(place).map_err(unusable)?.ok_or(HandedOverError::None)?;
        listener.set_nonblocking(true).map_err(unusable)?;
        Ok(listener)
    });
    let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    if listeners.is_empty() { Err(HandedOverError::None) } else { Ok(listeners) }
}

#[cfg(test)]
mod tests {
    use tempfile::{TempDir, tempdir};
    use tokio::time::{sleep, timeout};

    use super::*;

    const AT_ONCE: Duration = Duration::from_millis(5);

    /// A service manager, and who tells it something.
    fn manager() -> (UnixDatagram, Notifier, TempDir) {
        let folder = tempdir().unwrap();
        let place = folder.path().join("notify");
        let manager = UnixDatagram::bind(&place).unwrap();
        manager.set_nonblocking(true).unwrap();
        (manager, Notifier { socket: Some(connect(place.as_os_str()).unwrap()), anew: Notify::new() }, folder)
    }

    /// What is told until there are so many lines of state.
    async fn told(patience: Duration, states: usize) -> Vec<String> {
        let (manager, notifier, _folder) = manager();
        let (pulse, counted) = (Pulse::new(), std::cell::Cell::new(0));
        // Older than no patience at all.
        sleep(AT_ONCE).await;
        let status = || {
            counted.set(counted.get() + 1);
            format!("{} domains", counted.get())
        };
        let pace = Pace { is_watched: true, every: AT_ONCE, patience };
        let attending = notifier.attend_at(pace, pulse, status, CancellationToken::new());
        let listening = async {
            let (mut told, mut buffer) = (Vec::new(), [0; 512]);
            while told.iter().filter(|line: &&String| line.starts_with("STATUS=")).count() < states {
                match manager.recv(&mut buffer) {
                    Ok(length) => told.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned()),
                    Err(_) => sleep(AT_ONCE).await,
                }
            }
            told
        };
        let listening = timeout(Duration::from_secs(60), listening);
        tokio::select! {
            () = attending => panic!("it goes on until it is told to stop"),
            told = listening => told.unwrap(),
        }
    }

    #[tokio::test]
    async fn the_watchdog_is_told_while_the_keeper_is_alive_and_no_longer() {
        let alive = told(Duration::from_secs(3600), 3).await;
        let expected =
            ["WATCHDOG=1", "STATUS=1 domains", "WATCHDOG=1", "STATUS=2 domains", "WATCHDOG=1", "STATUS=3 domains"];
        assert_eq!(alive, expected);
        let still = told(Duration::ZERO, 3).await;
        assert_eq!(still, ["STATUS=1 domains", "STATUS=2 domains", "STATUS=3 domains"]);
    }

    /// A process that was stopped goes on: the keeper seems silent at first, and the time of the watchdog is nearly over.
    #[tokio::test]
    async fn a_keeper_that_goes_on_is_told_long_before_the_next_turn() {
        let (manager, notifier, _folder) = manager();
        let pulse = Pulse::new();
        let patience = Duration::from_millis(500);
        sleep(patience + AT_ONCE).await;
        let pace = Pace { is_watched: true, every: Duration::from_secs(3600), patience };
        let status = || "2 domains".to_owned();
        let attending = notifier.attend_at(pace, pulse.clone(), status, CancellationToken::new());
        let listening = async {
            assert_eq!(heard(&manager).await, "STATUS=2 domains", "it is silent");
            let beating = async {
                loop {
                    pulse.beat();
                    sleep(AT_ONCE).await;
                }
            };
            tokio::select! {
                () = beating => unreachable!("it beats on"),
                told = heard(&manager) => assert_eq!(told, "WATCHDOG=1"),
            }
        };
        tokio::select! {
            () = attending => panic!("it goes on until it is told to stop"),
            outcome = timeout(Duration::from_secs(30), listening) => outcome.unwrap(),
        }
    }

    /// The next thing that is told.
    async fn heard(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        loop {
            match manager.recv(&mut buffer) {
                Ok(length) => return String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned(),
                Err(_) => sleep(AT_ONCE).await,
            }
        }
    }

    #[tokio::test]
    async fn the_usual_state_is_told_again_after_a_reload_that_was_mended() {
        let (manager, notifier, _folder) = manager();
        let pace = Pace { is_watched: false, every: AT_ONCE, patience: Duration::from_secs(3600) };
        let status = || "2 domains".to_owned();
        let attending = notifier.attend_at(pace, Pulse::new(), status, CancellationToken::new());
        let listening = async {
            assert_eq!(heard(&manager).await, "STATUS=2 domains");
            notifier.status("refused");
            assert_eq!(heard(&manager).await, "STATUS=refused");
            // As long as it is refused, and the usual state is as it was, it is not told.
            assert!(timeout(AT_ONCE * 10, heard(&manager)).await.is_err());
            notifier.status_anew();
            assert_eq!(heard(&manager).await, "STATUS=2 domains");
        };
        tokio::select! {
            () = attending => panic!("it goes on until it is told to stop"),
            outcome = timeout(Duration::from_secs(60), listening) => outcome.unwrap(),
        }
    }

    #[test]
    fn the_pace_is_half_of_the_watchdog_s_time() {
        let seconds = Duration::from_secs;
        let pace =
            |is_watched, every, patience| Pace { is_watched, every: seconds(every), patience: seconds(patience) };
        assert_eq!(Pace::of(Some(seconds(60))), pace(true, 30, 30));
        assert_eq!(Pace::of(Some(seconds(2))), pace(true, 1, 10), "a watchdog in a hurry gives no false alarm");
        assert_eq!(Pace::of(Some(seconds(3600))), pace(true, 60, 1800), "the state is told all the same");
        assert_eq!(Pace::of(None), pace(false, 60, 10));
        assert_eq!(Pace::of(Some(Duration::ZERO)), Pace::of(None));
    }

    #[test]
    fn a_manager_that_does_not_read_stops_nothing() {
        let (_manager, notifier, _folder) = manager();
        // Far more than a socket holds.
        for _ in 0..10_000 {
            notifier.status("2 domains");
        }
    }

    #[test]
    fn what_is_no_socket_is_refused() {
        for name in ["", "notify", "vsock:2:1234", "/nowhere/at/all"] {
            assert!(connect(OsStr::new(name)).is_err(), "{name}");
        }
    }
}
