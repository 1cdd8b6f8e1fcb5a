//! `claims.validate`: does a document satisfy a JSON Schema?

use fluxling::TaskError;
use jsonschema::Validator;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The document is not valid, and the task asked to fail then.
pub const INVALID: &str = "Claims.Invalid";
/// The schema is none, or refers to a document outside itself.
pub const INVALID_SCHEMA: &str = "Claims.InvalidSchema";

/// Most faults that are listed: an answer must stay small however wrong a document is.
const MAX_FAULTS: usize = 100;

/// What to check.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A JSON Schema, of the draft that it names or 2020-12. It must be complete in itself: nothing
    /// is ever fetched. `format` is checked.
    pub schema: Value,
    /// What to check by it.
    pub document: Value,
    /// Fail the task as `Claims.Invalid` where the document is not valid.
    #[serde(default)]
    pub fail: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Output {
    /// Whether the document satisfies the schema.
    pub valid: bool,
    /// What is wrong with it: the first hundred faults, and a note if there are more.
    pub faults: Vec<Fault>,
}

/// One thing wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fault {
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// Checks a document.
///
/// # Errors
/// [`INVALID_SCHEMA`]; with `fail`, [`INVALID`] with the faults as its cause.
pub fn validate(input: &Input) -> Result<Output, TaskError> {
    let validator = compile(&input.schema)?;
    let mut faults: Vec<_> = validator
        .iter_errors(&input.document)
        .take(MAX_FAULTS + 1)
        .map(|error| Fault {
            pointer: error.instance_path().to_string(),
            detail: error.to_string(),
        })
        .collect();
    if faults.len() > MAX_FAULTS {
        faults.truncate(MAX_FAULTS);
        let detail = format!("there are more than MAX_FAULTS = {MAX_FAULTS} faults");
        faults.push(Fault { pointer: String::new(), detail });
    }
    if input.fail && !faults.is_empty() {
        return Err(TaskError::fatal(INVALID, in_words(&faults)));
    }
    Ok(Output { valid: faults.is_empty(), faults })
}

fn compile(schema: &Value) -> Result<Validator, TaskError> {
    let options = jsonschema::options().should_validate_formats(true).offline();
    options.build(schema).map_err(|error| {
        let cause = match error.schema_path().as_str() {
            "" => error.to_string(),
            place => format!("`{place}`: {error}"),
        };
        TaskError::fatal(INVALID_SCHEMA, cause)
    })
}

fn in_words(faults: &[Fault]) -> String {
    let words = |fault: &Fault| match fault.pointer.as_str() {
        "" => fault.detail.clone(),
        pointer => format!("`{pointer}`: {}", fault.detail),
    };
    faults.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn run(input: Value) -> Result<Value, TaskError> {
        crate::fluxling(crate::ClaimsConfig::default()).call("claims.validate", input).await
    }

    fn order() -> Value {
        json!({
            "type": "object",
            "required": ["id", "lines"],
            "properties": {
                "id": {"type": "string", "format": "uuid"},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
            },
            "$defs": {"line": {"properties": {"cents": {"type": "integer", "minimum": 1}}}},
        })
    }

    #[tokio::test]
    async fn a_valid_document_has_no_faults() {
        let document =
            json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057", "lines": [{"cents": 1}]});
        let output = run(json!({"schema": order(), "document": document})).await;
        assert_eq!(output, Ok(json!({"valid": true, "faults": []})));
    }

    #[tokio::test]
    async fn every_fault_has_its_place() {
        let document = json!({"id": "7", "lines": [{"cents": 1}, {"cents": 0}]});
        let output = run(json!({"schema": order(), "document": document})).await.expect("checks");
        let want = json!({"valid": false, "faults": [
            {"pointer": "/id", "detail": "\"7\" is not a \"uuid\""},
            {"pointer": "/lines/1/cents", "detail": "0 is less than the minimum of 1"},
        ]});
        assert_eq!(output, want);
        let missing = run(json!({"schema": order(), "document": {"lines": []}})).await;
        let want = json!([{"pointer": "", "detail": "\"id\" is a required property"}]);
        assert_eq!(missing.expect("checks")["faults"], want);
    }

    #[tokio::test]
    async fn the_task_fails_where_it_is_told_to() {
        let input = json!({"schema": order(), "document": {"id": 7}, "fail": true});
        let error = run(input).await.expect_err("invalid");
        assert_eq!(error.name(), "Claims.Invalid");
        assert!(error.cause().contains("`/id`: 7 is not of type \"string\""), "{error}");
        assert!(error.cause().contains("\"lines\" is a required property"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_fetched() {
        for place in ["https://example.com/order.json", "file:///etc/passwd", "other.json"] {
            let schema = json!({"properties": {"a": {"$ref": place}}});
            let error = run(json!({"schema": schema, "document": {}})).await.expect_err("remote");
            assert_eq!(error.name(), "Claims.InvalidSchema", "{place}");
            assert!(error.cause().contains(place), "{error}");
        }
    }

    #[tokio::test]
    async fn a_schema_that_is_none_is_refused() {
        for schema in [json!({"type": "colour"}), json!(7), json!({"pattern": "("})] {
            let input = json!({"schema": schema, "document": "x"});
            let error = run(input).await.expect_err("no schema");
            assert_eq!(error.name(), "Claims.InvalidSchema", "{error}");
        }
    }

    #[tokio::test]
    async fn faults_are_bounded() {
        let document: Vec<u8> = vec![0; 5_000];
        let input = json!({"schema": {"items": {"type": "string"}}, "document": document});
        let output = run(input).await.expect("checks");
        let faults = output["faults"].as_array().expect("faults");
        assert_eq!(faults.len(), MAX_FAULTS + 1);
        assert_eq!(faults[MAX_FAULTS]["detail"], "there are more than MAX_FAULTS = 100 faults");
    }

    #[tokio::test]
    async fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        let output = run(json!({"schema": schema, "document": 1})).await;
        assert!(output.is_ok() || output.is_err_and(|e| e.name() == INVALID_SCHEMA));
        let tree = json!({"properties": {"child": {"$ref": "#"}}, "required": ["name"]});
        let document = json!({"name": "a", "child": {"name": "b", "child": {}}});
        let output = run(json!({"schema": tree, "document": document})).await.expect("checks");
        assert_eq!(output["faults"][0]["pointer"], "/child/child");
    }
}
