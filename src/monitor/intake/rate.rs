//! How many reports may be posted: by network, and in all. Pure: the time is an argument.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

/// From one network (/24, /48): a large sender posts the reports of thousands of domains in a row.
const OF_ONE: Rate = Rate { burst: 1000.0, a_second: 100.0 };
/// From all together: a tenth of what the store takes.
const OF_ALL: Rate = Rate { burst: 5000.0, a_second: 500.0 };
/// So many networks are told apart; those beyond share one allowance.
const NETWORKS_MOST: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    a_second: f64,
}

/// What is left of an allowance, as of a time.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate.a_second).min(rate.burst);
        self.at = now;
    }
}

/// The allowances.
#[derive(Debug)]
pub(super) struct Rates {
    all: Allowance,
    networks: HashMap<IpAddr, Allowance>,
    others: Allowance,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        let whole = |rate: Rate| Allowance { left: rate.burst, at: now };
        Self { all: whole(OF_ALL), networks: HashMap::new(), others: whole(OF_ONE) }
    }

    /// Lets one more through, or says after what time it may come again.
    pub(super) fn admit(&mut self, network: IpAddr, now: Instant) -> Result<(), Duration> {
        self.all.refill(OF_ALL, now);
        if !self.networks.contains_key(&network) && self.networks.len() >= NETWORKS_MOST {
            // One that has its whole allowance again is as good as new.
            self.networks.retain(|_, known| {
                known.refill(OF_ONE, now);
                known.left < OF_ONE.burst
            });
        }
        let room = self.networks.len() < NETWORKS_MOST || self.networks.contains_key(&network);
        let own = match room {
            true => self.networks.entry(network).or_insert(Allowance { left: OF_ONE.burst, at: now }),
            false => &mut self.others,
        };
        own.refill(OF_ONE, now);
        let wait = |left: f64, rate: Rate| Duration::from_secs_f64((1.0 - left).max(0.0) / rate.a_second);
        if own.left < 1.0 || self.all.left < 1.0 {
            return Err(wait(own.left, OF_ONE).max(wait(self.all.left, OF_ALL)));
        }
        own.left -= 1.0;
        self.all.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    #[test]
    fn one_network_is_bounded_and_does_not_bound_another() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let through = |rates: &mut Rates, n, at| (0..3000).filter(|_| rates.admit(network(n), at).is_ok()).count();
        assert_eq!(through(&mut rates, 1, start), 1000);
        assert_eq!(through(&mut rates, 2, start), 1000);
        assert!(rates.admit(network(1), start).is_err_and(|wait| wait <= Duration::from_millis(10)));
        assert_eq!(through(&mut rates, 1, start + Duration::from_secs(2)), 200);
        assert_eq!(through(&mut rates, 1, start + Duration::from_secs(3600)), 1000, "no more than the burst");
    }

    #[test]
    fn all_together_are_bounded_and_so_is_the_table() {
        let start = Instant::now();
        let mut rates = Rates::new(start);
        let through = (0..100_000).filter(|n| rates.admit(network(*n), start).is_ok()).count();
        assert_eq!(through, 5000);
        assert!(rates.networks.len() <= NETWORKS_MOST);
        let later = start + Duration::from_secs(60);
        assert_eq!((200_000..300_000).filter(|n| rates.admit(network(*n), later).is_ok()).count(), 5000);
        assert!(rates.networks.len() <= NETWORKS_MOST);
    }
}
