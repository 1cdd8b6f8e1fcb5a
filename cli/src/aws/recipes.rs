//! Recipes in a folder, to be registered with a deployment.
//!
//! Two shapes, side by side as you like:
//!
//! - `NAME/recipe.json` (or `.yaml`, `.jsonc`), with `claim.json` or `claim-types.json` beside it;
//! - `NAME.asl.json` (or `.asl.yaml`), with `NAME.claim.json` or `NAME.claim-types.json` beside it.
//!
//! `claim.json` is a claim that the recipe fulfils, as in `examples/`: its type is the recipe's.
//! `claim-types.json` is a list of types. Without either the recipe is run by name alone.
//! `schema.json` is the JSON Schema that the bodies of these claims keep.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fluxus_schema::id::{ClaimType, RecipeName};
use serde::Serialize;
use serde_json::Value;

use crate::exit::Usage;
use crate::recipe::definition;
use crate::report::{Faulty, Report};
use crate::source;

/// Endings of files with recipes.
const ENDINGS: [&str; 4] = ["json", "jsonc", "yaml", "yml"];

/// A recipe to register.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// Its name.
    pub name: RecipeName,
    /// Its state machine.
    pub definition: Value,
    /// The claim types that it fulfils.
    pub claim_types: Vec<ClaimType>,
    /// The JSON Schema that their bodies keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

/// Reads all recipes of a folder, by name.
///
/// # Errors
/// [`Usage`] where a file cannot be read, [`Faulty`] with every fault of every recipe.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Recipe>> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Usage(format!("cannot read the folder of recipes `{shown}`: {error}")))?;
    let mut found = Vec::new();
    for entry in entries {
        found.extend(recipe_file(&entry?.path()));
    }
    found.sort();
    if found.is_empty() {
        let what =
            format!("there are no recipes in `{shown}`: no NAME/recipe.json, no NAME.asl.json");
        return Err(Usage(what).into());
    }
    let mut recipes = Vec::new();
    let mut faulty: Vec<Report> = Vec::new();
    for (name, file, prefix) in found {
        let name = name.parse().map_err(|error| Usage(format!("`{}`: {error}", file.display())))?;
        let document = source::file(&file)?;
        let faults = definition::faults(document.source.value());
        let faults: Vec<_> = faults.into_iter().filter(|fault| fault.is_error()).collect();
        if !faults.is_empty() {
            faulty.push(document.report(faults));
            continue;
        }
        let claim_types = claim_types(&file, &prefix)?;
        let schema = beside(&file, &prefix, "schema.json");
        let schema = schema.map(|file| source::file(&file)).transpose()?;
        let schema = schema.map(|document| document.source.into_value());
        let definition = document.source.into_value();
        recipes.push(Recipe { name, definition, claim_types, schema });
    }
    if !faulty.is_empty() {
        return Err(Faulty::new(faulty).into());
    }
    Ok(recipes)
}

/// A recipe's name, its file, and what precedes the names of the files beside it.
fn recipe_file(path: &Path) -> Option<(String, PathBuf, String)> {
    let name = path.file_name()?.to_str()?;
    if path.is_dir() {
        let files = ENDINGS.iter().map(|ending| path.join(format!("recipe.{ending}")));
        let file = files.into_iter().find(|file| file.is_file())?;
        return Some((name.to_owned(), file, String::new()));
    }
    let stem = ENDINGS.iter().find_map(|ending| name.strip_suffix(&format!(".asl.{ending}")))?;
    Some((stem.to_owned(), path.to_owned(), format!("{stem}.")))
}

/// A file beside a recipe's, if it is there.
fn beside(file: &Path, prefix: &str, name: &str) -> Option<PathBuf> {
    Some(file.with_file_name(format!("{prefix}{name}"))).filter(|file| file.is_file())
}

fn claim_types(file: &Path, prefix: &str) -> anyhow::Result<Vec<ClaimType>> {
    let (from, types) = if let Some(types) = beside(file, prefix, "claim-types.json") {
        let list = source::file(&types)?.source.into_value();
        (types, list)
    } else {
        let Some(claim) = beside(file, prefix, "claim.json") else { return Ok(Vec::new()) };
        let kind = source::file(&claim)?.source.into_value()["type"].clone();
        (claim, Value::Array(vec![kind]))
    };
    serde_json::from_value(types)
        .with_context(|| format!("read claim types of `{}`", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"{"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}"#;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
            std::fs::write(path, text).expect("writes");
        }
    }

    #[test]
    fn recipes_are_found_in_folders_and_in_files() {
        let folder = tempfile::tempdir().expect("a folder");
        write(
            folder.path(),
            &[
                ("order/recipe.json", RECIPE),
                ("order/claim.json", r#"{"type": "order.placed", "body": {}}"#),
                ("refund.asl.yaml", "StartAt: A\nStates:\n  A: {Type: Succeed}\n"),
                ("refund.claim-types.json", r#"["refund.asked", "refund.due"]"#),
                ("alone.asl.json", RECIPE),
                ("README.md", "no recipe"),
                ("notes/text.txt", "no recipe"),
            ],
        );
        let recipes = read(folder.path()).expect("recipes");
        let told: Vec<_> = recipes
            .iter()
            .map(|one| {
                let types: Vec<_> = one.claim_types.iter().map(|one| one.as_str()).collect();
                format!("{}: {}", one.name, types.join(" "))
            })
            .collect();
        assert_eq!(told, ["alone: ", "order: order.placed", "refund: refund.asked refund.due"]);
    }

    #[test]
    fn the_examples_are_such_a_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let recipes = read(&folder).expect("recipes");
        assert!(recipes.len() >= 5);
        assert!(recipes.iter().all(|one| one.claim_types.len() == 1 && one.schema.is_some()));
    }

    #[test]
    fn every_fault_of_every_recipe_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read(folder.path()).is_err_and(|error| error.is::<Usage>()));
        let wrong = r#"{"StartAt": "B", "States": {"A": {"Type": "Succeed"}}}"#;
        write(folder.path(), &[("a.asl.json", wrong), ("b/recipe.json", wrong)]);
        let error = read(folder.path()).expect_err("faults");
        let faulty = error.downcast_ref::<Faulty>().expect("faults").render(None);
        assert!(
            faulty.contains("a.asl.json:1:13") && faulty.contains("recipe.json:1:13"),
            "{faulty}"
        );
    }
}
