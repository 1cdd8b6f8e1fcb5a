//! Text that comes from a recipe, made safe to stand in a Mermaid label.

use std::fmt::Write as _;

/// Longest label in characters: beyond it a drawing is no drawing any more.
const MAX_LABEL_CHARS: usize = 80;

/// Characters that mean nothing to Mermaid within quotes.
const PLAIN: &str = " _-.:/,()=!?'@$";

/// A text for the inside of a quoted label, cut visibly where it is too long.
///
/// Everything that might mean something to Mermaid, to HTML or to Markdown is written as an entity,
/// `#60;`, which Mermaid shows as the character. Source: Mermaid, "Flowcharts", "Entity codes".
pub(crate) fn label(text: &str) -> String {
    let mut label = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut count = 0;
    while let Some(c) = rest.next() {
        if count == MAX_LABEL_CHARS {
            label.push('…');
            break;
        }
        count += 1;
        let next = rest.peek().copied();
        // `1. ` and `- ` begin lists in Markdown, `$$` begins a formula.
        let begins = matches!((c, next), ('.' | '-', Some(' ')) | ('$', Some('$')));
        match c {
            c if c.is_control() || c.is_whitespace() => label.push(' '),
            c if c.is_alphanumeric() => label.push(c),
            c if PLAIN.contains(c) && !begins => label.push(c),
            c => {
                // Writing to a text cannot fail.
                let _ = write!(label, "#{};", u32::from(c));
            }
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_is_escaped() {
        let cases = [
            ("Check order", "Check order"),
            ("Prüfen 検査", "Prüfen 検査"),
            ("say \"hi\"", "say #34;hi#34;"),
            ("<script>&amp;#x", "#60;script#62;#38;amp#59;#35;x"),
            ("a\"]; click a", "a#34;#93;#59; click a"),
            ("`md` 100% a|b", "#96;md#96; 100#37; a#124;b"),
            ("line\nbreak\u{7}", "line break "),
            ("1. first - $$x", "1#46; first #45; #36;$x"),
            ("$.a.b = 5", "$.a.b = 5"),
        ];
        for (text, want) in cases {
            assert_eq!(label(text), want);
        }
        assert_eq!(label(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(label(&"x".repeat(81)), "x".repeat(80) + "…");
    }
}
