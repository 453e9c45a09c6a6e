//! Blocks of judged states: rendered once, when a state is judged.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    block::Writer,
    domain,
    extent::Extent,
    host,
    registry::{Sight, Subject},
};
use crate::{
    facts::Vantage,
    monitor::{DomainState, HostState, Rendered, Renderer},
};

/// Makes the blocks, by the extent that is in force. [`Exposition`](super::Exposition) reads the same.
#[derive(Debug)]
pub struct Blocks {
    extent: ArcSwap<Extent>,
}

impl Blocks {
    /// Blocks of this extent.
    pub fn new(extent: impl Into<Extent>) -> Arc<Self> {
        Arc::new(Self { extent: ArcSwap::from_pointee(extent.into()) })
    }

    /// From now on blocks are of this extent: before the settings that it is of are put in force. Returns the one before.
    pub fn set(&self, extent: impl Into<Extent>) -> Extent {
        Arc::unwrap_or_clone(self.extent.swap(Arc::new(extent.into())))
    }

    /// The extent in force.
    pub(super) fn extent(&self) -> Arc<Extent> {
        self.extent.load_full()
    }
}

impl Renderer for Blocks {
    fn domain(&self, state: &DomainState, vantage: &Vantage) -> Rendered {
        self.extent.load().domain(state, vantage)
    }

    fn host(&self, state: &HostState, vantage: &Vantage) -> Rendered {
        self.extent.load().host(state, vantage)
    }

    fn fingerprint(&self) -> u64 {
        self.extent.load().fingerprint()
    }
}

impl Extent {
    /// The block of a domain.
    pub(super) fn domain(&self, state: &DomainState, vantage: &Vantage) -> Rendered {
        let sight = Sight::of(vantage);
        let mut block = Writer::new(Subject::Domain, state.domain.as_str(), false);
        for (index, row) in domain::rows().enumerate().filter(|(_, row)| self.exports(&row.family)) {
            block.family(index);
            row.write(state, sight, self.level(), &mut block);
        }
        block.finish()
    }

    /// The block of a mail host.
    pub(super) fn host(&self, state: &HostState, vantage: &Vantage) -> Rendered {
        let sight = Sight::of(vantage);
        let one_for_all = self.one_for_all(state);
        let mut block = Writer::new(Subject::Host, state.host.as_str(), one_for_all);
        let addresses: Vec<String> = state.paths.iter().map(|path| path.address.to_string()).collect();
        for (index, row) in host::ROWS.iter().enumerate().filter(|(_, row)| self.exports(&row.family)) {
            block.family(index);
            match one_for_all {
                true => row.write_worst(state, sight, self.level(), &mut block),
                false => row.write(state, &addresses, sight, self.level(), &mut block),
            }
        }
        block.finish()
    }
}
