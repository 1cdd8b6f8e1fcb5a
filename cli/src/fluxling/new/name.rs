//! What a new fluxling may be called.

use std::fmt;
use std::str::FromStr;

/// Longer names do not fit into a queue's name behind the stack's.
const MAX_CHARS: usize = 30;

/// The name of a fluxling to be: `payments`, `pdf-render`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewName(String);

impl NewName {
    /// The crate, the queue and the binary: `fluxling-pdf-render`.
    pub fn package(&self) -> String {
        format!("fluxling-{}", self.0)
    }

    /// The crate in code: `fluxling_pdf_render`.
    pub fn module(&self) -> String {
        self.package().replace('-', "_")
    }

    /// The start of its names in the template: `FluxlingPdfRender`.
    pub fn logical(&self) -> String {
        let mut text = "Fluxling".to_owned();
        for word in self.0.split('-') {
            let mut chars = word.chars();
            text.extend(chars.next().map(|first| first.to_ascii_uppercase()));
            text.extend(chars);
        }
        text
    }
}

impl fmt::Display for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NewName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("fluxling") {
            return Err("leave `fluxling-` out, it is put in front by itself".to_owned());
        }
        if text.len() > MAX_CHARS {
            return Err(format!("it is longer than {MAX_CHARS} characters"));
        }
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if !text.split('-').all(is_word) {
            let what = "write lower-case words joined by hyphens, each beginning with a letter, \
                        such as `payments` or `pdf-render`";
            return Err(what.to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::template::short_name;

    #[test]
    fn a_name_has_its_forms() {
        let name: NewName = "s3-copy".parse().expect("a name");
        assert_eq!(name.module(), "fluxling_s3_copy");
        assert_eq!(name.logical(), "FluxlingS3Copy");
        assert_eq!(short_name(&format!("{}Function", name.logical())), name.package());
    }

    #[test]
    fn a_bad_name_is_refused_with_a_good_one() {
        for bad in ["", "Payments", "pay_ments", "-a", "a-", "a--b", "2pay", "a-1", "a b", "../x"] {
            let error = bad.parse::<NewName>().expect_err(bad);
            assert!(error.contains("pdf-render"), "{bad}: {error}");
        }
        assert!("fluxling-x".parse::<NewName>().is_err());
        assert!("x".repeat(31).parse::<NewName>().is_err());
    }
}
