//! `fluxus recipe`: put recipes, check them, draw them.

pub mod definition;
pub mod put;
pub mod validate;

use std::path::Path;

use clap::Subcommand;
use fluxus_machine::source::Format;
use fluxus_schema::Timestamp;
use fluxus_schema::api::RecipeList;
use fluxus_schema::recipe::RecipeVersion;
use serde_json::{Value, json};

use crate::args::Global;
use crate::client::{Client, Document};
use crate::exit::Exit;
use crate::moment::{absolute_and_relative, date_and_time, now};
use crate::output::{Printer, indented, note};
use crate::source;
use crate::table::{Cell, Column, Table, facts};

/// What to do with recipes.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a recipe: its next version, which runs new claims from now on
    Put(put::Args),
    /// Check recipes without a server; prints every fault with its place, as a compiler does
    Validate(validate::Args),
    /// List all recipes
    List,
    /// Show a recipe
    #[command(after_help = "\
Examples:
  fluxus recipe show order-saga
  fluxus recipe show order-saga --version 2 --output json | jq .definition > recipe.json")]
    Show {
        /// The recipe's name
        name: String,
        /// Its version; the newest, where not given
        #[arg(long, value_name = "N")]
        version: Option<u32>,
    },
    /// Draw a recipe as a Mermaid diagram
    #[command(after_help = "\
Examples:
  fluxus recipe render examples/order-saga/recipe.json
  fluxus recipe render order-saga > order-saga.mmd")]
    Render {
        /// A file with a recipe, or the name of one on the server
        #[arg(value_name = "FILE|NAME")]
        recipe: String,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// Where the server cannot be reached or refuses, a file is not what it should be, or stdout
/// cannot be written.
pub async fn run(command: &Command, global: &Global, printer: Printer) -> anyhow::Result<Exit> {
    match command {
        Command::Put(args) => put::run(args, &Client::new(global)?, printer).await,
        Command::Validate(args) => validate::run(args, printer),
        Command::List => list(&Client::new(global)?, printer).await,
        Command::Show { name, version } => {
            let document = get(&Client::new(global)?, name, *version).await?;
            printer.document(&document, |recipe| render(recipe, now(), printer.width))?;
            Ok(Exit::Ok)
        }
        Command::Render { recipe } => draw(recipe, global, printer).await,
    }
}

async fn get(client: &Client, name: &str, version: Option<u32>) -> anyhow::Result<Document> {
    let version = version.map(|version| version.to_string());
    let call = match &version {
        Some(version) => client.get(&["recipes", name, "versions", version])?,
        None => client.get(&["recipes", name])?,
    };
    Ok(call.send().await?)
}

async fn list(client: &Client, printer: Printer) -> anyhow::Result<Exit> {
    let document = client.get(&["recipes"])?.send().await?;
    printer.document(&document, |list: &RecipeList| {
        if list.recipes.is_empty() {
            note("No recipes yet; put one: fluxus recipe put NAME FILE --claim-type TYPE");
            return String::new();
        }
        let mut table = Table::new(&[
            Column::whole("RECIPE"),
            Column::number("VERSION"),
            Column::whole("PUT"),
            Column::text("CLAIM TYPES"),
        ]);
        for recipe in &list.recipes {
            let types: Vec<_> = recipe.claim_types.iter().map(|name| name.as_str()).collect();
            table.row(vec![
                Cell::from(recipe.name.as_str()),
                Cell::from(recipe.version.to_string()),
                Cell::from(date_and_time(recipe.created_at)),
                Cell::from(types.join(", ")),
            ]);
        }
        table.render(printer.width)
    })?;
    Ok(Exit::Ok)
}

fn render(recipe: &RecipeVersion, now: Timestamp, width: Option<usize>) -> String {
    let types: Vec<_> = recipe.claim_types.iter().map(|name| name.as_str()).collect();
    let about = recipe.definition.get("Comment").and_then(Value::as_str);
    let facts = facts(
        &[
            ("Recipe", Some(Cell::from(recipe.name.as_str()))),
            ("Version", Some(Cell::from(recipe.version.to_string()))),
            ("About", about.map(Cell::from)),
            ("Claim types", Some(Cell::from(types.join(", ")))),
            ("Put", Some(Cell::from(absolute_and_relative(recipe.created_at, now)))),
        ],
        width,
    );
    let bold = anstyle::Style::new().bold();
    format!("{facts}{bold}Definition{bold:#}\n{}", indented(&recipe.definition))
}

async fn draw(recipe: &str, global: &Global, printer: Printer) -> anyhow::Result<Exit> {
    let path = Path::new(recipe);
    let definition = if path.is_file() || Format::of_name(recipe).is_some() || recipe == "-" {
        source::file(path)?.source.into_value()
    } else {
        let document = get(&Client::new(global)?, recipe, None).await?;
        document.read::<RecipeVersion>()?.definition
    };
    let mut drawing = definition::mermaid(&definition);
    if printer.is_json() {
        return printer.raw(json!({"mermaid": drawing}).to_string().as_bytes()).map(|()| Exit::Ok);
    }
    if !drawing.ends_with('\n') {
        drawing.push('\n');
    }
    printer.text(&drawing)?;
    Ok(Exit::Ok)
}
