//! SMTP (RFC 5321, RFC 3207): replies, capabilities and the dialogue, without a socket.

mod capability;
mod dialogue;
mod reply;

pub use capability::keywords;
pub use dialogue::{Dialogue, Step, Transcript};
pub use reply::{MAX_LINE, MAX_LINES, Progress, Reply, ReplyReader};
