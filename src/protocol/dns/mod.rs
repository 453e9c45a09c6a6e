//! DNS as far as mail needs it: address classes, CNAME chains, MX targets.
