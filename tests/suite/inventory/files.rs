//! Files of domains that come, change, break and go.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use smtptls_exporter::{
    config::{
        self, ProbeSettings,
        inventory::{FilesState, merged, with_files},
    },
    terms::Timestamp,
};
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);

/// A folder that is looked at through patterns.
struct Watched {
    folder: TempDir,
    files: FilesState,
    now: Timestamp,
}

impl Watched {
    fn new(patterns: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let patterns: Vec<String> =
            patterns.iter().map(|pattern| folder.path().join(pattern).display().to_string()).collect();
        let files = FilesState::following(&FilesState::default(), &patterns);
        Self { folder, files, now: Timestamp::from_unix_seconds(1_795_464_000) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// As a program that is careful does it.
    fn replace(&self, name: &str, text: &str) {
        let draft = self.path(".draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.path(name)).unwrap();
    }

    /// Whether a list changed.
    fn look(&mut self) -> bool {
        self.now = self.now + SECOND;
        self.files.look(&ProbeSettings::default(), self.now, true)
    }

    /// Looks until what is there now was found the same twice.
    fn settled(&mut self) -> bool {
        let first = self.look();
        self.look() || first
    }

    fn names(&self) -> String {
        let names: Vec<String> =
            self.files.lists().flat_map(|list| list.domains.iter().map(|one| one.domain.to_string())).collect();
        names.join(" ")
    }

    /// What is wrong, by file name or pattern.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (pattern, files, error) in self.files.patterns() {
            let short = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
            wrong.extend(error.map(|error| format!("{}: {}", short(Path::new(pattern)), error.message)));
            for (path, file) in files {
                wrong.extend(file.error.as_ref().map(|error| {
                    let at = error.location.map_or_else(String::new, |at| format!("{}:{}: ", at.line, at.column));
                    format!("{}: {at}{}", short(path), error.message)
                }));
            }
        }
        wrong
    }
}

#[test]
fn files_come_change_and_go() {
    let mut watched = Watched::new(&["*.txt"]);
    assert!(!watched.settled());
    assert_eq!(watched.wrong(), Vec::<String>::new(), "a pattern may fit nothing");
    watched.write("b.txt", "b.example\n");
    assert!(!watched.look(), "it may still be written");
    assert!(watched.look());
    assert_eq!(watched.names(), "b.example");
    assert!(!watched.settled(), "nothing changed");
    watched.write("a.txt", "a.example\n");
    watched.replace("b.txt", "c.example\n");
    assert!(watched.settled());
    assert_eq!(watched.names(), "a.example c.example", "in the order of their names");
    // The same size, and the time set back: another file all the same.
    let before = fs::metadata(watched.path("b.txt")).unwrap().modified().unwrap();
    watched.replace("b.txt", "d.example\n");
    fs::File::options().write(true).open(watched.path("b.txt")).unwrap().set_modified(before).unwrap();
    assert!(watched.settled());
    assert_eq!(watched.names(), "a.example d.example");
    fs::remove_file(watched.path("a.txt")).unwrap();
    assert!(!watched.look(), "a file that is replaced by hand is away for a moment");
    assert!(watched.look());
    assert_eq!(watched.names(), "d.example");
    // Written again, with the same content: no change.
    watched.replace("b.txt", "d.example\n");
    assert!(!watched.settled());
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let mut watched = Watched::new(&["*.txt"]);
    let mut text = String::new();
    for name in ["a.example\n", "b.example\n", "c.example\n"] {
        text += name;
        watched.write("a.txt", &text);
        assert!(!watched.look());
    }
    assert!(watched.look());
    assert_eq!(watched.names(), "a.example b.example c.example");
}

#[test]
fn a_broken_file_keeps_its_own_last_list_and_touches_no_other() {
    let mut watched = Watched::new(&["*.json", "*.txt"]);
    watched.write("a.json", r#"[{"targets": ["a.example"]}]"#);
    watched.write("b.txt", "b.example\n");
    watched.settled();
    watched.replace("a.json", "[{\"targets\": [\"x.example\"]},\n  oops]");
    watched.replace("b.txt", "c.example\n");
    assert!(watched.settled());
    assert_eq!(watched.names(), "a.example c.example");
    assert_eq!(watched.wrong(), ["a.json: 2:3: it is no list in JSON: expected value"]);
    watched.replace("a.json", r#"["d.example"]"#);
    assert!(watched.settled());
    assert_eq!((watched.names().as_str(), watched.wrong()), ("d.example c.example", Vec::new()));
    // No list of anything.
    watched.replace("b.txt", "<html>\n<body>\n");
    assert!(!watched.settled());
    assert_eq!(watched.names(), "d.example c.example");
    assert_eq!(watched.wrong().len(), 1);
}

#[test]
fn files_that_are_all_away_stay_for_ten_minutes() {
    let mut watched = Watched::new(&["share/*.txt", "single.txt"]);
    fs::create_dir(watched.path("share")).unwrap();
    watched.write("share/a.txt", "a.example\n");
    watched.write("single.txt", "b.example\n");
    watched.settled();
    assert_eq!(watched.names(), "a.example b.example");
    // The share is not mounted: an empty folder, or none.
    fs::remove_file(watched.path("share/a.txt")).unwrap();
    fs::remove_file(watched.path("single.txt")).unwrap();
    for _ in 0..5 {
        assert!(!watched.look());
    }
    assert_eq!(watched.wrong().len(), 2);
    fs::remove_dir(watched.path("share")).unwrap();
    assert!(!watched.look());
    assert_eq!(watched.names(), "a.example b.example");
    // It is there again.
    fs::create_dir(watched.path("share")).unwrap();
    watched.write("share/a.txt", "a.example\n");
    assert!(!watched.settled());
    assert_eq!(watched.wrong().len(), 1);
    watched.now = watched.now + Duration::from_secs(600);
    assert!(watched.look());
    assert_eq!(watched.names(), "a.example", "single.txt is gone for good");
    assert_eq!(watched.wrong().len(), 1, "a file that is named has to be there");
}

#[test]
fn a_reload_takes_what_is_there_as_it_is_meant() {
    let mut watched = Watched::new(&["share/*.txt"]);
    fs::create_dir(watched.path("share")).unwrap();
    watched.write("share/a.txt", "a.example\n");
    let reload = |watched: &mut Watched| watched.files.look(&ProbeSettings::default(), watched.now, false);
    assert!(reload(&mut watched), "nobody waits for a second look");
    assert_eq!(watched.names(), "a.example");
    fs::remove_file(watched.path("share/a.txt")).unwrap();
    fs::remove_dir(watched.path("share")).unwrap();
    assert!(!reload(&mut watched), "a folder that is away says nothing");
    fs::create_dir(watched.path("share")).unwrap();
    assert!(reload(&mut watched));
    assert_eq!((watched.names().as_str(), watched.wrong()), ("", Vec::new()));
}

#[test]
fn the_links_that_kubernetes_swaps_are_followed() {
    use std::os::unix::fs::symlink;
    let mut watched = Watched::new(&["*.txt"]);
    for (version, name) in [("..1", "a.example"), ("..2", "b.example")] {
        fs::create_dir(watched.path(version)).unwrap();
        watched.write(&format!("{version}/domains.txt"), name);
    }
    symlink("..1", watched.path("..data")).unwrap();
    symlink("..data/domains.txt", watched.path("domains.txt")).unwrap();
    watched.settled();
    assert_eq!(watched.names(), "a.example");
    symlink("..2", watched.path("..new")).unwrap();
    fs::rename(watched.path("..new"), watched.path("..data")).unwrap();
    assert!(watched.settled());
    assert_eq!(watched.names(), "b.example");
}

#[test]
fn a_domain_of_several_sources_is_that_of_the_first() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("b.yml", "- targets: [c.example, d.example, a.example]\n  labels: {group: b}\n");
    write("a.yml", "- targets: [b.example, c.example, b.example]\n  labels: {group: a}\n");
    write("c.txt", "e..example\nd.example\n");
    write("main.yml", "domains: [{domain: a.example, group: main}]\ndomain_files: ['*.txt', '?.yml']\n");
    let mut settings = config::load(&folder.path().join("main.yml")).unwrap().settings;
    let reports = with_files(&mut settings, Timestamp::from_unix_seconds(1_795_464_000));
    let listed: Vec<String> = settings
        .domains
        .iter()
        .map(|one| format!("{}={}", one.domain, one.options.group.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(listed, ["a.example=main", "d.example=", "b.example=a", "c.example=a"]);
    let prefix = format!("{}/", folder.path().display());
    let lines: Vec<String> = reports.iter().map(|report| report.line().replace(&prefix, "")).collect();
    assert_eq!(
        lines,
        [
            "c.txt: 1 domain, 1 entry cannot be used",
            "a.yml: 2 domains, 1 entry repeats one",
            "b.yml: 3 domains, 3 of them are given before",
        ]
    );
}

proptest::proptest! {
    /// Against the plain way: one map, the first counts.
    #[test]
    fn sources_are_joined_as_a_map_would(lists in proptest::collection::vec(proptest::collection::vec("[a-d]{1,2}", 0..12), 0..5)) {
        use smtptls_exporter::{config::DomainList, terms::PolicyDomain};
        let lists: Vec<DomainList> =
            lists.iter().map(|names| names.iter().map(|name| PolicyDomain::parse(name).unwrap()).collect()).collect();
        let (joined, given_before) = merged(&lists.iter().collect::<Vec<_>>());
        let mut known = Vec::new();
        let mut expected = Vec::new();
        for list in &lists {
            let before = list.iter().filter(|one| known.contains(&one.domain)).count();
            expected.push(before);
            known.extend(list.iter().map(|one| one.domain.clone()).filter(|name| !known.contains(name)).collect::<Vec<_>>());
        }
        proptest::prop_assert_eq!(joined.iter().map(|one| one.domain.clone()).collect::<Vec<_>>(), known.clone());
        proptest::prop_assert_eq!(given_before, expected);
        proptest::prop_assert!(known.iter().all(|name| joined.has(name.as_str())));
        proptest::prop_assert!(joined.sorted().map(|one| &one.domain).is_sorted());
    }
}
