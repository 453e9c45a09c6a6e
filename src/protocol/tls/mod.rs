//! Certificates (RFC 5280, RFC 9525): facts, path to a root, reference identifiers, each judged apart.
