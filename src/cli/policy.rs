//! `policy suggest` and `policy check`: which policy to publish, and whether one is fit to be published.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use tokio::runtime::Builder;

use super::{
    FAILED, OK, OWN_SIDE, USAGE,
    args::{Common, domain},
    check, complain, print, runtime,
    settings::{Source, colour, of_domain, refused},
    terminal,
};
use crate::{
    monitor::{self, Edges},
    net::now,
    present::{policy_advice, policy_lint},
    protocol::mta_sts::Mode,
    terms::{MaxAge, MxHost, PolicyDomain},
    verdict::suggest::{LARGEST_BODY, Need, PolicySuggestion, Wishes, lint_policy, suggest_policy},
};

/// Every mail host has to stand in a policy, so that more are looked at than a check does by itself. More MX records than these
/// no answer of the DNS holds without TCP.
const MAX_MX: usize = 100;

/// What `policy` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PolicyCommand {
    /// Suggest policy, records, web server and next steps from the live mail hosts of a domain
    Suggest(SuggestPolicy),
    /// Look for faults in a policy file, before senders do
    Check(CheckPolicy),
}

/// The flags of `policy suggest`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(
    after_help = "The mode is testing unless the published policy is in enforce, or a monitor whose folder --state.dir names \
    has found the domain ready for enforce. planned_mx of the configuration is listed as well.\n\n\
    Exit status, the first that applies:\n  \
    2  wrong usage or configuration\n  \
    1  there is no mail host to suggest a policy for, or the policy is in enforce and would lose mail\n  \
    3  the mail hosts could not be looked at for a reason on this side\n  \
    0  otherwise"
)]
pub struct SuggestPolicy {
    /// The domain, as it stands behind the @
    #[arg(value_name = "DOMAIN", value_parser = domain)]
    pub domain: PolicyDomain,
    /// The mode, whatever was seen
    #[arg(long, value_name = "MODE")]
    pub mode: Option<WantedMode>,
    /// How many seconds senders may keep the policy [default: 86400 in testing, 604800 in enforce, or what is published]
    #[arg(long, value_name = "SECONDS", value_parser = max_age)]
    pub max_age: Option<MaxAge>,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: AdviceFormat,
}

/// A mode that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WantedMode {
    /// Senders deliver whatever they find, and report
    Testing,
    /// Senders do not deliver to a host that fails
    Enforce,
    /// As if there were no policy: to leave
    None,
}

/// The flags of `policy check`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(after_help = "Exit status:\n  \
    2  wrong usage, or the file cannot be read\n  \
    1  senders do not use the policy, or it lists a host of --mx not\n  \
    0  otherwise, warnings or not\n\n\
    In brackets stands the rule, as POL-10: check --explain says of which clause and of which findings it is.")]
pub struct CheckPolicy {
    /// The policy, as it is or will be at https://mta-sts.DOMAIN/.well-known/mta-sts.txt; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A mail host that the policy has to list; may be repeated
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub mx: Vec<MxHost>,
    /// How to show what was found
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub format: AdviceFormat,
}

/// How advice is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AdviceFormat {
    /// A text for people
    #[default]
    Human,
    /// One object
    Json,
}

pub(super) fn host(text: &str) -> Result<MxHost, String> {
    MxHost::parse(text).map_err(|error| error.to_string())
}

fn max_age(text: &str) -> Result<MaxAge, String> {
    let seconds = text.parse().map_err(|_| "a number of seconds was expected".to_owned())?;
    match MaxAge(seconds) {
        age if age > MaxAge::CAP => Err(format!("RFC 8461 allows {} (a year) at most", MaxAge::CAP)),
        age => Ok(age),
    }
}

impl From<WantedMode> for Mode {
    fn from(wanted: WantedMode) -> Self {
        match wanted {
            WantedMode::Testing => Self::Testing,
            WantedMode::Enforce => Self::Enforce,
            WantedMode::None => Self::None,
        }
    }
}

/// Runs the command and returns the exit status.
pub(super) fn run(command: &PolicyCommand, common: &Common) -> u8 {
    match command {
        PolicyCommand::Check(check) => check_file(check),
        PolicyCommand::Suggest(arguments) => {
            let runtime = match runtime(Builder::new_current_thread()) {
                Ok(runtime) => runtime,
                Err(status) => return status,
            };
            match runtime.block_on(suggest(arguments, common)) {
                Ok(Suggested { text, status }) => print(&text, status),
                Err(message) => complain(&message, USAGE),
            }
        }
    }
}

struct Suggested {
    text: String,
    status: u8,
}

/// Looks at the domain as `check` does, without the extra connections, and says what to publish.
async fn suggest(arguments: &SuggestPolicy, common: &Common) -> Result<Suggested, String> {
    let source = Source { file: common.config_file.clone(), domains: Vec::new() };
    let mut settings = source.load().map_err(|errors| refused(&errors, colour()))?.with_files();
    settings.probe.legacy_tls = false;
    settings.probe.max_mx = settings.probe.max_mx.max(MAX_MX);
    let domain = of_domain(&settings, arguments.domain.clone());
    let (kept, _) = match &common.state_dir {
        Some(folder) => {
            check::kept(folder, std::slice::from_ref(&arguments.domain)).await.map_err(|error| error.to_string())?
        }
        None => Default::default(),
    };
    let edges = Edges::open(&settings).await.map_err(|error| error.to_string())?;
    let looked = monitor::check_after(kept, &settings, &edges, std::slice::from_ref(&domain), |_| {}).await;
    let seen = looked.into_iter().next().ok_or("the domain was not looked at")?.assessment;
    let wishes = Wishes {
        mode: arguments.mode.map(Mode::from),
        max_age: arguments.max_age,
        planned_mx: &domain.options.planned_mx,
        own_mx: &settings.own_mx,
        enforce: settings.thresholds.enforce.clone(),
    };
    let suggestion = suggest_policy(&seen, &wishes, now());
    let text = match arguments.format {
        AdviceFormat::Human => policy_advice::report(&suggestion, terminal::look(false)),
        AdviceFormat::Json => policy_advice::to_json(&suggestion).map_err(|error| error.to_string())?,
    };
    Ok(Suggested { text, status: exit_status(&suggestion, seen.own_side) })
}

/// The exit status, the first that applies: 1 there is no policy to suggest, or it is in enforce and something has to be mended first;
/// 3 the mail hosts could not be looked at for a reason on this side; 0.
fn exit_status(suggestion: &PolicySuggestion, own_side: bool) -> u8 {
    let enforces = suggestion.policy.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce);
    match suggestion.need {
        Need::MailHost => FAILED,
        Need::Policy if enforces && suggestion.has_to_wait() => FAILED,
        Need::Look => OWN_SIDE,
        _ if own_side => OWN_SIDE,
        Need::Policy | Need::Withdrawal | Need::Nothing => OK,
    }
}

fn check_file(arguments: &CheckPolicy) -> u8 {
    let name = match arguments.file.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => arguments.file.to_string_lossy().into_owned(),
    };
    let body = match read(&arguments.file) {
        Ok(body) => body,
        Err(error) => return complain(&format!("{name}: it cannot be read: {error}"), USAGE),
    };
    let lint = lint_policy(&body, &arguments.mx);
    let status = if lint.passes() { OK } else { FAILED };
    match arguments.format {
        AdviceFormat::Human => print(&policy_lint::report(&name, &body, &lint, terminal::look(false)), status),
        AdviceFormat::Json => match policy_lint::to_json(&name, &body, &lint) {
            Ok(text) => print(&text, status),
            Err(error) => complain(&error.to_string(), USAGE),
        },
    }
}

/// As much as senders read, and one byte more, which shows that there is more.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let most = u64::try_from(LARGEST_BODY).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    match file.as_os_str() == "-" {
        true => io::stdin().lock().take(most).read_to_end(&mut body)?,
        false => File::open(file)?.take(most).read_to_end(&mut body)?,
    };
    Ok(body)
}
