//! Following CNAME records through answers (RFC 1034 §3.6.2).

/// How many CNAME records in a row are followed. RFC 1034 names no number; public resolvers stop between 8 and 16, and a
/// longer chain fails for some senders already.
pub const MAX_CNAME: usize = 8;

/// A record of an answer section, reduced to what following needs. `N` is a name whose equality is that of the DNS
/// (without regard to case, RFC 4343).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRecord<N, T> {
    /// The name that owns the record.
    pub owner: N,
    /// Seconds.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData<N, T>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData<N, T> {
    /// The owner is an alias of this name.
    Cname(N),
    /// A record of the type asked for.
    Record(T),
}

/// A chain of aliases, followed through one answer after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CnameChain<N> {
    start: N,
    aliases: Vec<N>,
    ttl: u32,
}

/// The chain comes back to one of its names, or has more than [`MAX_CNAME`] links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CNAME chain loops or is longer than {MAX_CNAME}")]
pub struct CnameChainError;

impl<N: Clone + PartialEq> CnameChain<N> {
    /// A chain that has not left the name asked for.
    pub fn new(start: N) -> Self {
        Self { start, aliases: Vec::new(), ttl: u32::MAX }
    }

    /// The name that the chain has come to: the one to ask for next, or the owner of the records.
    pub fn end(&self) -> &N {
        self.aliases.last().unwrap_or(&self.start)
    }

    /// The names that CNAME records led to, in order; empty where there was none.
    pub fn aliases(&self) -> &[N] {
        &self.aliases
    }

    /// The smallest TTL of the CNAME records and of the records returned so far; `u32::MAX` before the first.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Walks on through one answer, whose records may stand in any order, and returns the records of the name at which it
    /// ends. None means: that name has no records here.
    ///
    /// Where a name has records and a CNAME (against RFC 2181 §10.1), the records win; of several CNAME records the first.
    ///
    /// # Errors
    /// [`CnameChainError`]; the chain then keeps the names up to there.
    pub fn follow<T>(&mut self, mut answer: Vec<AnswerRecord<N, T>>) -> Result<Vec<T>, CnameChainError> {
        loop {
            let end = self.end().clone();
            let mut records = Vec::new();
            let mut others = Vec::with_capacity(answer.len());
            for record in answer {
                match record.data {
                    RecordData::Record(data) if record.owner == end => {
                        self.ttl = self.ttl.min(record.ttl);
                        records.push(data);
                    }
                    _ => others.push(record),
                }
            }
            if !records.is_empty() {
                return Ok(records);
            }
            let link = others.iter().find_map(|record| match &record.data {
                RecordData::Cname(target) if record.owner == end => Some((target.clone(), record.ttl)),
                _ => None,
            });
            let Some((target, ttl)) = link else { return Ok(records) };
            if self.aliases.len() >= MAX_CNAME || target == self.start || self.aliases.contains(&target) {
                return Err(CnameChainError);
            }
            self.ttl = self.ttl.min(ttl);
            self.aliases.push(target);
            answer = others;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cname(owner: &str, ttl: u32, target: &str) -> AnswerRecord<String, u8> {
        AnswerRecord { owner: owner.into(), ttl, data: RecordData::Cname(target.into()) }
    }

    fn data(owner: &str, ttl: u32, value: u8) -> AnswerRecord<String, u8> {
        AnswerRecord { owner: owner.into(), ttl, data: RecordData::Record(value) }
    }

    fn chain(start: &str) -> CnameChain<String> {
        CnameChain::new(start.into())
    }

    #[test]
    fn without_a_cname_only_the_name_itself_counts() {
        let mut found = chain("a");
        assert_eq!(found.follow(vec![data("a", 60, 1), data("b", 5, 9), data("a", 30, 2)]), Ok(vec![1, 2]));
        assert_eq!((found.ttl(), found.aliases().len()), (30, 0));
    }

    #[test]
    fn the_order_of_the_records_does_not_matter() {
        let answer = [data("c", 50, 1), cname("b", 20, "c"), cname("a", 70, "b")];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut found = chain("a");
            assert_eq!(found.follow(order.map(|i: usize| answer[i].clone()).into()), Ok(vec![1]), "{order:?}");
            assert_eq!((found.aliases(), found.ttl()), (&["b".to_owned(), "c".to_owned()][..], 20));
        }
    }

    #[test]
    fn a_partial_chain_goes_on_in_the_next_answer() {
        let mut found = chain("a");
        assert_eq!(found.follow(vec![cname("a", 9, "b")]), Ok(vec![]));
        assert_eq!(found.end(), "b");
        assert_eq!(found.follow(vec![cname("b", 60, "c"), data("c", 30, 4)]), Ok(vec![4]));
        assert_eq!((found.aliases().len(), found.ttl()), (2, 9));
    }

    #[test]
    fn loops_are_seen_within_and_across_answers() {
        assert_eq!(chain("a").follow(vec![cname("a", 1, "a")]), Err(CnameChainError));
        assert_eq!(chain("a").follow(vec![cname("a", 1, "b"), cname("b", 1, "a")]), Err(CnameChainError));
        let mut found = chain("a");
        assert_eq!(found.follow(vec![cname("a", 1, "b")]), Ok(vec![]));
        assert_eq!(found.follow(vec![cname("b", 1, "c"), cname("c", 1, "b")]), Err(CnameChainError));
    }

    #[test]
    fn eight_links_are_followed_and_nine_are_not() {
        let links = |count: u8| (0..count).map(|i| cname(&i.to_string(), 1, &(i + 1).to_string())).collect::<Vec<_>>();
        let mut eight = links(8);
        eight.push(data("8", 1, 7));
        assert_eq!(chain("0").follow(eight), Ok(vec![7]));
        assert_eq!(chain("0").follow(links(9)), Err(CnameChainError));
    }

    proptest! {
        #[test]
        fn any_answer_comes_to_an_end(links in prop::collection::vec((0u8..12, 0u8..12), 0..40)) {
            let mut found = chain("0");
            let answer = links.iter().map(|(from, to)| cname(&from.to_string(), 1, &to.to_string())).collect();
            let _ = found.follow(answer);
            prop_assert!(found.aliases().len() <= MAX_CNAME);
        }
    }
}
