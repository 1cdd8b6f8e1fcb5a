//! The template of a stack: its parameters, its functions, and where their code is built to.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::cfn;
use crate::exit::Usage;

/// The file's name.
pub const FILE: &str = "template.yaml";

/// Where a template says that code is built to; where that really is, cargo knows.
const BUILT: &str = "target/";

/// A template, read.
#[derive(Debug, Clone)]
pub struct Template {
    /// The file.
    pub path: PathBuf,
    /// What it holds, without short tags.
    pub document: Value,
}

/// A parameter that can be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What it is if nobody says; without one it must be given.
    pub default: Option<String>,
}

/// A function of the stack.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The logical id: `CoreFunction`.
    pub id: String,
    /// What it is built as: `fluxus-core`.
    pub binary: String,
    /// Its `CodeUri`, as the template has it.
    pub code: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Timeout, in seconds.
    pub timeout_s: u64,
    /// Environment variables; values may be such as `{"Ref": "Release"}`.
    pub environment: Map<String, Value>,
}

impl Template {
    /// Reads the template that was named, else the one here or in a folder above.
    ///
    /// # Errors
    /// [`Usage`] where there is none, or it cannot be read.
    pub fn find(named: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = named {
            return Self::read(path);
        }
        let here = std::env::current_dir().context("find the current folder")?;
        let found = here.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file());
        let Some(path) = found else {
            let what =
                format!("there is no {FILE} here or in a folder above; name it by --template");
            return Err(Usage(what).into());
        };
        Self::read(&path)
    }

    /// Reads a template.
    ///
    /// # Errors
    /// [`Usage`] where it cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Usage(format!("cannot read `{shown}`: {error}")))?;
        let document = cfn::read(&text).map_err(|why| Usage(format!("`{shown}`: {why}")))?;
        if !document.get("Resources").is_some_and(Value::is_object) {
            return Err(Usage(format!("`{shown}` is no template: it has no Resources")).into());
        }
        Ok(Self { path: path.to_owned(), document })
    }

    /// The folder that paths in it start from.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// All parameters.
    pub fn parameters(&self) -> Vec<Parameter> {
        let declared = self.document.get("Parameters").and_then(Value::as_object);
        let parameter = |(name, declared): (&String, &Value)| Parameter {
            name: name.clone(),
            description: text(&declared["Description"]).unwrap_or_default(),
            default: text(&declared["Default"]),
        };
        declared.into_iter().flatten().map(parameter).collect()
    }

    /// All resources: logical id and what is declared.
    pub fn resources(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.document["Resources"].as_object().into_iter().flatten()
    }

    /// All functions whose code is built here, in the order of the template.
    pub fn functions(&self) -> Vec<Function> {
        let globals = &self.document["Globals"]["Function"];
        let functions = self.resources().filter(|(_, one)| is_function(one));
        functions.filter_map(|(id, one)| function(id, &one["Properties"], globals)).collect()
    }

    /// The function that a person names: `CoreFunction`, `core` or `fluxling-http`.
    ///
    /// # Errors
    /// [`Usage`] with the names that there are.
    pub fn function(&self, name: &str) -> anyhow::Result<Function> {
        let functions = self.functions();
        let ids: Vec<_> = functions.iter().map(|function| function.id.as_str()).collect();
        let at = find_function(name, &ids)?;
        Ok(functions[at].clone())
    }
}

/// Where code is: below the folder that cargo builds to, else beside the template.
pub fn code_folder(code: &str, folder: &Path, target: &Path) -> PathBuf {
    match code.trim_start_matches("./").strip_prefix(BUILT) {
        Some(rest) => target.join(rest),
        None => folder.join(code),
    }
}

/// Whether it names something on this machine rather than in a bucket.
pub fn is_local(place: &str) -> bool {
    !place.contains("://")
}

/// Which of these logical ids a person means by `name`.
///
/// # Errors
/// [`Usage`] with the names that there are.
pub fn find_function(name: &str, ids: &[&str]) -> Result<usize, Usage> {
    let wanted = [name, &short_name(name)].map(str::to_lowercase);
    let means = |id: &&str| wanted.contains(&id.to_lowercase()) || wanted.contains(&short_name(id));
    ids.iter().position(means).ok_or_else(|| {
        let known: Vec<_> = ids.iter().map(|id| short_name(id)).collect();
        Usage(format!("there is no function `{name}`; there are {}", known.join(", ")))
    })
}

/// A function's name for people: `core` for `CoreFunction`, `fluxling-http` for
/// `FluxlingHttpFunction`.
pub fn short_name(id: &str) -> String {
    let id = id.strip_suffix("Function").filter(|rest| !rest.is_empty()).unwrap_or(id);
    let mut name = String::new();
    for c in id.chars() {
        if c.is_uppercase() && !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    name
}

fn is_function(resource: &Value) -> bool {
    resource["Type"] == "AWS::Serverless::Function" || resource["Type"] == "AWS::Lambda::Function"
}

fn function(id: &str, properties: &Value, globals: &Value) -> Option<Function> {
    let given = |name: &str| properties.get(name).or_else(|| globals.get(name));
    let code = given("CodeUri").or_else(|| properties.get("Code"))?.as_str()?;
    if !is_local(code) {
        return None;
    }
    let mut environment = Map::new();
    for source in [globals, properties] {
        let variables = source["Environment"]["Variables"].as_object().into_iter().flatten();
        environment.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    }
    Some(Function {
        id: id.to_owned(),
        binary: code.trim_end_matches('/').rsplit('/').next().unwrap_or(code).to_owned(),
        code: code.to_owned(),
        memory_mib: given("MemorySize").and_then(Value::as_u64).unwrap_or(128),
        timeout_s: given("Timeout").and_then(Value::as_u64).unwrap_or(3),
        environment,
    })
}

/// The text of a plain value.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A template with two functions, a queue and a nested template.
    pub(crate) const TEXT: &str = "
Transform: AWS::Serverless-2016-10-31
Parameters:
  Environment: {Type: String, Default: prod}
  Release: {Type: String, Description: A hash over all functions}
Globals:
  Function:
    MemorySize: 256
    Environment: {Variables: {RUST_LOG: info, FLUXUS_STACK: !Ref AWS::StackName}}
Resources:
  CoreFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: target/lambda/fluxus-core
      Timeout: 60
      Environment: {Variables: {RUST_LOG: debug}}
  FluxlingHttpFunction:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: ./target/lambda/fluxling-http/}
  Elsewhere:
    Type: AWS::Serverless::Function
    Properties: {CodeUri: s3://bucket/key}
  CoreQueue: {Type: AWS::SQS::Queue}
  Database:
    Type: AWS::CloudFormation::Stack
    DeletionPolicy: Snapshot
    Properties: {TemplateURL: infra/aws/database.yaml}
";

    pub(crate) fn template() -> Template {
        Template { path: FILE.into(), document: cfn::read(TEXT).expect("a template") }
    }

    #[test]
    fn functions_have_their_globals_and_their_names() {
        let functions = template().functions();
        let names: Vec<_> = functions.iter().map(|one| (&*one.id, &*one.binary)).collect();
        assert_eq!(
            names,
            [("CoreFunction", "fluxus-core"), ("FluxlingHttpFunction", "fluxling-http")]
        );
        assert_eq!((functions[0].memory_mib, functions[0].timeout_s), (256, 60));
        assert_eq!(functions[0].environment["RUST_LOG"], "debug");
        assert_eq!(functions[0].environment["FLUXUS_STACK"], json!({"Ref": "AWS::StackName"}));
    }

    #[test]
    fn a_function_is_found_by_what_people_call_it() {
        let ids = ["CoreFunction", "FluxlingHttpFunction"];
        for name in ["core", "Core", "CoreFunction", "corefunction"] {
            assert_eq!(find_function(name, &ids).expect("found"), 0, "{name}");
        }
        for name in ["fluxling-http", "FluxlingHttp", "FluxlingHttpFunction"] {
            assert_eq!(find_function(name, &ids).expect("found"), 1, "{name}");
        }
        let error = find_function("http", &ids).expect_err("no such function").0;
        assert_eq!(error, "there is no function `http`; there are core, fluxling-http");
    }

    #[test]
    fn code_is_where_cargo_builds() {
        let place = |code| code_folder(code, Path::new("repo"), Path::new("/cache/target"));
        assert_eq!(place("target/lambda/x"), Path::new("/cache/target/lambda/x"));
        assert_eq!(place("./target/lambda/x"), Path::new("/cache/target/lambda/x"));
        assert_eq!(place("code"), Path::new("repo/code"));
    }

    #[test]
    fn parameters_without_a_default_must_be_given() {
        let parameters = template().parameters();
        let must: Vec<_> = parameters.iter().filter(|one| one.default.is_none()).collect();
        assert_eq!(must.len(), 1);
        assert_eq!(must[0].name, "Release");
    }
}
