//! TLSRPT (RFC 8460): the record.
