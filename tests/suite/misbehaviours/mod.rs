//! What other programs of the field get wrong, and this one must not: the list of it, and the tests of the whole path from a peer
//! to what is shown. Where it is one of judgement, or of one edge, its test stands with its theme.

mod checked;
pub(crate) mod scrape;
mod served;
mod table;
