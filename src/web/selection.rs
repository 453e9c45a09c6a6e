//! Which domains a list shows, and in which order: for the pages and for the API, from the same parameters. Pure: a query and a
//! snapshot in, rows out.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use super::parameters::{Kind, PLACE, Parameter, encoded, one_of};
use crate::{
    monitor::{ActiveFinding, KnownDomain, Snapshot, Summary},
    present::row::{DaneReach, ShownMode},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Code, Severity, State, known_codes},
};

/// Which domains, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Only those with this text in their name, in lower case. Empty: all.
    pub(super) text: String,
    /// Only those of this group.
    pub(super) group: Option<String>,
    /// Only those in this state.
    pub(super) state: Option<ShownState>,
    /// Only those whose policy, as senders may hold it, is in this mode.
    pub(super) mode: Option<ShownMode>,
    /// Only those with such a finding that counts …
    pub(super) finding: Option<Code>,
    /// … and with one of this severity; of both, where both are given.
    pub(super) severity: Option<Severity>,
    /// Only those that use this mail host.
    pub(super) mx: Option<MxHost>,
    /// The order.
    pub(super) sort: Sort,
    /// The other way round. Domains without a value stand at the end all the same.
    pub(super) reversed: bool,
}

/// The delivery of a domain, or that it was not probed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShownState(Option<State>);

/// By what a list is sorted. The name decides between equals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The worst first: by delivery, then by the worst finding.
    #[default]
    Delivery,
    Domain,
    Group,
    /// Enforce first.
    Mode,
    /// The worst severity first, then by code.
    Finding,
    /// What ends first.
    Certificate,
    /// What is broken first.
    Dane,
    /// What was not looked at for the longest time first.
    Checked,
}

/// What was selected.
#[derive(Clone, Debug)]
pub(super) struct Rows<'a> {
    /// The domains that fit, in order.
    pub(super) rows: Vec<&'a Arc<KnownDomain>>,
    /// How many are configured.
    pub(super) total: usize,
    /// How many are in each state, the worst first, of those that fit but for their state: where the same list would lead with
    /// another state.
    pub(super) by_state: Vec<(ShownState, usize)>,
    /// The groups, those without one left out, of those that fit but for their group.
    pub(super) groups: BTreeMap<&'a str, usize>,
    /// How many domains have each finding, of those that fit but for the finding.
    pub(super) findings: BTreeMap<Code, usize>,
}

/// A place in a list: behind a domain that stood there when the list was asked for. It holds the value that the domain was sorted by, so that
/// going on from it neither skips nor repeats a domain whose own value did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    value: i64,
    domain: PolicyDomain,
}

impl ShownState {
    /// All, worst first.
    pub(super) const ALL: [Self; 7] = [
        Self(Some(State::Blocked)),
        Self(Some(State::Partial)),
        Self(Some(State::Unknown)),
        Self(Some(State::Unprotected)),
        Self(Some(State::Protected)),
        Self(Some(State::NoMail)),
        Self(None),
    ];

    /// That of a domain.
    pub(super) fn of(known: &KnownDomain) -> Self {
        Self(known.summary.as_ref().map(|seen| seen.delivery))
    }

    /// The word of the parameter.
    pub(super) const fn as_str(self) -> &'static str {
        match self.0 {
            Some(state) => state.as_str(),
            None => "not-probed",
        }
    }

    /// The state; nothing where the domain was not probed yet.
    pub(super) const fn state(self) -> Option<State> {
        self.0
    }
}

impl From<State> for ShownState {
    fn from(state: State) -> Self {
        Self(Some(state))
    }
}

impl Sort {
    pub(super) const ALL: [Self; 8] = [
        Self::Delivery,
        Self::Domain,
        Self::Group,
        Self::Mode,
        Self::Finding,
        Self::Certificate,
        Self::Dane,
        Self::Checked,
    ];

    /// The word of the parameter.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Domain => "domain",
            Self::Group => "group",
            Self::Mode => "mode",
            Self::Finding => "finding",
            Self::Certificate => "certificate",
            Self::Dane => "dane",
            Self::Checked => "checked",
        }
    }

    /// The value that a domain is sorted by; nothing where it has none.
    fn value(self, known: &KnownDomain, groups: &BTreeMap<&str, usize>) -> Option<i64> {
        let seen = known.summary.as_ref();
        let worst = || seen.and_then(|seen| seen.active.first());
        let index = |place: Option<usize>| place.and_then(|place| i64::try_from(place).ok());
        match self {
            Self::Domain => Some(0),
            Self::Delivery => {
                let rank = index(Some(seen?.delivery.rank()))?;
                Some(rank * 4 + worst().map_or(3, |finding| badness(finding.severity)))
            }
            Self::Group => index(groups.get(known.group()).copied()),
            Self::Mode => {
                let mode = ShownMode::from(seen?.mode);
                index(ShownMode::ALL.iter().position(|known| *known == mode))
            }
            Self::Finding => {
                let finding = worst()?;
                let codes = i64::try_from(Code::ALL.len()).ok()?;
                Some(badness(finding.severity) * codes + index(Some(finding.code as usize))?)
            }
            Self::Certificate => seen?.certificate_ends_at.map(Timestamp::unix_milliseconds),
            Self::Dane => {
                let reach = seen?.dane?;
                index(DaneReach::ALL.iter().position(|known| *known == reach))
            }
            Self::Checked => seen.map(|seen| seen.checked_at.unix_milliseconds()),
        }
    }
}

/// 0 is the worst.
const fn badness(severity: Severity) -> i64 {
    match severity {
        Severity::Error => 0,
        Severity::Warning => 1,
        Severity::Info => 2,
    }
}

/// The parameters of a selection.
pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "q", says: "Only domains with this text in their name", kind: Kind::Text },
    Parameter { name: "group", says: "Only domains of this group", kind: Kind::Text },
    Parameter {
        name: "state",
        says: "Only domains in this state of delivery",
        kind: Kind::Word(|| ShownState::ALL.map(ShownState::as_str).to_vec()),
    },
    Parameter {
        name: "mode",
        says: "Only domains whose policy, as senders may hold it, is in this mode",
        kind: Kind::Word(|| ShownMode::ALL.map(ShownMode::as_str).to_vec()),
    },
    Parameter {
        name: "finding",
        says: "Only domains with an active finding of this code",
        kind: Kind::Word(|| known_codes().to_vec()),
    },
    Parameter {
        name: "severity",
        says: "Only domains with an active finding of this severity; with \"finding\": whose finding of that code has it",
        kind: Kind::Word(|| Severity::ALL.map(Severity::as_str).to_vec()),
    },
    Parameter { name: "mx", says: "Only domains that use this mail host", kind: Kind::Text },
    Parameter {
        name: "sort",
        says: "By what the list is sorted, the worst or the first first; with - before it the other way round. Without it by delivery",
        kind: Kind::Word(sort_words),
    },
];

fn sort_words() -> Vec<&'static str> {
    // Both ways of each.
    vec![
        "delivery",
        "-delivery",
        "domain",
        "-domain",
        "group",
        "-group",
        "mode",
        "-mode",
        "finding",
        "-finding",
        "certificate",
        "-certificate",
        "dane",
        "-dane",
        "checked",
        "-checked",
    ]
}

impl Selection {
    /// Takes one of [`PARAMETERS`]; what was expected where the value is none.
    pub(super) fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "q" => self.text = needle(text),
            "group" => self.group = Some(text.to_owned()),
            "state" => self.state = Some(one_of(text, &ShownState::ALL, ShownState::as_str)?),
            "mode" => self.mode = Some(one_of(text, &ShownMode::ALL, ShownMode::as_str)?),
            "finding" => self.finding = Some(text.parse().map_err(|_| "the code of a finding".to_owned())?),
            "severity" => self.severity = Some(one_of(text, &Severity::ALL, Severity::as_str)?),
            "mx" => self.mx = Some(MxHost::parse(text).map_err(|_| "the name of a mail host".to_owned())?),
            _ => {
                let (word, reversed) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
                self.sort = one_of(word, &Sort::ALL, Sort::as_str)?;
                self.reversed = reversed;
            }
        }
        Ok(())
    }

    /// The selection as a query that [`Selection::take`] reads as the same: for links. Empty for all domains, else with its
    /// question mark.
    pub(super) fn query(&self) -> String {
        let sort = match (self.sort, self.reversed) {
            (Sort::Delivery, false) => None,
            (sort, false) => Some(sort.as_str().to_owned()),
            (sort, true) => Some(format!("-{}", sort.as_str())),
        };
        let values = [
            ("q", Some(self.text.clone()).filter(|text| !text.is_empty())),
            ("group", self.group.clone()),
            ("state", self.state.map(|state| state.as_str().to_owned())),
            ("mode", self.mode.map(|mode| mode.as_str().to_owned())),
            ("finding", self.finding.map(|code| code.as_str().to_owned())),
            ("severity", self.severity.map(|severity| severity.as_str().to_owned())),
            ("mx", self.mx.as_ref().map(|host| host.as_str().to_owned())),
            ("sort", sort),
        ];
        let mut query = String::new();
        for (name, value) in values {
            let Some(value) = value else { continue };
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(&format!("{name}={}", encoded(&value)));
        }
        query
    }

    /// What fits, in order.
    pub(super) fn rows<'a>(&self, snapshot: &'a Snapshot) -> Rows<'a> {
        let mut found = Rows {
            rows: Vec::new(),
            total: snapshot.domains.len(),
            by_state: ShownState::ALL.map(|state| (state, 0)).to_vec(),
            groups: BTreeMap::new(),
            findings: BTreeMap::new(),
        };
        for known in snapshot.domains.iter() {
            self.count(known, &mut found);
        }
        found.rows.sort_unstable_by(|one, other| one.domain().cmp(other.domain()));
        self.arrange(&mut found.rows, snapshot);
        found
    }

    /// Adds a domain where it belongs.
    fn count<'a>(&self, known: &'a Arc<KnownDomain>, found: &mut Rows<'a>) {
        let seen = known.summary.as_ref();
        if !self.text.is_empty() && !known.domain().as_str().contains(&self.text) {
            return;
        }
        if self.mx.as_ref().is_some_and(|host| !known.uses(host)) {
            return;
        }
        if self.mode.is_some_and(|mode| seen.map(|seen| seen.mode.into()) != Some(mode)) {
            return;
        }
        let shown = ShownState::of(known);
        let fits_state = self.state.is_none_or(|wanted| wanted == shown);
        let fits_group = self.group.as_ref().is_none_or(|group| group == known.group());
        let of_severity = |finding: &&ActiveFinding| self.severity.is_none_or(|severity| finding.severity == severity);
        let mut codes: Vec<Code> = seen
            .into_iter()
            .flat_map(|seen: &Summary| seen.active.iter())
            .filter(of_severity)
            .map(|finding| finding.code)
            .collect();
        let fits_finding = match self.finding {
            Some(code) => codes.contains(&code),
            None => self.severity.is_none() || !codes.is_empty(),
        };
        if fits_group && fits_finding {
            for (state, count) in &mut found.by_state {
                *count += usize::from(*state == shown);
            }
        }
        if fits_state && fits_finding && !known.group().is_empty() {
            *found.groups.entry(known.group()).or_default() += 1;
        }
        if fits_state && fits_group {
            codes.sort_unstable();
            codes.dedup();
            for code in codes {
                *found.findings.entry(code).or_default() += 1;
            }
        }
        if fits_state && fits_group && fits_finding {
            found.rows.push(known);
        }
    }

    /// Sorts rows that stand in the order of their names.
    fn arrange(&self, rows: &mut Vec<&Arc<KnownDomain>>, snapshot: &Snapshot) {
        if self.sort == Sort::Domain {
            if self.reversed {
                rows.reverse();
            }
            return;
        }
        let groups = self.groups(snapshot);
        let mut keyed: Vec<_> = rows.drain(..).map(|known| (self.key(known, &groups), known)).collect();
        // Equals stay in the order of their names.
        keyed.sort_by_key(|(value, _)| *value);
        rows.extend(keyed.into_iter().map(|(_, known)| known));
    }

    /// The groups with their place in the alphabet, where it matters.
    fn groups<'a>(&self, snapshot: &'a Snapshot) -> BTreeMap<&'a str, usize> {
        let mut groups = BTreeMap::new();
        if self.sort == Sort::Group {
            let named = snapshot.domains.iter().map(|known| known.group()).filter(|group| !group.is_empty());
            groups = named.map(|group| (group, 0)).collect();
            for (place, number) in groups.values_mut().enumerate() {
                *number = place;
            }
        }
        groups
    }

    /// What the list is sorted by, so that the smaller comes first.
    fn key(&self, known: &KnownDomain, groups: &BTreeMap<&str, usize>) -> i64 {
        match self.sort.value(known, groups) {
            Some(value) if self.reversed => value.saturating_neg(),
            Some(value) => value,
            None => i64::MAX,
        }
    }

    /// The place behind a domain of the list.
    pub(super) fn place(&self, known: &KnownDomain, snapshot: &Snapshot) -> Place {
        Place { value: self.key(known, &self.groups(snapshot)), domain: known.domain().clone() }
    }

    /// The rows behind a place.
    pub(super) fn behind<'a, 'b>(
        &self,
        place: &Place,
        rows: &'b [&'a Arc<KnownDomain>],
        snapshot: &Snapshot,
    ) -> &'b [&'a Arc<KnownDomain>] {
        let groups = self.groups(snapshot);
        let before = rows.partition_point(|known| {
            let names = match self.sort == Sort::Domain && self.reversed {
                true => place.domain.cmp(known.domain()),
                false => known.domain().cmp(&place.domain),
            };
            self.key(known, &groups).cmp(&place.value).then(names) != Ordering::Greater
        });
        rows.get(before..).unwrap_or_default()
    }
}

/// A text to look for in names: as names are written here, where it is a name in another spelling.
fn needle(text: &str) -> String {
    let text = text.trim();
    match PolicyDomain::parse(text) {
        Ok(name) if !text.is_ascii() => name.as_str().to_owned(),
        _ => text.to_lowercase(),
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.value, self.domain)
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (value, domain) = text.split_once('.')?;
            Some(Self { value: value.parse().ok()?, domain: PolicyDomain::parse(domain).ok()? })
        };
        read().ok_or_else(|| PLACE.to_owned())
    }
}

#[cfg(test)]
mod tests;
