//! What all peers share: how every domain stands at present. They look at it anew with each connection.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use super::{
    DemoError,
    authority::Authority,
    many::Many,
    network::Addresses,
    picture::{Answer, Picture},
    smtp::Manner,
    zone::Zone,
};

/// The stage.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) authority: Authority,
    pub(super) addresses: Addresses,
    many: Many,
    scene: RwLock<Scene>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Scene {
    pictures: BTreeMap<&'static str, Picture>,
    zone: Zone,
    sites: HashMap<String, Site>,
    hosts: HashMap<Ipv4Addr, Arc<Manner>>,
}

/// What a policy host serves under one name.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) certificate: Arc<CertifiedKey>,
    pub(super) answer: Answer,
}

impl Stage {
    /// An empty one.
    pub(super) fn new(authority: Authority, addresses: Addresses, many: Many) -> Result<Self, DemoError> {
        let scene = Scene::new(BTreeMap::new(), many, &addresses, &authority)?;
        Ok(Self { authority, addresses, many, scene: RwLock::new(scene), changed: watch::Sender::new(()) })
    }

    /// From now on these domains stand like this; the others as before.
    pub(super) fn show(&self, pictures: impl IntoIterator<Item = Picture>) -> Result<(), DemoError> {
        let mut all = self.scene.read().unwrap_or_else(PoisonError::into_inner).pictures.clone();
        all.extend(pictures.into_iter().map(|picture| (picture.name, picture)));
        let scene = Scene::new(all, self.many, &self.addresses, &self.authority)?;
        *self.scene.write().unwrap_or_else(PoisonError::into_inner) = scene;
        self.changed.send_replace(());
        Ok(())
    }

    /// How a domain stands.
    pub(super) fn picture(&self, name: &str) -> Option<Picture> {
        self.scene.read().unwrap_or_else(PoisonError::into_inner).pictures.get(name).cloned()
    }

    /// Tells when something was changed.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Lets somebody look into the DNS.
    pub(super) fn with_zone<T>(&self, look: impl FnOnce(&Zone) -> T) -> T {
        look(&self.scene.read().unwrap_or_else(PoisonError::into_inner).zone)
    }

    /// What a policy host serves under this name; nothing where it knows the name not.
    pub(super) fn site(&self, name: &str) -> Option<Site> {
        let known = self.scene.read().unwrap_or_else(PoisonError::into_inner).sites.get(name).cloned();
        known.or_else(|| {
            let (certificate, text) = self.many.policy_host(name)?;
            match self.authority.issue(&certificate) {
                Ok(certificate) => Some(Site { certificate, answer: Answer::Policy(text) }),
                Err(error) => {
                    tracing::error!(name, %error, "no certificate for a policy host");
                    None
                }
            }
        })
    }

    /// How the mail host at this address behaves; nothing where nobody uses it at present.
    pub(super) fn host(&self, address: Ipv4Addr) -> Option<Arc<Manner>> {
        self.scene.read().unwrap_or_else(PoisonError::into_inner).hosts.get(&address).cloned()
    }
}

impl Scene {
    fn new(
        pictures: BTreeMap<&'static str, Picture>,
        many: Many,
        addresses: &Addresses,
        authority: &Authority,
    ) -> Result<Self, DemoError> {
        let zone = Zone::new(pictures.values(), many, addresses, authority)?;
        let (mut sites, mut hosts) = (HashMap::new(), HashMap::new());
        for picture in pictures.values() {
            if let Some(host) = &picture.policy_host {
                let certificate = authority.issue(&host.certificate)?;
                sites.insert(format!("mta-sts.{}", picture.name), Site { certificate, answer: host.answer.clone() });
            }
            for host in &picture.hosts {
                if let Some(address) = addresses.of(&host.name) {
                    hosts.insert(address, Arc::new(Manner::new(host, authority)?));
                }
            }
        }
        for name in many.hosts() {
            if let Some(address) = addresses.of(&name) {
                hosts.insert(address, Arc::new(Manner::new(&super::picture::MailHost::good(&name), authority)?));
            }
        }
        Ok(Self { pictures, zone, sites, hosts })
    }
}
