//! `man`: the manual, a page a command; and the reference of the command line in docs/. Both are made of the definition of the
//! arguments, so that they say what the program does.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command};
use clap_mangen::Man;

use super::{OK, USAGE, args, complain};

/// The flags of `man`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(after_help = "Examples:\n  \
    smtptls-exporter man | man -l -\n  \
    smtptls-exporter man --out /usr/local/share/man/man1\n\n\
    Exit status:\n  \
    2  the folder cannot be written\n  \
    0  otherwise")]
pub struct Manual {
    /// A folder for the pages of all commands; it is made where it is not there [default: the page of the program, to standard output]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Prints the page of the program, or writes those of all commands.
pub(super) fn run(arguments: &Manual) -> u8 {
    let written =
        pages(&args::definition()).map_err(|error| error.to_string()).and_then(|pages| match &arguments.out {
            None => Ok(pages.into_iter().next().map(|page| page.text)),
            Some(folder) => {
                write(folder, &pages).map(|()| None).map_err(|error| format!("{}: {error}", folder.display()))
            }
        });
    match written {
        Ok(Some(page)) => super::print(&page, OK),
        Ok(None) => OK,
        Err(message) => complain(&message, USAGE),
    }
}

fn write(folder: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|page| fs::write(folder.join(&page.file), &page.text))
}

/// A page of the manual.
struct Page {
    /// `smtptls-exporter-check.1`.
    file: String,
    /// In the language of man(7).
    text: String,
}

/// The files that the program reads and writes.
const FILES: &[(&str, &str)] = &[
    ("./smtptls-exporter.yml", "The configuration, unless --config.file names another one."),
    ("./data", "The state folder, unless --state.dir or state.dir of the configuration names another one."),
    ("STATE/incoming/", "What \"report ingest\" handed over and the monitor has not taken yet."),
];

/// The variables that it looks at.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("NO_COLOR", "If it is set, nothing is coloured. Without it there are colours on a terminal alone."),
    (
        "LC_ALL, LC_CTYPE, LANG",
        "The first of them that is set decides whether more than ASCII is printed: where it names UTF-8.",
    ),
];

/// What the numbers mean where a command says nothing else.
const EXIT_STATUS: &str = "0  all went well\n1  what was asked about is not as it should be\n2  wrong usage or configuration\n\
    3  something could not be looked at for a reason on this side";

const STANDARDS: &str = "RFC 8461 (MTA-STS), RFC 8460 (TLSRPT), RFC 7672 (DANE for SMTP), RFC 3207 (STARTTLS)";

/// The pages of the program and of every command below it, that of the program first.
fn pages(definition: &Command) -> io::Result<Vec<Page>> {
    let mut definition = definition.clone().disable_help_subcommand(true);
    definition.build();
    let commands = commands(&definition);
    let names: Vec<String> = commands.iter().map(|command| name(command)).collect();
    commands.iter().map(|command| page(command, &names)).collect()
}

/// A command and all below it, each before those below it.
fn commands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).flat_map(commands);
    std::iter::once(command).chain(below).collect()
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, names: &[String]) -> io::Result<Page> {
    let name = name(command);
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    // Each section brings it along.
    let sections = String::from_utf8(text).map_err(io::Error::other)?.replace(APOSTROPHES, "");
    let mut text = format!("{APOSTROPHES}{}{sections}", title(&name));
    let after = Afterword::of(command);
    if !after.notes.is_empty() {
        section(&mut text, "NOTES", &paragraphs(&after.notes));
    }
    let statuses = after.exit_status.as_deref().unwrap_or(EXIT_STATUS);
    section(&mut text, "EXIT STATUS", &as_it_stands(statuses));
    section(&mut text, "FILES", &list(FILES));
    section(&mut text, "ENVIRONMENT", &list(ENVIRONMENT));
    if let Some(examples) = &after.examples {
        section(&mut text, "EXAMPLES", &as_it_stands(examples));
    }
    let others = names.iter().filter(|other| **other != name).map(|other| format!("\\fB{}\\fR(1)", escaped(other)));
    let others = others.collect::<Vec<_>>().join(", ");
    section(&mut text, "SEE ALSO", &format!("{others}\n.PP\n{}\n", escaped(STANDARDS)));
    Ok(Page { file: format!("{name}.1"), text })
}

/// The head of a page. Its date is empty, so that one definition gives one page, whenever it is built.
fn title(name: &str) -> String {
    format!(
        ".TH \"{}\" \"1\" \"\" \"smtptls-exporter {}\" \"User Commands\"\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )
}

/// How the library writes an apostrophe that the formatter leaves alone.
const APOSTROPHES: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// What stands behind the flags in the help of a command, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Afterword {
    /// With the words that stand before the colon, where they say more than the title.
    exit_status: Option<String>,
    examples: Option<String>,
    notes: Vec<String>,
}

impl Afterword {
    fn of(command: &Command) -> Self {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut after = Self::default();
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            let (title, lines) = block.split_once('\n').unwrap_or((block, ""));
            let lines =
                || lines.lines().map(|line| line.strip_prefix("  ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
            if let Some(more) = title.strip_prefix("Exit status") {
                let more = more.trim_start_matches(", ").trim_end_matches(':');
                let before = if more.is_empty() { String::new() } else { format!("{more}:\n") };
                after.exit_status = Some(before + &lines());
            } else if title == "Examples:" {
                after.examples = Some(lines());
            } else {
                after.notes.push(block.to_owned());
            }
        }
        after
    }
}

fn section(page: &mut String, title: &str, body: &str) {
    page.push_str(&format!(".SH \"{title}\"\n{body}"));
    if !body.ends_with('\n') {
        page.push('\n');
    }
}

/// Lines that keep their breaks.
fn as_it_stands(text: &str) -> String {
    format!(".nf\n{}\n.fi\n", escaped(text))
}

fn paragraphs(texts: &[String]) -> String {
    texts.iter().map(|text| format!(".PP\n{}\n", escaped(text))).collect()
}

fn list(entries: &[(&str, &str)]) -> String {
    entries.iter().map(|(term, says)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(says))).collect()
}

/// Text in which man(7) finds no command of its own: a backslash, a line that begins with a dot or an apostrophe, and a hyphen, which
/// would become one that cannot be copied.
fn escaped(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The reference of the command line as a page in Markdown: the help of each command.
#[cfg(test)]
fn reference() -> String {
    use std::fmt::Write as _;
    /// As wide as a page of documentation.
    const WIDTH: usize = 100;
    let mut definition = args::definition().term_width(WIDTH).disable_help_subcommand(true);
    definition.build();
    let mut page = String::from(
        "# Command line\n\n<!-- Made from src/cli. Change it there; `SMTPTLS_BLESS=1 cargo test --lib cli` writes this file. -->\n\n\
         `smtptls-exporter man | man -l -` shows the manual, `smtptls-exporter man --out DIR` writes the pages of all commands.\n\
         `smtptls-exporter completions bash` (or zsh, fish, elvish, powershell) prints what a shell needs to complete a line.\n",
    );
    for command in commands(&definition) {
        let title = command.get_bin_name().unwrap_or_else(|| command.get_name());
        let help = command.clone().term_width(WIDTH).render_help().to_string();
        let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        let _ = write!(page, "\n## `{title}`\n\n```text\n{}\n```\n", help.trim_end());
    }
    page
}

#[cfg(test)]
mod tests {
    use std::process::Command as Program;

    use super::*;

    #[test]
    fn the_reference_is_the_one_in_docs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
        let page = reference();
        if std::env::var_os("SMTPTLS_BLESS").is_some() {
            fs::write(path, &page).unwrap();
        }
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/cli.md is not what the code says; write it with SMTPTLS_BLESS=1");
    }

    #[test]
    fn every_command_has_a_page_with_every_section() {
        let pages = pages(&args::definition()).unwrap();
        assert!(pages.len() > 8);
        assert_eq!(pages[0].file, "smtptls-exporter.1");
        assert!(pages.iter().any(|page| page.file == "smtptls-exporter-report-show.1"));
        for Page { file, text } in &pages {
            for title in
                ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "FILES", "ENVIRONMENT", "SEE ALSO"]
            {
                let found = text
                    .lines()
                    .filter(|line| **line == format!(".SH {title}") || **line == format!(".SH \"{title}\""));
                assert_eq!(found.count(), 1, "{title} of {file}:\n{text}");
            }
            assert!(text.contains("NO_COLOR"), "{file}");
            assert_eq!(text.matches(APOSTROPHES).count(), 1, "{file}");
            assert!(!text.contains("EXTRA"), "{file}");
        }
        assert!(pages[0].text.contains(".SH \"EXAMPLES\"\n"));
        let check = &pages.iter().find(|page| page.file == "smtptls-exporter-check.1").unwrap().text;
        assert!(check.contains("the first that applies:\n2  wrong usage"), "{check}");
    }

    #[test]
    fn what_stands_behind_the_flags_is_taken_apart() {
        let command =
            Command::new("x").after_help("A note.\nMore.\n\nExamples:\n  x -y\n    z\n\nExit status:\n  0  well");
        let expected = Afterword {
            exit_status: Some("0  well".to_owned()),
            examples: Some("x -y\n  z".to_owned()),
            notes: vec!["A note.\nMore.".to_owned()],
        };
        assert_eq!(Afterword::of(&command), expected);
        assert_eq!(Afterword::of(&Command::new("x")), Afterword::default());
    }

    #[test]
    fn text_gives_the_formatter_no_commands() {
        assert_eq!(escaped(".so /etc/passwd\n'x\na\\fB -"), "\\&.so /etc/passwd\n\\&'x\na\\efB \\-");
    }

    /// Where man-db is installed: else it says that it was skipped.
    #[test]
    fn the_formatter_warns_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let pages = pages(&args::definition()).unwrap();
        write(folder.path(), &pages).unwrap();
        for page in &pages {
            let mut man = Program::new("man");
            man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(folder.path().join(&page.file));
            let Ok(output) = man.env("MANROFFSEQ", "").env("MANWIDTH", "80").output() else {
                eprintln!("skipped: there is no man here");
                return;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{}: {said}", page.file);
        }
    }
}
