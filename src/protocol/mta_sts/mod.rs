//! MTA-STS (RFC 8461): record, policy, MX patterns.
