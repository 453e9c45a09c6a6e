//! The progress bar of a check of several domains.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terms::PolicyDomain;

/// A bar on standard error. It shows only on a terminal, and only where there is more than one domain to wait for.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many domains.
    pub fn new(domains: usize, unicode: bool) -> Self {
        // indicatif draws nothing where standard error is no terminal.
        let target = if domains > 1 { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(u64::try_from(domains).ok(), target);
        let style = ProgressStyle::with_template("checking {bar:30} {pos} of {len}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars(if unicode { "━╸─" } else { "=>-" }));
        Self(bar)
    }

    /// One domain more is done.
    pub fn ended(&self, domain: &PolicyDomain) {
        self.0.set_message(domain.to_string());
        self.0.inc(1);
    }

    /// Takes the bar off the screen.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_ended() {
        let progress = Progress::new(2, true);
        progress.ended(&PolicyDomain::parse("example.com").unwrap());
        assert_eq!((progress.0.position(), progress.0.length()), (1, Some(2)));
        progress.clear();
        assert!(Progress::new(1, false).0.is_hidden());
    }
}
