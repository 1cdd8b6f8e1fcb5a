//! What JSONata takes and the service does not: what an expression without a context item would
//! read from it, and operators younger than the service's version of the language.

use jsonata_core::ast::{AstNode, BinaryOp};

use super::{Invalid, tree};

/// Refuses what the service refuses when a definition is created.
pub(super) fn check(tree: &AstNode) -> Result<(), Invalid> {
    let mut young = None;
    tree::visit(tree, &mut |node| {
        let AstNode::Binary { op, .. } = node else { return };
        // JSONata 2.0.6 reads `?` here, and then finds what can start no operand.
        match op {
            BinaryOp::Coalesce => young = Some("?"),
            BinaryOp::Default => young = Some(":"),
            _ => {}
        }
    });
    if let Some(symbol) = young {
        return Err(Invalid {
            code: "S0211".to_owned(),
            message: format!("The symbol \"{symbol}\" cannot be used as a unary operator"),
            position: None,
            further: Vec::new(),
        });
    }
    let mut references = References::default();
    references.read(tree);
    let mut messages = references.0.into_iter().map(|name| match name {
        "$$" => "Reference to '$$' is not supported.".to_owned(),
        name => format!("Reference to '{name}' at the top level is not supported."),
    });
    let Some(message) = messages.next() else { return Ok(()) };
    let code = Invalid::UNSUPPORTED.to_owned();
    Err(Invalid { code, message, position: None, further: messages.collect() })
}

/// What is read from the top-level context: each name once, in the order of the text.
#[derive(Default)]
struct References<'a>(Vec<&'a str>);

impl<'a> References<'a> {
    /// Only a path's first step reads that context: later steps, predicates, order-by terms and
    /// groupings read what the step before them gives. A function's body keeps the context that the
    /// function was written in.
    fn read(&mut self, tree: &'a AstNode) {
        let mut open = vec![tree];
        while let Some(node) = open.pop() {
            let from = open.len();
            match node {
                AstNode::Name(name) => self.add(name),
                AstNode::Variable(name) if name.is_empty() => self.add("$"),
                AstNode::ParentVariable(_) => self.add("$$"),
                AstNode::Path { steps } => open.extend(steps.first().map(|step| &step.node)),
                AstNode::ObjectTransform { input, .. } | AstNode::Sort { input, .. } => {
                    open.push(input);
                }
                AstNode::Transform { .. } => {}
                AstNode::Function { name, is_builtin, args } => {
                    // A name without `$` is a path, and so is what it calls.
                    if !is_builtin {
                        self.add(name);
                    }
                    open.extend(args);
                }
                _ => tree::children(node, &mut |child| open.push(child)),
            }
            // What was pushed first is read first.
            open[from..].reverse();
        }
    }

    fn add(&mut self, name: &'a str) {
        if !self.0.contains(&name) {
            self.0.push(name);
        }
    }
}
