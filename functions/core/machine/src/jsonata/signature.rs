//! JSONata's functions and the arguments that they take, as the reference implementation has them.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_name() {
        assert!(ALL.is_sorted_by_key(|(name, _)| name));
        assert_eq!((of("uppercase"), of("zip"), of("range")), (Some("s-"), Some("a+"), None));
    }
}
