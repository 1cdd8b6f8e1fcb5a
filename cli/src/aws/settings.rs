//! Where to work: one environment out of `fluxus.toml`, with what the command line says on top.
//!
//! From the strongest to the weakest: the command line, `[env.NAME]`, `[default]`, AWS's own
//! variables. Those come last because a shell that has `AWS_REGION` set for something else must not
//! send an environment to another region than its file says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::exit::Usage;

/// The file's name.
pub const FILE: &str = "fluxus.toml";

/// The stack's name where nobody gives one.
const STACK: &str = "fluxus";

/// Which environment, and what differs from its file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Whereto {
    /// The environment to work on: `[env.NAME]` in fluxus.toml
    #[arg(long = "env", value_name = "NAME", env = "FLUXUS_ENV", help_heading = "Where")]
    pub environment: Option<String>,
    /// The file with the environments [default: fluxus.toml here, or in a folder above]
    #[arg(long, value_name = "FILE", env = "FLUXUS_CONFIG", help_heading = "Where")]
    pub config: Option<PathBuf>,
    /// The stack's name [default: fluxus, or fluxus-NAME with --env NAME]
    #[arg(long, value_name = "NAME", env = "FLUXUS_STACK", help_heading = "Where")]
    pub stack: Option<String>,
    /// AWS region [default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's]
    #[arg(long, help_heading = "Where")]
    pub region: Option<String>,
    /// Profile of the AWS CLI [default: AWS_PROFILE, or credentials from the environment]
    #[arg(long, help_heading = "Where")]
    pub profile: Option<String>,
    /// Another AWS, such as one on this machine [default: AWS_ENDPOINT_URL]
    #[arg(long, value_name = "URL", help_heading = "Where")]
    pub endpoint_url: Option<String>,
}

/// One environment, complete.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The stack's name.
    pub stack: String,
    /// The region; where there is none, the AWS CLI finds it.
    pub region: Option<String>,
    /// The AWS CLI's profile.
    pub profile: Option<String>,
    /// Where AWS is, if it is not AWS itself.
    pub endpoint_url: Option<String>,
    /// The bucket for what is deployed.
    pub bucket: Option<String>,
    /// The folder with recipes to register.
    pub recipes: Option<PathBuf>,
    /// Parameters of the template.
    pub parameters: BTreeMap<String, String>,
    /// Tags of the stack and everything in it.
    pub tags: BTreeMap<String, String>,
}

/// `fluxus.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    default: Section,
    #[serde(default)]
    env: BTreeMap<String, Section>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    stack: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    endpoint_url: Option<String>,
    bucket: Option<String>,
    recipes: Option<PathBuf>,
    #[serde(default)]
    parameters: BTreeMap<String, Plain>,
    #[serde(default)]
    tags: BTreeMap<String, Plain>,
}

/// A value as the file has it; to CloudFormation all of them are texts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, true, false, or a list of texts")]
enum Plain {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<String>),
}

impl Plain {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(list) => list.join(","),
        }
    }
}

impl Settings {
    /// Reads the file, if there is one, and puts the command line and AWS's variables around it.
    ///
    /// # Errors
    /// [`Usage`] where the file cannot be read, has an unknown key or lacks the environment.
    pub fn load(whereto: &Whereto) -> anyhow::Result<Self> {
        let path = whereto.config.clone().or_else(|| find(&std::env::current_dir().ok()?));
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (text, path) = match path {
            None => (String::new(), PathBuf::from(FILE)),
            Some(path) => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| Usage(format!("cannot read `{}`: {error}", path.display())))?;
                (text, path)
            }
        };
        Self::resolve(whereto, &text, &path, variable).map_err(Into::into)
    }

    fn resolve(
        whereto: &Whereto,
        text: &str,
        path: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Usage> {
        let File { default, mut env } =
            toml::from_str(text).map_err(|error| Usage(misread(&error, text, path)))?;
        let named = whereto.environment.as_ref();
        let section = match named {
            None => Section::default(),
            Some(name) => env.remove(name).ok_or_else(|| absent(name, &env, path))?,
        };
        // Two environments that share a stack by accident would overwrite each other.
        let stack = || {
            let base = default.stack.clone().unwrap_or_else(|| STACK.to_owned());
            named.map_or(base.clone(), |name| format!("{base}-{name}"))
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let merged = |weak: BTreeMap<String, Plain>, strong: BTreeMap<String, Plain>| {
            let all = weak.into_iter().chain(strong);
            all.map(|(name, value)| (name, value.into_text())).collect()
        };
        let flag = whereto.clone();
        Ok(Self {
            stack: flag.stack.or(section.stack).unwrap_or_else(stack),
            region: flag
                .region
                .or(section.region)
                .or(default.region)
                .or_else(|| variable("AWS_REGION"))
                .or_else(|| variable("AWS_DEFAULT_REGION")),
            // The AWS CLI reads AWS_PROFILE by itself; to name it here would put it before
            // credentials that the environment has.
            profile: flag.profile.or(section.profile).or(default.profile),
            endpoint_url: flag
                .endpoint_url
                .or(section.endpoint_url)
                .or(default.endpoint_url)
                .or_else(|| variable("AWS_ENDPOINT_URL")),
            bucket: section.bucket.or(default.bucket),
            recipes: section.recipes.or(default.recipes).map(|recipes| folder.join(recipes)),
            parameters: merged(default.parameters, section.parameters),
            tags: merged(default.tags, section.tags),
        })
    }
}

/// The file here or in a folder above.
fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file())
}

fn absent(name: &str, env: &BTreeMap<String, Section>, path: &Path) -> Usage {
    let known: Vec<_> = env.keys().map(String::as_str).collect();
    let known = match known.as_slice() {
        [] => "it has none".to_owned(),
        known => format!("it has {}", known.join(", ")),
    };
    Usage(format!("there is no environment [env.{name}] in `{}`; {known}", path.display()))
}

/// The place, and what is wrong there.
fn misread(error: &toml::de::Error, text: &str, path: &Path) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map_or(String::new(), |before| {
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(":{line}:{column}")
    });
    format!("{}{place}: {}", path.display(), error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[default]
region = "eu-central-1"
recipes = "recipes"
[default.parameters]
Auth = "iam"
CoreBatchSize = 10
SubnetIds = ["subnet-1", "subnet-2"]
[default.tags]
team = "claims"

[env.prod]
profile = "production"
[env.prod.parameters]
Auth = "jwt"

[env.test]
stack = "try"
region = "eu-north-1"
"#;

    fn resolve(whereto: &Whereto, text: &str) -> Result<Settings, String> {
        let variable = |name: &str| (name == "AWS_REGION").then(|| "us-east-1".to_owned());
        Settings::resolve(whereto, text, Path::new("conf/fluxus.toml"), variable)
            .map_err(|usage| usage.0)
    }

    fn named(name: &str) -> Whereto {
        Whereto { environment: Some(name.to_owned()), ..Whereto::default() }
    }

    #[test]
    fn an_environment_stands_on_the_default() {
        let prod = resolve(&named("prod"), TEXT).expect("settings");
        assert_eq!(prod.stack, "fluxus-prod");
        assert_eq!(prod.region.as_deref(), Some("eu-central-1"));
        assert_eq!(prod.profile.as_deref(), Some("production"));
        assert_eq!(prod.recipes.as_deref(), Some(Path::new("conf/recipes")));
        assert_eq!(prod.parameters["Auth"], "jwt");
        assert_eq!(prod.parameters["CoreBatchSize"], "10");
        assert_eq!(prod.parameters["SubnetIds"], "subnet-1,subnet-2");
        let test = resolve(&named("test"), TEXT).expect("settings");
        assert_eq!((test.stack.as_str(), test.region.as_deref()), ("try", Some("eu-north-1")));
        assert_eq!(test.parameters["Auth"], "iam");
    }

    #[test]
    fn the_command_line_is_stronger_and_awss_variables_are_weaker_than_the_file() {
        let flags = Whereto {
            stack: Some("mine".into()),
            region: Some("eu-west-1".into()),
            ..named("prod")
        };
        let settings = resolve(&flags, TEXT).expect("settings");
        assert_eq!(
            (settings.stack.as_str(), settings.region.as_deref()),
            ("mine", Some("eu-west-1"))
        );
        let settings = resolve(&Whereto::default(), "").expect("settings");
        assert_eq!(
            (settings.stack.as_str(), settings.region.as_deref()),
            ("fluxus", Some("us-east-1"))
        );
    }

    #[test]
    fn the_example_is_such_a_file() {
        let example = include_str!("../../../fluxus.example.toml");
        let settings = resolve(&named("prod"), example).expect("settings");
        assert_eq!(settings.stack, "fluxus-prod");
        assert_eq!(settings.parameters["JwtAudience"], "claims");
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let error = resolve(&Whereto::default(), "[default]\nstak = \"x\"\n").expect_err("wrong");
        assert!(error.starts_with("conf/fluxus.toml:2:1: unknown field `stak`"), "{error}");
        let error = resolve(&Whereto::default(), "[envs.prod]\n").expect_err("wrong");
        assert!(error.contains(":1:2: unknown field `envs`"), "{error}");
        let error = resolve(&named("staging"), TEXT).expect_err("absent");
        assert!(error.contains("no environment [env.staging]") && error.contains("prod, test"));
    }
}
