//! The filter tree: connectives and tests in one flat list.
//!
//! Owns the layout, how trees are put together, and the limits: every tree is within them. Parents
//! come before their children, and each connective has the number of nodes below it. So nothing
//! here recurses, and a chain of one connective grows at its end. Knows neither what a test means
//! nor how a filter is written.

use super::compare::{Scalar, ScalarSet};
use super::refusal::Refusal;
use crate::limits::{
    MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_VALUES, MAX_PATH_BYTES, MAX_TEXT_QUERY_BYTES,
};

/// How a connective combines its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connective {
    /// Every child must match. Without children everything matches.
    All,
    /// Some child must match. Without children nothing matches.
    Any,
    /// The one child must not match.
    Not,
}

/// A connective or a test.
#[derive(Debug, Clone)]
pub(super) enum FilterNode {
    Join { rule: Connective, n_below: usize },
    Test(Test),
}

/// One condition on one field.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) path: Box<str>,
    pub(super) check: Check,
    /// Whether the document matches if the check fails. Only operators with a name for that set it.
    pub(super) negated: bool,
}

/// The condition of a test, with its operand prepared.
#[derive(Debug, Clone)]
pub(super) enum Check {
    Exists,
    Equal(Scalar<'static>),
    Order(Bound, Scalar<'static>),
    Between(Scalar<'static>, Scalar<'static>),
    In(ScalarSet),
    All(ScalarSet),
    Prefix(Box<str>),
    Contains(Scalar<'static>),
    /// A condition on the document's text, not on a field.
    Text(Box<str>),
}

/// The side of its operand on which a value must lie.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    Gt,
    Gte,
    Lt,
    Lte,
}

impl FilterNode {
    /// The field that is tested; `None` for a connective, and for a test of the text.
    pub(super) fn path(&self) -> Option<&str> {
        match self {
            FilterNode::Join { .. } | FilterNode::Test(Test { check: Check::Text(_), .. }) => None,
            FilterNode::Test(test) => Some(&test.path),
        }
    }
}

/// A filter within the limits.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: Vec<FilterNode>,
    depth: usize,
    n_values: usize,
    n_bytes: usize,
}

impl Tree {
    /// A connective without children.
    pub(super) fn empty(rule: Connective) -> Self {
        Tree { nodes: vec![FilterNode::Join { rule, n_below: 0 }], depth: 1, n_values: 0, n_bytes: 0 }
    }

    /// One test.
    pub(super) fn test(path: &str, check: Check) -> Result<Self, Refusal> {
        check_path(path)?;
        let (n_values, n_bytes) = (check.n_values(), path.len() + check.n_bytes());
        let test = Test { path: path.into(), check, negated: false };
        Tree { nodes: vec![FilterNode::Test(test)], depth: 1, n_values, n_bytes }.within_limits()
    }

    /// One test of a document's text.
    pub(super) fn text(text: &str) -> Result<Self, Refusal> {
        Refusal::check("query in words, in bytes", MAX_TEXT_QUERY_BYTES, text.len())?;
        let test = Test { path: "".into(), check: Check::Text(text.into()), negated: false };
        Tree { nodes: vec![FilterNode::Test(test)], depth: 1, n_values: 0, n_bytes: text.len() }.within_limits()
    }

    /// Both trees under one connective. A tree whose root is such a connective already gives up its
    /// children to it.
    pub(super) fn join(mut self, rule: Connective, other: Tree) -> Result<Self, Refusal> {
        if self.is_empty(rule) {
            return Ok(other);
        }
        if other.is_empty(rule) {
            return Ok(self);
        }
        if !self.is_rooted_in(rule) {
            self.wrap(rule);
        }
        let n_dissolved = usize::from(other.is_rooted_in(rule));
        self.depth = self.depth.max(other.depth + 1 - n_dissolved);
        self.n_values += other.n_values;
        self.n_bytes += other.n_bytes;
        self.nodes.extend(other.nodes.into_iter().skip(n_dissolved));
        let n_nodes = self.nodes.len();
        if let Some(FilterNode::Join { n_below, .. }) = self.nodes.first_mut() {
            *n_below = n_nodes - 1;
        }
        self.within_limits()
    }

    /// The tree that matches what this one does not. Adds a node only if none can be inverted.
    pub(super) fn negate(mut self) -> Result<Self, Refusal> {
        match self.nodes.first_mut() {
            Some(FilterNode::Join { rule: Connective::Not, .. }) => {
                self.nodes.remove(0);
                self.depth -= 1;
            }
            Some(FilterNode::Join { rule, n_below: 0 }) => {
                *rule = if *rule == Connective::All { Connective::Any } else { Connective::All }
            }
            Some(FilterNode::Test(Test { check: Check::Exists | Check::Equal(_) | Check::In(_), negated, .. })) => {
                *negated = !*negated;
            }
            _ => self.wrap(Connective::Not),
        }
        self.within_limits()
    }

    /// This tree if `upright`, else its opposite.
    pub(super) fn negate_unless(self, upright: bool) -> Result<Self, Refusal> {
        if upright { Ok(self) } else { self.negate() }
    }

    /// Whether this is the connective `rule` without children.
    pub(super) fn is_empty(&self, rule: Connective) -> bool {
        self.nodes.len() == 1 && self.is_rooted_in(rule)
    }

    /// The nodes, beginning with the root.
    pub(super) fn nodes(&self) -> &[FilterNode] {
        &self.nodes
    }

    fn is_rooted_in(&self, rule: Connective) -> bool {
        matches!(self.nodes.first(), Some(FilterNode::Join { rule: root, .. }) if *root == rule)
    }

    fn wrap(&mut self, rule: Connective) {
        let n_below = self.nodes.len();
        self.nodes.insert(0, FilterNode::Join { rule, n_below });
        self.depth += 1;
    }

    fn within_limits(self) -> Result<Self, Refusal> {
        check_depth(self.depth)?;
        Refusal::check("filter in comparisons and connectives", MAX_FILTER_NODES, self.nodes.len())?;
        Refusal::check("filter in listed values", MAX_FILTER_VALUES, self.n_values)?;
        Refusal::check("filter in bytes", MAX_FILTER_BYTES, self.n_bytes)?;
        Ok(self)
    }
}

impl Check {
    fn n_values(&self) -> usize {
        match self {
            Check::In(set) | Check::All(set) => set.values().len(),
            _ => 0,
        }
    }

    /// Bytes of the operand's strings, which alone can be large.
    fn n_bytes(&self) -> usize {
        let length = |scalar: &Scalar<'_>| scalar.text().map_or(0, str::len);
        match self {
            Check::Exists => 0,
            Check::Equal(scalar) | Check::Order(_, scalar) | Check::Contains(scalar) => length(scalar),
            Check::Between(low, high) => length(low) + length(high),
            Check::In(set) | Check::All(set) => set.values().iter().map(length).sum(),
            Check::Prefix(text) | Check::Text(text) => text.len(),
        }
    }
}

/// Splits nodes that lie side by side into their trees.
pub(super) fn subtrees(mut nodes: &[FilterNode]) -> impl Iterator<Item = &[FilterNode]> {
    std::iter::from_fn(move || {
        let n_nodes = match nodes.first()? {
            FilterNode::Join { n_below, .. } => n_below + 1,
            FilterNode::Test(_) => 1,
        };
        let (first, others) = nodes.split_at_checked(n_nodes)?;
        nodes = others;
        Some(first)
    })
}

/// Refuses a nesting that is too deep. A single test is level 1.
pub(super) fn check_depth(level: usize) -> Result<(), Refusal> {
    Refusal::check("filter depth in levels", MAX_FILTER_DEPTH, level)
}

/// Refuses a path that is empty, too long, or would read as an operator.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return Err(Refusal::expected(format_args!("a field path of 1 to {MAX_PATH_BYTES} bytes"), path.len()));
    }
    if path.starts_with('$') {
        return Err(Refusal::expected("a field path", format_args!("{path}, which names an operator")));
    }
    Ok(())
}
