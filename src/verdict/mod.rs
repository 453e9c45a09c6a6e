//! The judgement: facts, history and expectation in, findings and delivery out. No I/O, no clock: `now` is an argument.

mod assessment;
mod case;
mod change;
mod check;
mod code;
mod dane;
mod dane_reach;
mod delivery;
mod expectation;
mod finding;
mod fixer;
mod history;
mod host_pattern;
mod judge;
mod outlook;
mod path;
mod policy_view;
mod reach;
mod readiness;
pub mod reports;
mod rules;
mod severity;
pub mod suggest;
mod table;
mod words;

pub use assessment::{
    AddressAssessment, Assessment, CertificateAssessment, DnssecStates, MxAssessment, PathAssessment, PolicyAssessment,
    RecordAssessment, Senders, StarttlsState, TlsRptAssessment,
};
pub use change::{Change, ChangeKind, ChangeSubject};
pub use check::{Check, SubjectKind};
pub use code::known_codes;
pub use dane::{DaneWord, HostDane};
pub use dane_reach::DaneReach;
pub use delivery::{Enforcement, Kinds, Outcome, PathCounts, Reason, SenderState, State};
pub use expectation::{
    Acceptance, CertificateThreshold, EnforceThresholds, Expectation, ExpectedMode, Share, Thresholds,
};
pub use finding::{Finding, Subject};
pub use fixer::Fixer;
pub use history::{
    AddressHistory, DomainEvidence, DomainHistory, FetchDay, FindingMemory, History, HostHistory, LookupHistory, Pace,
    RuaHistory, SeenCertificate, SeenMode, SeenMxHost, SeenTlsa, Streak, Tally,
};
pub use host_pattern::HostPattern;
pub use judge::{Context, judge};
pub use outlook::{HeldPolicy, HistoryAssessment, PlannedEffect, PlannedMx, SafeToRemove};
pub use path::{PathContext, assess_path};
pub use policy_view::discovered_policy;
pub use reach::Reach;
pub(crate) use readiness::is_told;
pub use readiness::{EnforceCondition, EnforceReadiness};
pub use reports::{
    Advice, CELLS_OF_A_DAY_MOST, Cell, Contribution, Counter, CounterKey, Counters, DAYS_KEPT, DomainReports,
    HeldVersion, Measure, NEWBORN_FOR, NewFailure, Novelty, OwnView, POLICIES_OF_A_DAY_MOST, REPORTERS_OF_A_DAY_MOST,
    ReportedFailure, ReporterDay, ReporterStanding, ReportsAssessment, SESSIONS_MOST, SessionTally, Sessions, advice,
    excess, increments, largest, policy_print, session_tally,
};
pub use severity::Severity;
pub use table::{Code, Row};

pub use crate::{
    facts::Security,
    protocol::{dane::TlsaStatus, mta_sts::Certainty},
};
