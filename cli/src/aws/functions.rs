//! The functions of a stack as Lambda has them.

use serde::Deserialize;

use super::stack::Resource;
use super::template::{find_function, short_name};
use super::tool::Aws;
use crate::exit::Usage;

/// A deployed function.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Its name for people: `core`.
    pub short: String,
    /// Its logical id: `CoreFunction`.
    pub id: String,
    /// Its name in AWS.
    pub name: String,
    /// Where it logs to.
    pub log_group: String,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Timeout, in seconds.
    pub timeout_s: u64,
    /// When it last changed, as text.
    pub changed: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Functions")]
    functions: Vec<Configuration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    function_name: String,
    #[serde(default)]
    memory_size: u64,
    #[serde(default)]
    timeout: u64,
    #[serde(default)]
    last_modified: String,
    logging_config: Option<Logging>,
}

#[derive(Deserialize)]
struct Logging {
    #[serde(rename = "LogGroup")]
    log_group: Option<String>,
}

/// The functions among these resources.
///
/// # Errors
/// Any [`AwsError`](super::tool::AwsError).
pub async fn of(aws: &Aws, resources: &[Resource]) -> anyhow::Result<Vec<Deployed>> {
    let listed: Listed = aws.ask(&["lambda", "list-functions"]).await?;
    let functions = resources.iter().filter(|one| one.resource_type == "AWS::Lambda::Function");
    let deployed = functions.filter_map(|resource| {
        let name = &resource.physical_resource_id;
        let found = listed.functions.iter().find(|one| one.function_name == *name)?;
        let group = found.logging_config.as_ref().and_then(|logging| logging.log_group.clone());
        Some(Deployed {
            short: short_name(&resource.logical_resource_id),
            id: resource.logical_resource_id.clone(),
            name: name.clone(),
            log_group: group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            memory_mib: found.memory_size,
            timeout_s: found.timeout,
            changed: found.last_modified.clone(),
        })
    });
    Ok(deployed.collect())
}

/// The function that a person names.
///
/// # Errors
/// [`Usage`] with the names that there are.
pub fn named<'a>(functions: &'a [Deployed], name: &str) -> Result<&'a Deployed, Usage> {
    if let Some(exact) = functions.iter().find(|one| one.name == name) {
        return Ok(exact);
    }
    let ids: Vec<_> = functions.iter().map(|one| one.id.as_str()).collect();
    Ok(&functions[find_function(name, &ids)?])
}
