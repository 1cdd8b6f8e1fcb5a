//! Measures how deep JSON is nested before anything is built from it.

/// Whether the arrays and objects of a JSON text lie more than `most` deep in each other. Reads
/// the text once and keeps a counter, so a hostile document costs no stack and no memory. Of text
/// that is not JSON it says anything; the parser refuses that.
pub(crate) fn exceeds(text: &[u8], most: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_and_width_does_not() {
        assert!(!exceeds(br#"[[],[],{"a":[]}]"#, 3));
        assert!(exceeds(br#"[[],[],{"a":[]}]"#, 2));
        assert!(exceeds("[".repeat(1_000_000).as_bytes(), 100));
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert!(!exceeds(br#"["[[[[","\"[[[","\\",{}]"#, 2));
        assert!(exceeds(br#"["\\",[[]]]"#, 2));
    }
}
