//! Failures in the words of the service, which are those of JSONata's reference implementation.

use std::fmt;

use jsonata_core::evaluator::{EvaluatorError, error_code_prefix};
use jsonata_core::parser::ParserError;

use super::{Error, Invalid};

/// The service's words for an evaluation that nests too deeply. They carry no code.
const TOO_DEEP: &str = "Stack overflow error: Check for non-terminating recursive function. \
                        Consider rewriting as tail-recursive";

/// The service's words for an evaluation that takes too long.
const TOO_LONG: &str = "Expression evaluation timeout: Check for infinite loop";

/// The service's words for an evaluation that takes too much room.
pub(super) const TOO_LARGE: &str =
    "Expression evaluation memory limit exceeded: Check for excessive memory usage";

/// The words of a code, where they hold nothing of the expression or of its values.
const FIXED: [(&str, &str); 41] = [
    ("D3001", "Attempting to invoke string function on Infinity or NaN"),
    ("D1004", "Regular expression matches zero length string"),
    ("D3010", "Second argument of replace function cannot be an empty string"),
    ("D3011", "Fourth argument of replace function must evaluate to a positive number"),
    ("D3012", "Attempted to replace a matched string with a non-string value"),
    ("D3020", "Third argument of split function must evaluate to a positive number"),
    ("D3040", "Third argument of match function must evaluate to a positive number"),
    (
        "D3050",
        "The second argument of reduce function must be a function with at least two arguments",
    ),
    (
        "D3070",
        "The single argument form of the sort function can only be applied to an array of strings \
         or an array of numbers.  Use the second argument to specify a comparison function",
    ),
    ("D3080", "The picture string must only contain a maximum of two sub-pictures"),
    (
        "D3081",
        "The sub-picture must not contain more than one instance of the 'decimal-separator' \
         character",
    ),
    ("D3082", "The sub-picture must not contain more than one instance of the 'percent' character"),
    (
        "D3083",
        "The sub-picture must not contain more than one instance of the 'per-mille' character",
    ),
    ("D3084", "The sub-picture must not contain both a 'percent' and a 'per-mille' character"),
    (
        "D3085",
        "The mantissa part of a sub-picture must contain at least one character that is either an \
         'optional digit character' or a member of the 'decimal digit family'",
    ),
    (
        "D3086",
        "The sub-picture must not contain a passive character that is preceded by an active \
         character and that is followed by another active character",
    ),
    (
        "D3087",
        "The sub-picture must not contain a 'grouping-separator' character that appears adjacent \
         to a 'decimal-separator' character",
    ),
    (
        "D3088",
        "The sub-picture must not contain a 'grouping-separator' at the end of the integer part",
    ),
    (
        "D3089",
        "The sub-picture must not contain two adjacent instances of the 'grouping-separator' \
         character",
    ),
    (
        "D3090",
        "The integer part of the sub-picture must not contain a member of the 'decimal digit \
         family' that is followed by an instance of the 'optional digit character'",
    ),
    (
        "D3091",
        "The fractional part of the sub-picture must not contain an instance of the 'optional \
         digit character' that is followed by a member of the 'decimal digit family'",
    ),
    (
        "D3092",
        "A sub-picture that contains a 'percent' or 'per-mille' character must not contain a \
         character treated as an 'exponent-separator'",
    ),
    (
        "D3093",
        "The exponent part of the sub-picture must comprise only of one or more characters that \
         are members of the 'decimal digit family'",
    ),
    ("D3131", "In a decimal digit pattern, all digits must be from the same decimal group"),
    ("D3134", "The timezone integer format specifier cannot have more than four digits"),
    ("D3135", "No matching closing bracket ']' in date/time picture string"),
    ("D3136", "The date/time picture string is missing specifiers required to parse the timestamp"),
    (
        "D3138",
        "The $single() function expected exactly 1 matching result.  Instead it matched more.",
    ),
    ("D3139", "The $single() function expected exactly 1 matching result.  Instead it matched 0."),
    ("S0106", "Comment has no closing tag"),
    ("S0212", "The left side of := must be a variable name (start with $)"),
    ("S0301", "Empty regular expressions are not allowed"),
    ("S0302", "No terminating / in regular expression"),
    ("S0401", "Type parameters can only be applied to functions and arrays"),
    ("S0402", "Choice groups containing parameterized types are not supported"),
    ("T1006", "Attempted to invoke a non-function"),
    ("T1008", "Attempted to partially apply a non-function"),
    ("T2003", "The left side of the range operator (..) must evaluate to an integer"),
    ("T2004", "The right side of the range operator (..) must evaluate to an integer"),
    ("T2006", "The right side of the function application operator ~> must be a function"),
    (
        "T2008",
        "The expressions within an order-by clause must evaluate to numeric or string values",
    ),
];

/// The engine's names for what it reads, and the signs that stand for them.
const TOKENS: [(&str, &str); 37] = [
    ("Plus", "+"),
    ("Minus", "-"),
    ("Star", "*"),
    ("StarStar", "**"),
    ("Slash", "/"),
    ("Percent", "%"),
    ("Equal", "="),
    ("NotEqual", "!="),
    ("LessThan", "<"),
    ("LessThanOrEqual", "<="),
    ("GreaterThan", ">"),
    ("GreaterThanOrEqual", ">="),
    ("And", "and"),
    ("Or", "or"),
    ("In", "in"),
    ("True", "true"),
    ("False", "false"),
    ("Null", "null"),
    ("Ampersand", "&"),
    ("Dot", "."),
    ("DotDot", ".."),
    ("Question", "?"),
    ("QuestionQuestion", "??"),
    ("QuestionColon", "?:"),
    ("Colon", ":"),
    ("ColonEqual", ":="),
    ("TildeArrow", "~>"),
    ("LeftParen", "("),
    ("RightParen", ")"),
    ("LeftBracket", "["),
    ("RightBracket", "]"),
    ("LeftBrace", "{"),
    ("RightBrace", "}"),
    ("Comma", ","),
    ("Semicolon", ";"),
    ("Caret", "^"),
    ("Pipe", "|"),
];

/// The code that is given where the engine gives none: an argument of the wrong type, nearly always.
const UNCODED: &str = "T0410";

impl Error {
    /// The evaluation nests too deeply.
    pub(super) fn depth() -> Self {
        Self { code: String::new(), message: TOO_DEEP.to_owned() }
    }

    /// The evaluation takes too much room.
    pub(super) fn memory() -> Self {
        Self { code: String::new(), message: TOO_LARGE.to_owned() }
    }

    /// Whether the engine gave no code.
    pub(super) fn is_uncoded(&self) -> bool {
        self.code == UNCODED && !self.message.starts_with("Argument ")
    }

    /// The engine broke down.
    pub(super) fn internal() -> Self {
        let message = "The expression cannot be evaluated".to_owned();
        Self { code: "S0500".to_owned(), message }
    }

    fn with(code: &str, message: String) -> Self {
        Self { code: code.to_owned(), message }
    }

    fn time() -> Self {
        Self { code: String::new(), message: TOO_LONG.to_owned() }
    }
}

impl From<&EvaluatorError> for Error {
    fn from(error: &EvaluatorError) -> Self {
        let text = error.message();
        if text == TOO_LARGE {
            return Self::memory();
        }
        let Some((code, text)) = split(text) else {
            return Self { code: UNCODED.to_owned(), message: text.to_owned() };
        };
        match code {
            "D1011" | "U1001" => Self::depth(),
            "D1012" | "U1003" => Self::time(),
            "D2014" | "D2015" => Self::memory(),
            "D3130" => Self::with(
                code,
                format!(
                    "Formatting an integer as a sequence starting with {} is not supported by this \
                 implementation",
                    quoted(text)
                ),
            ),
            "D3132" => Self::with(
                code,
                format!("Unknown component specifier {} in date/time picture string", quoted(text)),
            ),
            "D3133" => Self::with(
                code,
                format!(
                    "The 'name' modifier can only be applied to months and days in the date/time \
                 picture string, not {}",
                    quoted(text)
                ),
            ),
            _ => Self::with(code, fixed(code).unwrap_or(text).to_owned()),
        }
    }
}

/// Why the engine does not read a text.
pub(super) fn invalid(source: &str, error: &ParserError) -> Invalid {
    let text = match error {
        // Codes stand in these texts too, behind words of the engine's own.
        ParserError::InvalidSyntax(text) | ParserError::InvalidNumber(text) => text.clone(),
        ParserError::UnclosedString if !ends_in_string(source) => "S0302: ".to_owned(),
        ParserError::UnclosedComment => "S0106: ".to_owned(),
        other => other.to_string(),
    };
    let (code, text) = split(&text).unwrap_or(("S0201", &text));
    let message = match (code, text.split_once(": ")) {
        ("U1002", _) => TOO_DEEP.to_owned(),
        ("S0201", Some((words, found))) => format!("{words}: {}", token(found)),
        ("S0102" | "S0204", Some((words, found))) => format!("{words}: {}", quoted(found)),
        ("S0103", Some((words, found))) => {
            format!("{words}: \\{}", quoted(found.trim_start_matches('\\')))
        }
        ("S0202", _) => match text.strip_prefix("Expected ").and_then(|t| t.split_once(", got ")) {
            Some((expected, found)) => {
                format!("Expected {}, got {}", token(expected), token(found))
            }
            None => text.to_owned(),
        },
        ("S0203" | "S0211", _) => {
            let named = text.split(' ').map(|word| sign(word).map_or(word.to_owned(), quoted));
            named.collect::<Vec<_>>().join(" ")
        }
        _ => fixed(code).unwrap_or(text).to_owned(),
    };
    Invalid { code: code.to_owned(), message, position: None, further: Vec::new() }
}

/// A regular expression without any sign between its slashes.
pub(super) fn empty_regex() -> Invalid {
    let code = "S0301";
    let message = fixed(code).unwrap_or_default().to_owned();
    Invalid { code: code.to_owned(), message, position: None, further: Vec::new() }
}

/// A regular expression that the engine does not take.
pub(super) fn regex(pattern: &str, error: &impl fmt::Display) -> Invalid {
    let error = error.to_string();
    // The last line says what is wrong; those above show where.
    let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    let message = format!(
        "The regular expression /{pattern}/ cannot be run: {why}. It must do without looking \
         around and without referring back."
    );
    let code = Invalid::UNSUPPORTED.to_owned();
    Invalid { code, message, position: None, further: Vec::new() }
}

/// The leading code of a text such as `T2001: The left side ...`, and the rest of it.
fn split(text: &str) -> Option<(&str, &str)> {
    let code = error_code_prefix(text)?;
    Some((code, text[code.len() + 1..].trim_start()))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn fixed(code: &str) -> Option<&'static str> {
    FIXED.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

fn sign(name: &str) -> Option<&'static str> {
    TOKENS.iter().find(|(known, _)| *known == name).map(|(_, sign)| *sign)
}

/// What was read, as the reference shows it: `Comma` is `","`, `Identifier("a")` is `"a"`.
fn token(name: &str) -> String {
    if let Some(sign) = sign(name) {
        return format!("\"{sign}\"");
    }
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    match inner {
        // Whole numbers are shown without a fraction.
        Some(inner) => inner.strip_suffix(".0").unwrap_or(inner).to_owned(),
        None => name.to_owned(),
    }
}

/// Whether a text that ends within quotes ends within a string, and not within a regular expression.
fn ends_in_string(source: &str) -> bool {
    let mut chars = source.chars();
    // Where an operand may start, a slash starts a regular expression.
    let mut operand = true;
    while let Some(next) = chars.next() {
        let is_end: &dyn Fn(char) -> bool = match next {
            '"' | '\'' => &move |c| c == next,
            '/' if operand => &|c| c == '/',
            _ => {
                if !next.is_whitespace() {
                    operand = !(next.is_alphanumeric() || "_$)]}`".contains(next));
                }
                continue;
            }
        };
        operand = false;
        let mut is_escaped = false;
        let closed = chars.any(|c| {
            let ends = !is_escaped && is_end(c);
            is_escaped = !is_escaped && c == '\\';
            ends
        });
        if !closed {
            return next != '/';
        }
    }
    true
}
