//! The progress bar of a command with much to do.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error. It shows only on a terminal, and only where there is more than one thing to wait for.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many things. `doing`: what is done with each.
    pub fn new(doing: &str, things: usize, unicode: bool) -> Self {
        // indicatif draws nothing where standard error is no terminal.
        let target = if things > 1 { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(u64::try_from(things).ok(), target);
        let style = ProgressStyle::with_template(&format!("{doing} {{bar:30}} {{pos}} of {{len}}  {{wide_msg}}"))
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars(if unicode { "━╸─" } else { "=>-" }));
        Self(bar)
    }

    /// One more is done. The name stands beside the bar: it must be harmless on a terminal.
    pub fn ended(&self, name: &str) {
        self.0.set_message(name.to_owned());
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
        let progress = Progress::new("checking", 2, true);
        progress.ended("example.com");
        assert_eq!((progress.0.position(), progress.0.length()), (1, Some(2)));
        progress.clear();
        assert!(Progress::new("checking", 1, false).0.is_hidden());
    }
}
