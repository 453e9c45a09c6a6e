//! What a report comes in: a mail or a mailbox, gzip or zip, under whatever name (RFC 8460 §5).

mod archive;
mod gzip;
mod mail;
mod mbox;
mod reader;
mod shape;

pub use self::{
    mail::{MAIL_MOST, MailPart, MailReport, ReportMail, open_mail, read_mail},
    mbox::split_mbox,
    reader::{Declared, ReportReader},
    shape::{Shape, sniff},
};
