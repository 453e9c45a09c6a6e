//! The policy, from one address of its host.

use std::time::Duration;

use super::{LineKind, Section, Step, tls::presented};
use crate::{
    facts::{FetchFailure, FetchPhase, HttpResponse, PolicyFetch, PolicyHostObservation},
    terms::{Octets, Timestamp},
    verdict::PolicyAssessment,
};

/// More lines of a body are no policy any more, and nobody reads them.
const LINES_MOST: usize = 100;

/// One fetch.
pub(super) fn fetch(host: &PolicyHostObservation, seen: &PolicyFetch, judged: &PolicyAssessment) -> Section {
    let times = seen.times;
    let mut clock = Clock { at: seen.at - times.total() };
    let failed = seen.failure.as_ref().map(phase);
    let mut steps = Vec::new();
    let mut add = |phase: FetchPhase, took: Option<Duration>, title: &str, say: &dyn Fn(&mut Step)| {
        if took.is_none() && failed != Some(phase) {
            return;
        }
        let mut step = clock.step(title, took);
        say(&mut step);
        if let (Some(failure), true) = (&seen.failure, failed == Some(phase)) {
            step.say(LineKind::Bad, failure.to_string());
        }
        steps.push(step);
    };
    add(FetchPhase::Connect, times.connect, "connect", &|_| {});
    add(FetchPhase::Tls, times.tls, &format!("TLS handshake, SNI {}", host.host), &|step| {
        if let Some(tls) = &seen.tls {
            presented(step, tls, judged.certificate.as_ref());
        }
    });
    add(FetchPhase::Processing, times.processing, "request", &|step| {
        step.say(LineKind::Sent, "GET /.well-known/mta-sts.txt HTTP/1.1");
        step.say(LineKind::Sent, format!("Host: {}", host.host));
        if let Some(response) = &seen.response {
            head(step, response);
        }
    });
    add(FetchPhase::Transfer, times.transfer, "body", &|step| {
        if let Some(response) = &seen.response {
            body(step, response);
        }
    });
    let verdict = judged.addresses.iter().find(|(address, _, _)| *address == seen.address);
    if let Some((_, ok, error)) = verdict {
        let mut step = Step::new("what it is worth");
        match (ok, error) {
            (true, _) => step.say(LineKind::Good, "a policy that senders can use"),
            (false, Some(error)) => step.say(LineKind::Bad, error),
            (false, None) => step.say(LineKind::Bad, "no policy that senders can use"),
        }
        steps.push(step);
    }
    Section { title: format!("The policy from {} [{}]", host.host, seen.address), steps }
}

/// Where the time goes on from.
struct Clock {
    at: Timestamp,
}

impl Clock {
    fn step(&mut self, title: &str, took: Option<Duration>) -> Step {
        let step = Step { at: Some(self.at), took, ..Step::new(title) };
        self.at = self.at + took.unwrap_or_default();
        step
    }
}

const fn phase(failure: &FetchFailure) -> FetchPhase {
    match failure {
        FetchFailure::Connect(_) => FetchPhase::Connect,
        FetchFailure::Timeout(phase) | FetchFailure::Http { phase, .. } => *phase,
        FetchFailure::Tls(_) => FetchPhase::Tls,
        FetchFailure::TooLarge => FetchPhase::Transfer,
    }
}

fn head(step: &mut Step, response: &HttpResponse) {
    step.say(LineKind::Received, format!("status {}", response.status));
    let fields: [(&str, &Option<Octets>); 3] = [
        ("Content-Type", &response.content_type),
        ("Content-Encoding", &response.content_encoding),
        ("Location", &response.location),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            step.say(LineKind::Received, format!("{name}: {value}"));
        }
    }
    if let Some(age) = response.age {
        step.say(LineKind::Received, format!("Age: {age}"));
    }
    if let Some(age) = response.cache_max_age {
        step.say(LineKind::Received, format!("Cache-Control: max-age={age}"));
    }
}

fn body(step: &mut Step, response: &HttpResponse) {
    if response.status != 200 {
        return step.say(LineKind::Note, "the body of an answer other than 200 is not kept");
    }
    let bytes = response.body.as_bytes();
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let lines: Vec<String> = lines.map(|line| Octets(line.to_vec()).to_string()).collect();
    let shown = lines.strip_suffix(&[String::new()]).unwrap_or(&lines);
    for line in shown.iter().take(LINES_MOST) {
        // A line without a letter is a line all the same.
        step.say(LineKind::Received, if line.is_empty() { " " } else { line });
    }
    if shown.len() > LINES_MOST {
        step.say(LineKind::Note, format!("and {} lines more", shown.len() - LINES_MOST));
    }
    step.say(LineKind::Note, format!("{} bytes", bytes.len()));
}
