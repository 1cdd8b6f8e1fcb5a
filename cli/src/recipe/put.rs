//! `fluxus recipe put`.

use std::path::{Path, PathBuf};

use fluxus_schema::api::PutClaimType;
use fluxus_schema::id::{ClaimType, RecipeName};
use fluxus_schema::problem::{Fault, FaultCode};
use fluxus_schema::recipe::{PutRecipe, RecipeVersion};

use super::definition;
use crate::client::{Client, ClientError};
use crate::exit::Exit;
use crate::output::{Printer, note};
use crate::report::Faulty;
use crate::source::{self, Document};

/// The recipe.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Prints the recipe's name and its new version. Claims that run already stay with their version. A
claim type goes to the recipe that named it last.

Examples:
  fluxus recipe put order-saga examples/order-saga/recipe.json --claim-type order.placed
  fluxus recipe put order-saga recipe.json --schema order.placed=examples/order-saga/schema.json")]
pub struct Args {
    /// The recipe's name
    pub name: RecipeName,
    /// File with the recipe, in Amazon States Language: JSON, JSON with comments or YAML
    pub file: PathBuf,
    /// A claim type that it fulfils; may be given several times
    #[arg(long = "claim-type", value_name = "TYPE")]
    pub claim_types: Vec<ClaimType>,
    /// JSON Schema that claims of a type must satisfy; may be given several times
    #[arg(long = "schema", value_name = "TYPE=FILE", value_parser = parse_schema)]
    pub schemas: Vec<(ClaimType, PathBuf)>,
}

fn parse_schema(text: &str) -> Result<(ClaimType, PathBuf), String> {
    let (name, path) = crate::claim::submit::parse_pair(text).map_err(|_| "write TYPE=FILE")?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, Path::new(&path).to_owned()))
}

/// Puts the recipe, then the schemas.
///
/// # Errors
/// Where a file is not what it should be (nothing is sent then), or the server cannot be reached
/// or refuses.
pub async fn run(args: &Args, client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let file = source::file(&args.file)?;
    let schemas = args.schemas.iter().map(|(name, path)| {
        let schema = source::file(path)?.source.into_value();
        anyhow::Ok((name, PutClaimType { schema }))
    });
    let schemas = schemas.collect::<Result<Vec<_>, _>>()?;
    let faults = definition::faults(file.source.value());
    // Not sent: a server that refuses it for its size hangs up, and its words are lost.
    let too_large = faults.iter().filter(|fault| fault.code == FaultCode::DefinitionTooLarge);
    let too_large: Vec<Fault> = too_large.cloned().collect();
    if !too_large.is_empty() {
        return Err(Faulty::new(vec![file.report(too_large)]).into());
    }
    let definition = file.source.value().clone();
    let recipe = PutRecipe { definition, claim_types: args.claim_types.clone() };
    let put = client.put(&["recipes", args.name.as_str()])?.body(&recipe)?;
    let document = put.send().await.map_err(|error| in_file(error, &file))?;
    let warnings = file.report(faults.into_iter().filter(|fault| !fault.is_error()).collect());
    if !warnings.faults().is_empty() {
        note(warnings.render(printer.width).trim_end());
    }
    for (name, schema) in &schemas {
        client.put(&["claim-types", name.as_str()])?.body(schema)?.send().await?;
        note(&format!("Claims of type {name} must satisfy the schema from now on."));
    }
    printer.document(&document, |recipe: &RecipeVersion| {
        format!("{} version {}\n", recipe.name, recipe.version)
    })?;
    Ok(Exit::Ok)
}

/// The error; where the definition was refused, its faults in the file.
fn in_file(error: ClientError, file: &Document) -> anyhow::Error {
    let ClientError::Refused(problem) = error else { return error.into() };
    let within = |fault: &Fault| {
        let pointer = fault.pointer.strip_prefix("/definition")?.to_owned();
        Some(Fault { pointer, ..fault.clone() })
    };
    let faults: Option<Vec<_>> = problem.faults.iter().map(within).collect();
    match faults {
        Some(faults) if !faults.is_empty() => {
            let exit = ClientError::Refused(problem).exit();
            Faulty::refused(vec![file.report(faults)], exit).into()
        }
        _ => ClientError::Refused(problem).into(),
    }
}
