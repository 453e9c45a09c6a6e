//! When an address is surveyed, and what is kept of it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use super::{Fleet, Host, Target, Wanted};
use crate::{
    facts::{AddressObservation, TlsSurvey},
    monitor::schedule::backed_off,
    terms::MxHost,
};

/// Between two surveys of one address (`probe.legacy_tls`): what they look for changes with a new configuration of the server.
pub(in crate::monitor) const SURVEY_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A survey that saw too little, or a handshake that failed, is followed by another one so soon; then later and later.
pub(in crate::monitor) const SURVEY_RETRY: Duration = Duration::from_secs(3600);

/// First surveys come at about this distance, counted by mail hosts: a small fleet is known within a minute, a large one has
/// the whole interval.
const SURVEY_PACE: Duration = Duration::from_millis(500);

/// A probe that is wanted at some moment of a span, so that many do not come at once.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::monitor) struct Spread {
    pub(in crate::monitor) target: Target,
    /// Not before this time has passed.
    pub(in crate::monitor) after: Duration,
    /// Somewhere in this time from there.
    pub(in crate::monitor) within: Duration,
}

/// What is known of the surveys of one address.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    latest: Option<Arc<TlsSurvey>>,
    /// One is on the schedule or under way.
    planned: bool,
    /// Surveys in a row that have to be repeated soon.
    setbacks: u32,
}

impl Surveys {
    /// The address is not probed any more. What is known stays as long as the address itself.
    pub(super) fn cancel(&mut self, target: impl FnOnce() -> Target, wanted: &mut Wanted) {
        if std::mem::take(&mut self.planned) {
            wanted.never.push(target());
        }
    }

    /// What is kept over a restart.
    pub(super) fn stored(&self) -> (Option<Arc<TlsSurvey>>, u32) {
        (self.latest.clone(), self.setbacks)
    }

    /// Takes over what was kept. The next survey is planned when the address is probed.
    pub(super) fn restore(&mut self, latest: Option<Arc<TlsSurvey>>, setbacks: u32) {
        self.latest = latest;
        self.setbacks = setbacks;
    }

    /// An address was probed that is to be probed again: where TLS was reached, a survey can see something.
    pub(super) fn plan(&mut self, seen: &AddressObservation, hosts: usize) -> Option<Spread> {
        if self.planned || !seen.reached_tls() {
            return None;
        }
        self.planned = true;
        // An address that comes and goes in the DNS keeps the rhythm that it had.
        let after = self.latest.as_ref().map(|latest| SURVEY_INTERVAL.saturating_sub(seen.at.since(latest.at)));
        let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
        Some(Spread {
            target: Target::Survey(seen.host.clone(), seen.address),
            after: after.unwrap_or_default(),
            within: SURVEY_PACE.saturating_mul(hosts).min(SURVEY_INTERVAL),
        })
    }
}

impl Host {
    /// The latest surveys of its addresses.
    pub(super) fn surveys(&self) -> BTreeMap<IpAddr, Arc<TlsSurvey>> {
        let latest = self.addresses.iter();
        latest.filter_map(|(address, known)| Some((*address, Arc::clone(known.surveys.latest.as_ref()?)))).collect()
    }
}

impl Fleet {
    /// A survey is due. With which TLSA base domain it is made; nothing where it would see nothing now, because the last probe
    /// did not reach TLS: the next one that does plans it anew.
    pub(in crate::monitor) fn survey_due(&mut self, host: &MxHost, address: IpAddr) -> Option<Option<MxHost>> {
        let known = self.hosts.get_mut(host)?;
        let base = known.observation.as_ref().and_then(|observation| observation.tlsa_base()).cloned();
        let address = known.addresses.get_mut(&address)?;
        let reaches = address.latest.as_ref().is_some_and(|latest| latest.reached_tls());
        address.surveys.planned = reaches;
        reaches.then_some(base)
    }

    /// An address was surveyed.
    pub(in crate::monitor) fn survey_seen(&mut self, survey: TlsSurvey) -> Wanted {
        let mut wanted = Wanted::default();
        let name = survey.host.clone();
        let wished = self.settings.probe.legacy_tls;
        let Some(address) = self.hosts.get_mut(&name).and_then(|host| host.addresses.get_mut(&survey.address)) else {
            return wanted;
        };
        let surveys = &mut address.surveys;
        // It may have been under way when the address went out of the DNS, or when surveys were switched off.
        surveys.planned = wished && address.unlisted_since.is_none();
        if !wished {
            return wanted;
        }
        surveys.setbacks = if survey.is_smooth() { 0 } else { surveys.setbacks.saturating_add(1) };
        wanted.again = surveys.planned.then(|| match surveys.setbacks {
            0 => SURVEY_INTERVAL,
            setbacks => backed_off(SURVEY_RETRY, setbacks, SURVEY_INTERVAL),
        });
        // A survey that saw nothing takes no knowledge away.
        if surveys.latest.is_none() || !survey.is_blank() {
            surveys.latest = Some(Arc::new(survey));
        }
        // Once a day: whatever it shows is written.
        self.note_host(&name, true);
        self.host_changed(&name);
        wanted
    }

    /// Surveys were switched off: none is made any more, and what they saw would only grow old.
    pub(super) fn forget_surveys(&mut self, wanted: &mut Wanted) {
        for (name, host) in &mut self.hosts {
            for (address, known) in &mut host.addresses {
                known.surveys.cancel(|| Target::Survey(name.clone(), *address), wanted);
                known.surveys.latest = None;
            }
        }
        for known in self.departed.hosts().flat_map(|host| host.addresses.values_mut()) {
            known.surveys.latest = None;
        }
    }
}
