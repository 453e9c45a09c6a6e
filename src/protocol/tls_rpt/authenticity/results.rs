//! The Authentication-Results field (RFC 8601 §2.2).

use crate::terms::PolicyDomain;

/// So many results of one field are read; servers write a dozen.
const RESULTS_MOST: usize = 64;
/// Comments may stand in comments (RFC 5322 §3.2.2); nobody needs more of it.
const COMMENTS_MOST: usize = 16;

/// What a server found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AuthenticationResults {
    /// One a method and identity, in the order of the field.
    pub(super) results: Vec<MethodResult>,
}

/// One `resinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MethodResult {
    /// `method`, in lower case, without its version.
    pub(super) method: String,
    /// `result`, in lower case.
    pub(super) result: String,
    /// `ptype.property`, in lower case, with its value.
    properties: Vec<(String, String)>,
}

impl MethodResult {
    /// Whose signature it is about (RFC 8601 §2.7.1): `header.d`, or else the domain of `header.i`.
    pub(super) fn signer(&self) -> Option<PolicyDomain> {
        let value = |wanted: &str| self.properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let domain = match (value("header.d"), value("header.i")) {
            (Some(domain), _) => domain.as_str(),
            (None, Some(identity)) => identity.rsplit_once('@').map_or(identity.as_str(), |(_, domain)| domain),
            (None, None) => return None,
        };
        PolicyDomain::parse(domain).ok()
    }
}

/// A piece of the field, comments and white space left out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Text without a break, quoted parts without their quotes.
    Word(String),
    Equals,
    Semicolon,
}

/// Whether a value is that of a server by its `authserv-id`, or may be: where that cannot be read. What follows need not be readable.
pub(super) fn may_be_of(value: &[u8], server: &str) -> bool {
    let text = String::from_utf8_lossy(value);
    let front = text.split(';').next().unwrap_or_default();
    match tokens(front).as_deref() {
        Some([Token::Word(name), ..]) => name.eq_ignore_ascii_case(server),
        Some(_) => false,
        None => true,
    }
}

/// Reads a value; nothing where it breaks the grammar, because then anybody's text may stand in it as anything.
pub(super) fn read_results(value: &[u8]) -> Option<AuthenticationResults> {
    let text = std::str::from_utf8(value).ok()?;
    let tokens = tokens(text)?;
    let mut parts = tokens.split(|token| *token == Token::Semicolon);
    // The name may be followed by a version.
    match parts.next()? {
        [Token::Word(_)] => {}
        [Token::Word(_), Token::Word(version)] if version == "1" => {}
        _ => return None,
    }
    let mut results = Vec::new();
    for part in parts.filter(|part| !part.is_empty()).take(RESULTS_MOST) {
        match part {
            // `none`: nothing was looked at.
            [Token::Word(_)] => {}
            part => results.push(method_result(part)?),
        }
    }
    Some(AuthenticationResults { results })
}

fn method_result(part: &[Token]) -> Option<MethodResult> {
    let mut pairs = Vec::new();
    let mut rest = part;
    while !rest.is_empty() {
        let equals = rest.iter().position(|token| *token == Token::Equals)?;
        let (name, behind) = rest.split_at_checked(equals)?;
        // White space and comments may stand round the dot of a property and the slash of a version.
        let name: String =
            name.iter().map(|token| if let Token::Word(word) = token { word.as_str() } else { "" }).collect();
        let [Token::Equals, Token::Word(value), more @ ..] = behind else { return None };
        pairs.push((name.to_ascii_lowercase(), value.clone()));
        rest = more;
    }
    let mut pairs = pairs.into_iter();
    let (method, result) = pairs.next()?;
    let method = method.split('/').next().unwrap_or_default().to_owned();
    Some(MethodResult { method, result: result.to_ascii_lowercase(), properties: pairs.collect() })
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    let end = |word: &mut Option<String>, tokens: &mut Vec<Token>| tokens.extend(word.take().map(Token::Word));
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted(&mut characters, word.get_or_insert_default())?,
            '(' => {
                end(&mut word, &mut tokens);
                comment(&mut characters)?;
            }
            // A value may hold one, as the base64 of `header.b`: then text stands right before it, and a value began.
            '=' if word.is_some() && tokens.last() == Some(&Token::Equals) => word.get_or_insert_default().push('='),
            '=' => {
                end(&mut word, &mut tokens);
                tokens.push(Token::Equals);
            }
            ';' => {
                end(&mut word, &mut tokens);
                tokens.push(Token::Semicolon);
            }
            ')' => return None,
            white if white.is_ascii_whitespace() => end(&mut word, &mut tokens),
            other => word.get_or_insert_default().push(other),
        }
    }
    end(&mut word, &mut tokens);
    Some(tokens)
}

/// The rest of a quoted string (RFC 5322 §3.2.4).
fn quoted(characters: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            '"' => return Some(()),
            '\\' => word.push(characters.next()?),
            other => word.push(other),
        }
    }
}

/// The rest of a comment (RFC 5322 §3.2.2).
fn comment(characters: &mut std::str::Chars<'_>) -> Option<()> {
    let mut open = 1_usize;
    while open > 0 {
        match characters.next()? {
            '(' if open < COMMENTS_MOST => open += 1,
            '(' => return None,
            ')' => open -= 1,
            '\\' => {
                characters.next()?;
            }
            _ => {}
        }
    }
    Some(())
}
