//! The rooms of the program keep their order, and each to its own means. Test modules are free.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A room may use itself and those before it.
const ROOMS: [&str; 13] = [
    "terms", "facts", "protocol", "verdict", "config", "net", "store", "monitor", "present", "metrics", "web", "demo",
    "cli",
];

/// Words with the rooms that may have them. What stands in no row is free.
const MEANS: [(&[&str], &[&str]); 21] = [
    (&["async", "tokio", "tokio_util", "futures_util"], &["net", "store", "monitor", "web", "demo", "cli"]),
    (&["UdpSocket", "socket2"], &["net", "web", "demo"]),
    // `healthcheck` asks the own server.
    (&["TcpStream", "TcpListener"], &["net", "web", "demo", "cli"]),
    (&["SystemTime::now"], &["net"]),
    // How long something took; what time it is comes from `net`.
    (&["Instant::now"], &["net", "store", "monitor", "metrics", "web", "demo", "cli"]),
    // `monitor` watches folders of reports.
    (&["fs"], &["config", "net", "store", "monitor", "demo", "cli"]),
    (&["sqlx", "rusqlite"], &["store"]),
    (&["zstd"], &["store"]),
    // `demo` is the peers: it answers what `net` asks.
    (&["hickory_resolver", "rustls", "tokio_rustls"], &["net", "demo"]),
    (&["mail_auth", "rustls_native_certs", "webpki_roots"], &["net"]),
    (&["rcgen"], &["demo"]),
    (&["maud"], &["web"]),
    // `metrics` hands out its pages as `Bytes`, which hyper names.
    (&["hyper"], &["net", "web", "metrics"]),
    (&["hyper_util", "http_body_util"], &["net", "web"]),
    // `config` reads URLs.
    (&["http"], &["net", "web", "config"]),
    (&["webpki", "x509_parser"], &["protocol", "net"]),
    (&["rustls_pki_types"], &["protocol", "net", "demo"]),
    (&["async_imap"], &["net"]),
    (&["rand"], &["net", "monitor", "web", "demo", "cli"]),
    // Hashes of passwords are read by `config`, and compared where requests come in.
    (&["bcrypt"], &["config", "web"]),
    (&["Command"], &["cli"]),
];

/// A file that is longer should be two.
const MAX_LINES: usize = 600;

#[test]
fn no_room_uses_one_below_it() {
    let mut wrong = Vec::new();
    for file in sources() {
        for used in uses(&file) {
            if place(&used) > place(&file.room) {
                wrong.push(format!("{}: {} uses {used}", file.path.display(), file.room));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_has_only_its_own_means() {
    let wrong: Vec<String> = sources().iter().flat_map(forbidden).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names, texts and files come from strangers: nothing of them can reach a shell, as there is none. `ExitCode` and its
/// own number are all that the program has of `std::process`, and of tokio's nothing.
#[test]
fn no_program_is_ever_started() {
    let mut files = sources();
    for name in ["main.rs", "lib.rs"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap();
        files.push(SourceFile::read(Path::new(name), &text));
    }
    let wrong: Vec<_> = files.iter().filter(|file| starts_programs(&file.words)).map(|file| &file.path).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for text in [
        "use std::process::Command;",
        "use std::{env, process::{Command, ExitCode}};",
        "use std::process as p;",
        "use std::process::*;",
        "fn f() { tokio::process::Command::new(name); }",
        "use std::os::unix::process::CommandExt;",
    ] {
        assert!(starts_programs(&words(text)), "{text}");
    }
    assert!(!starts_programs(&words("use std::{env, process::ExitCode}; // process::Command")));
}

/// The compiler holds it where a root says so, and the manifest says so for all. The fuzz targets cannot: the macro that makes them exports a
/// function to libFuzzer.
#[test]
fn no_root_lets_unsafe_code_in() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(top.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\n[lints.rust]\nunsafe_code = \"forbid\"\n"), "the manifest forbids it");
    let mut roots = vec![top.join("build.rs")];
    for folder in ["src", "tests/suite", "benches", "fuzz/src"].map(|folder| top.join(folder)) {
        roots.extend(["lib.rs", "main.rs"].map(|name| folder.join(name)).into_iter().filter(|path| path.exists()));
    }
    for entry in fs::read_dir(top.join("benches")).unwrap() {
        let path = entry.unwrap().path();
        let root = if path.is_dir() { path.join("main.rs") } else { path };
        roots.extend(root.extension().is_some_and(|ending| ending == "rs").then_some(root));
    }
    assert!(roots.len() > 10, "the roots are found: {roots:?}");
    let without: Vec<_> = roots
        .iter()
        .filter(|root| !fs::read_to_string(root).unwrap().lines().any(|line| line == "#![forbid(unsafe_code)]"))
        .collect();
    assert!(without.is_empty(), "{without:?}");
    let targets = fs::read_dir(top.join("fuzz/fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
    let unsafe_targets: Vec<_> =
        targets.filter(|path| words(&fs::read_to_string(path).unwrap()).iter().any(|word| word == "unsafe")).collect();
    assert!(unsafe_targets.is_empty(), "{unsafe_targets:?}");
}

/// Whether a text has more of a module `process` than the exit status and the own number.
fn starts_programs(words: &[String]) -> bool {
    let after = |place: usize| words.get(place + 1..place + 3).unwrap_or_default();
    let harmless = |place: usize| [["::", "ExitCode"], ["::", "id"]].iter().any(|known| after(place) == known);
    // The trait of the IMAP library that answers a challenge has a function of that name.
    let is_defined = |place: usize| place > 0 && words[place - 1] == "fn";
    words.iter().enumerate().any(|(place, word)| word == "process" && !harmless(place) && !is_defined(place))
}

#[test]
fn no_file_is_longer_than_a_reader_s_patience() {
    let long: Vec<_> = sources().into_iter().filter(|file| file.lines > MAX_LINES).map(|file| file.path).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:?}");
}

#[test]
fn the_rooms_are_those_of_the_list() {
    let found: BTreeSet<String> = sources().into_iter().map(|file| file.room).collect();
    assert_eq!(found, ROOMS.map(str::to_owned).into());
}

#[test]
fn the_scanner_finds_what_it_looks_for() {
    let file = |path: &str, text: &str| SourceFile::read(Path::new(path), text);
    let used = |path: &str, text: &str| uses(&file(path, text)).into_iter().collect::<Vec<_>>();
    assert_eq!(used("verdict/a.rs", "use crate::net::now;"), ["net"]);
    assert_eq!(used("verdict/a.rs", "use crate::{facts::{A, net}, terms, web::{self, B}};"), ["facts", "terms", "web"]);
    assert_eq!(used("verdict/a.rs", "fn f() -> crate::cli::X { g::<crate::config::Y>() }"), ["cli", "config"]);
    assert_eq!(used("verdict/a.rs", "use super::super::net::now; use super::case;"), ["net"]);
    assert_eq!(used("verdict/mod.rs", "use super::net;"), ["net"]);
    assert_eq!(used("verdict/rules/a.rs", "use super::super::case; use super::super::super::web;"), ["web"]);
    let hidden = "// crate::web\n/* crate::web */ const A: &str = \"crate::web\"; const B: &str = r#\"\" crate::web\"#; \
                  fn f<'a>() -> char { '\"' }\n#[cfg(test)]\nmod tests { use crate::web; mod more {} }\n";
    assert_eq!(used("verdict/a.rs", &format!("{hidden} use crate::cli;")), ["cli"]);

    let found = |path: &str, text: &str| forbidden(&file(path, text)).len();
    assert_eq!(found("verdict/a.rs", "use std::{fs, time::SystemTime}; fn f() { SystemTime::now(); }"), 2);
    assert_eq!(found("facts/a.rs", "async fn f(stream: std::net::TcpStream) { tokio::spawn(g()) }"), 3);
    assert_eq!(found("monitor/a.rs", "use rustls::ClientConfig;"), 1);
    assert_eq!(found("net/a.rs", "use rustls::ClientConfig; use std::fs; use tokio::net::TcpStream;"), 0);
    assert_eq!(found("verdict/a.rs", "use std::time::SystemTime; impl From<SystemTime> for A {}"), 0);
    assert_eq!(found("verdict/a.rs", "/// tokio\n#[cfg(test)]\nuse tokio::spawn;"), 0);

    let declares = file("config/mod.rs", "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod fixture;");
    assert_eq!(declares.test_modules, [PathBuf::from("config/tests"), "config/fixture".into()]);
    let declares = file("config/a.rs", "#[cfg(test)]\nmod tests;");
    assert_eq!(declares.test_modules, [PathBuf::from("config/a/tests")]);
}

/// A file of a room, without its test modules.
struct SourceFile {
    /// Below src/.
    path: PathBuf,
    room: String,
    lines: usize,
    words: Vec<String>,
    /// Files that only tests have, without their ending.
    test_modules: Vec<PathBuf>,
}

/// Every file of every room but those that only tests have.
fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(&root).unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && below.components().count() > 1 {
                files.push(SourceFile::read(below, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| file.test_modules.clone()).collect();
    files.retain(|file| !tests.iter().any(|test| file.path.with_extension("").starts_with(test)));
    assert!(files.len() > 50, "the sources are found");
    files
}

impl SourceFile {
    fn read(path: &Path, text: &str) -> Self {
        let folder = path.parent().unwrap();
        let module = if path.file_stem().unwrap() == "mod" { folder.to_owned() } else { path.with_extension("") };
        let (words, test_modules) = without_tests(&words(text));
        Self {
            path: path.to_owned(),
            room: path.components().next().unwrap().as_os_str().to_str().unwrap().to_owned(),
            lines: text.lines().count(),
            words,
            test_modules: test_modules.into_iter().map(|name| module.join(name)).collect(),
        }
    }

    /// How many modules deep: `verdict` is 1.
    fn depth(&self) -> usize {
        self.path.components().count() - usize::from(self.path.ends_with("mod.rs"))
    }
}

fn place(room: &str) -> usize {
    ROOMS.iter().position(|known| *known == room).unwrap_or_else(|| panic!("{room} is no room"))
}

/// The rooms that a file names.
fn uses(file: &SourceFile) -> BTreeSet<String> {
    let words = &file.words;
    let mut used = BTreeSet::new();
    let mut place = 0;
    while place < words.len() {
        let mut next = place + 1;
        if words[place] == "super" {
            let mut levels = 1;
            while words.get(next).is_some_and(|word| word == "::")
                && words.get(next + 1).is_some_and(|word| word == "super")
            {
                levels += 1;
                next += 2;
            }
            if levels < file.depth() {
                place = next;
                continue;
            }
        } else if words[place] != "crate" {
            place = next;
            continue;
        }
        // The root of the program: what follows is a room, or several in braces.
        if words.get(next).is_some_and(|word| word == "::") {
            used.extend(heads(&words[next + 1..]));
        }
        place = next;
    }
    used
}

/// The first names of a path or of a tree of paths.
fn heads(words: &[String]) -> Vec<String> {
    if words.first().is_none_or(|word| word != "{") {
        return words.first().cloned().into_iter().collect();
    }
    let mut found = Vec::new();
    let mut level = 0;
    let mut before = "";
    for word in words {
        match word.as_str() {
            "{" => level += 1,
            "}" if level == 1 => break,
            "}" => level -= 1,
            "," => {}
            name if level == 1 && (before == "{" || before == ",") => found.push(name.to_owned()),
            _ => {}
        }
        before = word;
    }
    found
}

/// What a file has that is not for its room.
fn forbidden(file: &SourceFile) -> Vec<String> {
    let mut wrong = Vec::new();
    for (means, rooms) in MEANS {
        for word in means.iter().filter(|_| !rooms.contains(&file.room.as_str())) {
            let parts: Vec<&str> = match word.split_once("::") {
                Some((first, second)) => vec![first, "::", second],
                None => vec![word],
            };
            if file.words.windows(parts.len()).any(|words| words == parts) {
                wrong.push(format!("{}: {word} is not for {}", file.path.display(), file.room));
            }
        }
    }
    wrong
}

/// Takes out the items under `#[cfg(test)]`; the names of the modules among them that are files of their own.
fn without_tests(words: &[String]) -> (Vec<String>, Vec<String>) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut place = 0;
    while place < words.len() {
        if words.get(place..place + MARK.len()).is_none_or(|words| words != MARK) {
            kept.push(words[place].clone());
            place += 1;
            continue;
        }
        place += MARK.len();
        let mut level = 0;
        while place < words.len() {
            let word = words[place].as_str();
            let ends = level == 0 && word == ";" || level == 1 && word == "}";
            match word {
                "{" => level += 1,
                "}" => level -= 1,
                "mod" if level == 0 && words.get(place + 2).is_some_and(|word| word == ";") => {
                    modules.push(words[place + 1].clone());
                }
                _ => {}
            }
            place += 1;
            if ends {
                break;
            }
        }
    }
    (kept, modules)
}

/// The words and signs of a source text, without comments and literal texts.
fn words(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let at = |place: usize| letters.get(place).copied().unwrap_or('\n');
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut words = Vec::new();
    let mut place = 0;
    while place < letters.len() {
        let (here, next) = (at(place), at(place + 1));
        let raw = here == 'r' && (next == '"' || next == '#' && matches!(at(place + 2), '"' | '#'));
        if here == '/' && next == '/' {
            while place < letters.len() && at(place) != '\n' {
                place += 1;
            }
        } else if here == '/' && next == '*' {
            while place < letters.len() && !(at(place) == '*' && at(place + 1) == '/') {
                place += 1;
            }
            place += 2;
        } else if raw {
            let hashes = letters[place + 1..].iter().take_while(|letter| **letter == '#').count();
            place += hashes + 2;
            while place < letters.len() && !(at(place) == '"' && (1..=hashes).all(|more| at(place + more) == '#')) {
                place += 1;
            }
            place += hashes + 1;
        } else if here == '"' {
            place += 1;
            while place < letters.len() && at(place) != '"' {
                place += if at(place) == '\\' { 2 } else { 1 };
            }
            place += 1;
        } else if here == '\'' && (next == '\\' || at(place + 2) == '\'') {
            place += if next == '\\' { 3 } else { 2 };
            while place < letters.len() && at(place) != '\'' {
                place += 1;
            }
            place += 1;
        } else if is_word(here) {
            let start = place;
            while is_word(at(place)) {
                place += 1;
            }
            words.push(letters[start..place].iter().collect());
        } else if here == ':' && next == ':' {
            words.push("::".to_owned());
            place += 2;
        } else {
            if !here.is_whitespace() {
                words.push(here.to_string());
            }
            place += 1;
        }
    }
    words
}
