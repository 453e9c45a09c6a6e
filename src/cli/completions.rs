//! `completions`: what a shell needs to complete a line of this program.

use clap::Args;
use clap_complete::Shell;

use super::{OK, args, print};

/// The flags of `completions`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "Examples:\n  \
    smtptls-exporter completions bash > /usr/local/share/bash-completion/completions/smtptls-exporter\n  \
    smtptls-exporter completions zsh > /usr/local/share/zsh/site-functions/_smtptls-exporter\n  \
    smtptls-exporter completions fish > ~/.config/fish/completions/smtptls-exporter.fish")]
pub struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Prints the script.
pub(super) fn run(arguments: &Completions) -> u8 {
    print(&script(arguments.shell), OK)
}

fn script(shell: Shell) -> String {
    let mut definition = args::definition();
    let name = definition.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, name, &mut script);
    // Names and helps are texts of this program.
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, process::Command as Program};

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_knows_the_commands_and_flags() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for word in ["check", "healthcheck", "fail-on", "web.listen-address"] {
                assert!(script.contains(word), "{word} in that of {shell}");
            }
        }
    }

    /// What is not installed is said to be skipped.
    #[test]
    fn the_shells_load_it() {
        for (shell, program, check) in
            [(Shell::Bash, "bash", "-n"), (Shell::Zsh, "zsh", "-n"), (Shell::Fish, "fish", "--no-execute")]
        {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(script(shell).as_bytes()).unwrap();
            let Ok(output) = Program::new(program).arg(check).arg(file.path()).output() else {
                eprintln!("skipped: there is no {program} here");
                continue;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{program}: {said}");
        }
    }

    #[test]
    fn bash_completes_a_command_and_a_flag() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(script(Shell::Bash).as_bytes()).unwrap();
        let complete = |words: &str, at: usize| {
            let line = format!(
                "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; _smtptls__exporter smtptls-exporter; echo \"${{COMPREPLY[@]}}\"",
                file.path().display()
            );
            Program::new("bash").args(["--norc", "-c", &line]).output().ok().map(|output| {
                String::from_utf8_lossy(&output.stdout).trim().to_owned() + &String::from_utf8_lossy(&output.stderr)
            })
        };
        let Some(commands) = complete("smtptls-exporter heal", 1) else {
            eprintln!("skipped: there is no bash here");
            return;
        };
        assert_eq!(commands, "healthcheck");
        assert_eq!(complete("smtptls-exporter check --fail", 2).unwrap(), "--fail-on");
    }
}
