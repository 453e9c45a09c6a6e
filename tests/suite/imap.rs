//! Reports from an IMAP mailbox.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use smtptls_exporter::{
    monitor::{MailboxPace, Postponed, RawReport, Receipt, watch_mailbox},
    net::{
        ImapAccount, ImapConnector, ImapError, ImapLogin, ImapTimeouts,
        resolver::{Families, Resolver, ResolverOptions},
    },
    store::Filed,
    terms::MxHost,
};
use tempfile::NamedTempFile;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::world::{
    dns::DnsPeer,
    imap::{Fault, ImapPeer, base64},
    pki::{Leaf, Pki},
};

const NAME: &str = "imap.test";
/// Long enough for a busy machine; what is expected ends the wait.
const PATIENT: Duration = Duration::from_secs(30);

/// What a peer that is silent costs a test, and far less than the patience.
const SHORT: ImapTimeouts = ImapTimeouts {
    connect: Duration::from_secs(5),
    greeting: Duration::from_secs(5),
    command: Duration::from_secs(2),
    message: Duration::from_secs(2),
};
const PATIENT_TIMEOUTS: ImapTimeouts =
    ImapTimeouts { connect: PATIENT, greeting: PATIENT, command: PATIENT, message: PATIENT };
const PACE: MailboxPace = MailboxPace {
    poll: Duration::from_millis(100),
    // Nothing but the server's word ends it.
    idle: Duration::from_secs(600),
    settle: Duration::ZERO,
    retry: Duration::from_millis(50),
    longest_retry: Duration::from_millis(200),
};

struct World {
    pki: Pki,
    dns: DnsPeer,
    server: ImapPeer,
    secret: NamedTempFile,
}

impl World {
    async fn new() -> Self {
        let pki = Pki::new();
        let dns = DnsPeer::start().await;
        dns.a(NAME, &["127.0.0.1"]);
        let server = ImapPeer::start(&pki.identity(&[NAME])).await;
        let mut secret = NamedTempFile::new().unwrap();
        secret.write_all(b"secret word\n").unwrap();
        Self { pki, dns, server, secret }
    }

    fn connector(&self, timeouts: ImapTimeouts) -> ImapConnector {
        let resolver = Resolver::new(ResolverOptions::new(vec![self.dns.address()], PATIENT));
        ImapConnector::new(resolver, Families::ALL, &self.pki.roots(), timeouts).unwrap()
    }

    fn account(&self) -> ImapAccount {
        ImapAccount {
            server: MxHost::parse(NAME).unwrap(),
            port: self.server.port(),
            user: "reports".into(),
            login: ImapLogin::Password(self.secret.path().to_owned()),
            folder: "INBOX".into(),
            move_to: Some("Done".into()),
        }
    }

    fn set_secret(&self, text: &str) {
        std::fs::write(self.secret.path(), text).unwrap();
    }

    fn watch(&self, account: ImapAccount, timeouts: ImapTimeouts, store: &Store) -> Watching {
        let stop = CancellationToken::new();
        let submit = {
            let store = store.clone();
            move |raw| {
                let store = store.clone();
                async move { store.submit(raw).await }
            }
        };
        let task = tokio::spawn(watch_mailbox(self.connector(timeouts), account, PACE, submit, stop.clone()));
        Watching { stop, task }
    }

    async fn error(&self, account: &ImapAccount) -> ImapError {
        self.connector(PATIENT_TIMEOUTS).open(account).await.expect_err("no session")
    }
}

/// A watch that ends with the test.
struct Watching {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watching {
    async fn end(self) {
        self.stop.cancel();
        timeout(PATIENT, self.task).await.expect("it stops when told to").expect("it does not panic");
    }
}

type Answer = dyn Fn(&RawReport) -> Receipt + Send + Sync;

/// Stands for the intake.
#[derive(Clone)]
struct Store {
    taken: Arc<Mutex<Vec<RawReport>>>,
    answer: Arc<Answer>,
}

impl Store {
    fn new(answer: impl Fn(&RawReport) -> Receipt + Send + Sync + 'static) -> Self {
        Self { taken: Arc::default(), answer: Arc::new(answer) }
    }

    fn willing() -> Self {
        Self::new(|_| Receipt::Taken(vec![Filed::New]))
    }

    async fn submit(&self, raw: RawReport) -> Receipt {
        self.taken.lock().unwrap().push(raw.clone());
        (self.answer)(&raw)
    }

    /// What was handed in, by its bytes.
    fn handed_in(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|raw| String::from_utf8_lossy(&raw.bytes).into_owned()).collect()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENT, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn later() -> Receipt {
    Receipt::Later(Postponed::Closed)
}

#[tokio::test]
async fn a_password_that_is_wrong_is_told_and_not_shown() {
    let world = World::new().await;
    world.connector(PATIENT_TIMEOUTS).open(&world.account()).await.unwrap().leave().await;
    // The file is read anew each time.
    world.set_secret("Tr0ub4dor&3");
    let error = world.error(&world.account()).await;
    assert!(matches!(error, ImapError::Login(_)), "{error}");
    // This server repeats the command in its answer.
    assert!(world.server.commands().iter().any(|command| command.contains("Tr0ub4dor")));
    assert!(!format!("{error} {error:?}").contains("Tr0ub4dor"), "{error}");

    world.set_secret("");
    assert!(world.error(&world.account()).await.to_string().ends_with("it is empty"));
    world.set_secret("one\nA2 LOGOUT\n");
    assert!(world.error(&world.account()).await.to_string().ends_with("it has more than one line"));
    let missing = ImapAccount { login: ImapLogin::Password("/nonexistent/word".into()), ..world.account() };
    assert!(world.error(&missing).await.to_string().starts_with("/nonexistent/word: "));
}

#[tokio::test]
async fn a_password_with_other_letters_goes_by_plain() {
    let world = World::new().await;
    world.set_secret("pä\"ß\\wort\r\n");
    world.server.state().password = "pä\"ß\\wort".into();
    world.connector(PATIENT_TIMEOUTS).open(&world.account()).await.unwrap();
    assert_eq!(
        world.server.commands()[..2],
        ["AUTHENTICATE PLAIN".to_owned(), base64("\0reports\0pä\"ß\\wort".as_bytes())]
    );
}

#[tokio::test]
async fn xoauth2_says_exactly_this() {
    let world = World::new().await;
    let account = ImapAccount { login: ImapLogin::Xoauth2(world.secret.path().to_owned()), ..world.account() };
    world.server.state().user = "someuser@example.com".into();
    let account = ImapAccount { user: "someuser@example.com".into(), ..account };
    world.set_secret("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\n");
    world.server.state().password = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg".into();
    world.connector(PATIENT_TIMEOUTS).open(&account).await.unwrap();
    // The initial client response of developers.google.com/workspace/gmail/imap/xoauth2-protocol.
    let words = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
    assert_eq!(world.server.commands()[..2], ["AUTHENTICATE XOAUTH2", words]);

    // A refusal comes as a challenge, and has to be answered with nothing.
    world.server.state().commands.clear();
    world.set_secret("expired");
    assert!(matches!(world.error(&account).await, ImapError::Login(_)));
    assert_eq!(world.server.commands()[2..], [""]);
}

#[tokio::test]
async fn nobody_else_learns_the_password() {
    let world = World::new().await;
    for (what, leaf) in
        [("another name", Leaf::named(&["other.test"])), ("nobody signed it", Leaf::named(&[NAME]).self_signed())]
    {
        let server = ImapPeer::start(&world.pki.issue(&leaf)).await;
        let error = world.error(&ImapAccount { port: server.port(), ..world.account() }).await;
        assert!(matches!(error, ImapError::Tls(_)), "{what}: {error}");
        assert_eq!(server.commands(), [""; 0], "{what}");
    }
    let nowhere = ImapAccount { server: MxHost::parse("nowhere.test").unwrap(), ..world.account() };
    assert_eq!(world.error(&nowhere).await, ImapError::NoAddress("nowhere.test".into()));
}

#[tokio::test]
async fn a_message_is_moved_after_it_is_stored() {
    let world = World::new().await;
    let uid = world.server.deliver("first");
    let store = Store::willing();
    // The store takes its time: until it answers the message is where it was.
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (stop, submit_gate, submit_store) = (CancellationToken::new(), Arc::clone(&gate), store.clone());
    let submit = move |raw| {
        let (gate, store) = (Arc::clone(&submit_gate), submit_store.clone());
        async move {
            let receipt = store.submit(raw).await;
            gate.acquire().await.unwrap().forget();
            receipt
        }
    };
    let task =
        tokio::spawn(watch_mailbox(world.connector(PATIENT_TIMEOUTS), world.account(), PACE, submit, stop.clone()));
    until("it is handed in", || !store.handed_in().is_empty()).await;
    sleep(Duration::from_millis(200)).await;
    assert!(world.server.state().messages.contains_key(&uid));
    assert!(!world.server.commands().iter().any(|command| command.contains("MOVE") || command.contains("STORE")));
    gate.add_permits(1);
    until("it is moved", || world.server.moved("Done") == [b"first".to_vec()]).await;
    assert_eq!(store.handed_in(), ["first"]);
    let source = store.taken.lock().unwrap()[0].source.clone();
    assert_eq!(source, format!("imap://{NAME}/INBOX;UID={uid}"));

    // A session that idles is woken: within the ten minutes that it would wait else.
    until("it idles", || world.server.commands().iter().any(|command| command == "IDLE")).await;
    gate.add_permits(1);
    world.server.deliver("second");
    until("it is moved, too", || world.server.moved("Done").len() == 2).await;
    Watching { stop, task }.end().await;
}

#[tokio::test]
async fn a_server_without_extensions_is_polled_and_its_messages_are_copied() {
    for (capabilities, left) in [("IMAP4rev1 UIDPLUS", 0), ("IMAP4rev1", 2)] {
        let world = World::new().await;
        world.server.state().capabilities = capabilities.into();
        let store = Store::willing();
        world.server.deliver("first");
        let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
        until("the first is copied", || world.server.moved("Done").len() == 1).await;
        world.server.deliver("second");
        until("the second is copied", || world.server.moved("Done").len() == 2).await;
        until("they are deleted", || {
            let state = world.server.state();
            state.messages.values().all(|message| message.flags.contains("\\Deleted")) && state.messages.len() == left
        })
        .await;
        sleep(3 * PACE.poll).await;
        assert_eq!(store.handed_in(), ["first", "second"], "{capabilities}");
        watching.end().await;
    }
}

#[tokio::test]
async fn without_a_folder_for_them_messages_are_marked() {
    // What a person has read is not handled; a server that keeps no keywords knows no difference.
    for (permanent_flags, flags, handed_in) in [
        ("\\Seen \\*", vec!["$TLSReportHandled", "\\Seen"], vec!["seen by a person", "new"]),
        ("\\Seen", vec!["\\Seen"], vec!["new"]),
    ] {
        let world = World::new().await;
        world.server.state().permanent_flags = permanent_flags.into();
        let seen = world.server.deliver("seen by a person");
        world.server.state().messages.get_mut(&seen).unwrap().flags.insert("\\Seen".into());
        let new = world.server.deliver("new");
        let account = ImapAccount { move_to: None, ..world.account() };
        let store = Store::willing();
        let watching = world.watch(account.clone(), PATIENT_TIMEOUTS, &store);
        let marked = || world.server.state().messages[&new].flags.iter().cloned().collect::<Vec<_>>() == flags;
        until("it is marked", marked).await;
        watching.end().await;
        // The next process has no memory, and reads nothing twice.
        let watching = world.watch(account, PATIENT_TIMEOUTS, &store);
        until("it looks again", || world.server.commands().iter().filter(|command| *command == "IDLE").count() == 2)
            .await;
        assert_eq!(store.handed_in(), handed_in);
        watching.end().await;
    }
}

#[tokio::test]
async fn what_has_to_wait_stays_and_keeps_nothing_from_the_others() {
    let world = World::new().await;
    let ready = Arc::new(Mutex::new(false));
    let store = Store::new({
        let ready = Arc::clone(&ready);
        move |raw| match &raw.bytes[..] {
            b"wait" if !*ready.lock().unwrap() => later(),
            b"bad" => Receipt::Refused(smtptls_exporter::protocol::tls_rpt::Refusal::new(
                smtptls_exporter::protocol::tls_rpt::RefusalReason::BadJson,
                "not JSON",
            )),
            _ => Receipt::Taken(vec![Filed::New]),
        }
    });
    let waits = world.server.deliver("wait");
    for text in ["bad", "good"] {
        world.server.deliver(text);
    }
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("it was tried again", || store.handed_in().iter().filter(|text| *text == "wait").count() >= 3).await;
    assert_eq!(world.server.moved("Done"), [b"bad".to_vec(), b"good".to_vec()]);
    assert_eq!(world.server.state().messages.keys().copied().collect::<Vec<_>>(), [waits]);
    let since: Vec<_> = store
        .taken
        .lock()
        .unwrap()
        .iter()
        .filter(|raw| &raw.bytes[..] == b"wait")
        .map(|raw| raw.waiting_since)
        .collect();
    assert!(since[0].is_some() && since.iter().all(|time| *time == since[0]), "{since:?}");
    *ready.lock().unwrap() = true;
    until("it is moved", || world.server.moved("Done").len() == 3).await;
    watching.end().await;
}

#[tokio::test]
async fn a_session_that_ends_is_followed_by_another() {
    let world = World::new().await;
    let store = Store::willing();
    // Between the store's commit and the move: it counts as handed in, and is only moved the next time.
    world.server.fault("UID MOVE", Fault::Close, 1);
    world.server.deliver("first");
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("it is moved", || world.server.moved("Done").len() == 1).await;
    assert_eq!((store.handed_in().len(), world.server.state().sessions), (1, 2));

    // The server says goodbye while the session idles.
    world.server.fault("IDLE", Fault::Say(b"+ idling\r\n* BYE restart\r\n".to_vec()), 1);
    world.server.deliver("second");
    until("it is moved, too", || world.server.moved("Done").len() == 2).await;
    until("a third session", || world.server.state().sessions == 3).await;

    // No password is good for a while.
    world.server.fault("LOGIN", Fault::Say(b"TAG NO [UNAVAILABLE] later\r\n".to_vec()), 3);
    world.server.fault("NOOP", Fault::Close, 1);
    world.server.deliver("third");
    until("it is moved as well", || world.server.moved("Done").len() == 3).await;
    assert_eq!(world.server.state().sessions, 3 + 3 + 1);
    watching.end().await;
}

#[tokio::test]
async fn other_numbers_after_a_new_uidvalidity() {
    let world = World::new().await;
    let store = Store::new(|raw| if &raw.bytes[..] == b"old" { later() } else { Receipt::Taken(vec![Filed::New]) });
    world.server.deliver("old");
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("it waits", || store.handed_in().len() >= 2).await;
    {
        let mut state = world.server.state();
        state.messages.clear();
        (state.uid_validity, state.next_uid) = (2, 1);
        state.faults.push(("".into(), Fault::Close, 1));
    }
    world.server.deliver("new under an old number");
    until("it is read", || world.server.moved("Done") == [b"new under an old number".to_vec()]).await;
    watching.end().await;
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let world = World::new().await;
    let store = Store::willing();
    let hostile = world.server.deliver("good in the end");
    for (command, said) in [
        ("LOGIN", ""),
        ("SELECT", "* 1 EXIS"),
        ("UID SEARCH", "* SEARCH 1"),
        ("UID FETCH 1 (BODY", "* 1 FETCH (UID 1 BODY[] {10}\r\n123"),
        ("UID MOVE", ""),
    ] {
        world.server.fault(command, Fault::Stall(said.as_bytes().to_vec()), 1);
    }
    assert_eq!(hostile, 1);
    let watching = world.watch(world.account(), SHORT, &store);
    until("it is moved", || world.server.moved("Done").len() == 1).await;
    assert_eq!(world.server.state().sessions, 6);
    assert_eq!(store.handed_in().len(), 1, "once it was stored only the move was due");
    watching.end().await;
}

#[tokio::test]
async fn a_hostile_answer_ends_the_session_and_nothing_else() {
    for (what, answer) in [
        ("a literal of 500 MB", "* 1 FETCH (UID 1 BODY[] {500000000}\r\n".to_owned()),
        ("a line without end", format!("* 1 FETCH (FLAGS ({}", "a ".repeat(200_000))),
        ("parentheses that would overflow a stack", format!("* 1 FETCH (BODYSTRUCTURE {}", "(".repeat(100_000))),
        ("lines without end", "* 1 EXISTS\r\n".repeat(4_000_000)),
        ("a text that the library stumbles over", "* OK [ALERT]\u{fc}\r\n".to_owned()),
        ("no IMAP", "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
        ("a refusal", "TAG NO I do not want to\r\n".to_owned()),
        ("nothing", "TAG OK done\r\n".to_owned()),
    ] {
        let world = World::new().await;
        let store = Store::willing();
        world.server.deliver("hostile");
        world.server.deliver("good");
        world.server.fault("UID FETCH 1 (BODY", Fault::Say(answer.into_bytes()), 2);
        let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
        until(what, || world.server.moved("Done").len() == 2).await;
        assert_eq!(store.handed_in(), ["good", "hostile"], "{what}");
        watching.end().await;
    }
}

#[tokio::test]
async fn of_a_message_that_is_too_large_only_the_beginning_is_read() {
    let world = World::new().await;
    let most = smtptls_exporter::protocol::tls_rpt::MAIL_MOST;
    world.server.deliver(vec![b'x'; most + 1000]);
    world.server.deliver(vec![b'y'; most]);
    let store = Store::willing();
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("both are moved", || world.server.moved("Done").len() == 2).await;
    let sizes: Vec<usize> = store.taken.lock().unwrap().iter().map(|raw| raw.bytes.len()).collect();
    // The intake sees that the first is larger than it may be, and refuses it.
    assert_eq!(sizes, [most + 1, most]);
    watching.end().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_changed_is_not_read() {
    let world = World::new().await;
    world.server.state().read_only = true;
    assert_eq!(world.error(&world.account()).await, ImapError::ReadOnly("INBOX".into()));
    let elsewhere = ImapAccount { folder: "Elsewhere".into(), ..world.account() };
    assert!(matches!(world.error(&elsewhere).await, ImapError::Refused { command: "SELECT", .. }));
}

#[tokio::test]
async fn many_messages_are_read_in_pages() {
    let world = World::new().await;
    for number in 0..6000 {
        world.server.deliver(format!("{number}"));
    }
    let store = Store::willing();
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("all are moved", || world.server.moved("Done").len() == 6000).await;
    let mut numbers: Vec<u32> = store.handed_in().iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(numbers.len(), 6000);
    numbers.dedup();
    assert_eq!(numbers, (0..6000).collect::<Vec<_>>());
    watching.end().await;
}

/// However many have to wait: what comes later is read.
#[tokio::test]
async fn many_messages_that_wait_do_not_hide_a_newer_one() {
    const WAITING: usize = 5100;
    let world = World::new().await;
    let store = Store::new(|raw| if &raw.bytes[..] == b"wait" { later() } else { Receipt::Taken(vec![Filed::New]) });
    // One of each twenty is taken: where none is, a look ends at once.
    for number in 0..WAITING {
        world.server.deliver("wait");
        if number % 20 == 0 {
            world.server.deliver("good");
        }
    }
    let watching = world.watch(world.account(), PATIENT_TIMEOUTS, &store);
    until("the others are moved", || world.server.moved("Done").len() == WAITING / 20).await;
    world.server.deliver("newest");
    until("the newest is moved", || world.server.moved("Done").contains(&b"newest".to_vec())).await;
    assert_eq!(world.server.state().messages.len(), WAITING);
    watching.end().await;
}
