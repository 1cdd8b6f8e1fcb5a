//! How an error is shown: what went wrong, where, and what to do next.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use fluxus_schema::problem::Fault;

use crate::aws::events::ChangeFailed;
use crate::client::ClientError;
use crate::report::Faulty;
use crate::table::clean;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The text for an error: a refused document with each of its faults, anything else as its chain
/// of causes.
pub fn render(error: &anyhow::Error) -> String {
    if let Some(faulty) = error.chain().find_map(|cause| cause.downcast_ref::<Faulty>()) {
        return faulty.render(None);
    }
    let mut text = format!("{ERROR}error:{ERROR:#} ");
    let refused = error.chain().find_map(|cause| match cause.downcast_ref::<ClientError>() {
        Some(ClientError::Refused(problem)) => Some(problem),
        _ => None,
    });
    let Some(problem) = refused else {
        // `{:#}` joins the causes with colons.
        text.push_str(&clean(&format!("{error:#}")));
        let failed = error.chain().find_map(|cause| cause.downcast_ref::<ChangeFailed>());
        for line in failed.into_iter().flat_map(ChangeFailed::lines) {
            let _ = write!(text, "\n  {}", clean(&line));
        }
        return text;
    };
    text.push_str(&clean(&problem.title));
    if !problem.detail.is_empty() && problem.detail != problem.title {
        let _ = write!(text, "\n  {}", clean(&problem.detail));
    }
    for fault in &problem.faults {
        let _ = write!(text, "\n  {}", fault_line(fault));
    }
    text
}

/// A fault as one line: the place, then what is wrong there.
pub fn fault_line(fault: &Fault) -> String {
    let place = if fault.pointer.is_empty() { "(document)" } else { &fault.pointer };
    clean(&format!("{place}: {}", fault.detail))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use expect_test::expect;
    use fluxus_schema::problem::Problem;

    use super::*;

    #[test]
    fn a_refusal_is_shown_with_every_fault() {
        let fault = |pointer: &str, detail: &str| Fault::of_document(pointer, detail);
        let problem = Problem {
            kind: "/problems/invalid-claim".into(),
            title: "The claim is not valid".into(),
            status: 400,
            detail: "2 places are wrong; nothing was stored.".into(),
            faults: vec![fault("/priority", "must be 0 to 9"), fault("", "is no\u{1b}[31m object")],
        };
        let error = anyhow::Error::from(ClientError::Refused(Box::new(problem)));
        let text = anstream::adapter::strip_str(&render(&error)).to_string();
        expect![[r#"
            error: The claim is not valid
              2 places are wrong; nothing was stored.
              /priority: must be 0 to 9
              (document): is no�[31m object"#]]
        .assert_eq(&text);
    }

    #[test]
    fn any_other_error_is_shown_with_its_causes() {
        let error = Err::<(), _>(anyhow::anyhow!("no such file")).context("read `claim.json`");
        let text = render(&error.expect_err("an error"));
        expect!["error: read `claim.json`: no such file"]
            .assert_eq(&anstream::adapter::strip_str(&text).to_string());
    }
}
