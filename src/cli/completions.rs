//! `completions`: what a shell needs to complete a line of this program.

use clap::{Arg, Args, Command};
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
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // The library takes the hyphen in our name for the border of a command, in one of the two places where it names a command.
        Shell::Bash => script.replace("smtptls__subcmd__exporter", "smtptls__exporter"),
        Shell::Fish => with_dotted_flags(script, &definition),
        _ => script,
    }
}

/// Fish looks for the command of a line with its argparse, whose options have no dots: with a flag such as --config.file it finds none, and
/// completes nothing. So the script looks for it by itself.
fn with_dotted_flags(script: String, definition: &Command) -> String {
    let (begin, end) = ("# Print an optspec for argparse", "function __fish_smtptls_exporter_using_subcommand");
    let (Some(begin), Some(end)) = (script.find(begin), script.find(end)) else { return script };
    let (Some(before), Some(after)) = (script.get(..begin), script.get(end..)) else { return script };
    let takes_value = definition.get_arguments().filter(|flag| flag.get_action().takes_values());
    let names: Vec<String> = takes_value.filter_map(Arg::get_long).map(|name| format!("--{name}")).collect();
    format!("{before}{}{after}", SEARCH.replace("FLAGS", &names.join(" ")))
}

/// Prints the command of the line, if it has one already.
const SEARCH: &str = "\
function __fish_smtptls_exporter_needs_command
    set -l words (commandline -opc)
    set -e words[1]
    set -l is_value no
    for word in $words
        if test $is_value = yes
            set is_value no
            continue
        end
        switch $word
            # These have their value behind them.
            case FLAGS
                set is_value yes
            case '-*'
                continue
            case '*'
                echo $word
                return 1
        end
    end
    return 0
end

";

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
                "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; \
                 _smtptls__exporter smtptls-exporter \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at}-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
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
        assert_eq!(complete("smtptls-exporter serve --web.lis", 2).unwrap(), "--web.listen-address");
        assert_eq!(complete("smtptls-exporter config sch", 2).unwrap(), "schema");
    }

    #[test]
    fn fish_completes_behind_flags_with_dots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("completions.fish");
        std::fs::write(&path, script(Shell::Fish)).unwrap();
        let complete = |line: &str| {
            let line = format!("source {}; complete -C '{line}'", path.display());
            let output =
                Program::new("fish").args(["--no-config", "-c", &line]).current_dir(folder.path()).output().ok()?;
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            Some(said.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect::<Vec<_>>())
        };
        let Some(commands) = complete("smtptls-exporter heal") else {
            eprintln!("skipped: there is no fish here");
            return;
        };
        assert_eq!(commands, ["healthcheck"]);
        for (line, expected) in [
            ("smtptls-exporter check --fail", "--fail-on"),
            ("smtptls-exporter --config.file a.yml check --qui", "--quick"),
            ("smtptls-exporter --log.format=json config sch", "schema"),
            ("smtptls-exporter serve --web.lis", "--web.listen-address"),
        ] {
            assert_eq!(complete(line).unwrap(), [expected], "{line}");
        }
    }
}
