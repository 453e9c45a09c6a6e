//! How hard others are asked: connections at a time to one host name, one address, one network, one operator, and in all.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits (`probe.per_host`, `per_address`, `per_network`, `per_provider`, `max_in_flight`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections at a time to one host name.
    pub(crate) per_host: usize,
    /// … to one address.
    pub(crate) per_address: usize,
    /// … to one /24 or /48.
    pub(crate) per_network: usize,
    /// … to the hosts of one operator.
    pub(crate) per_provider: usize,
    /// … in all.
    pub(crate) in_flight: usize,
}

/// Hands out the right to connect. First come, first served, for each host, address, network and operator.
#[derive(Debug)]
pub(crate) struct Politeness {
    limits: Limits,
    hosts: Gates<Box<str>>,
    addresses: Gates<IpAddr>,
    networks: Gates<IpAddr>,
    providers: Gates<Box<str>>,
    in_flight: Arc<Semaphore>,
}

/// The right to have one connection; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _held: [Option<OwnedSemaphorePermit>; 5],
}

impl Politeness {
    /// Nothing is connected yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            hosts: Gates::default(),
            addresses: Gates::default(),
            networks: Gates::default(),
            providers: Gates::default(),
            in_flight: Arc::new(Semaphore::new(limits.in_flight.max(1))),
        }
    }

    /// Whether these are the limits.
    pub(crate) fn keeps_to(&self, limits: Limits) -> bool {
        self.limits == limits
    }

    /// Waits for the right to connect to an address of a host, which is its operator's by its name.
    pub(crate) async fn permit(&self, host: &str, address: IpAddr) -> Permit {
        self.permit_at(operator_of(host), host, address).await
    }

    /// Waits for the right to connect to an address of a host of an operator.
    ///
    /// The gates are passed from the narrow to the wide, always in this order, so that nobody waits in a circle: whoever
    /// waits for a busy host or address holds no place in its network, and so keeps no neighbour waiting.
    pub(crate) async fn permit_at(&self, operator: &str, host: &str, address: IpAddr) -> Permit {
        let network = network_of(address);
        let host = self.hosts.pass(host.into(), self.limits.per_host).await;
        let address = self.addresses.pass(address, self.limits.per_address).await;
        let network = self.networks.pass(network, self.limits.per_network).await;
        let provider = self.providers.pass(operator.into(), self.limits.per_provider).await;
        let in_flight = Arc::clone(&self.in_flight).acquire_owned().await.ok();
        Permit { _held: [host, address, network, provider, in_flight] }
    }
}

/// One semaphore a key, kept only while somebody holds or awaits it.
#[derive(Debug)]
struct Gates<K> {
    open: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K> Default for Gates<K> {
    fn default() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }
}

impl<K: Eq + Hash + Clone> Gates<K> {
    /// From this many gates on, those that nobody uses are swept out before another one is made.
    const SWEEP_ABOVE: usize = 1024;

    async fn pass(&self, key: K, limit: usize) -> Option<OwnedSemaphorePermit> {
        let gate = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.len() >= Self::SWEEP_ABOVE && !open.contains_key(&key) {
                // A gate is in use while a permit or a waiter holds a second reference to it.
                open.retain(|_, gate| Arc::strong_count(gate) > 1);
            }
            Arc::clone(open.entry(key).or_insert_with(|| Arc::new(Semaphore::new(limit.max(1)))))
        };
        // The semaphores are never closed, so this always gives a permit.
        gate.acquire_owned().await.ok()
    }
}

/// Who runs a host, as far as its name tells: the domain that was registered. Large providers have mail hosts in many networks.
pub(crate) fn operator_of(host: &str) -> &str {
    psl::domain_str(host).unwrap_or(host)
}

/// The /24 or /48 of an address, by its first address.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip4) => {
            let [a, b, c, _] = ip4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(ip6) => {
            let [a, b, c, ..] = ip6.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    const LIMITS: Limits = Limits { per_host: 1, per_address: 1, per_network: 2, per_provider: 3, in_flight: 4 };

    #[test]
    fn networks_are_24_and_48() {
        assert_eq!(network_of("192.0.2.77".parse().unwrap()), "192.0.2.0".parse::<IpAddr>().unwrap());
        assert_eq!(network_of("2001:db8:1:2::3".parse().unwrap()), "2001:db8:1::".parse::<IpAddr>().unwrap());
        assert_eq!(network_of("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.0".parse::<IpAddr>().unwrap());
    }

    /// The most connections at a time that `targets` reach under the limits.
    async fn most_at_once(targets: Vec<(String, IpAddr)>) -> usize {
        let politeness = Arc::new(Politeness::new(LIMITS));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = targets
            .into_iter()
            .map(|(host, address)| {
                let (politeness, now, most) = (Arc::clone(&politeness), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let _permit = politeness.permit(&host, address).await;
                    let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(count, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        most.load(Ordering::SeqCst)
    }

    #[tokio::test]
    async fn each_limit_holds() {
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let far = |net: u8| IpAddr::from([198, 51, net, 1]);
        let one_host = (1..9).map(|n| ("mx".to_owned(), far(n))).collect();
        assert_eq!(most_at_once(one_host).await, LIMITS.per_host);
        let one_address = (1..9).map(|n| (format!("mx{n}"), address(1))).collect();
        assert_eq!(most_at_once(one_address).await, LIMITS.per_address);
        let one_network = (1..9).map(|n| (format!("mx{n}"), address(n))).collect();
        assert_eq!(most_at_once(one_network).await, LIMITS.per_network);
        let one_operator = (1..9).map(|n| (format!("mx{n}.provider.example"), far(n))).collect();
        assert_eq!(most_at_once(one_operator).await, LIMITS.per_provider);
        let anywhere = (1..9).map(|n| (format!("mx{n}"), far(n))).collect();
        assert_eq!(most_at_once(anywhere).await, LIMITS.in_flight);
    }

    #[tokio::test]
    async fn gates_are_swept() {
        let gates: Gates<usize> = Gates::default();
        for key in 0..Gates::<usize>::SWEEP_ABOVE + 10 {
            drop(gates.pass(key, 1).await);
        }
        assert!(gates.open.lock().unwrap().len() <= Gates::<usize>::SWEEP_ABOVE);
    }
}
