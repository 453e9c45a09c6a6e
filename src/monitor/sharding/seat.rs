//! Which of several instances this one is.

use crate::{
    config::{Settings, ShardIndex},
    terms::{PolicyDomain, place, slot},
};

/// The environment variable that says which instance this is, where the configuration is the same for all.
pub const INDEX_VARIABLE: &str = "SMTPTLS_SHARD_INDEX";

/// One instance among those that share the domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The slot that is its own, from 0.
    pub index: u32,
    /// How many slots there are; at least 1.
    pub total: u32,
}

/// What the machine says of which instance this is.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The value of [`INDEX_VARIABLE`], where it is set.
    pub variable: Option<String>,
    /// The name of the host; that of a pod is the host name in it.
    pub host: Option<String>,
}

/// Why it cannot be told which instance this is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeatError {
    /// The variable holds no number.
    #[error("{INDEX_VARIABLE} is {0:?}; it has to be the number of this instance, from 0")]
    Variable(String),
    /// The name of the host does not end in a number.
    #[error(
        "`shard.index` is auto, and the host name {0:?} does not end in a number as that of a pod of a StatefulSet does \
         (smtptls-exporter-2); set {INDEX_VARIABLE}, or give the index"
    )]
    Host(String),
    /// There are fewer instances than that.
    #[error("there is no shard {index} of {total}: the index goes from 0 to `shard.total` - 1")]
    Beyond {
        /// Which one this would be.
        index: u32,
        /// How many there are.
        total: u32,
    },
}

impl Seat {
    /// What the configuration says, with the help of the surroundings where it leaves the index to them.
    ///
    /// # Errors
    /// [`SeatError`] where they do not say it, or there is no such shard.
    pub fn of(settings: &Settings, surroundings: &Surroundings) -> Result<Self, SeatError> {
        let total = settings.shard_total();
        let index = match settings.shard.index.map(|at| at.value) {
            None => 0,
            Some(ShardIndex::Number(index)) => index,
            Some(ShardIndex::Auto) => match &surroundings.variable {
                Some(text) => text.trim().parse().map_err(|_| SeatError::Variable(text.clone()))?,
                None => {
                    let host = surroundings.host.clone().unwrap_or_default();
                    ordinal(&host).ok_or(SeatError::Host(host))?
                }
            },
        };
        match index < total {
            true => Ok(Self { index, total }),
            false => Err(SeatError::Beyond { index, total }),
        }
    }

    /// The slot of a domain.
    pub fn slot_of(self, domain: &PolicyDomain) -> u32 {
        slot(place(domain.as_str()), self.total)
    }
}

/// The number behind the last hyphen of the first label: `exporter-12.exporter.svc` is the twelfth. Digits without a hyphen before
/// them are part of a name (`web01`), and no ordinal.
fn ordinal(host: &str) -> Option<u32> {
    let label = host.split('.').next()?;
    let (_, number) = label.rsplit_once('-')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn seat(shard: &str, variable: Option<&str>, host: Option<&str>) -> Result<(u32, u32), String> {
        let settings = parse("test.yml", &format!("domains: [a.example]\nshard: {shard}")).unwrap().settings;
        let surroundings = Surroundings { variable: variable.map(str::to_owned), host: host.map(str::to_owned) };
        let seat = Seat::of(&settings, &surroundings).map_err(|error| error.to_string())?;
        Ok((seat.index, seat.total))
    }

    #[test]
    fn without_a_word_it_is_the_only_one() {
        assert_eq!(Seat::of(&Settings::default(), &Surroundings::default()), Ok(Seat { index: 0, total: 1 }));
    }

    #[test]
    fn a_number_is_taken_as_it_is() {
        assert_eq!(seat("{index: 1, total: 3}", Some("2"), Some("pod-0")), Ok((1, 3)));
    }

    #[test]
    fn auto_asks_the_environment_first_and_then_the_host() {
        assert_eq!(seat("{index: auto, total: 3}", Some(" 2\n"), Some("pod-0")), Ok((2, 3)));
        assert_eq!(seat("{index: auto, total: 30}", None, Some("smtptls-exporter-12")), Ok((12, 30)));
        assert_eq!(seat("{index: auto, total: 3}", None, Some("smtptls-1.smtptls.monitoring.svc")), Ok((1, 3)));
    }

    #[test]
    fn what_says_no_number_is_told() {
        for host in [None, Some(""), Some("web01"), Some("exporter-x7"), Some("exporter-"), Some("7"), Some("a-1b")] {
            let refused = seat("{index: auto, total: 3}", None, host).unwrap_err();
            assert!(refused.contains("does not end in a number"), "{host:?}: {refused}");
        }
        for variable in ["", "two", "-1", "1.0", "99999999999"] {
            let refused = seat("{index: auto, total: 3}", Some(variable), Some("pod-1")).unwrap_err();
            assert!(refused.contains(INDEX_VARIABLE), "{variable:?}: {refused}");
        }
        let refused = seat("{index: auto, total: 3}", None, Some("pod-3")).unwrap_err();
        assert_eq!(refused, "there is no shard 3 of 3: the index goes from 0 to `shard.total` - 1");
    }
}
