//! `config check`, `config show` and `config schema`.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::settings;
use crate::{
    config::{self, ConfigErrors, DEFAULT_FILE, Loaded, Settings, inventory::with_files},
    net::now,
    web::check_web_config,
};

/// All is well.
const SUCCESS: u8 = 0;
/// Wrong usage or configuration.
const INVALID: u8 = 2;

/// What `config` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file; every error is shown with its place and what was expected
    Check {
        /// The file [default: the one of --config.file]
        file: Option<PathBuf>,
        /// Check this web configuration as well; alone where there is no other file
        #[arg(long = "web.config.file", value_name = "FILE")]
        web_config: Option<PathBuf>,
    },
    /// Print the configuration in effect, defaults filled in and secrets hidden
    Show,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Runs the command and returns the exit status: 0, or 2 where the configuration is wrong.
///
/// A reader of the output that goes away early is no error.
pub fn run(command: ConfigCommand, config_file: Option<PathBuf>) -> u8 {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = io::stdout().lock();
    let mut err = io::stderr().lock();
    match execute(command, config_file, colour, &mut out, &mut err).and_then(|status| out.flush().map(|()| status)) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => SUCCESS,
        Err(error) => {
            // Where standard error is closed as well there is nobody left to tell.
            drop(writeln!(err, "error: the output could not be written: {error}"));
            INVALID
        }
    }
}

fn execute(
    command: ConfigCommand,
    config_file: Option<PathBuf>,
    colour: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let (named, check, web_config) = match command {
        ConfigCommand::Schema => return schema(out),
        ConfigCommand::Show => (config_file, false, None),
        ConfigCommand::Check { file, web_config } => (file.or(config_file), true, web_config),
    };
    let web_valid = web_config.as_deref().map(|path| valid_web(path, colour, out, err)).transpose()?;
    let status = main_file(named.as_deref(), check, web_valid, colour, out, err)?;
    Ok(if web_valid == Some(false) { INVALID } else { status })
}

fn main_file(
    named: Option<&Path>,
    check: bool,
    web_valid: Option<bool>,
    colour: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    let loaded = match config::locate(named) {
        Ok(Some(path)) => settings::load(&path).map(|loaded| Some((path, loaded))),
        Ok(None) => Ok(None),
        Err(errors) => Err(errors),
    };
    match loaded {
        Err(errors) => invalid(&errors, colour, err),
        Ok(Some((path, loaded))) => {
            for warning in &loaded.warnings {
                writeln!(err, "{}\n", warning.render(colour))?;
            }
            match check {
                true => valid(&path, loaded, colour, out, err),
                false => show_all(loaded.settings, out),
            }
        }
        Ok(None) if check && web_valid.is_some() => Ok(SUCCESS),
        Ok(None) if check => {
            writeln!(err, "error: there is no {DEFAULT_FILE} here; name the file to check")?;
            Ok(INVALID)
        }
        Ok(None) => show(&Settings::default(), out),
    }
}

/// Whether the web configuration can be used, with the files that it names.
fn valid_web(path: &Path, colour: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<bool> {
    match check_web_config(path) {
        Ok(warnings) => {
            for warning in &warnings {
                writeln!(err, "{}\n", warning.render(colour))?;
            }
            writeln!(out, "{} is valid", path.display())?;
            Ok(true)
        }
        Err(errors) => {
            writeln!(err, "{errors}\n")?;
            Ok(false)
        }
    }
}

fn invalid(errors: &ConfigErrors, colour: bool, err: &mut dyn Write) -> io::Result<u8> {
    let count = errors.count();
    writeln!(err, "{}\n\nthe configuration is not valid: {}", errors.render(colour), counted(count, "error"))?;
    Ok(INVALID)
}

/// Says what the file has, and what each list that it names. A list that cannot be used makes the check fail: `serve` would go on
/// with the one from before, and after a restart there is none.
fn valid(path: &Path, loaded: Loaded, colour: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let Loaded { mut settings, warnings, .. } = loaded;
    let own = settings.domains.len();
    let reports = with_files(&mut settings, now());
    for report in &reports {
        for told in report.list.iter().flat_map(|list| &list.told).chain(report.error.as_deref()) {
            writeln!(err, "{}\n", told.render(colour))?;
        }
    }
    let broken = reports.iter().filter(|report| report.error.is_some()).count();
    if broken > 0 {
        writeln!(err, "{} of domains cannot be used", counted(broken, "list"))?;
        return Ok(INVALID);
    }
    let sources = !settings.domain_files.is_empty() || !settings.http_sd.is_empty();
    let domains = match settings.domains.len() {
        0 if !sources => "no domains, which `serve` needs".to_owned(),
        count => counted(count, "domain"),
    };
    let warnings = match warnings.len() {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    writeln!(out, "{} is valid: {domains}{warnings}", path.display())?;
    if sources {
        writeln!(out, "  under `domains`: {}", counted(own, "domain"))?;
    }
    for report in &reports {
        writeln!(out, "  {}", report.line())?;
    }
    for url in &settings.http_sd {
        writeln!(out, "  {}: fetched by `serve`", redacted(url))?;
    }
    Ok(SUCCESS)
}

fn redacted(url: &config::file::HttpSd) -> String {
    url.url.as_ref().map(|url| url.value.redacted()).unwrap_or_default()
}

/// The file, and in comments what the lists have that it names.
fn show_all(settings: Settings, out: &mut dyn Write) -> io::Result<u8> {
    let status = show(&settings, out)?;
    let mut merged = settings;
    for report in with_files(&mut merged, now()) {
        writeln!(out, "# {}", report.line())?;
    }
    for url in &merged.http_sd {
        writeln!(out, "# {}: fetched by `serve`", redacted(url))?;
    }
    Ok(status)
}

fn show(settings: &Settings, out: &mut dyn Write) -> io::Result<u8> {
    let text = config::show(settings).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    Ok(SUCCESS)
}

fn schema(out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "{:#}", config::schema()?)?;
    Ok(SUCCESS)
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ConfigCommand,
    }

    /// Exit status, standard output, standard error.
    fn run(line: &[&str], config_file: Option<&Path>) -> (u8, String, String) {
        let command = Line::try_parse_from([&["config"], line].concat()).unwrap().command;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = execute(command, config_file.map(Path::to_owned), false, &mut out, &mut err).unwrap();
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.yml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn check_says_that_a_file_is_valid() {
        let (_folder, path) = file("domains: [a.example, b.example]\nresolver: {dnssec: off, trust_anchor_file: a}\n");
        let (status, out, err) = run(&["check", path.to_str().unwrap()], None);
        assert_eq!((status, out), (0, format!("{} is valid: 2 domains, 1 warning\n", path.display())));
        assert!(err.starts_with("warning: the trust anchors have no effect"), "{err}");
        let (_folder, path) = file("");
        let (status, out, err) = run(&["check"], Some(&path));
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.ends_with("is valid: no domains, which `serve` needs\n"), "{out}");
    }

    #[test]
    fn check_tells_all_errors_and_exits_2() {
        let (_folder, path) = file("domains: [a..example]\nprobe: {interval: soon}\n");
        let (status, out, err) = run(&["check"], Some(&path));
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("test.yml:1:11") && err.contains("test.yml:2:19"), "{err}");
        assert!(err.ends_with("the configuration is not valid: 2 errors\n"), "{err}");
        let (status, _, err) = run(&["check", "/nowhere.yml"], Some(&path));
        assert_eq!(status, 2);
        assert!(err.contains("/nowhere.yml"), "the named file comes first: {err}");
    }

    #[test]
    fn check_takes_the_web_configuration_with_it_or_alone() {
        let (folder, path) = file("domains: [a.example]\n");
        let web = folder.path().join("web.yml");
        std::fs::write(&web, "rate_limit: {interval: 1s, burst: 5}\nhttp_server_config: {http2: true}\n").unwrap();
        let line = ["check", path.to_str().unwrap(), "--web.config.file", web.to_str().unwrap()];
        let (status, out, err) = run(&line, None);
        assert!(
            status == 0 && out.contains("web.yml is valid\n") && out.contains("test.yml is valid: 1 domain\n"),
            "{out}"
        );
        assert!(err.contains("web.yml:2:29") && err.contains("HTTP/1.1"), "{err}");
        std::fs::write(
            &web,
            "basic_auth_users:\n  ann: geheim\ntls_server_config: {cert_file: nowhere, key_file: k}\n",
        )
        .unwrap();
        let (status, out, err) = run(&line, None);
        assert!(status == 2 && out.contains("test.yml is valid"), "{out}");
        assert!(err.contains("web.yml:2:8") && err.contains("bcrypt") && !err.contains("geheim"), "{err}");
        std::fs::write(&web, "tls_server_config: {cert_file: nowhere, key_file: k}\n").unwrap();
        let (status, _, err) = run(&line, None);
        assert!(status == 2 && err.contains("web.yml:1:32") && err.contains("nowhere: No such file"), "{err}");
    }

    #[test]
    fn show_prints_a_file_that_can_be_read_again() {
        let (_folder, path) = file("domains: [a.example]\nhttp_sd: [{url: 'https://u:geheim@x.example/'}]\n");
        let (status, out, _) = run(&["show"], Some(&path));
        assert_eq!(status, 0);
        assert!(!out.contains("geheim"), "{out}");
        let settings = config::parse("shown.yml", &out).unwrap_or_else(|errors| panic!("{errors}")).settings;
        assert_eq!(settings.domains.len(), 1);
    }

    #[test]
    fn schema_prints_json() {
        let (status, out, _) = run(&["schema"], None);
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((status, &schema["additionalProperties"]), (0, &false.into()));
    }
}
