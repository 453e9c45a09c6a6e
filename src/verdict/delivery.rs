//! What would a conforming sender do now?
//!
//! A path is one address of one mail host. For each kind of sender each path has one outcome; the counts of the outcomes
//! give the state of the kind, and the states of the kinds the state of the domain.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a sender of one kind would do on one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It would deliver, to an authenticated host that the domain itself named.
    Secure,
    /// It would deliver without that.
    Open,
    /// It would not deliver here: next host, or delay.
    Refused,
    /// It cannot be told from here.
    CannotTell,
}

impl Outcome {
    /// All.
    pub const ALL: [Self; 4] = [Self::Secure, Self::Open, Self::Refused, Self::CannotTell];

    /// The word of metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Open => "open",
            Self::Refused => "refused",
            Self::CannotTell => "cannot-tell",
        }
    }
}

impl Outcome {
    /// What a sender does that applies DANE and MTA-STS together: it delivers only where both let it.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Secure, _) | (_, Self::Secure) => Self::Secure,
            (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
            (Self::Open, Self::Open) => Self::Open,
        }
    }
}

/// How many paths have which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathCounts {
    /// See [`Outcome::Secure`].
    pub secure: usize,
    /// See [`Outcome::Open`].
    pub open: usize,
    /// See [`Outcome::Refused`].
    pub refused: usize,
    /// See [`Outcome::CannotTell`].
    pub cannot_tell: usize,
}

impl PathCounts {
    /// The count of one outcome.
    pub const fn get(&self, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Secure => self.secure,
            Outcome::Open => self.open,
            Outcome::Refused => self.refused,
            Outcome::CannotTell => self.cannot_tell,
        }
    }

    /// How many paths have a known outcome.
    pub const fn known(&self) -> usize {
        self.secure + self.open + self.refused
    }

    /// All paths.
    pub const fn total(&self) -> usize {
        self.known() + self.cannot_tell
    }
}

impl FromIterator<Outcome> for PathCounts {
    fn from_iter<I: IntoIterator<Item = Outcome>>(outcomes: I) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Secure => counts.secure += 1,
                Outcome::Open => counts.open += 1,
                Outcome::Refused => counts.refused += 1,
                Outcome::CannotTell => counts.cannot_tell += 1,
            }
        }
        counts
    }
}

/// The state of mail to a domain, for one kind of sender or for all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every path is secure for a kind that enforces, and none is refused.
    Protected,
    /// Some paths are refused, or some are open to redirection.
    Partial,
    /// No path is left for a kind of sender.
    Blocked,
    /// Nothing enforces.
    Unprotected,
    /// The domain takes no mail, on purpose (RFC 7505).
    NoMail,
    /// It could not be looked at.
    Unknown,
}

impl State {
    /// All, worst first.
    pub const ALL: [Self; 6] =
        [Self::Blocked, Self::Partial, Self::Unknown, Self::Unprotected, Self::Protected, Self::NoMail];

    /// The word of metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Partial => "partial",
            Self::Blocked => "blocked",
            Self::Unprotected => "unprotected",
            Self::NoMail => "no-mail",
            Self::Unknown => "unknown",
        }
    }

    /// 0 is the worst. For sorting only.
    pub fn rank(self) -> usize {
        Self::ALL.iter().position(|state| *state == self).unwrap_or(Self::ALL.len())
    }
}

/// Whether senders of a kind insist on anything for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// They do.
    On,
    /// There is nothing for them to insist on.
    Off,
    /// What they would insist on could not be seen.
    CannotTell,
}

/// Why a state is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Every path is secure.
    AllSecure,
    /// No path is left.
    NoPath,
    /// An attacker can steer to an open path.
    Exposed,
    /// There is less redundancy.
    Degraded,
    /// Both.
    ExposedAndDegraded,
    /// Senders that hold the policy and those that do not fare differently.
    ViewsDiffer,
    /// This kind of sender applies nothing to this domain.
    NothingEnforced,
    /// A null MX stands alone.
    TakesNoMail,
    /// Nothing could be looked at.
    NotSeen,
}

impl Reason {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllSecure => "every path is secure",
            Self::NoPath => "no path is left",
            Self::Exposed => "exposed: an attacker can steer mail to an open path",
            Self::Degraded => "degraded: less redundancy",
            Self::ExposedAndDegraded => "exposed and degraded: an open path to steer to, and less redundancy",
            Self::ViewsDiffer => "exposed: senders that hold the policy are protected, new ones are not",
            Self::NothingEnforced => "these senders enforce nothing here",
            Self::TakesNoMail => "the domain takes no mail",
            Self::NotSeen => "nothing could be looked at",
        }
    }
}

/// The state of one kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderState {
    /// The state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// The paths by outcome.
    pub paths: PathCounts,
}

impl SenderState {
    /// The state that the counts of known paths give.
    pub const fn from_paths(paths: PathCounts) -> Self {
        let (state, reason) = match (paths.secure, paths.open, paths.refused) {
            (0, 0, 0) => (State::Unknown, Reason::NotSeen),
            (0, 0, _) => (State::Blocked, Reason::NoPath),
            (_, 0, 0) => (State::Protected, Reason::AllSecure),
            (0, _, _) => (State::Unprotected, Reason::NothingEnforced),
            (_, _, 0) => (State::Partial, Reason::Exposed),
            (_, 0, _) => (State::Partial, Reason::Degraded),
            (_, _, _) => (State::Partial, Reason::ExposedAndDegraded),
        };
        Self { state, reason, paths }
    }

    /// The state of a kind with two views: this one, of senders that hold nothing, and that of those that hold a policy. The counts
    /// are those of the first.
    #[must_use]
    pub fn joined_with(self, held: Self) -> Self {
        let reason = match (self.state, held.state) {
            (State::Blocked, _) => return self,
            (_, State::Blocked) => return held,
            (new, held) if new == held => return self,
            // Who holds nothing is protected by DANE: it is the policy that costs paths.
            (State::Protected, _) => held.reason,
            _ => Reason::ViewsDiffer,
        };
        Self { state: State::Partial, reason, paths: self.paths }
    }

    /// The same, unless mail gets through on a path of which it is `unseen` what these senders make of it, for want of sight of DNSSEC or of
    /// the policy: that every other path is refused is then no proof that none is left.
    #[must_use]
    pub const fn unless(self, unseen: bool) -> Self {
        match self.state {
            State::Blocked if unseen => Self { state: State::Unknown, reason: Reason::NotSeen, ..self },
            _ => self,
        }
    }

    const fn is_unknown(&self) -> bool {
        matches!(self.state, State::Unknown)
    }

    /// A domain that takes no mail.
    pub const fn no_mail() -> Self {
        Self {
            state: State::NoMail,
            reason: Reason::TakesNoMail,
            paths: PathCounts { secure: 0, open: 0, refused: 0, cannot_tell: 0 },
        }
    }
}

/// What the state of a domain rests on: its kinds of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// No checks.
    pub opportunistic: SenderState,
    /// MTA-STS, its views joined.
    pub sts: SenderState,
    /// DANE.
    pub dane: SenderState,
    /// DANE and MTA-STS together, for each view.
    pub both: SenderState,
    /// A view of MTA-STS that senders hold refuses a path: the counts above are of those that hold nothing.
    pub held_refuses: bool,
    /// Whether some view of MTA-STS applies a policy in enforce.
    pub sts_enforces: Enforcement,
    /// Whether some host has secure usable TLSA records.
    pub dane_enforces: Enforcement,
}

impl Kinds {
    /// The state of the domain: the first line that applies.
    pub fn state(&self) -> State {
        let kinds = [self.opportunistic, self.sts, self.dane, self.both];
        if self.opportunistic.state == State::NoMail {
            return State::NoMail;
        }
        if kinds.iter().all(|kind| kind.paths.known() == 0) {
            return State::Unknown;
        }
        if kinds.iter().any(|kind| kind.state == State::Blocked) {
            return State::Blocked;
        }
        let enforcing = [(self.sts, self.sts_enforces), (self.dane, self.dane_enforces)];
        if enforcing.iter().all(|(_, enforcement)| *enforcement == Enforcement::Off) {
            return State::Unprotected;
        }
        let mut enforcing = enforcing.iter().filter(|(_, enforcement)| *enforcement != Enforcement::Off);
        // Before it is said that no path is secure, one has to have been seen.
        if enforcing.clone().all(|(kind, enforcement)| *enforcement == Enforcement::CannotTell || kind.is_unknown()) {
            return State::Unknown;
        }
        // With two views, the one that holds the policy has the secure paths.
        let secure = |kind: &SenderState| kind.paths.secure > 0 || kind.reason == Reason::ViewsDiffer;
        if !kinds.iter().any(secure) {
            return State::Unprotected;
        }
        let protects = enforcing.any(|(kind, _)| kind.state == State::Protected);
        if protects && !self.held_refuses && kinds.iter().all(|kind| kind.paths.refused == 0) {
            return State::Protected;
        }
        State::Partial
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
