//! JSON Schemas of all messages and bodies, generated from the types.
//!
//! Fluxlings in other languages and clients without an SDK read these from `schema/json/`. To
//! write the folder anew: `UPDATE_EXPECT=1 cargo test -p fluxus-schema json_schema`.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Dialect of the generated schemas.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// File name and content of every generated schema.
pub fn all() -> Vec<(String, Value)> {
    vec![
        document::<crate::message::CoreMessage>(),
        document::<crate::message::TaskMessage>(),
        document::<crate::claim::NewClaim>(),
        document::<crate::claim::Claim>(),
        document::<crate::recipe::PutRecipe>(),
        document::<crate::recipe::RecipeVersion>(),
        document::<crate::fluxling::Manifest>(),
        document::<crate::fluxling::Fluxling>(),
        document::<crate::items::ReadItems>(),
        document::<crate::items::ItemsPage>(),
        document::<crate::items::WriteResults>(),
        document::<crate::history::HistoryEvent>(),
        document::<crate::delegation::Delegation>(),
        document::<crate::export::ExportLine>(),
        document::<crate::problem::Problem>(),
        document::<crate::api::Submitted>(),
        document::<crate::api::ClaimPage>(),
        document::<crate::api::HistoryPage>(),
        document::<crate::api::Cancel>(),
        document::<crate::api::Redriven>(),
        document::<crate::api::Retry>(),
        document::<crate::api::Skip>(),
        document::<crate::api::SeenTo>(),
        document::<crate::api::DeadLetterPage>(),
        document::<crate::api::WhichLetters>(),
        document::<crate::api::LettersHandled>(),
        document::<crate::api::TaskOutput>(),
        document::<crate::api::TaskFailure>(),
        document::<crate::api::Explanation>(),
        document::<crate::api::RecipeList>(),
        document::<crate::api::RecipeVersions>(),
        document::<crate::api::FluxlingList>(),
        document::<crate::api::PutClaimType>(),
        document::<crate::api::Health>(),
    ]
}

/// The schema of one type: self-contained, with what it refers to under `$defs`.
fn document<T: ToSchema>() -> (String, Value) {
    let mut referred: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut referred);
    referred.sort_by(|a, b| a.0.cmp(&b.0));
    referred.dedup_by(|a, b| a.0 == b.0);
    let defs: Map<String, Value> =
        referred.iter().map(|(name, schema)| (name.clone(), plain(schema))).collect();
    let mut document = Map::new();
    document.insert("$schema".into(), json!(DIALECT));
    document.insert("title".into(), json!(T::name()));
    if let Value::Object(own) = plain(&T::schema()) {
        document.extend(own);
    }
    if !defs.is_empty() {
        document.insert("$defs".into(), Value::Object(defs));
    }
    (format!("{}.json", T::name()), Value::Object(document))
}

fn plain(schema: &RefOr<Schema>) -> Value {
    let mut value = serde_json::to_value(schema).unwrap_or(Value::Null);
    point_at_defs(&mut value);
    value
}

/// OpenAPI keeps shared schemas under `components`; a JSON Schema of its own keeps them in `$defs`.
fn point_at_defs(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(target) if name == "$ref" => {
                        *target = target.replace("#/components/schemas/", "#/$defs/");
                    }
                    other => point_at_defs(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(point_at_defs),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_generated_files_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
        let all = all();
        for (name, schema) in &all {
            let text = serde_json::to_string_pretty(schema).expect("writes") + "\n";
            expect_test::expect_file![folder.join(name)].assert_eq(&text);
        }
        let stray: Vec<_> = std::fs::read_dir(&folder)
            .expect("schema/json")
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !all.iter().any(|(known, _)| known == name))
            .collect();
        assert!(stray.is_empty(), "not generated from any type: {stray:?}");
    }
}
