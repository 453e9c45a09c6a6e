//! What scrapes show of one subject, made once for each change of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DomainState, HostState};
use crate::facts::Vantage;

/// What scrapes show of one domain or mail host.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// In the form that the [`Renderer`] alone knows.
    pub bytes: Box<[u8]>,
    /// How many series they are.
    pub series: u32,
}

impl Rendered {
    /// Whether there are no more series than bytes: each takes one at least. Another number is damage.
    pub fn is_plausible(&self) -> bool {
        usize::try_from(self.series).is_ok_and(|series| series <= self.bytes.len())
    }
}

/// Makes of what was judged what scrapes show of it. The monitor calls it at each change and keeps what it gives beside the subject,
/// also over a restart. Pure: the same state gives the same bytes.
pub trait Renderer: fmt::Debug + Send + Sync {
    /// What is shown of a domain.
    fn domain(&self, state: &DomainState, vantage: &Vantage) -> Rendered;

    /// What is shown of a mail host.
    fn host(&self, state: &HostState, vantage: &Vantage) -> Rendered;

    /// Another number whenever the same state would be shown otherwise: what was kept under another one is not used.
    fn fingerprint(&self) -> u64;
}

/// For a monitor that nobody scrapes: nothing is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unrendered;

impl Renderer for Unrendered {
    fn domain(&self, _: &DomainState, _: &Vantage) -> Rendered {
        Rendered::default()
    }

    fn host(&self, _: &HostState, _: &Vantage) -> Rendered {
        Rendered::default()
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendered({} bytes, {} series)", self.bytes.len(), self.series)
    }
}
