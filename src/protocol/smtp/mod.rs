//! SMTP (RFC 5321, RFC 3207): replies, capabilities and the dialogue, without a socket.
