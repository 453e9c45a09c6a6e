//! Domains from outside of the configuration file: the forms of lists, files that change, and servers that list.

mod files;
mod forms;
pub(crate) mod http;
mod served;
