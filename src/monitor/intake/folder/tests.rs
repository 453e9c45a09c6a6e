use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn print(path: &Path) -> Print {
    Print::of(&fs::symlink_metadata(path).unwrap()).unwrap()
}

fn set_changed(path: &Path, changed: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(changed).unwrap();
}

fn names(look: &Look) -> Vec<&str> {
    look.files.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn a_mail_that_is_done_with_is_marked_in_cur() {
    let maildir = tempfile::tempdir().unwrap();
    for part in ["new", "cur", "tmp"] {
        fs::create_dir(maildir.path().join(part)).unwrap();
    }
    let at = |name: &str| maildir.path().join(name);
    for (before, after) in [
        ("new/1.M1.host", "cur/1.M1.host:2,S"),
        ("cur/1.M1.host:2,", "cur/1.M1.host:2,S"),
        ("cur/1.M1.host:2,RT", "cur/1.M1.host:2,RST"),
        ("new/1.M1.host:2,F", "cur/1.M1.host:2,FS"),
    ] {
        assert_eq!(seen(&at(before)), Some(at(after)), "{before}");
        fs::write(at(before), "x").unwrap();
        assert!(!is_seen(&at(before)) && is_seen(&at(after)));
        assert!(dispose(&at(before), print(&at(before))).unwrap());
        assert_eq!(fs::read(at(after)).unwrap(), b"x");
        fs::remove_file(at(after)).unwrap();
    }
    fs::write(at("new/gone"), "x").unwrap();
    let gone = print(&at("new/gone"));
    fs::remove_file(at("new/gone")).unwrap();
    assert!(dispose(&at("new/gone"), gone).unwrap());
    assert_eq!(seen(&at("report:2,.json")), None, "not in a maildir");
}

#[cfg(unix)]
#[test]
fn only_whole_files_of_this_folder_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let old = SystemTime::now() - Duration::from_secs(60);
    let write = |name: &str, changed: SystemTime| {
        let file = File::create(at(name)).unwrap();
        file.set_modified(changed).unwrap();
    };
    write("b.json", old);
    write("a.json", old - Duration::from_secs(1));
    write(".hidden.json", old);
    write("growing.json", SystemTime::now());
    write("done.json", old);
    write("future.json", SystemTime::now() + Duration::from_secs(3600));
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("link.json")).unwrap();
    let mut known = Known::new(REFUSED_REST);
    known.done.insert(at("done.json"), print(&at("done.json")));
    known.done.insert(at("gone.json"), print(&at("done.json")));
    let look = look_through(folder.path(), &known, true).unwrap();
    assert_eq!(names(&look), ["a.json", "b.json"]);
    assert!(look.unsettled && look.present.contains_key(&at("done.json")));
    known.forget(&look.present);
    assert_eq!(known.done.into_keys().collect::<Vec<_>>(), [at("done.json")]);
}

#[test]
fn a_file_from_the_future_settles_when_it_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("future.json");
    fs::write(&path, "{").unwrap();
    let later = SystemTime::now() + 60 * MINUTE;
    set_changed(&path, later);
    let mut known = Known::new(REFUSED_REST);
    let first = look_through(folder.path(), &known, true).unwrap();
    assert!(first.files.is_empty() && first.unsettled);
    let past = |ago: Duration| Instant::now().checked_sub(ago).unwrap();
    known.ahead = HashMap::from([(path.clone(), (print(&path), past(LOOK_EVERY)))]);
    let second = look_through(folder.path(), &known, true).unwrap();
    assert!(matches!(&second.files[..], [found] if !found.rested));
    assert_eq!(second.ahead, known.ahead, "it is known since when");
    known.rest = LOOK_EVERY;
    assert!(look_through(folder.path(), &known, true).unwrap().files[0].rested);
    // Its time is set to the same by whoever writes it.
    fs::write(&path, "{}").unwrap();
    set_changed(&path, later);
    let grown = look_through(folder.path(), &known, true).unwrap();
    assert!(grown.files.is_empty() && grown.unsettled);
}

#[test]
fn what_may_not_be_whole_is_read_again_when_it_changed_or_rested() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.json");
    fs::write(&path, "{").unwrap();
    set_changed(&path, SystemTime::now() - MINUTE / 2);
    let mut known = Known::new(REFUSED_REST);
    let [found] = <[_; 1]>::try_from(look_through(folder.path(), &known, true).unwrap().files).unwrap();
    assert!(!found.rested);
    assert!(known.note(found, Ended::Rests), "it is looked at again soon");
    let look = look_through(folder.path(), &known, true).unwrap();
    assert!(look.files.is_empty() && look.unsettled);
    fs::write(&path, "{}").unwrap();
    set_changed(&path, SystemTime::now() - MINUTE / 2);
    assert_eq!(names(&look_through(folder.path(), &known, false).unwrap()), ["half.json"]);
    set_changed(&path, SystemTime::now() - 2 * MINUTE);
    known.resting.insert(path.clone(), print(&path));
    assert!(matches!(&look_through(folder.path(), &known, false).unwrap().files[..], [found] if found.rested));
}

#[test]
fn a_file_that_could_not_be_read_is_tried_again_when_all_is_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "{}").unwrap();
    set_changed(&path, SystemTime::now() - 2 * MINUTE);
    let mut known = Known::new(REFUSED_REST);
    let found = Found { path: path.clone(), print: print(&path), rested: true };
    known.note(found.clone(), Ended::Unreadable(io::ErrorKind::PermissionDenied.into()));
    assert!(look_through(folder.path(), &known, false).unwrap().files.is_empty());
    assert_eq!(names(&look_through(folder.path(), &known, true).unwrap()), ["a.json"]);
    // What is done with is left alone; another file of its name is not.
    known.note(found, Ended::LeftAlone);
    assert!(look_through(folder.path(), &known, true).unwrap().files.is_empty());
    fs::write(&path, "{ }").unwrap();
    set_changed(&path, SystemTime::now() - 2 * MINUTE);
    assert_eq!(names(&look_through(folder.path(), &known, false).unwrap()), ["a.json"]);
}

#[test]
fn only_the_file_that_was_read_is_moved_or_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["new", "cur", "tmp"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    let other = folder.path().join("other");
    for path in [folder.path().join("a.json"), folder.path().join("new/1.M1.host")] {
        fs::write(&path, "{}").unwrap();
        let was_read = print(&path);
        // Another one of the same length and time takes its place.
        fs::write(&other, "[]").unwrap();
        set_changed(&other, was_read.changed);
        fs::rename(&other, &path).unwrap();
        assert!(!dispose(&path, was_read).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"[]");
        // It grows.
        let was_read = print(&path);
        fs::write(&path, "[] ").unwrap();
        set_changed(&path, was_read.changed);
        assert!(!dispose(&path, was_read).unwrap());
        // It is written anew.
        let was_read = print(&path);
        set_changed(&path, was_read.changed + Duration::from_secs(1));
        assert!(!dispose(&path, was_read).unwrap());
        assert!(dispose(&path, print(&path)).unwrap() && !path.exists());
    }
}

#[test]
fn a_file_that_became_another_one_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "{}").unwrap();
    let as_it_is = print(&path);
    let found = |print| Found { path: path.clone(), print, rested: true };
    assert_eq!(read(&found(as_it_is)).unwrap().unwrap().bytes, "{}");
    for bytes in [1, 3] {
        assert!(read(&found(Print { bytes, ..as_it_is })).unwrap().is_none(), "it grew or shrank");
    }
    let changed = as_it_is.changed - Duration::from_secs(1);
    assert!(read(&found(Print { changed, ..as_it_is })).unwrap().is_none(), "it was written anew");
    fs::remove_file(&path).unwrap();
    assert!(read(&found(as_it_is)).unwrap().is_none());
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(read(&found(as_it_is)).unwrap().is_none(), "a link took its place");
}
