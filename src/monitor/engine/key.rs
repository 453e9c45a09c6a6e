//! What a target is called on the schedule.

use super::Target;
use crate::terms::PolicyDomain;

/// A target, in two words: nearly all of them are domains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Domain(PolicyDomain),
    Other(Box<Target>),
}

impl Key {
    /// The target, where it is no domain.
    pub(super) fn other(&self) -> Option<&Target> {
        match self {
            Self::Domain(_) => None,
            Self::Other(target) => Some(target),
        }
    }
}

impl From<Target> for Key {
    fn from(target: Target) -> Self {
        match target {
            Target::Domain(domain) => Self::Domain(domain),
            other => Self::Other(Box::new(other)),
        }
    }
}

impl From<&Target> for Key {
    fn from(target: &Target) -> Self {
        target.clone().into()
    }
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        match key {
            Key::Domain(domain) => Self::Domain(domain),
            Key::Other(target) => *target,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::MxHost;

    #[test]
    fn it_is_small_and_the_target_comes_back() {
        assert_eq!(size_of::<Key>(), 2 * size_of::<usize>());
        let host = MxHost::parse("mx.example").unwrap();
        let domain = Target::Domain(PolicyDomain::parse("a.example").unwrap());
        let others = [Target::Host(host.clone()), Target::Address(host.clone(), [192, 0, 2, 1].into())];
        let others =
            others.into_iter().chain([Target::Survey(host.clone(), [192, 0, 2, 1].into()), Target::Canary(host)]);
        for target in others.chain([domain.clone()]) {
            let key = Key::from(&target);
            assert_eq!(key.other().is_none(), target == domain);
            assert_eq!(Target::from(key), target);
        }
    }
}
