//! One set of samples for all addresses of a mail host: in each family the worst of them.

use super::text::Value;

/// Which of several values is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The least: whether something holds, when something ends.
    Least,
    /// The most: failures, times, whether something bad holds.
    Most,
    /// Each different set of labels, by the most.
    Each,
    /// That of the address whose certificate ends first: what belongs to one certificate must not be mixed with another.
    FirstToEnd,
}

/// The samples of one family about several addresses.
#[derive(Debug)]
pub(super) struct Worst {
    rule: Rule,
    samples: Vec<(Vec<String>, Value)>,
}

impl Worst {
    pub(super) const fn new(rule: Rule) -> Self {
        Self { rule, samples: Vec::new() }
    }

    /// A sample of one of the addresses.
    pub(super) fn take(&mut self, labels: &[&str], value: Value) {
        let same = |one: &&mut (Vec<String>, Value)| one.0.iter().map(String::as_str).eq(labels.iter().copied());
        let Some((_, worst)) = self.samples.iter_mut().find(same) else {
            self.samples.push((labels.iter().map(|&label| label.to_owned()).collect(), value));
            return;
        };
        let worse = match self.rule {
            Rule::Least | Rule::FirstToEnd => value.number() < worst.number(),
            Rule::Most | Rule::Each => value.number() > worst.number(),
        };
        if worse {
            *worst = value;
        }
    }

    /// The worst, in the order in which they came.
    pub(super) fn samples(&self) -> impl Iterator<Item = (&[String], Value)> {
        self.samples.iter().map(|(labels, value)| (labels.as_slice(), *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(rule: Rule, samples: &[(&[&str], f64)]) -> Vec<(Vec<String>, Value)> {
        let mut worst = Worst::new(rule);
        for (labels, value) in samples {
            worst.take(labels, Value::Float(*value));
        }
        worst.samples().map(|(labels, value)| (labels.to_vec(), value)).collect()
    }

    #[test]
    fn the_worst_is_the_least_or_the_most_by_set_of_labels() {
        let one: &[&str] = &[];
        assert_eq!(worst(Rule::Least, &[(one, 1.0), (one, 0.0), (one, 1.0)]), [(vec![], Value::Float(0.0))]);
        assert_eq!(worst(Rule::Most, &[(one, 1.0), (one, 3.0), (one, 2.0)]), [(vec![], Value::Float(3.0))]);
        let each = worst(Rule::Each, &[(&["a"], 1.0), (&["b"], 1.0), (&["a"], 1.0)]);
        assert_eq!(each.iter().map(|(labels, _)| labels[0].as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(worst(Rule::Least, &[]), []);
    }
}
