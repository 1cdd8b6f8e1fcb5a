//! JSONata's functions and the arguments that they take, as the reference implementation has them.

use jsonata_core::value::JValue;

/// The functions by name, and their signatures: a letter for each argument (`s`tring, `n`umber,
/// `b`oolean, `a`rray, `o`bject, `f`unction, `x` for any of them, `j` for any but a function),
/// `-` where the context may stand in, `?` where it may be left out, `+` where it may come again.
const ALL: [(&str, &str); 64] = [
    ("abs", "n-"),
    ("append", "xx"),
    ("assert", "bs?"),
    ("average", "a<n>"),
    ("base64decode", "s-"),
    ("base64encode", "s-"),
    ("boolean", "x-"),
    ("ceil", "n-"),
    ("contains", "s-(sf)"),
    ("count", "a"),
    ("decodeUrl", "s-"),
    ("decodeUrlComponent", "s-"),
    ("distinct", "x"),
    ("each", "o-f"),
    ("encodeUrl", "s-"),
    ("encodeUrlComponent", "s-"),
    ("error", "s?"),
    ("eval", "sx?"),
    ("exists", "x"),
    ("filter", "af"),
    ("floor", "n-"),
    ("formatBase", "n-n?"),
    ("formatInteger", "n-s"),
    ("formatNumber", "n-so?"),
    ("fromMillis", "n-s?s?"),
    ("join", "a<s>s?"),
    ("keys", "x-"),
    ("length", "s-"),
    ("lookup", "x-s"),
    ("lowercase", "s-"),
    ("map", "af"),
    ("match", "s-fn?"),
    ("max", "a<n>"),
    ("merge", "a<o>"),
    ("millis", ""),
    ("min", "a<n>"),
    ("not", "x-"),
    ("now", "s?s?"),
    ("number", "(nsb)-"),
    ("pad", "s-ns?"),
    ("parseInteger", "s-s"),
    ("power", "n-n"),
    ("random", ""),
    ("reduce", "afj?"),
    ("replace", "s-(sf)(sf)n?"),
    ("reverse", "a"),
    ("round", "n-n?"),
    ("shuffle", "a"),
    ("sift", "o-f?"),
    ("single", "af?"),
    ("sort", "af?"),
    ("split", "s-(sf)n?"),
    ("spread", "x-"),
    ("sqrt", "n-"),
    ("string", "x-b?"),
    ("substring", "s-nn?"),
    ("substringAfter", "s-s"),
    ("substringBefore", "s-s"),
    ("sum", "a<n>"),
    ("toMillis", "s-s?"),
    ("trim", "s-"),
    ("type", "x"),
    ("uppercase", "s-"),
    ("zip", "a+"),
];

/// The signature of a function of the language.
pub(super) fn of(name: &str) -> Option<&'static str> {
    ALL.binary_search_by_key(&name, |(known, _)| known).ok().map(|index| ALL[index].1)
}

/// Whether the function has a single parameter.
pub(super) fn takes_one(name: &str) -> bool {
    of(name).is_some_and(|signature| params(signature).len() == 1)
}

/// The letter of a value's type; `m` for none, `l` for null.
fn symbol(value: &JValue) -> char {
    match value {
        JValue::String(_) => 's',
        JValue::Number(_) => 'n',
        JValue::Bool(_) => 'b',
        JValue::Array(_) => 'a',
        JValue::Object(_) => 'o',
        JValue::Lambda(_) | JValue::Builtin { .. } | JValue::Regex { .. } => 'f',
        JValue::Null => 'l',
        JValue::Undefined => 'm',
    }
}

/// A parameter of a function.
#[derive(Debug, Default)]
struct Param {
    /// The types that it takes.
    takes: String,
    /// The type of an array's items, where that is given.
    items: Option<char>,
    is_array: bool,
    /// The context may stand in.
    has_context: bool,
    is_optional: bool,
    is_repeated: bool,
}

fn params(signature: &str) -> Vec<Param> {
    let mut params = Vec::<Param>::new();
    let mut letters = signature.chars();
    while let Some(letter) = letters.next() {
        let takes = match letter {
            '(' => letters.by_ref().take_while(|c| *c != ')').chain(['m']).collect(),
            'a' | 'x' => "asnblfom".to_owned(),
            'j' => "asnblom".to_owned(),
            'f' => "f".to_owned(),
            '<' => {
                let items = letters.by_ref().take_while(|c| *c != '>').last();
                params.iter_mut().last().into_iter().for_each(|param| param.items = items);
                continue;
            }
            modifier @ ('-' | '?' | '+') => {
                if let Some(param) = params.last_mut() {
                    param.has_context |= modifier == '-';
                    param.is_optional |= modifier != '+';
                    param.is_repeated |= modifier == '+';
                }
                continue;
            }
            letter => format!("{letter}m"),
        };
        params.push(Param { takes, is_array: letter == 'a', ..Param::default() });
    }
    params
}

/// How many arguments each parameter takes, as a greedy regular expression over their types would
/// have it; nothing where that fails. `is_whole` has all arguments taken.
fn share(params: &[Param], given: &[char], is_whole: bool) -> Option<Vec<usize>> {
    let Some((param, rest)) = params.split_first() else {
        return (!is_whole || given.is_empty()).then(Vec::new);
    };
    let most = if param.is_repeated { given.len() } else { 1 };
    let fitting = given.iter().take(most).take_while(|one| param.takes.contains(**one)).count();
    let least = usize::from(!param.is_optional);
    (least..=fitting).rev().find_map(|count| {
        let mut shares = share(rest, &given[count..], is_whole)?;
        shares.insert(0, count);
        Some(shares)
    })
}

/// What is wrong about the arguments of a call, in the words of the reference implementation.
pub(super) fn fault(function: &str, args: &[JValue], context: &JValue) -> Option<String> {
    let params = params(of(function)?);
    let given: Vec<_> = args.iter().map(symbol).collect();
    let Some(shares) = share(&params, &given, true) else {
        let mut good = 0;
        for count in 1..=params.len() {
            let Some(shares) = share(&params[..count], &given, false) else { break };
            good = shares.iter().sum();
        }
        let at = good + 1;
        return Some(format!(
            "T0410: Argument {at} of function \"{function}\" does not match function signature"
        ));
    };
    let mut at = 0;
    for (param, count) in params.iter().zip(shares) {
        if count == 0 && param.has_context && !param.takes.contains(symbol(context)) {
            return Some(format!(
                "T0411: Context value is not a compatible type with argument {} of function \
                 \"{function}\"",
                at + 1
            ));
        }
        for argument in &args[at..at + count] {
            at += 1;
            let Some(items) = param.items.filter(|_| param.is_array) else { continue };
            let fits = match argument {
                JValue::Undefined => true,
                JValue::Array(held) => held.iter().all(|item| symbol(item) == items),
                single => symbol(single) == items,
            };
            if !fits {
                let items = match items {
                    'n' => "numbers",
                    's' => "strings",
                    _ => "objects",
                };
                return Some(format!(
                    "T0412: Argument {at} of function \"{function}\" must be an array of \
                     \"{items}\""
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_name() {
        assert!(ALL.is_sorted_by_key(|(name, _)| name));
        assert_eq!((of("uppercase"), of("zip"), of("range")), (Some("s-"), Some("a+"), None));
    }

    #[test]
    fn arguments_are_told_apart() {
        let told = |function: &str, args: &str, context: &JValue| {
            let JValue::Array(args) = JValue::from_json_str(args).unwrap() else { return None };
            fault(function, &args, context).map(|text| text[..17].to_owned())
        };
        let text = JValue::string("x");
        for (function, args) in [
            ("abs", "[1]"),
            ("pad", "[5]"),
            ("pad", "[\"a\", 5]"),
            ("sum", "[[1, 2]]"),
            ("sum", "[1]"),
            ("sum", "[[]]"),
            ("zip", "[[1], [2], 3]"),
            ("merge", "[[{}]]"),
            ("number", "[true]"),
        ] {
            assert_eq!(told(function, args, &text), None, "{function} {args}");
        }
        for (function, args, fault) in [
            ("abs", "[\"x\"]", "T0410: Argument 1"),
            ("abs", "[1, 2]", "T0410: Argument 2"),
            ("abs", "[]", "T0411: Context va"),
            ("substring", "[\"a\", \"b\"]", "T0410: Argument 2"),
            ("append", "[1]", "T0410: Argument 2"),
            ("sum", "[[1, \"2\"]]", "T0412: Argument 1"),
            ("join", "[[\"a\"], 5]", "T0410: Argument 2"),
            ("number", "[null]", "T0410: Argument 1"),
        ] {
            assert_eq!(told(function, args, &text), Some(fault.to_owned()), "{function} {args}");
        }
    }
}
