//! What was seen, as plain data: facts only, no judgement.
//!
//! Every failure to look is a value here, and never the same value as "it is not there". An observation can be stored and
//! judged again later with the same result.

mod address;
mod certificate;
mod lookup;
mod observation;
mod policy;
mod report;
mod rua;
mod survey;
mod vantage;

pub use address::{AddressObservation, Phase, PhaseTimes, ProtocolFault, Said, SmtpOutcome};
pub use certificate::{CertificateFacts, ChainFacts, KeyFacts, PathToRoot, TlsFacts, TlsFailure, TlsVersion};
pub use lookup::{
    AddressLookup, Asked, ExtendedError, Lookup, LookupFailure, LookupOutcome, MxRecord, MxTarget, Security,
    SignatureFacts, TlsaLookup, TlsaObservation, TlsaRecord,
};
pub use observation::{DomainObservation, HostObservation, MxFacts, Observation};
pub use policy::{FetchFailure, FetchPhase, FetchTimes, HttpResponse, PolicyFetch, PolicyHostObservation};
pub use report::{Authentication, Provenance, Reporter, Transport};
pub use rua::{Nowhere, RuaObservation, RuaOutcome};
pub use survey::{CertificateSurvey, Handshake, Offer, TlsSurvey};
pub use vantage::{AnsweredHosts, ConnectFailure, DnssecSight, Family, Vantage};
