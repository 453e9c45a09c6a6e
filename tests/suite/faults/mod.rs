//! The fault matrix: what happens where a peer resets, ends, stalls, drips, floods or lies at each step of DNS, HTTPS, SMTP and TLS.
//!
//! A cell is a step, a fault, and what follows from the standards and the table of findings: the findings of the domain, what becomes
//! of its mail, how long the look takes, and how much is read from the peer.

mod act;
mod cell;
mod checked;
mod flapping;
mod page;
mod peers;
mod served;
mod table;
mod world;
