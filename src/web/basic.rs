//! Who asks, by user name and password (RFC 7617). A password that was right is known again without its hash being made anew; all
//! others cost that much, and no more of them at once than leave the machine to its work.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use aws_lc_rs::{
    hmac::{HMAC_SHA256, Key, sign},
    rand::SystemRandom,
};
use http::{HeaderMap, header::AUTHORIZATION};
use mail_parser::decoders::base64::base64_decode;
use tokio::{
    sync::{AcquireError, Semaphore, watch},
    time::timeout,
};

use super::connections::counted_as;
use crate::config::web::PasswordHash;

/// The credentials that are known to be right: a few for each user (bcrypt reads no more than 72 bytes of a password).
const KNOWN_MOST: usize = 1024;
/// Passwords that are looked at or wait for it: as many as there are connections, so that of those who wait nobody is refused
/// unheard. The same password counts once, however often it is sent.
const WAITING_MOST: usize = 1024;
/// So many of them from one address, which is that of everybody behind a proxy: as many as it may have connections.
const WAITING_OF_ONE: usize = 256;
/// So many from one address wait for a turn beside those of others; its others wait for these, in the order in which they came.
/// With the usual cost a turn takes 55 ms of a core.
const AHEAD_OF_ONE: usize = 4;
/// How long a password waits for its turn: shorter than the usual scrape timeout of ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A header that is longer holds no name and password that a person or program has.
const MAX_CREDENTIALS: usize = 2048;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The password is right.
    Known,
    /// There is none, or it is wrong.
    Unknown,
    /// Too many passwords wait.
    Busy,
}

/// The users and what is known of their passwords.
pub(super) struct Basic {
    users: BTreeMap<String, PasswordHash>,
    /// Of this process alone: what is kept of passwords cannot be compared with anything elsewhere.
    key: Key,
    /// Those of all users that there were since the start.
    state: Arc<Mutex<State>>,
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// Name, hash and password in one value that tells nothing of them.
type Mark = [u8; 32];

#[derive(Default)]
struct State {
    known: HashSet<Mark>,
    /// Those that are looked at, or wait for it, with the place where it is told whether they are right.
    under_way: HashMap<Mark, watch::Sender<Option<bool>>>,
    by_peer: HashMap<IpAddr, Peer>,
}

/// What one address has under way.
struct Peer {
    waiting: usize,
    ahead: Arc<Semaphore>,
}

impl Default for Peer {
    fn default() -> Self {
        Self { waiting: 0, ahead: Arc::new(Semaphore::new(AHEAD_OF_ONE)) }
    }
}

impl Basic {
    /// Nothing where this system gives no random numbers.
    pub(super) fn new(users: BTreeMap<String, PasswordHash>) -> Option<Self> {
        let key = Key::generate(HMAC_SHA256, &SystemRandom::new()).ok()?;
        // Half of the cores at most: probes and scrapes have the others.
        let turns = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Some(Self { users, key, state: Arc::default(), turns: Arc::new(Semaphore::new(turns)), patience: PATIENCE })
    }

    /// Other users. Who is one of them with the hash as it was is known as before: a change is no flood of passwords to look at.
    /// What is known of others, or of a hash that was, is of no use, as name and hash are part of it.
    pub(super) fn with_users(&self, users: BTreeMap<String, PasswordHash>) -> Self {
        let Self { key, state, turns, patience, .. } = self;
        let (key, state, turns) = (key.clone(), Arc::clone(state), Arc::clone(turns));
        Self { users, key, state, turns, patience: *patience }
    }

    /// Whether a request comes from a user.
    pub(super) async fn judge(&self, headers: &HeaderMap, peer: IpAddr) -> Verdict {
        let Some((user, password)) = credentials(headers) else { return Verdict::Unknown };
        let (is_user, hash) = self.hash_of(&user);
        let Some(hash) = hash else { return Verdict::Unknown };
        let mark = self.mark(&[user.as_bytes(), hash.reveal().as_bytes(), &password]);
        let peer = counted_as(peer);
        let mut outcome = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if is_user && state.known.contains(&mark) {
                return Verdict::Known;
            }
            match state.under_way.get(&mark) {
                Some(told) => told.subscribe(),
                None => {
                    let waiting = state.by_peer.get(&peer).map_or(0, |peer| peer.waiting);
                    if state.under_way.len() >= WAITING_MOST || waiting >= WAITING_OF_ONE {
                        return Verdict::Busy;
                    }
                    let (told, outcome) = watch::channel(None);
                    state.under_way.insert(mark, told.clone());
                    let of_peer = state.by_peer.entry(peer).or_default();
                    of_peer.waiting += 1;
                    let (ahead, turns) = (Arc::clone(&of_peer.ahead), Arc::clone(&self.turns));
                    let look = Look { state: Arc::clone(&self.state), mark, peer, patience: self.patience };
                    // On its own: whoever asked may go, and others wait for the same.
                    tokio::spawn(look.go([ahead, turns], hash.clone(), password, is_user, told));
                    outcome
                }
            }
        };
        match outcome.wait_for(Option::is_some).await.map(|right| *right) {
            Ok(Some(true)) if is_user => Verdict::Known,
            Ok(_) => Verdict::Unknown,
            // It had no turn in time.
            Err(_) => Verdict::Busy,
        }
    }

    /// The hash of a user. For a name that is none, that of one of the users, always the same for the name: it costs as much to
    /// compare as the one of a user, and tells nobody which names there are.
    fn hash_of(&self, user: &str) -> (bool, Option<&PasswordHash>) {
        match self.users.get(user) {
            Some(hash) => (true, Some(hash)),
            None => {
                let [first, second, ..] = self.mark(&[user.as_bytes()]);
                let place = usize::from(u16::from_be_bytes([first, second])) % self.users.len().max(1);
                (false, self.users.values().nth(place))
            }
        }
    }

    fn mark(&self, parts: &[&[u8]]) -> Mark {
        let mut joined = Vec::new();
        for part in parts {
            // With its length: no two lists of parts are one text.
            joined.extend_from_slice(&part.len().to_be_bytes());
            joined.extend_from_slice(part);
        }
        let tag = sign(&self.key, &joined);
        let mut mark = [0; 32];
        for (to, from) in mark.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        mark
    }
}

impl std::fmt::Debug for Basic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Basic").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// One password that is looked at; over when it is dropped.
struct Look {
    state: Arc<Mutex<State>>,
    mark: Mark,
    peer: IpAddr,
    patience: Duration,
}

impl Look {
    /// Waits in the queues, one after the other, and compares. Whoever cannot wait any more leaves them.
    async fn go(
        self,
        [ahead, turns]: [Arc<Semaphore>; 2],
        hash: PasswordHash,
        password: Vec<u8>,
        is_user: bool,
        told: watch::Sender<Option<bool>>,
    ) {
        let turn = async { Ok::<_, AcquireError>((ahead.acquire_owned().await?, turns.acquire_owned().await?)) };
        let turn = tokio::select! {
            turn = timeout(self.patience, turn) => turn,
            () = told.closed() => return,
        };
        let Ok(Ok(turn)) = turn else { return };
        let compared = tokio::task::spawn_blocking(move || {
            let right = bcrypt::verify(&password, hash.reveal());
            drop(turn);
            right
        });
        let right = match compared.await {
            Ok(Ok(right)) => right,
            Ok(Err(error)) => {
                tracing::error!(%error, "a password could not be compared");
                false
            }
            Err(error) => {
                tracing::error!(%error, "a password could not be compared");
                false
            }
        };
        if right && is_user {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.known.len() >= KNOWN_MOST {
                state.known.clear();
            }
            state.known.insert(self.mark);
        }
        // Where nobody waits any more there is nobody to be told.
        let _ = told.send(Some(right));
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.under_way.remove(&self.mark);
        if let Some(peer) = state.by_peer.get_mut(&self.peer) {
            peer.waiting = peer.waiting.saturating_sub(1);
            if peer.waiting == 0 {
                state.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Name and password; nothing where the header is none or not one.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let value = all.next()?.to_str().ok()?;
    if all.next().is_some() || value.len() > MAX_CREDENTIALS {
        return None;
    }
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = base64_decode(encoded.trim().as_bytes())?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at(colon);
    let password = password.get(1..)?.to_vec();
    Some((String::from_utf8(user.to_vec()).ok()?, password))
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use http::HeaderValue;
    use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

    use super::*;
    use crate::config::web::parse;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Of the least cost, so that tests are quick.
    fn with(users: &[(&str, &str)]) -> Basic {
        let lines: String = users
            .iter()
            .map(|(user, password)| format!("  {user}: '{}'\n", bcrypt::hash(password, 4).unwrap()))
            .collect();
        Basic::new(parse("web.yml", &format!("basic_auth_users:\n{lines}")).unwrap().settings.users).unwrap()
    }

    fn header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    fn known(basic: &Basic) -> usize {
        basic.state.lock().unwrap().known.len()
    }

    #[test]
    fn credentials_are_those_of_the_rfc() {
        let read =
            |value: &str| credentials(&header(value)).map(|(user, word)| (user, String::from_utf8(word).unwrap()));
        let pair = |user: &str, word: &str| Some((user.to_owned(), word.to_owned()));
        assert_eq!(read("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(read("basic dGVzdDoxMjPCow=="), pair("test", "123£"), "RFC 7617 section 2.1");
        assert_eq!(read("BASIC YTpiOmM="), pair("a", "b:c"), "a password may hold colons");
        assert_eq!(read("Basic Og=="), pair("", ""));
        for wrong in ["", "Basic", "Basic ", "Basic YQ==", "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic /zph"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(read(&format!("Basic {}", "QUFB".repeat(1000))), None);
        let mut two = header("Basic Og==");
        two.append(AUTHORIZATION, HeaderValue::from_static("Basic Og=="));
        assert_eq!(credentials(&two), None);
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_user_is_let_in_and_known_again() {
        let basic = with(&[("ann", "geheim"), ("bob", "wort")]);
        // ann:geheim, bob:geheim, eve:geheim, ann:Geheim, ann: and none.
        let ann = header("Basic YW5uOmdlaGVpbQ==");
        assert_eq!(basic.judge(&ann, PEER).await, Verdict::Known);
        assert_eq!(known(&basic), 1);
        assert_eq!(basic.judge(&ann, PEER).await, Verdict::Known);
        for wrong in
            ["Basic Ym9iOmdlaGVpbQ==", "Basic ZXZlOmdlaGVpbQ==", "Basic YW5uOkdlaGVpbQ==", "Basic YW5uOg==", "Basic x"]
        {
            assert_eq!(basic.judge(&header(wrong), PEER).await, Verdict::Unknown, "{wrong}");
        }
        assert_eq!(basic.judge(&HeaderMap::new(), PEER).await, Verdict::Unknown);
        assert_eq!(known(&basic), 1, "what was wrong is not kept");
        let state = basic.state.lock().unwrap();
        assert!(state.under_way.is_empty() && state.by_peer.is_empty());
        assert!(!format!("{basic:?}").contains("ann"));
    }

    #[tokio::test]
    async fn a_name_that_is_no_user_costs_as_much_and_never_gets_in() {
        let basic = with(&[("ann", "geheim")]);
        let (is_user, hash) = basic.hash_of("eve");
        assert!(!is_user && hash.unwrap().reveal() == basic.users["ann"].reveal());
        // eve:geheim, which is right for the hash that it is compared with.
        assert_eq!(basic.judge(&header("Basic ZXZlOmdlaGVpbQ=="), PEER).await, Verdict::Unknown);
        assert_eq!(known(&basic), 0);
        let many = with(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert!((0..9).all(|_| many.hash_of("eve").1.unwrap().reveal() == many.hash_of("eve").1.unwrap().reveal()));
    }

    /// Ann, and more time for a turn than any test takes.
    fn patient() -> Arc<Basic> {
        Arc::new(Basic { patience: Duration::from_secs(3600), ..with(&[("ann", "geheim")]) })
    }

    /// Nobody gets a turn until it is dropped: everything that is not known waits.
    async fn all_turns(basic: &Basic) -> OwnedSemaphorePermit {
        let all = u32::try_from(basic.turns.available_permits()).unwrap();
        Arc::clone(&basic.turns).acquire_many_owned(all).await.unwrap()
    }

    /// So many wrong passwords of ann, each another one, from one address; returns when all of them wait or are refused.
    async fn flood(basic: &Arc<Basic>, peer: IpAddr, count: usize) -> Vec<JoinHandle<Verdict>> {
        let flood: Vec<_> = (0..count)
            .map(|number| {
                // Any four digits are base64 of three more octets of the password.
                let (basic, headers) = (Arc::clone(basic), header(&format!("Basic YW5uOngx{number:04}")));
                tokio::spawn(async move { basic.judge(&headers, peer).await })
            })
            .collect();
        // There is one thread: all of them have their turn meanwhile.
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
        flood
    }

    async fn ended(flood: Vec<JoinHandle<Verdict>>) -> Vec<Verdict> {
        join_all(flood).await.into_iter().map(Result::unwrap).collect()
    }

    #[tokio::test]
    async fn a_flood_of_wrong_passwords_is_bounded_and_whoever_is_known_does_not_feel_it() {
        let mut basic = with(&[("ann", "geheim")]);
        let ann = header("Basic YW5uOmdlaGVpbQ==");
        assert_eq!(basic.judge(&ann, PEER).await, Verdict::Known);
        // Longer than it takes to ask so often.
        basic.patience = Duration::from_secs(2);
        let basic = Arc::new(basic);
        let held = all_turns(&basic).await;
        let flood = flood(&basic, PEER, WAITING_OF_ONE + 9).await;
        assert_eq!(basic.judge(&ann, PEER).await, Verdict::Known);
        assert_eq!(basic.state.lock().unwrap().by_peer[&PEER].waiting, WAITING_OF_ONE);
        // No turn comes in time.
        assert!(ended(flood).await.iter().all(|verdict| *verdict == Verdict::Busy));
        let state = basic.state.lock().unwrap();
        assert!(state.under_way.is_empty() && state.by_peer.is_empty());
        drop(held);
    }

    #[tokio::test]
    async fn whoever_is_not_known_yet_waits_for_its_turn_and_gets_it() {
        let basic = patient();
        let ann = header("Basic YW5uOmdlaGVpbQ==");
        let held = all_turns(&basic).await;
        // All have one address, that of a proxy.
        let flood = flood(&basic, PEER, 20).await;
        let asked = tokio::spawn({
            let basic = Arc::clone(&basic);
            async move { basic.judge(&ann, PEER).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(asked.await.unwrap(), Verdict::Known);
        assert_eq!(ended(flood).await, [Verdict::Unknown; 20]);
    }

    #[tokio::test]
    async fn another_address_waits_behind_a_few_of_a_flood_alone() {
        let basic = patient();
        let ann = header("Basic YW5uOmdlaGVpbQ==");
        let held = all_turns(&basic).await;
        let flood = flood(&basic, PEER, 200).await;
        let asked = tokio::spawn({
            let basic = Arc::clone(&basic);
            async move { basic.judge(&ann, IpAddr::from([192, 0, 2, 1])).await }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(asked.await.unwrap(), Verdict::Known);
        assert!(flood.iter().filter(|one| one.is_finished()).count() < 100, "it waited for most of them");
    }

    #[tokio::test]
    async fn whoever_goes_leaves_the_queue() {
        let basic = patient();
        let _held = all_turns(&basic).await;
        let flood = flood(&basic, PEER, 20).await;
        assert_eq!(basic.state.lock().unwrap().under_way.len(), 20);
        for one in &flood {
            one.abort();
        }
        let left = async {
            while !basic.state.lock().unwrap().by_peer.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), left).await.expect("they wait until their time is over");
    }

    #[tokio::test]
    async fn other_users_do_not_make_the_others_unknown_and_who_was_taken_out_is_out() {
        let before = with(&[("ann", "geheim"), ("bob", "wort")]);
        let (ann, bob) = (header("Basic YW5uOmdlaGVpbQ=="), header("Basic Ym9iOndvcnQ="));
        assert_eq!(before.judge(&ann, PEER).await, Verdict::Known);
        assert_eq!(before.judge(&bob, PEER).await, Verdict::Known);
        // With the hash of bob, so that a name that is none is compared with it.
        let users = |names: &[&str], hash: &PasswordHash| {
            names.iter().map(|name| ((*name).to_owned(), hash.clone())).collect::<BTreeMap<_, _>>()
        };
        let after = before.with_users(users(&["ann"], &before.users["ann"]));
        let held = all_turns(&after).await;
        assert_eq!(after.judge(&ann, PEER).await, Verdict::Known, "without a turn");
        drop(held);
        let gone = before.with_users(users(&["eve"], &before.users["bob"]));
        assert_eq!(gone.judge(&bob, PEER).await, Verdict::Unknown);
        let renewed = before.with_users(with(&[("ann", "neu")]).users);
        assert_eq!(renewed.judge(&ann, PEER).await, Verdict::Unknown);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_password_that_comes_many_times_is_looked_at_once() {
        let basic = with(&[("ann", "geheim")]);
        let ann = header("Basic YW5uOmdlaGVpbQ==");
        let verdicts = join_all((0..50).map(|_| basic.judge(&ann, PEER))).await;
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Known), "{verdicts:?}");
        assert_eq!(known(&basic), 1);
    }
}
