//! A world of peers on loopback that answer as a test tells them to.
// What a peer offers is public within this binary, whichever test uses it today.
#![allow(unreachable_pub)]

pub mod dns;
pub mod dns_tcp;
pub mod https;
pub mod imap;
pub mod mail_world;
pub mod openssl;
pub mod pki;
pub mod signed;
pub mod smtp;
