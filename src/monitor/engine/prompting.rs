//! The keeper and those who wait for a look: what they asked for is due at once, and each hears when all of it was looked at.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Keeper, Target};
use crate::{
    monitor::prompt::{Awaited, Order, Progress, PromptError, REST, Stage},
    net::now,
    terms::PolicyDomain,
};

/// What was asked for at one time. Who asks for the same within the rest has the same wish; who comes later wants a look that is
/// later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    domain: PolicyDomain,
    /// Nothing that is known from before may be used.
    anew: bool,
    asked: Instant,
}

/// What no longer counts is swept out after this time: whoever orders again and again does not make the keeper go through all of it
/// each time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    open: BTreeMap<Wish, Open>,
    /// What was looked at shortly ago.
    recent: HashMap<Target, Look>,
    swept_at: Option<Instant>,
}

/// All who wait for the same.
#[derive(Debug)]
struct Open {
    /// What was looked at since, and whether the look brought something.
    looked: HashMap<Target, bool>,
    /// Something was looked at that they have not heard of yet.
    touched: bool,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    began: Instant,
    anew: bool,
    brought: bool,
}

impl Look {
    /// Whether it tells what somebody wants to know who asked at this moment.
    fn counts(&self, target: &Target, asked: Instant, anew: bool) -> bool {
        // To an address every look is a new connection.
        let fits = !anew || self.anew || matches!(target, Target::Address(..));
        fits && self.began + REST >= asked
    }
}

impl Prompts {
    /// Those who do not wait any more are forgotten, and looks that no longer count.
    fn sweep(&mut self) {
        self.open.retain(|_, open| open.progress.receiver_count() > 0);
        let time = Instant::now();
        if self.swept_at.is_some_and(|swept_at| time.saturating_duration_since(swept_at) < SWEEP_EVERY) {
            return;
        }
        self.swept_at = Some(time);
        self.recent.retain(|_, look| time.saturating_duration_since(look.began) < REST);
    }

    /// The wish that whoever asks now for this shares with others; a new one where the last is older than the rest.
    fn wish(&self, domain: PolicyDomain, anew: bool) -> Wish {
        let new = Wish { domain, anew, asked: Instant::now() };
        let last = self.open.range(..=&new).next_back().map(|(wish, _)| wish);
        let same = |last: &&Wish| last.domain == new.domain && last.anew == anew && last.asked + REST >= new.asked;
        last.filter(same).cloned().unwrap_or(new)
    }

    /// The domains that somebody waits for.
    pub(super) fn wished(&self) -> impl Iterator<Item = &PolicyDomain> {
        self.open.keys().map(|wish| &wish.domain)
    }

    /// After this everybody is told anew.
    pub(super) fn touch_all(&mut self) {
        for open in self.open.values_mut() {
            open.touched = true;
        }
    }

    /// Whether the target was looked at for them, or so shortly ago that it is not asked again. `spared`: a program that asks again
    /// and again has to be content with what is known of it.
    fn settle(&mut self, wish: &Wish, target: &Target, spared: bool) -> bool {
        let Some(open) = self.open.get_mut(wish) else { return true };
        if open.looked.contains_key(target) {
            return true;
        }
        if spared && !wish.anew {
            open.looked.insert(target.clone(), true);
            open.touched = true;
            return true;
        }
        let look = self.recent.get(target).filter(|look| look.counts(target, wish.asked, wish.anew));
        if let Some(look) = look {
            open.looked.insert(target.clone(), look.brought);
            open.touched = true;
        }
        look.is_some()
    }
}

impl Keeper {
    /// Somebody wants a domain to be looked at now.
    pub(super) fn order(&mut self, Order { domain, anew, answer }: Order) {
        self.prompts.sweep();
        let wish = self.prompts.wish(domain, anew);
        let Some(targets) = self.fleet.targets(&wish.domain) else {
            // Whoever asked may have gone.
            let _ = answer.send(Err(PromptError::NotConfigured));
            return;
        };
        if let Some(open) = self.prompts.open.get(&wish) {
            let _ = answer.send(Ok(open.progress.subscribe()));
            return;
        }
        let missing = targets.iter().filter_map(Awaited::of).collect();
        let part = self.publisher.borrow().part(&wish.domain);
        let first = Progress { stage: Stage::Looking, snapshot: Arc::new(part), missing };
        let (progress, heard) = watch::channel(first);
        let open = Open { looked: HashMap::new(), touched: true, progress };
        self.prompts.open.insert(wish.clone(), open);
        self.demand(&wish);
        // What was looked at and is not published yet is told with the publication.
        if self.publish_at.is_none() {
            self.answer_prompts();
        }
        let _ = answer.send(Ok(heard));
    }

    /// A look ended: those who wait for it wait for the rest, and for what it showed to be there as well.
    pub(super) fn note_look(&mut self, target: Target, began: Instant, anew: bool, brought: bool) {
        let concerned = |wish: &&Wish| self.fleet.concerns(&wish.domain, &target);
        let concerned: Vec<Wish> = self.prompts.open.keys().filter(concerned).cloned().collect();
        self.prompts.recent.insert(target, Look { began, anew, brought });
        for wish in concerned {
            self.demand(&wish);
        }
    }

    /// Makes all due that has to be looked at for them. What is under way is left: it counts where it begins after they asked, and
    /// else is due again when it ends.
    fn demand(&mut self, wish: &Wish) {
        let time = Instant::now();
        for target in self.fleet.targets(&wish.domain).unwrap_or_default() {
            let spared = self.fleet.turned_away(&target);
            if self.prompts.settle(wish, &target, spared) || !self.schedule.ask(&(&target).into(), time) {
                continue;
            }
            if let Target::Domain(domain) = &target {
                self.fleet.set_due(domain, now());
            }
        }
    }

    /// Whether somebody waits for a look at the target who wants nothing from before.
    pub(super) fn is_wanted_anew(&self, target: &Target) -> bool {
        let wants = |(wish, open): (&Wish, &Open)| {
            wish.anew && !open.looked.contains_key(target) && self.fleet.concerns(&wish.domain, target)
        };
        self.prompts.open.iter().any(wants)
    }

    /// After a publication: tells everybody what is there by now.
    pub(super) fn answer_prompts(&mut self) {
        self.prompts.sweep();
        let snapshot = Arc::clone(&self.publisher.borrow());
        let fleet = &self.fleet;
        self.prompts.open.retain(|Wish { domain, .. }, open| {
            // What was looked at and is not judged yet is told with the publication that shows it.
            if fleet.is_open(domain) || !std::mem::take(&mut open.touched) {
                return true;
            }
            let Some(targets) = fleet.targets(domain) else {
                let gone = Progress { stage: Stage::Gone, snapshot: Arc::default(), missing: Vec::new() };
                open.progress.send_replace(gone);
                return false;
            };
            let over = targets.iter().all(|target| open.looked.contains_key(target));
            let seen = |target: &&Target| open.looked.get(*target).copied().unwrap_or(false);
            let missing = targets.iter().filter(|target| !seen(target)).filter_map(Awaited::of).collect();
            let stage = if over { Stage::Over } else { Stage::Looking };
            // The whole would be held for as long as somebody waits: one more for each that was published meanwhile.
            open.progress.send_replace(Progress { stage, snapshot: Arc::new(snapshot.part(domain)), missing });
            !over
        });
    }
}
