//! The arguments: commands, flags and their help. The names of flags are those that users of Prometheus know.

use std::{ffi::OsString, path::PathBuf, sync::LazyLock, time::Duration};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, error::ErrorKind};

use super::{
    completions::Completions,
    config::ConfigCommand,
    logging::{Format as LogFormat, Level},
    manual::Manual,
    policy::PolicyCommand,
    report::ReportCommand,
    tlsa::TlsaCommand,
};
use crate::{
    demo::DOMAINS_MOST,
    present::explain,
    terms::PolicyDomain,
    verdict::{Code, Severity},
    web::{ExternalUrl, ListenAddress, MetricsPath, RoutePrefix},
};

/// The version with what is known of the build.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} (revision {}, {}/{})",
        env!("CARGO_PKG_VERSION"),
        option_env!("SMTPTLS_REVISION").unwrap_or("unknown"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
});

/// Monitors the transport security of e-mail: MTA-STS, STARTTLS certificates, TLSRPT.
#[derive(Debug, Parser)]
#[command(
    name = "smtptls-exporter",
    version = VERSION.as_str(),
    max_term_width = 100,
    after_help = "Without a command the program runs the monitor, as with serve.\n\nExamples:\n  \
        smtptls-exporter check example.com                 one full check now\n  \
        smtptls-exporter --domain example.com              the monitor, metrics at :10461/metrics\n  \
        smtptls-exporter --config.file smtptls-exporter.yml"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Validate the configuration and exit; the same as "config check"
    #[arg(long = "config.check")]
    config_check: bool,
    #[command(flatten)]
    serve: Serve,
    #[command(flatten)]
    common: Common,
}

/// What every command takes, before or after its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The configuration [default: ./smtptls-exporter.yml if it exists]
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,
    /// Where serve keeps what it knows [default: state.dir, ./data]; check reads it where it is given
    #[arg(long = "state.dir", value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,
    /// What is logged [default: info; warn for commands other than serve]
    #[arg(long = "log.level", value_name = "LEVEL", global = true)]
    pub log_level: Option<Level>,
    /// How it is logged
    #[arg(long = "log.format", value_name = "FORMAT", global = true, default_value = "logfmt")]
    pub log_format: LogFormat,
}

/// What the program is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
#[non_exhaustive]
pub enum Command {
    /// Run the monitor: probe the domains again and again, serve their metrics
    Serve(Serve),
    /// Check domains once, now, and say what happens to their mail
    Check(Check),
    /// Suggest the MTA-STS policy of a domain, or look for faults in a policy file
    Policy {
        /// What with it.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Suggest the TLSA records of a mail host
    Tlsa {
        /// What with them.
        #[command(subcommand)]
        command: TlsaCommand,
    },
    /// Show TLS reports (RFC 8460), or hand them to the monitor
    Report {
        /// What with them.
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// Validate or show the configuration
    Config {
        /// What about it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Run the monitor against a small mail world inside the process, to try it out
    Demo(DemoArguments),
    /// Ask the monitor on this host whether it is alive (for container images without a shell)
    Healthcheck(Healthcheck),
    /// Print what a shell needs to complete a line
    Completions(Completions),
    /// Show the manual, or write the pages of all commands
    Man(Manual),
}

/// The flags of `serve`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "The monitor")]
pub struct Serve {
    /// A domain to monitor; may be repeated, and is added to those of the configuration
    #[arg(long = "domain", value_name = "DOMAIN", value_parser = domain)]
    pub domains: Vec<PolicyDomain>,
    /// Where to listen; may be repeated [default: :10461]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Vec<ListenAddress>,
    /// Listen on the sockets that systemd hands over, and on no other
    #[arg(long = "web.systemd-socket", conflicts_with = "listen")]
    pub systemd_socket: bool,
    /// Where the metrics are [default: /metrics]
    #[arg(long = "web.telemetry-path", value_name = "PATH")]
    pub telemetry_path: Option<MetricsPath>,
    /// Where browsers find the monitor, behind a proxy: its path goes before every link, and before every path that is asked unless
    /// --web.route-prefix says another one
    #[arg(long = "web.external-url", value_name = "URL")]
    pub external_url: Option<ExternalUrl>,
    /// What every path begins with: those of the metrics, the pages, the reports and /-/... [default: the path of --web.external-url]
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<RoutePrefix>,
    /// How much earlier than its scraper gives up /probe answers, in seconds [default: 0.5]
    #[arg(long = "timeout-offset", value_name = "SECONDS", value_parser = seconds)]
    pub timeout_offset: Option<Duration>,
}

/// The flags of `check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "Exit status, the first that applies:\n  \
    2  wrong usage or configuration\n  \
    1  a finding at or above --fail-on; with --against only what got worse\n  \
    3  a domain could not be checked for a reason on this side\n  \
    0  otherwise\n\
    With --format nagios: 0 ok, 1 warning, 2 critical, 3 unknown.")]
pub struct Check {
    /// The domains, as they stand behind the @
    #[arg(value_name = "DOMAIN", required_unless_present_any = ["file", "explain"], value_parser = domain)]
    pub domains: Vec<PolicyDomain>,
    /// More domains from a file, one a line, # begins a comment; - reads standard input
    #[arg(long, value_name = "LIST")]
    pub file: Option<PathBuf>,
    /// How to show what was seen
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
    /// The least severity of a finding that makes the exit status 1
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    pub fail_on: FailOn,
    /// Make only one connection to an address: TLS 1.0, TLS 1.1 and variants of SNI are not looked at
    #[arg(long)]
    pub quick: bool,
    /// Show everything that was seen, step by step
    #[arg(long, short)]
    pub verbose: bool,
    /// Keep the judgement in a file, for a later --against
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Fail only on what got worse since a run with --save; together they compare, then save
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Say what a finding means and what to do about it; no domain is needed
    #[arg(long, value_name = "CODE", value_parser = explain::parse)]
    pub explain: Option<Code>,
}

/// How `check` shows what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A report for people
    #[default]
    Human,
    /// One array with an object for each domain, in the order asked
    Json,
    /// An object a line, as each domain ends
    Jsonl,
    /// A check plugin: a line, performance data, and the exit statuses of Nagios
    Nagios,
    /// Metrics of the domains and their mail hosts, for the textfile collector
    Prometheus,
}

/// From which severity on a finding makes `check` fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Errors
    #[default]
    Error,
    /// Errors and warnings
    Warning,
    /// No finding does
    Never,
}

/// The flags of `demo`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoArguments {
    /// Where to listen; may be repeated. Whoever reaches it can send it reports
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:10461")]
    pub listen: Vec<ListenAddress>,
    /// Where configuration, state and reports are written, a new or empty folder that stays [default: a temporary one]
    #[arg(long = "demo.dir", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Further domains, besides those with a fault each
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=i64::from(DOMAINS_MOST)))]
    pub domains: u32,
}

impl FailOn {
    /// The least severity that fails; nothing where none does.
    pub const fn least(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Never => None,
        }
    }
}

/// The flags of `healthcheck`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Healthcheck {
    /// Where the monitor listens [default: :10461]
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    pub listen: Option<ListenAddress>,
    /// What its paths begin with
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    pub route_prefix: Option<RoutePrefix>,
}

/// A command with what every command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What every command takes.
    pub common: Common,
    /// The command.
    pub command: Command,
}

/// The definition of the arguments, of which completions and the manual are made.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Reads the arguments, the program's own name first.
///
/// # Errors
/// What is wrong, or the help or version that was asked for: `clap` prints it and knows its exit status.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let mut definition = Cli::command();
    let mut matches = definition.try_get_matches_from_mut(arguments)?;
    let Cli { common, serve, config_check, command } =
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut definition))?;
    let conflict = |flags: &str| {
        let message = format!("{flags} cannot stand before another command");
        Err(definition.clone().error(ErrorKind::ArgumentConflict, message))
    };
    let command = match command {
        Some(Command::Serve(_)) if serve != Serve::default() => {
            return conflict("the flags of serve stand after its name; they");
        }
        Some(_) if serve != Serve::default() => {
            return conflict("--domain and the flags --web... belong to serve; they");
        }
        Some(_) if config_check => return conflict("--config.check is a command of its own; it"),
        Some(command) => command,
        None if config_check => Command::Config { command: ConfigCommand::Check { file: None } },
        None => Command::Serve(serve),
    };
    Ok(Invocation { common, command })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected seconds, such as 0.5".to_owned())
}

pub(super) fn domain(text: &str) -> Result<PolicyDomain, String> {
    PolicyDomain::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{
            policy::WantedMode,
            report::{ReportFormat, Show},
        },
        terms::MaxAge,
    };

    fn read(line: &str) -> Result<Invocation, clap::Error> {
        parse(std::iter::once("smtptls-exporter").chain(line.split_whitespace()).map(OsString::from))
    }

    fn check_of(line: &str) -> Check {
        match read(line).unwrap().command {
            Command::Check(check) => check,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        let line = "--domain example.com --domain Example.ORG. --web.listen-address :1 --web.listen-address [::1]:2";
        let bare = read(line).unwrap();
        assert_eq!(bare, read(&format!("serve {line}")).unwrap());
        let Command::Serve(serve) = bare.command else { panic!() };
        assert_eq!(serve.domains.iter().map(PolicyDomain::as_str).collect::<Vec<_>>(), ["example.com", "example.org"]);
        assert_eq!(serve.listen, [":1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!(read("").unwrap().command, Command::Serve(Serve::default()));
    }

    #[test]
    fn common_flags_stand_before_or_after_the_command() {
        let before = read("--config.file a.yml --log.format json check example.com").unwrap();
        assert_eq!(before, read("check example.com --config.file a.yml --log.format json").unwrap());
        assert_eq!(before, read("check --config.file=a.yml --log.format=json example.com").unwrap());
        assert_eq!(before.common.config_file, Some("a.yml".into()));
    }

    #[test]
    fn config_check_has_two_names() {
        let short = read("--config.check --config.file a.yml").unwrap();
        assert_eq!(short, read("config check --config.file a.yml").unwrap());
        let Command::Config { command } = read("config check b.yml").unwrap().command else { panic!() };
        assert_eq!(command, ConfigCommand::Check { file: Some("b.yml".into()) });
    }

    #[test]
    fn check_reads_its_flags() {
        let check = check_of("check example.com --format json --fail-on warning --quick --verbose");
        assert_eq!(
            (check.format, check.fail_on, check.quick, check.verbose),
            (Format::Json, FailOn::Warning, true, true)
        );
        assert_eq!(check_of("check --explain mx-null").explain, Some(Code::MxNull));
        assert_eq!(check_of("check --file -").file, Some("-".into()));
    }

    #[test]
    fn report_reads_its_flags() {
        let Command::Report { command } = read("report show a.json - --format json -v").unwrap().command else {
            panic!()
        };
        let show = Show { inputs: vec!["a.json".into(), "-".into()], format: ReportFormat::Json, verbose: true };
        assert_eq!(command, ReportCommand::Show(show));
        let after = read("report ingest - --state.dir /s").unwrap();
        assert_eq!(after, read("--state.dir /s report ingest -").unwrap());
        assert_eq!(after.common.state_dir, Some("/s".into()));
    }

    #[test]
    fn advice_reads_its_flags() {
        let line = "policy suggest Example.com --mode enforce --max-age 86400 --format json";
        let Command::Policy { command } = read(line).unwrap().command else { panic!() };
        let PolicyCommand::Suggest(suggest) = command else { panic!("{command:?}") };
        assert_eq!(suggest.domain.as_str(), "example.com");
        assert_eq!((suggest.mode, suggest.max_age), (Some(WantedMode::Enforce), Some(MaxAge(86_400))));
        let line = "policy check - --mx mx1.example.com --mx mx2.example.com";
        let Command::Policy { command: PolicyCommand::Check(check) } = read(line).unwrap().command else { panic!() };
        assert_eq!(check.mx.len(), 2);
        let usual = read("tlsa suggest mx.example.com").unwrap();
        assert_eq!(usual, read("tlsa suggest --usage 3 1 1 mx.example.com").unwrap());
        assert_ne!(usual, read("tlsa suggest mx.example.com --usage 2 1 1").unwrap());
    }

    #[test]
    fn demo_reads_its_flags() {
        let line = "demo --web.listen-address :1 --demo.dir d --domains 100000";
        let Command::Demo(demo) = read(line).unwrap().command else { panic!() };
        let listen = vec![":1".parse().unwrap()];
        assert_eq!(demo, DemoArguments { listen, folder: Some("d".into()), domains: 100_000 });
        let alone = vec!["127.0.0.1:10461".parse().unwrap()];
        let demo = DemoArguments { listen: alone, folder: None, domains: 0 };
        assert_eq!(read("demo").unwrap().command, Command::Demo(demo));
    }

    #[test]
    fn what_is_wrong_exits_with_2() {
        for line in [
            "check",
            "check 192.0.2.1",
            "check a..b",
            "check example.com --format yaml",
            "check example.com --save",
            "check --explain mx-nul",
            "--domain example.com check example.com",
            "--domain example.com serve",
            "--config.check check example.com",
            "--web.listen-address 10461",
            "--web.listen-address :99999",
            "--web.systemd-socket --web.listen-address :1",
            "--web.systemd-socket healthcheck",
            "--timeout-offset -1",
            "--timeout-offset 500ms",
            "--web.telemetry-path metrics",
            "--web.external-url monitor.example",
            "--web.route-prefix /a//b",
            "--web.route-prefix /a healthcheck",
            "--log.level loud",
            "config",
            "report",
            "report show",
            "report ingest",
            "report show a.json --format yaml",
            "policy",
            "policy check",
            "policy check a.txt --mx a..b",
            "policy suggest",
            "policy suggest 192.0.2.1",
            "policy suggest example.com --mode on",
            "policy suggest example.com --max-age 31557601",
            "tlsa suggest",
            "tlsa suggest mx.example.com --usage 3 1",
            "tlsa suggest mx.example.com --next-key a --next-cert b",
            "nonsense",
        ] {
            let error = read(line).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert!(read("check --explain mx-nul").unwrap_err().to_string().contains("did you mean mx-null?"));
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for line in ["-h", "--help", "--version", "check -h", "help check"] {
            assert_eq!(read(line).expect_err(line).exit_code(), 0, "{line}");
        }
        assert!(read("--version").unwrap_err().to_string().starts_with("smtptls-exporter 0."));
    }

    #[test]
    fn help_reads_well() {
        let mut definition = Cli::command().term_width(100);
        definition.build();
        insta::assert_snapshot!("help", definition.render_help().to_string());
        let check = definition.find_subcommand_mut("check").unwrap();
        insta::assert_snapshot!("help_check", check.clone().term_width(100).render_help().to_string());
        for (command, names) in [("policy", ["suggest", "check"].as_slice()), ("tlsa", &["suggest"])] {
            for name in names {
                let group = definition.find_subcommand_mut(command).unwrap();
                let found = group.find_subcommand_mut(name).unwrap().clone().term_width(100);
                insta::assert_snapshot!(format!("help_{command}_{name}"), found.clone().render_help().to_string());
            }
        }
        let report = definition.find_subcommand_mut("report").unwrap();
        for name in ["show", "ingest"] {
            let command = report.find_subcommand_mut(name).unwrap().clone().term_width(100);
            insta::assert_snapshot!(format!("help_report_{name}"), command.clone().render_help().to_string());
        }
    }
}
