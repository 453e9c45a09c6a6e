//! An IMAP server with one mailbox that keeps what is moved away, and every fault that a test asks for.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use rustls::version::{TLS12, TLS13};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::pki::Identity;

/// What the server does instead of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Sends these bytes, in which `TAG` is that of the command, and goes on.
    Say(Vec<u8>),
    /// Sends these bytes and then nothing, the connection kept.
    Stall(Vec<u8>),
    /// Ends the connection.
    Close,
}

/// A message in the mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) flags: BTreeSet<String>,
}

/// The state of the server: tests read and change it while it runs.
#[derive(Debug)]
pub(crate) struct ImapState {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) capabilities: String,
    pub(crate) permanent_flags: String,
    pub(crate) read_only: bool,
    pub(crate) uid_validity: u32,
    pub(crate) next_uid: u32,
    pub(crate) messages: BTreeMap<u32, Message>,
    /// The folders beside the selected one, with what was moved into each.
    pub(crate) folders: BTreeMap<String, Vec<Vec<u8>>>,
    /// By the beginning of a command, without its tag; with how many times it happens.
    pub(crate) faults: Vec<(String, Fault, usize)>,
    /// As they came, without their tags; what follows a challenge stands alone.
    pub(crate) commands: Vec<String>,
    pub(crate) sessions: usize,
}

/// A running server; it ends when dropped.
pub(crate) struct ImapPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    state: Mutex<ImapState>,
    changed: Notify,
}

impl ImapPeer {
    /// On a free port of 127.0.0.1, with an empty INBOX and all extensions; the user is `reports`, the password `secret word`.
    pub(crate) async fn start(identity: &Identity) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = ImapState {
            user: "reports".into(),
            password: "secret word".into(),
            capabilities: "IMAP4rev1 IDLE MOVE UIDPLUS AUTH=PLAIN".into(),
            permanent_flags: "\\Seen \\Deleted \\*".into(),
            read_only: false,
            uid_validity: 1,
            next_uid: 1,
            messages: BTreeMap::new(),
            folders: BTreeMap::new(),
            faults: Vec::new(),
            commands: Vec::new(),
            sessions: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        let acceptor = TlsAcceptor::from(identity.server(&[&TLS12, &TLS13]));
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, ImapState> {
        self.shared.state.lock().unwrap()
    }

    /// Puts a message into the mailbox; a session that idles hears of it.
    pub(crate) fn deliver(&self, bytes: impl Into<Vec<u8>>) -> u32 {
        let uid = {
            let mut state = self.state();
            let uid = state.next_uid;
            state.next_uid += 1;
            state.messages.insert(uid, Message { bytes: bytes.into(), flags: BTreeSet::new() });
            uid
        };
        self.shared.changed.notify_waiters();
        uid
    }

    /// From now on, so many times.
    pub(crate) fn fault(&self, command: &str, fault: Fault, times: usize) {
        self.state().faults.push((command.to_owned(), fault, times));
    }

    /// What was moved into a folder.
    pub(crate) fn moved(&self, folder: &str) -> Vec<Vec<u8>> {
        self.state().folders.get(folder).cloned().unwrap_or_default()
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }
}

impl Drop for ImapPeer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        // How a connection ends is the client's to tell.
        connections.spawn(async move { accept(tcp, &acceptor, &shared).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn accept(tcp: TcpStream, acceptor: &TlsAcceptor, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let stream = acceptor.accept(tcp).await?;
    shared.state.lock().unwrap().sessions += 1;
    let mut talk = Talk { stream: BufReader::new(stream), shared };
    talk.say(b"* OK ready\r\n").await?;
    while talk.turn().await? {}
    Ok(())
}

struct Talk<'a, S> {
    stream: BufReader<S>,
    shared: &'a Shared,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<'_, S> {
    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// One command; false at the end.
    async fn turn(&mut self) -> io::Result<bool> {
        let line = self.line().await?;
        let (tag, command) = line.split_once(' ').unwrap_or((&line, ""));
        let fault = {
            let mut state = self.shared.state.lock().unwrap();
            state.commands.push(command.to_owned());
            let due =
                state.faults.iter().position(|(start, _, times)| command.starts_with(start.as_str()) && *times > 0);
            due.map(|place| {
                state.faults[place].2 -= 1;
                state.faults[place].1.clone()
            })
        };
        let with_tag = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("TAG", tag).into_bytes();
        match fault {
            Some(Fault::Say(bytes)) => self.say(&with_tag(&bytes)).await.map(|()| true),
            Some(Fault::Stall(bytes)) => {
                self.say(&with_tag(&bytes)).await?;
                self.line().await.map(|_| true)
            }
            Some(Fault::Close) => Ok(false),
            None if command.starts_with("AUTHENTICATE") => self.authenticate(tag, command).await.map(|()| true),
            None if command == "IDLE" => self.idle(tag).await.map(|()| true),
            None => {
                let answer = answer(&mut self.shared.state.lock().unwrap(), tag, command);
                self.say(&answer).await?;
                Ok(command != "LOGOUT")
            }
        }
    }

    async fn authenticate(&mut self, tag: &str, command: &str) -> io::Result<()> {
        self.say(b"+ \r\n").await?;
        let proof = self.line().await?;
        let expected = {
            let mut state = self.shared.state.lock().unwrap();
            state.commands.push(proof.clone());
            let plain = format!("\0{}\0{}", state.user, state.password);
            let bearer = format!("user={}\x01auth=Bearer {}\x01\x01", state.user, state.password);
            base64(if command.ends_with("XOAUTH2") { bearer.as_bytes() } else { plain.as_bytes() })
        };
        if proof == expected {
            return self.say(format!("{tag} OK logged in\r\n").as_bytes()).await;
        }
        if command.ends_with("XOAUTH2") {
            let reason = base64(br#"{"status":"401","schemes":"bearer"}"#);
            self.say(format!("+ {reason}\r\n").as_bytes()).await?;
            let empty = self.line().await?;
            self.shared.state.lock().unwrap().commands.push(empty);
        }
        self.say(format!("{tag} NO [AUTHENTICATIONFAILED] invalid credentials\r\n").as_bytes()).await
    }

    async fn idle(&mut self, tag: &str) -> io::Result<()> {
        self.say(b"+ idling\r\n").await?;
        loop {
            let shared = self.shared;
            let heard = {
                let mut line = String::new();
                tokio::select! {
                    read = self.stream.read_line(&mut line) => Some(read.map(|_| line)?),
                    () = shared.changed.notified() => None,
                }
            };
            match heard {
                Some(line) => {
                    assert_eq!(line, "DONE\r\n");
                    return self.say(format!("{tag} OK done\r\n").as_bytes()).await;
                }
                None => {
                    let exists = self.shared.state.lock().unwrap().messages.len();
                    self.say(format!("* {exists} EXISTS\r\n").as_bytes()).await?;
                }
            }
        }
    }
}

fn answer(state: &mut ImapState, tag: &str, command: &str) -> Vec<u8> {
    let words: Vec<&str> = command.split(' ').collect();
    let mut out = Vec::new();
    let mut end = format!("{tag} OK done\r\n");
    match words[..] {
        ["CAPABILITY"] => out.extend(format!("* CAPABILITY {}\r\n", state.capabilities).bytes()),
        ["LOGIN", ..] => {
            if command != format!("LOGIN \"{}\" \"{}\"", state.user, state.password) {
                end = format!("{tag} NO [AUTHENTICATIONFAILED] wrong: {command}\r\n");
            }
        }
        ["SELECT", "\"INBOX\""] => {
            let (exists, validity, flags) = (state.messages.len(), state.uid_validity, &state.permanent_flags);
            out.extend(format!("* {exists} EXISTS\r\n* OK [PERMANENTFLAGS ({flags})] kept\r\n").bytes());
            out.extend(format!("* OK [UIDVALIDITY {validity}] valid\r\n").bytes());
            end = format!("{tag} OK [{}] done\r\n", if state.read_only { "READ-ONLY" } else { "READ-WRITE" });
        }
        ["SELECT", ..] => end = format!("{tag} NO no such folder\r\n"),
        ["NOOP"] => out.extend(format!("* {} EXISTS\r\n", state.messages.len()).bytes()),
        ["UID", "SEARCH", range, ..] => {
            let (first, last) = range.split_once(':').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            out.extend(b"* SEARCH");
            for (uid, message) in state.messages.iter().skip(first - 1).take(last + 1 - first) {
                let has = |flag: &str| message.flags.contains(flag);
                let keyword = words.iter().position(|word| *word == "UNKEYWORD").map(|place| words[place + 1]);
                let out_of_it = words.contains(&"UNDELETED") && has("\\Deleted")
                    || words.contains(&"UNSEEN") && has("\\Seen")
                    || keyword.is_some_and(has);
                if !out_of_it {
                    out.extend(format!(" {uid}").bytes());
                }
            }
            out.extend(b"\r\n");
        }
        ["UID", "FETCH", uid, "(RFC822.SIZE)"] => {
            if let Some(message) = state.messages.get(&uid.parse().unwrap()) {
                out.extend(format!("* 1 FETCH (UID {uid} RFC822.SIZE {})\r\n", message.bytes.len()).bytes());
            }
        }
        ["UID", "FETCH", uid, item] => {
            if let Some(message) = state.messages.get(&uid.parse().unwrap()) {
                let part = item.split_once("<0.").map(|(_, most)| most.trim_end_matches(">)").parse().unwrap());
                let bytes = &message.bytes[..part.unwrap_or(usize::MAX).min(message.bytes.len())];
                let origin = if part.is_some() { "<0>" } else { "" };
                out.extend(format!("* 1 FETCH (UID {uid} BODY[]{origin} {{{}}}\r\n", bytes.len()).bytes());
                out.extend(bytes);
                out.extend(b")\r\n");
            }
        }
        ["UID", "STORE", set, "+FLAGS.SILENT", ..] => {
            let flags = command.split_once('(').unwrap().1.trim_end_matches(')');
            for uid in uids(set) {
                if let Some(message) = state.messages.get_mut(&uid) {
                    message.flags.extend(flags.split(' ').map(str::to_owned));
                }
            }
        }
        ["UID", kind @ ("MOVE" | "COPY"), set, folder] => {
            let folder = folder.trim_matches('"').to_owned();
            match state.folders.contains_key(&folder) {
                false => end = format!("{tag} NO [TRYCREATE] no such folder\r\n"),
                true => {
                    for uid in uids(set) {
                        let Some(message) = state.messages.get(&uid).cloned() else { continue };
                        state.folders.get_mut(&folder).unwrap().push(message.bytes);
                        if kind == "MOVE" {
                            state.messages.remove(&uid);
                            out.extend(b"* 1 EXPUNGE\r\n");
                        }
                    }
                }
            }
        }
        ["UID", "EXPUNGE", set] => {
            for uid in uids(set) {
                assert!(state.messages[&uid].flags.contains("\\Deleted"));
                state.messages.remove(&uid);
                out.extend(b"* 1 EXPUNGE\r\n");
            }
        }
        ["CREATE", folder] => {
            state.folders.insert(folder.trim_matches('"').to_owned(), Vec::new());
        }
        ["LOGOUT"] => out.extend(b"* BYE\r\n"),
        _ => end = format!("{tag} BAD what?\r\n"),
    }
    out.extend(end.bytes());
    out
}

fn uids(set: &str) -> Vec<u32> {
    set.split(',').map(|uid| uid.parse().unwrap()).collect()
}

/// RFC 4648 §4.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = group.iter().chain(&[0, 0]).take(3).fold(0, |number, byte| number << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
