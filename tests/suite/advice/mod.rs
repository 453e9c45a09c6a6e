//! `policy suggest`, `policy check` and `tlsa suggest`: what is suggested works, and what is said of files is what senders do.

mod files;
mod policy;
mod tlsa;
