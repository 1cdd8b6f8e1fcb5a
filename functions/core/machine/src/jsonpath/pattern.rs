//! The regular expressions of `=~` filters: literals, `.`, classes, groups, alternatives, anchors
//! and quantifiers. Like Java's `matches()`, a pattern must cover the whole text.

use std::ops::RangeInclusive;

/// How many steps a match may take before it counts as failed: backtracking can take time
/// exponential in the text, and a transition must end.
const MAX_STEPS: usize = 100_000;

/// The highest count in `{n,m}`; it also bounds how deep a match recurses together with [`MAX_RECURSION`].
const MAX_REPEAT: u32 = 1_000;

/// How deep a match recurses, once for each repetition: the stack is finite.
const MAX_RECURSION: usize = 2_000;

/// How deep groups may nest, for the same reason.
const MAX_GROUP_DEPTH: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    alternatives: Alternatives,
    ignore_case: bool,
}

type Alternatives = Box<[Box<[Piece]>]>;

#[derive(Clone, Debug, PartialEq)]
struct Piece {
    atom: Atom,
    min: u32,
    max: u32,
    greedy: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Atom {
    One(char),
    Any,
    Class { ranges: Box<[RangeInclusive<char>]>, negated: bool },
    Group(Alternatives),
    Start,
    End,
}

impl Pattern {
    pub(super) fn parse(text: &str, ignore_case: bool) -> Result<Self, String> {
        let mut parser = Parser { rest: text.chars().collect::<Vec<_>>().into_iter().peekable() };
        let alternatives = parser.alternatives(0)?;
        if parser.rest.next().is_some() {
            return Err("The pattern has an unmatched ')'".to_owned());
        }
        Ok(Self { alternatives, ignore_case })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut matcher =
            Matcher { text: &text, ignore_case: self.ignore_case, steps: 0, depth: 0 };
        matcher.alternatives(&self.alternatives, 0, &mut |_, at| at == text.len())
    }
}

struct Parser {
    rest: std::iter::Peekable<std::vec::IntoIter<char>>,
}

impl Parser {
    fn alternatives(&mut self, depth: usize) -> Result<Alternatives, String> {
        if depth > MAX_GROUP_DEPTH {
            return Err(format!("Groups must not nest more than {MAX_GROUP_DEPTH} deep"));
        }
        let mut alternatives = vec![self.sequence(depth)?];
        while self.rest.next_if_eq(&'|').is_some() {
            alternatives.push(self.sequence(depth)?);
        }
        Ok(alternatives.into())
    }

    fn sequence(&mut self, depth: usize) -> Result<Box<[Piece]>, String> {
        let mut pieces = Vec::new();
        while let Some(next) = self.rest.next_if(|next| !matches!(next, '|' | ')')) {
            let atom = self.atom(next, depth)?;
            let (min, max) = self.quantifier()?;
            let greedy = self.rest.next_if_eq(&'?').is_none();
            pieces.push(Piece { atom, min, max, greedy });
        }
        Ok(pieces.into())
    }

    fn atom(&mut self, first: char, depth: usize) -> Result<Atom, String> {
        Ok(match first {
            '.' => Atom::Any,
            '^' => Atom::Start,
            '$' => Atom::End,
            '(' => {
                if self.rest.next_if_eq(&'?').is_some() && self.rest.next() != Some(':') {
                    return Err("The pattern uses a group that is not supported".to_owned());
                }
                let group = self.alternatives(depth + 1)?;
                self.rest.next_if_eq(&')').ok_or("The pattern has an unclosed '('")?;
                Atom::Group(group)
            }
            '[' => self.class()?,
            '\\' => {
                let escaped = self.rest.next().ok_or("The pattern ends with '\\'")?;
                match shorthand(escaped) {
                    Some((ranges, negated)) => Atom::Class { ranges, negated },
                    None => Atom::One(escape(escaped)?),
                }
            }
            '*' | '+' | '?' => return Err(format!("The pattern has nothing before '{first}'")),
            other => Atom::One(other),
        })
    }

    fn class(&mut self) -> Result<Atom, String> {
        const UNCLOSED: &str = "The pattern has an unclosed '['";
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let start = match self.rest.next().ok_or(UNCLOSED)? {
                ']' if !ranges.is_empty() => break,
                '\\' => {
                    let escaped = self.rest.next().ok_or(UNCLOSED)?;
                    if let Some((shorthand, false)) = shorthand(escaped) {
                        ranges.extend(shorthand);
                        continue;
                    }
                    escape(escaped)?
                }
                other => other,
            };
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']') {
                self.rest.next();
                let end = match self.rest.next().ok_or(UNCLOSED)? {
                    '\\' => escape(self.rest.next().ok_or(UNCLOSED)?)?,
                    other => other,
                };
                if end < start {
                    return Err(format!("The pattern has an empty range {start}-{end}"));
                }
                ranges.push(start..=end);
            } else {
                ranges.push(start..=start);
            }
        }
        Ok(Atom::Class { ranges: ranges.into(), negated })
    }

    fn quantifier(&mut self) -> Result<(u32, u32), String> {
        Ok(match self.rest.peek() {
            Some('*') => (0, u32::MAX),
            Some('+') => (1, u32::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                self.rest.next();
                let min = self.count().ok_or("The pattern has a '{' without a count")?;
                let max = match self.rest.next_if_eq(&',') {
                    Some(_) => self.count().unwrap_or(u32::MAX),
                    None => min,
                };
                let bounded = min <= MAX_REPEAT && (max <= MAX_REPEAT || max == u32::MAX);
                if self.rest.peek() != Some(&'}') || max < min || !bounded {
                    return Err(format!("The pattern has a bad count; the most is {MAX_REPEAT}"));
                }
                self.rest.next();
                return Ok((min, max));
            }
            _ => return Ok((1, 1)),
        })
        .inspect(|_| {
            self.rest.next();
        })
    }

    fn count(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }
}

/// `\d`, `\w`, `\s` and their opposites.
fn shorthand(letter: char) -> Option<(Box<[RangeInclusive<char>]>, bool)> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => vec!['0'..='9'],
        'w' => vec!['a'..='z', 'A'..='Z', '0'..='9', '_'..='_'],
        's' => vec![' '..=' ', '\t'..='\r'],
        _ => return None,
    };
    Some((ranges.into(), letter.is_ascii_uppercase()))
}

fn escape(letter: char) -> Result<char, String> {
    match letter {
        'n' => Ok('\n'),
        't' => Ok('\t'),
        'r' => Ok('\r'),
        other if other.is_alphanumeric() => {
            Err(format!("The pattern uses an escape that is not supported: \\{other}"))
        }
        other => Ok(other),
    }
}

/// What must match after a piece.
type Then<'f, 't> = &'f mut dyn FnMut(&mut Matcher<'t>, usize) -> bool;

struct Matcher<'t> {
    text: &'t [char],
    ignore_case: bool,
    steps: usize,
    depth: usize,
}

impl<'t> Matcher<'t> {
    fn alternatives(&mut self, all: &[Box<[Piece]>], at: usize, then: Then<'_, 't>) -> bool {
        all.iter().any(|pieces| self.sequence(pieces, at, then))
    }

    fn sequence(&mut self, pieces: &[Piece], at: usize, then: Then<'_, 't>) -> bool {
        match pieces.split_first() {
            None => then(self, at),
            Some((piece, rest)) => self.repeat(piece, 0, rest, at, then),
        }
    }

    /// `piece`, of which `done` repetitions have matched, and then `rest`.
    fn repeat(
        &mut self,
        piece: &Piece,
        done: u32,
        rest: &[Piece],
        at: usize,
        then: Then<'_, 't>,
    ) -> bool {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.depth > MAX_RECURSION {
            return false;
        }
        self.depth += 1;
        let mut matched = false;
        if !piece.greedy && done >= piece.min {
            matched = self.sequence(rest, at, then);
        }
        if !matched && done < piece.max {
            matched = self.atom(&piece.atom, at, &mut |matcher, next| {
                // A repetition that takes nothing would go on for ever.
                (next > at || done < piece.min) && matcher.repeat(piece, done + 1, rest, next, then)
            });
        }
        if !matched && piece.greedy && done >= piece.min {
            matched = self.sequence(rest, at, then);
        }
        self.depth -= 1;
        matched
    }

    fn atom(&mut self, atom: &Atom, at: usize, then: Then<'_, 't>) -> bool {
        let next = self.text.get(at).copied();
        let takes = match atom {
            Atom::Start => return at == 0 && then(self, at),
            Atom::End => return at == self.text.len() && then(self, at),
            Atom::Group(alternatives) => return self.alternatives(alternatives, at, then),
            Atom::Any => next.is_some_and(|next| next != '\n'),
            Atom::One(wanted) => next.is_some_and(|next| {
                next == *wanted
                    || (self.ignore_case && next.to_lowercase().eq(wanted.to_lowercase()))
            }),
            Atom::Class { ranges, negated } => next.is_some_and(|next| {
                let within = |c: char| ranges.iter().any(|range| range.contains(&c));
                let found = within(next)
                    || (self.ignore_case
                        && (within(next.to_ascii_lowercase())
                            || within(next.to_ascii_uppercase())));
                found != *negated
            }),
        };
        takes && then(self, at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn matches_whole_texts() {
        for (pattern, yes, no) in [
            ("a.c", "abc", "xabc"),
            ("^a.*$", "anything", "b"),
            ("(foo|ba[rz])+", "foobarbaz", "foobax"),
            (r"\d{2,3}-\w+", "123-x_9", "1-x"),
            ("[^a-c]?x", "dx", "ax"),
            (r"\[\.\]", "[.]", "[x]"),
            ("(a*)*b", "aaab", "aaa"),
            ("a+?b", "aab", "b"),
            ("", "", "a"),
        ] {
            let pattern = Pattern::parse(pattern, false).unwrap();
            assert!(pattern.matches(yes) && !pattern.matches(no), "{pattern:?}");
        }
        assert!(Pattern::parse("aBc", true).unwrap().matches("AbC"));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for pattern in ["(a", "a)", "[a", "*a", "a{2,1}", "a{9999}", r"\b", "(?=a)", "[b-a]"] {
            assert!(Pattern::parse(pattern, false).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_costly_match_ends() {
        let pattern = Pattern::parse("(a+)+b", false).unwrap();
        assert!(!pattern.matches(&"a".repeat(5_000)));
    }
}
