//! Drawing a recipe.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use serde_json::{Map, Value};

use crate::condition;
use crate::label::label;

/// How the kinds of nodes look.
const STYLES: &str = "    classDef choice fill:#fff3cd,stroke:#b58900
    classDef wait fill:#e2e3ff,stroke:#6c71c4
    classDef succeed fill:#d1e7dd,stroke:#2f855a
    classDef fail fill:#f8d7da,stroke:#c53030
    classDef missing stroke:#c53030,stroke-dasharray:4
";

/// A recipe as a Mermaid flowchart.
///
/// Choice branches carry their conditions, Catch edges are dashed and carry their errors, Parallel
/// and Map are subgraphs. Draws what it is given, valid or not: a state that is named but does not
/// exist appears as missing. The same definition always gives the same text.
pub fn mermaid(definition: &Value) -> String {
    let mut drawing = Drawing { text: "flowchart TB\n".to_owned(), nodes: 0, depth: 1 };
    drawing.scope(definition, true);
    drawing.text.push_str(STYLES);
    drawing.text
}

struct Drawing {
    text: String,
    nodes: usize,
    depth: usize,
}

/// The states of one `States` field, which may name each other, and their nodes.
struct Scope {
    nodes: BTreeMap<String, String>,
    finish: Option<String>,
}

impl Drawing {
    /// Draws what has `StartAt` and `States`: the definition, a branch or a processor.
    fn scope(&mut self, machine: &Value, is_whole: bool) {
        let none = Map::new();
        let states = machine.get("States").and_then(Value::as_object).unwrap_or(&none);
        let start = self.node();
        self.line(format_args!("{start}((\" \"))"));
        let nodes = states.keys().map(|name| (name.clone(), self.node())).collect();
        let mut scope = Scope { nodes, finish: None };
        for (name, state) in states {
            if let Some(node) = scope.nodes.get(name).cloned() {
                self.state(&node, name, state);
            }
        }
        if let Some(first) = machine.get("StartAt").and_then(Value::as_str) {
            self.edge(&mut scope, &start, first, None, "-->");
        }
        for (name, state) in states {
            if let Some(node) = scope.nodes.get(name).cloned() {
                self.edges(&mut scope, &node, state, is_whole);
            }
        }
    }

    fn state(&mut self, node: &str, name: &str, state: &Value) {
        let title = label(name);
        let text = |field: &str| state.get(field).and_then(Value::as_str);
        match text("Type").unwrap_or_default() {
            "Task" => match text("Resource") {
                Some(resource) => {
                    self.line(format_args!("{node}[\"{title}<br/>{}\"]", label(resource)));
                }
                None => self.line(format_args!("{node}[\"{title}\"]")),
            },
            "Choice" => self.line(format_args!("{node}{{\"{title}\"}}:::choice")),
            "Wait" => self.line(format_args!("{node}([\"{title}\"]):::wait")),
            "Succeed" => self.line(format_args!("{node}([\"{title}\"]):::succeed")),
            "Fail" => match text("Error") {
                Some(error) => {
                    self.line(format_args!("{node}([\"{title}<br/>{}\"]):::fail", label(error)));
                }
                None => self.line(format_args!("{node}([\"{title}\"]):::fail")),
            },
            "Parallel" => {
                let branches = state.get("Branches").and_then(Value::as_array);
                self.subgraph(node, &title, |drawing| {
                    for (index, branch) in branches.into_iter().flatten().enumerate() {
                        let inner = format!("{node}b{index}");
                        let title = format!("branch {}", index + 1);
                        drawing.subgraph(&inner, &title, |drawing| drawing.scope(branch, false));
                    }
                });
            }
            "Map" => {
                let processor = state.get("ItemProcessor").or_else(|| state.get("Iterator"));
                self.subgraph(node, &format!("{title} (for each item)"), |drawing| {
                    drawing.scope(processor.unwrap_or(&Value::Null), false);
                });
            }
            _ => self.line(format_args!("{node}[\"{title}\"]")),
        }
    }

    fn edges(&mut self, scope: &mut Scope, node: &str, state: &Value, is_whole: bool) {
        let rules = state.get("Choices").and_then(Value::as_array).into_iter().flatten();
        for rule in rules.filter_map(Value::as_object) {
            let words = condition::in_words(rule);
            self.named_edge(scope, node, rule.get("Next"), Some(&words), "-->");
        }
        self.named_edge(scope, node, state.get("Default"), Some("default"), "-->");
        self.named_edge(scope, node, state.get("Next"), None, "-->");
        let catchers = state.get("Catch").and_then(Value::as_array).into_iter().flatten();
        for catcher in catchers {
            let errors = catcher.get("ErrorEquals").and_then(Value::as_array);
            let errors = errors.into_iter().flatten().filter_map(Value::as_str);
            let errors = errors.collect::<Vec<_>>().join(", ");
            self.named_edge(scope, node, catcher.get("Next"), Some(&errors), "-.->");
        }
        if is_whole && state.get("End") == Some(&Value::Bool(true)) {
            let finish = match scope.finish.clone() {
                Some(finish) => finish,
                None => {
                    let finish = self.node();
                    self.line(format_args!("{finish}(((\" \")))"));
                    scope.finish.insert(finish).clone()
                }
            };
            self.line(format_args!("{node} --> {finish}"));
        }
    }

    fn named_edge(
        &mut self,
        scope: &mut Scope,
        from: &str,
        to: Option<&Value>,
        words: Option<&str>,
        arrow: &str,
    ) {
        if let Some(to) = to.and_then(Value::as_str) {
            self.edge(scope, from, to, words, arrow);
        }
    }

    fn edge(&mut self, scope: &mut Scope, from: &str, to: &str, words: Option<&str>, arrow: &str) {
        let target = match scope.nodes.get(to) {
            Some(node) => node.clone(),
            None => {
                let node = self.node();
                self.line(format_args!("{node}[\"{} (missing)\"]:::missing", label(to)));
                scope.nodes.insert(to.to_owned(), node.clone());
                node
            }
        };
        match words.filter(|words| !words.is_empty()) {
            Some(words) => {
                self.line(format_args!("{from} {arrow}|\"{}\"| {target}", label(words)));
            }
            None => self.line(format_args!("{from} {arrow} {target}")),
        }
    }

    fn subgraph(&mut self, node: &str, title: &str, inside: impl FnOnce(&mut Self)) {
        self.line(format_args!("subgraph {node}[\"{title}\"]"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line("end");
    }

    /// An id of ours: names of states could be words that mean something to Mermaid.
    fn node(&mut self) -> String {
        let node = format!("s{}", self.nodes);
        self.nodes += 1;
        node
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = self.depth * 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(definition: &Value, expected: &Expect) {
        let text = mermaid(definition);
        expected.assert_eq(text.strip_suffix(STYLES).expect("ends with the styles"));
    }

    #[test]
    fn an_order_is_drawn() {
        let definition = json!({
            "StartAt": "Check",
            "States": {
                "Check": {"Type": "Choice", "Choices": [
                    {"Variable": "$.total", "NumericGreaterThan": 100, "Next": "Wait \"a\" bit"},
                ], "Default": "Charge"},
                "Wait \"a\" bit": {"Type": "Wait", "Seconds": 3, "Next": "Charge"},
                "Charge": {"Type": "Task", "Resource": "fluxling:payments.charge", "Next": "end",
                    "Catch": [{"ErrorEquals": ["Payments.Declined", "States.Timeout"], "Next": "Sorry"}]},
                "end": {"Type": "Pass", "End": true},
                "Sorry": {"Type": "Fail", "Error": "Declined"},
                "Fine": {"Type": "Succeed"},
            },
        });
        check(
            &definition,
            &expect![[r#"
            flowchart TB
                s0((" "))
                s1{"Check"}:::choice
                s2(["Wait #34;a#34; bit"]):::wait
                s3["Charge<br/>fluxling:payments.charge"]
                s4["end"]
                s5(["Sorry<br/>Declined"]):::fail
                s6(["Fine"]):::succeed
                s0 --> s1
                s1 -->|"$.total #62; 100"| s2
                s1 -->|"default"| s3
                s2 --> s3
                s3 --> s4
                s3 -.->|"Payments.Declined, States.Timeout"| s5
                s7(((" ")))
                s4 --> s7
        "#]],
        );
    }

    #[test]
    fn branches_and_items_are_subgraphs() {
        let pass = || json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}});
        let definition = json!({
            "StartAt": "Both",
            "States": {
                "Both": {"Type": "Parallel", "Branches": [pass(), pass()], "Next": "Each"},
                "Each": {"Type": "Map", "ItemProcessor": {"StartAt": "In", "States": {
                    "In": {"Type": "Map", "Iterator": pass(), "End": true},
                }}, "End": true, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Both"}]},
            },
        });
        check(
            &definition,
            &expect![[r#"
            flowchart TB
                s0((" "))
                subgraph s1["Both"]
                    subgraph s1b0["branch 1"]
                        s3((" "))
                        s4["P"]
                        s3 --> s4
                    end
                    subgraph s1b1["branch 2"]
                        s5((" "))
                        s6["P"]
                        s5 --> s6
                    end
                end
                subgraph s2["Each (for each item)"]
                    s7((" "))
                    subgraph s8["In (for each item)"]
                        s9((" "))
                        s10["P"]
                        s9 --> s10
                    end
                    s7 --> s8
                end
                s0 --> s1
                s1 --> s2
                s2 -.->|"States.ALL"| s1
                s11(((" ")))
                s2 --> s11
        "#]],
        );
    }

    #[test]
    fn anything_can_be_drawn() {
        check(
            &json!(null),
            &expect![[r#"
            flowchart TB
                s0((" "))
        "#]],
        );
        let definition = json!({"StartAt": "A", "States": {
            "A": {"Next": "Nowhere", "Choices": 7, "Catch": [1, {"Next": "Nowhere"}]},
            "B": {"Type": "Parallel", "Branches": "x"},
            "C": 3,
        }});
        check(
            &definition,
            &expect![[r#"
            flowchart TB
                s0((" "))
                s1["A"]
                subgraph s2["B"]
                end
                s3["C"]
                s0 --> s1
                s4["Nowhere (missing)"]:::missing
                s1 --> s4
                s1 -.-> s4
        "#]],
        );
    }
}
