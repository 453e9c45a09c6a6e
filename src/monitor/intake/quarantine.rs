//! What could not be taken: a copy of each, with the reason beside it, for a person to look at.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::RawReport;
use crate::{
    facts::Transport,
    protocol::tls_rpt::{Refusal, RefusalReason, Shape, sniff},
    terms::Timestamp,
};

/// The folder below the state folder.
const FOLDER: &str = "quarantine";
/// So many are kept, the latest: a person who looks at them needs a few of each kind.
const KEPT_MOST: usize = 1000;
/// … and so many bytes: sixteen of the largest mails.
const BYTES_MOST: u64 = 256 << 20;
/// So many of them may have come by HTTPS, where anybody can send anything …
const POSTED_MOST: usize = 20;
/// … and none of those is larger: a report of a day has some kilobytes.
const POSTED_BYTES_MOST: usize = 1 << 20;
/// The part of a name that tells those apart.
const POSTED: &str = "https";

/// The folder.
#[derive(Debug)]
pub(super) struct Quarantine {
    folder: PathBuf,
    /// One writer at a time keeps the bounds.
    writing: Mutex<()>,
}

/// A copy that is there.
struct Kept {
    path: PathBuf,
    name: String,
    bytes: u64,
}

impl Quarantine {
    /// Below a state folder. Nothing is made before there is something to keep.
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: state.join(FOLDER), writing: Mutex::default() }
    }

    /// Keeps a copy that outlives the power. The same content is kept once. Of what comes by HTTPS only little is kept, and only
    /// what may be a report that its sender wrote badly.
    ///
    /// # Errors
    /// The folder cannot be written; then nothing is kept.
    pub(super) fn set_aside(&self, raw: &RawReport, refusal: &Refusal, now: Timestamp) -> io::Result<()> {
        let posted = raw.transport == Transport::Https;
        let readable = matches!(refusal.reason, RefusalReason::BadJson | RefusalReason::BadEncoding);
        if posted && (!readable || raw.bytes.len() > POSTED_BYTES_MOST) {
            return Ok(());
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        DirBuilder::new().recursive(true).mode(0o750).create(&self.folder)?;
        let print = digest(&SHA256, &raw.bytes);
        let print: String = print.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let kept = self.kept()?;
        if kept.iter().any(|one| one.name.contains(&print)) {
            return Ok(());
        }
        self.make_room(kept, raw.bytes.len(), posted)?;
        let way = if posted { POSTED } else { raw.transport.as_str() };
        let name = format!("{:010}-{way}-{print}.{}", now.unix_seconds(), ending(&raw.bytes));
        let path = self.folder.join(name);
        self.write(&with_why(&path), reason(&path, raw, refusal, now).as_bytes())?;
        self.write(&path, &raw.bytes)?;
        File::open(&self.folder)?.sync_all()
    }

    /// The copies, the oldest first.
    fn kept(&self) -> io::Result<Vec<Kept>> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with('.') && !name.ends_with(".why") {
                kept.push(Kept { bytes: entry.metadata()?.len(), path: entry.path(), name });
            }
        }
        kept.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(kept)
    }

    /// Takes the oldest away until one more fits.
    fn make_room(&self, kept: Vec<Kept>, more: usize, posted: bool) -> io::Result<()> {
        let is_posted = |one: &Kept| one.name.contains(POSTED);
        let mut by_post = kept.iter().filter(|one| is_posted(one)).count();
        let mut count = kept.len();
        let mut bytes = kept.iter().map(|one| one.bytes).sum::<u64>().saturating_add(more as u64);
        let mut gone = 0_usize;
        for one in kept {
            let too_many = count >= KEPT_MOST || bytes > BYTES_MOST;
            let too_many_posted = posted && by_post >= POSTED_MOST && is_posted(&one);
            if !too_many && !too_many_posted {
                continue;
            }
            fs::remove_file(&one.path)?;
            // It may be missing: then a person took it.
            let _ = fs::remove_file(with_why(&one.path));
            by_post -= usize::from(is_posted(&one));
            (count, bytes, gone) = (count - 1, bytes.saturating_sub(one.bytes), gone + 1);
        }
        if gone > 0 {
            tracing::warn!(gone, folder = %self.folder.display(), "the quarantine is full; the oldest are gone");
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hidden = self.folder.join(format!(".{name}"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&hidden)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&hidden, path));
        if written.is_err() {
            // What is left of it helps nobody, and may be why the disk is full.
            let _ = fs::remove_file(&hidden);
        }
        written
    }
}

/// Where the reason of a copy stands.
fn with_why(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(".why");
    name.into()
}

fn ending(bytes: &[u8]) -> &'static str {
    match sniff(bytes) {
        Shape::Mail => "eml",
        Shape::Mbox => "mbox",
        Shape::Json => "json",
        Shape::Gzip => "json.gz",
        Shape::Zip => "zip",
        Shape::Unknown => "bin",
    }
}

fn reason(path: &Path, raw: &RawReport, refusal: &Refusal, now: Timestamp) -> String {
    // What comes from outside stands escaped: the file is for terminals.
    format!(
        "time: {now}\nway: {}\nsource: {}\nreason: {}\ndetail: {}\n\n\
         Where the reason is gone (a domain was added, `reports.authentication` was changed), hand it in again:\n\
         smtptls-exporter report ingest '{}'\n",
        raw.transport.as_str(),
        raw.source.escape_debug(),
        refusal.reason,
        refusal.detail.escape_debug(),
        path.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(transport: Transport, bytes: &str) -> RawReport {
        RawReport {
            bytes: bytes.to_owned().into(),
            transport,
            source: "somewhere\u{1b}[2J".to_owned(),
            media_type: None,
            file_name: None,
            waiting_since: None,
        }
    }

    fn names(state: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(state.join(FOLDER))
            .map(|all| all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    #[test]
    fn a_copy_is_kept_once_with_its_reason() {
        let state = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(state.path());
        let refusal = Refusal::new(RefusalReason::BadJson, "line 1, column 2");
        let now = Timestamp::from_unix_seconds(1_768_089_600);
        for _ in 0..2 {
            quarantine.set_aside(&raw(Transport::File, "{x"), &refusal, now).unwrap();
        }
        let names = names(state.path());
        let [copy, why] = names.as_slice() else { panic!("{names:?}") };
        assert_eq!(*why, format!("{copy}.why"));
        let read = |name: &str| fs::read_to_string(state.path().join(FOLDER).join(name)).unwrap();
        assert_eq!(read(copy), "{x");
        let why = read(why);
        assert!(why.contains("reason: bad-json\ndetail: line 1, column 2\n"), "{why}");
        assert!(
            why.contains(&format!("report ingest '{}", state.path().display())) && !why.contains('\u{1b}'),
            "{why}"
        );
    }

    #[test]
    fn anybody_s_posts_fill_little_and_push_nothing_else_out() {
        let state = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(state.path());
        let set_aside = |transport, bytes: &str, reason, at| {
            let refusal = Refusal::new(reason, "x");
            quarantine.set_aside(&raw(transport, bytes), &refusal, Timestamp::from_unix_seconds(at)).unwrap();
        };
        set_aside(Transport::Mail, "From: a@b.test\n\nx", RefusalReason::Unauthenticated, 1);
        for n in 0..40 {
            set_aside(Transport::Https, &format!("{{{n}"), RefusalReason::BadJson, 2 + n);
            set_aside(Transport::Https, &format!("x{n}"), RefusalReason::UnknownDomain, 2 + n);
        }
        set_aside(Transport::Https, &"{".repeat(POSTED_BYTES_MOST + 1), RefusalReason::BadJson, 50);
        let copies: Vec<_> = names(state.path()).into_iter().filter(|name| !name.ends_with(".why")).collect();
        assert_eq!(copies.len(), POSTED_MOST + 1);
        assert!(copies[0].contains("-mail-") && copies[1].starts_with("0000000022-https-"), "{copies:?}");
        assert_eq!(names(state.path()).len(), copies.len() * 2);
    }

    #[test]
    fn the_oldest_make_room() {
        let state = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(state.path());
        fs::create_dir(state.path().join(FOLDER)).unwrap();
        for n in 0..KEPT_MOST {
            fs::write(state.path().join(FOLDER).join(format!("{n:010}-mail-{n:016}.eml")), "x").unwrap();
        }
        let refusal = Refusal::new(RefusalReason::BadEncoding, "x");
        quarantine.set_aside(&raw(Transport::Mail, "new"), &refusal, Timestamp::from_unix_seconds(99_999)).unwrap();
        let copies: Vec<_> = names(state.path()).into_iter().filter(|name| !name.ends_with(".why")).collect();
        assert_eq!(copies.len(), KEPT_MOST);
        assert!(copies[0].starts_with("0000000001-") && copies[KEPT_MOST - 1].starts_with("0000099999-"));
    }
}
