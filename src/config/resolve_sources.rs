//! The sources of domains outside of the configuration file.

use std::{path::PathBuf, time::Duration};

use super::{
    file,
    inventory::FilePattern,
    reader::At,
    resolve::{INTERVALS, Resolver},
};

impl Resolver<'_, '_> {
    pub(super) fn domain_files(&mut self, written: Option<At<Vec<At<String>>>>) -> Vec<String> {
        let patterns = written.map_or_else(Vec::new, |list| list.value);
        self.reject_twice(&patterns, Clone::clone, "the pattern");
        let mut paths = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            match FilePattern::parse(&pattern.value, self.base) {
                Ok(_) => paths.push(self.base.join(&pattern.value).to_string_lossy().into_owned()),
                Err(why) => self.reader.unexpected(pattern.mark, why, "a path as domains.d/*.yml", None),
            }
        }
        paths
    }

    pub(super) fn http_sd(&mut self, written: Option<At<Vec<At<file::HttpSd>>>>) -> Vec<file::HttpSd> {
        let entries = written.map_or_else(Vec::new, |list| list.value);
        entries.into_iter().map(|entry| self.url(entry)).collect()
    }

    fn url(&mut self, entry: At<file::HttpSd>) -> file::HttpSd {
        let mut url = entry.value;
        self.duration(url.refresh_interval, Duration::ZERO, INTERVALS);
        if let Some(at) = &url.url
            && !["https://", "http://"].iter().any(|scheme| at.value.0.starts_with(scheme))
        {
            self.reader.unexpected(at.mark, "this is no URL of a web server", "https://… or http://…", None);
        }
        if let (Some(_), Some(at)) = (&url.credentials_file, &url.username) {
            self.reader.error(at.mark, "a token and a user prove the same; give one of them", None);
        }
        match (&url.username, &url.password_file) {
            (Some(at), None) => self.reader.error(at.mark, "`password_file` is missing here", None),
            (None, Some(at)) => self.reader.error(at.mark, "`username` is missing here", None),
            (Some(at), Some(_)) if at.value.contains(':') => {
                self.reader.unexpected(at.mark, "this user cannot be sent (RFC 7617 section 2)", "no colon", None);
            }
            _ => {}
        }
        for path in [&mut url.credentials_file, &mut url.password_file].into_iter().flatten() {
            path.value = self.base.join(&path.value);
        }
        if let Some(ca_file) = url.ca_file.take() {
            let mark = ca_file.mark;
            url.ca_file = self.readable_file(ca_file).map(|value: PathBuf| At { value, mark });
        }
        url
    }
}
