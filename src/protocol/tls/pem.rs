//! What is wrong with a PEM text (RFC 7468).

use rustls_pki_types::pem::Error;

/// In fixed words. The library repeats the line that it could not read, and of a private key in one line that is the key.
pub fn pem_fault(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no END line of its own",
        Error::IllegalSectionStart { .. } => "a BEGIN line is broken",
        Error::Base64Decode(_) => "what stands between BEGIN and END is no base64",
        Error::Io(_) => "it cannot be read",
        Error::NoItemsFound => "there is none in it",
        Error::SectionTooLarge => "a section is too large",
        _ => "it is broken",
    }
}
