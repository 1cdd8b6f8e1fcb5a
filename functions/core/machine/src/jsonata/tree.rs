//! Walks a parsed expression.

use std::collections::BTreeSet;

use jsonata_core::ast::{AstNode, BinaryOp, PathStep, Stage};

/// Shows `see` every node, the outer ones first.
pub(super) fn visit<'a>(node: &'a AstNode, see: &mut impl FnMut(&'a AstNode)) {
    // Not by recursion: a tree may be as deep as the parser lets it be.
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        see(node);
        children(node, &mut |child| open.push(child));
    }
}

/// Shows `see` what stands in the brackets behind a step.
pub(super) fn stages<'a>(step: &'a PathStep, see: &mut impl FnMut(&'a AstNode)) {
    for stage in &step.stages {
        if let Stage::Filter(filter) = stage {
            see(filter);
        }
    }
}

/// Shows `see` a step's node, and what stands in the brackets behind it.
pub(super) fn step<'a>(step: &'a PathStep, see: &mut impl FnMut(&'a AstNode)) {
    see(&step.node);
    stages(step, see);
}

/// Shows `see` the nodes right below.
pub(super) fn children<'a>(node: &'a AstNode, see: &mut impl FnMut(&'a AstNode)) {
    let pairs = |pairs: &'a [(AstNode, AstNode)], see: &mut dyn FnMut(&'a AstNode)| {
        for (key, value) in pairs {
            see(key);
            see(value);
        }
    };
    match node {
        AstNode::String(_)
        | AstNode::Name(_)
        | AstNode::Number(_)
        | AstNode::Boolean(_)
        | AstNode::Null
        | AstNode::Undefined
        | AstNode::Placeholder
        | AstNode::Regex { .. }
        | AstNode::Variable(_)
        | AstNode::ParentVariable(_)
        | AstNode::Wildcard
        | AstNode::Descendant
        | AstNode::Parent(_) => {}
        AstNode::Path { steps } => steps.iter().for_each(|one| step(one, see)),
        AstNode::Binary { lhs, rhs, .. } => {
            see(lhs);
            see(rhs);
        }
        AstNode::Unary { operand, .. } => see(operand),
        AstNode::Function { args, .. } => args.iter().for_each(see),
        AstNode::Call { procedure, args } => {
            see(procedure);
            args.iter().for_each(see);
        }
        AstNode::Lambda { body, .. } => see(body),
        AstNode::Array(items) | AstNode::Block(items) | AstNode::ArrayGroup(items) => {
            items.iter().for_each(see);
        }
        AstNode::Object(held) => pairs(held, see),
        AstNode::ObjectTransform { input, pattern } => {
            see(input);
            pairs(pattern, see);
        }
        AstNode::Conditional { condition, then_branch, else_branch } => {
            see(condition);
            see(then_branch);
            if let Some(otherwise) = else_branch {
                see(otherwise);
            }
        }
        AstNode::FunctionApplication(inner) => see(inner),
        AstNode::Sort { input, terms } => {
            see(input);
            terms.iter().for_each(|(term, _)| see(term));
        }
        AstNode::Transform { location, update, delete } => {
            see(location);
            see(update);
            if let Some(delete) = delete {
                see(delete);
            }
        }
    }
}

/// The names that the expression itself gives to values.
pub(super) fn named(tree: &AstNode) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    visit(tree, &mut |node| match node {
        AstNode::Binary { op: BinaryOp::ColonEqual, lhs, .. } => {
            if let AstNode::Variable(name) = &**lhs {
                named.insert(name.clone());
            }
        }
        AstNode::Lambda { params, .. } => named.extend(params.iter().cloned()),
        AstNode::Path { steps } => {
            for PathStep { focus, index_var, stages, .. } in steps {
                named.extend([focus, index_var].into_iter().flatten().cloned());
                let indexes = stages.iter().filter_map(|stage| match stage {
                    Stage::Index(name) => Some(name.clone()),
                    _ => None,
                });
                named.extend(indexes);
            }
        }
        _ => {}
    });
    named
}
