//! What an expression of PromQL uses, held against the families of the registry.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    label::MatchOp,
    parser::{
        self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, token,
    },
};
use smtptls_exporter::metrics::{Kind, Level, families};

/// The labels that Prometheus adds to what it scrapes.
const TARGET: [&str; 2] = ["job", "instance"];

/// A metric that may be used.
#[derive(Clone)]
pub(super) struct Metric {
    pub(super) level: Level,
    /// Without those of the target; nothing where they are not known.
    pub(super) labels: Option<BTreeSet<String>>,
}

/// Metrics by name, as Prometheus stores them.
pub(super) type Known = BTreeMap<String, Metric>;

/// Those of the registry, and those that Prometheus itself makes.
pub(super) fn known() -> Known {
    let mut known = Known::new();
    for family in families() {
        let suffixes: &[&str] = if family.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        for suffix in suffixes {
            let mut labels: BTreeSet<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
            if *suffix == "_bucket" {
                labels.insert("le".to_owned());
            }
            known.insert(format!("{}{suffix}", family.name), Metric { level: family.level, labels: Some(labels) });
        }
    }
    known.insert("up".to_owned(), Metric { level: Level::Summary, labels: Some(BTreeSet::new()) });
    known.insert("ALERTS".to_owned(), Metric { level: Level::Summary, labels: None });
    known
}

/// What an expression uses and gives.
#[derive(Default)]
pub(super) struct Use {
    /// The metrics.
    pub(super) metrics: BTreeSet<String>,
    /// The labels that its series can have; nothing where that is not known.
    pub(super) labels: Option<BTreeSet<String>>,
    /// What is not as it should be.
    pub(super) problems: Vec<String>,
    /// The selectors.
    pub(super) selectors: Vec<VectorSelector>,
    /// Functions over a range, each with the metric that it is about.
    pub(super) ranges: Vec<(String, String)>,
}

/// Reads an expression without variables.
pub(super) fn read(expr: &str, known: &Known) -> Use {
    let mut found = Use::default();
    match parser::parse(expr) {
        Ok(tree) => found.labels = found.walk(&tree, known),
        Err(error) => found.problems.push(format!("is no PromQL: {error}")),
    }
    found
}

type Labels = Option<BTreeSet<String>>;

fn union(one: Labels, other: Labels) -> Labels {
    Some(one?.union(&other?).cloned().collect())
}

impl Use {
    fn walk(&mut self, expr: &Expr, known: &Known) -> Labels {
        match expr {
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, known),
            Expr::Unary(unary) => self.walk(&unary.expr, known),
            Expr::Binary(binary) => self.binary(binary, known),
            Expr::Paren(paren) => self.walk(&paren.expr, known),
            Expr::Subquery(query) => self.walk(&query.expr, known),
            Expr::VectorSelector(selector) => self.selector(selector, known),
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs, known),
            Expr::Call(call) => self.call(call, known),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Some(BTreeSet::new()),
        }
    }

    fn selector(&mut self, selector: &VectorSelector, known: &Known) -> Labels {
        self.selectors.push(selector.clone());
        let by_matcher = selector
            .matchers
            .matchers
            .iter()
            .find(|matcher| matcher.name == "__name__" && matcher.op == MatchOp::Equal);
        let name = selector.name.clone().or_else(|| by_matcher.map(|matcher| matcher.value.clone()));
        let Some(name) = name else {
            self.problems.push(format!("{selector} names no metric"));
            return None;
        };
        let Some(metric) = known.get(&name) else {
            self.problems.push(format!("there is no metric {name}"));
            return None;
        };
        self.metrics.insert(name.clone());
        let mut labels = metric.labels.clone()?;
        labels.extend(TARGET.map(str::to_owned));
        for matcher in selector.matchers.matchers.iter().chain(selector.matchers.or_matchers.iter().flatten()) {
            if matcher.name != "__name__" && !labels.contains(&matcher.name) {
                self.problems.push(format!("{name} has no label {}", matcher.name));
            }
        }
        Some(labels)
    }

    fn aggregate(&mut self, aggregate: &AggregateExpr, known: &Known) -> Labels {
        if let Some(parameter) = &aggregate.param {
            self.walk(parameter, known);
        }
        let inner = self.walk(&aggregate.expr, known);
        match &aggregate.modifier {
            // These choose among their series and change none.
            _ if matches!(aggregate.op.id(), token::T_TOPK | token::T_BOTTOMK) => inner,
            None => Some(BTreeSet::new()),
            Some(LabelModifier::Include(kept)) => {
                self.has(&inner, &kept.labels, "by");
                Some(kept.labels.iter().cloned().collect())
            }
            Some(LabelModifier::Exclude(dropped)) => {
                self.has(&inner, &dropped.labels, "without");
                Some(inner?.into_iter().filter(|label| !dropped.labels.contains(label)).collect())
            }
        }
    }

    fn binary(&mut self, binary: &BinaryExpr, known: &Known) -> Labels {
        let (left, right) = (self.walk(&binary.lhs, known), self.walk(&binary.rhs, known));
        let Some(modifier) = &binary.modifier else {
            return match binary.op.id() {
                token::T_LAND | token::T_LUNLESS => left,
                // One of the two may be a number.
                _ => union(left, right),
            };
        };
        if let Some(LabelModifier::Include(on) | LabelModifier::Exclude(on)) = &modifier.matching {
            self.has(&left, &on.labels, "on, left");
            self.has(&right, &on.labels, "on, right");
        }
        match (&modifier.card, &modifier.matching) {
            (VectorMatchCardinality::ManyToMany, _) if binary.op.id() == token::T_LOR => union(left, right),
            (VectorMatchCardinality::ManyToMany, _) => left,
            (VectorMatchCardinality::ManyToOne(more), _) => {
                self.has(&right, &more.labels, "group_left");
                union(left, Some(more.labels.iter().cloned().collect()))
            }
            (VectorMatchCardinality::OneToMany(more), _) => {
                self.has(&left, &more.labels, "group_right");
                union(right, Some(more.labels.iter().cloned().collect()))
            }
            (VectorMatchCardinality::OneToOne, Some(LabelModifier::Include(on)))
                if !binary.op.is_comparison_operator() =>
            {
                Some(on.labels.iter().cloned().collect())
            }
            (VectorMatchCardinality::OneToOne, _) => union(left, right),
        }
    }

    fn call(&mut self, call: &Call, known: &Known) -> Labels {
        let name = call.func.name;
        let mut labels = Some(BTreeSet::new());
        for argument in &call.args.args {
            if let Expr::MatrixSelector(matrix) = &**argument {
                self.ranges.push((name.to_owned(), matrix.vs.name.clone().unwrap_or_default()));
            }
            labels = union(labels, self.walk(argument, known));
        }
        match (name, call.args.args.get(1).map(|argument| &**argument)) {
            ("label_replace" | "label_join", Some(Expr::StringLiteral(made))) => {
                union(labels, Some([made.val.clone()].into()))
            }
            ("histogram_quantile", _) => Some(labels?.into_iter().filter(|label| label != "le").collect()),
            ("scalar" | "vector" | "time", _) => Some(BTreeSet::new()),
            _ => labels,
        }
    }

    fn has(&mut self, labels: &Labels, wanted: &[String], place: &str) {
        let Some(labels) = labels else { return };
        for label in wanted.iter().filter(|label| !labels.contains(*label)) {
            self.problems.push(format!("no series has the label {label} ({place})"));
        }
    }
}
