//! The integrations that the service offers: which actions of which services, and how each may be
//! waited for.
//!
//! Source: AWS Step Functions, "Integrating optimized services". SDK integrations are not listed,
//! there are thousands: of those only the form is checked.

use super::near::distance;
use crate::resource::Pattern;

/// `.sync`.
const JOB: u8 = 1;
/// `.waitForTaskToken`.
const TOKEN: u8 = 2;
/// `.sync:2`.
const JOB_2: u8 = 4;

/// Services in alphabetical order: actions, and what they can be waited for beyond their answer.
const SERVICES: &[(&str, &[(&str, u8)])] = &[
    ("apigateway", &[("invoke", TOKEN)]),
    (
        "athena",
        &[
            ("getQueryExecution", 0),
            ("getQueryResults", 0),
            ("startQueryExecution", JOB),
            ("stopQueryExecution", 0),
        ],
    ),
    ("batch", &[("submitJob", JOB)]),
    ("bedrock", &[("createModelCustomizationJob", JOB), ("invokeModel", TOKEN)]),
    (
        "codebuild",
        &[
            ("batchDeleteBuilds", 0),
            ("batchGetReports", 0),
            ("deleteBuildBatch", 0),
            ("retryBuildBatch", JOB),
            ("startBuild", JOB),
            ("startBuildBatch", JOB),
            ("stopBuild", 0),
            ("stopBuildBatch", 0),
        ],
    ),
    ("databrew", &[("startJobRun", JOB)]),
    ("dynamodb", &[("deleteItem", 0), ("getItem", 0), ("putItem", 0), ("updateItem", 0)]),
    ("ecs", &[("runTask", JOB | TOKEN)]),
    (
        "eks",
        &[
            ("call", TOKEN),
            ("createCluster", JOB),
            ("createFargateProfile", JOB),
            ("createNodegroup", JOB),
            ("deleteCluster", JOB),
            ("deleteFargateProfile", JOB),
            ("deleteNodegroup", JOB),
            ("runJob", JOB | TOKEN),
        ],
    ),
    (
        "elasticmapreduce",
        &[
            ("addStep", JOB),
            ("cancelStep", 0),
            ("createCluster", JOB),
            ("modifyInstanceFleetByName", 0),
            ("modifyInstanceGroupByName", 0),
            ("setClusterTerminationProtection", 0),
            ("terminateCluster", JOB),
        ],
    ),
    (
        "emr-containers",
        &[("createVirtualCluster", 0), ("deleteVirtualCluster", JOB), ("startJobRun", JOB)],
    ),
    (
        "emr-serverless",
        &[
            ("cancelJobRun", JOB),
            ("createApplication", JOB),
            ("deleteApplication", JOB),
            ("startApplication", JOB),
            ("startJobRun", JOB),
            ("stopApplication", JOB),
        ],
    ),
    ("events", &[("putEvents", TOKEN)]),
    ("glue", &[("startJobRun", JOB)]),
    ("http", &[("invoke", 0)]),
    ("lambda", &[("invoke", TOKEN)]),
    ("mediaconvert", &[("createJob", JOB)]),
    (
        "sagemaker",
        &[
            ("createEndpoint", 0),
            ("createEndpointConfig", 0),
            ("createHyperParameterTuningJob", JOB),
            ("createLabelingJob", JOB),
            ("createModel", 0),
            ("createProcessingJob", JOB),
            ("createTrainingJob", JOB),
            ("createTransformJob", JOB),
            ("updateEndpoint", 0),
        ],
    ),
    ("sns", &[("publish", TOKEN)]),
    ("sqs", &[("sendMessage", TOKEN)]),
    ("states", &[("startExecution", JOB | JOB_2 | TOKEN)]),
];

/// Whether the service offers the integration.
///
/// # Errors
/// The nearest that it offers, if any is near.
pub(crate) fn check(service: &str, action: &str, pattern: Pattern) -> Result<(), Option<String>> {
    if let Some(sdk) = service.strip_prefix("aws-sdk:") {
        return check_sdk(sdk, action, pattern);
    }
    let (near_service, actions) = nearest(SERVICES, service).ok_or(None)?;
    let (near_action, may) = nearest(actions, action).ok_or(None)?;
    let asked = match pattern {
        Pattern::RequestResponse => 0,
        Pattern::Sync => JOB,
        Pattern::Sync2 => JOB_2,
        Pattern::WaitForTaskToken => TOKEN,
    };
    let can_wait = asked & may == asked;
    if can_wait && near_service == service && near_action == action {
        return Ok(());
    }
    let suffix = if can_wait { pattern.suffix() } else { "" };
    Err(Some(format!("{PREFIX}{near_service}:{near_action}{suffix}")))
}

const PREFIX: &str = "arn:aws:states:::";

/// SDK integrations: `aws-sdk:service:action`, the service in small letters, the action in camel
/// case. They answer at once, or wait for a token.
fn check_sdk(service: &str, action: &str, pattern: Pattern) -> Result<(), Option<String>> {
    let is_plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if service.is_empty() || action.is_empty() || !is_plain(service) || !is_plain(action) {
        return Err(None);
    }
    let small = service.to_ascii_lowercase();
    let camel = action[..1].to_ascii_lowercase() + &action[1..];
    let suffix = match pattern {
        Pattern::Sync | Pattern::Sync2 => "",
        offered => offered.suffix(),
    };
    if small == service && camel == action && suffix == pattern.suffix() {
        return Ok(());
    }
    Err(Some(format!("{PREFIX}aws-sdk:{small}:{camel}{suffix}")))
}

/// The entry of that name, or the one whose name needs the fewest changes, if they are few.
fn nearest<T: Copy>(entries: &[(&'static str, T)], name: &str) -> Option<(&'static str, T)> {
    let changes = |entry: &(&str, T)| distance(entry.0, name);
    let near = entries.iter().min_by_key(|entry| changes(entry))?;
    (changes(near) <= name.len().div_ceil(3)).then_some(*near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(SERVICES.is_sorted_by_key(|(name, _)| *name));
        for (service, actions) in SERVICES {
            assert!(actions.is_sorted_by_key(|(name, _)| *name), "{service}");
        }
    }

    #[test]
    fn what_is_not_offered_is_told_with_the_nearest() {
        use Pattern::{RequestResponse, Sync, Sync2, WaitForTaskToken};
        let near = |service, action, pattern| match check(service, action, pattern) {
            Ok(()) => "offered".to_owned(),
            Err(near) => near.unwrap_or_else(|| "nothing near".to_owned()),
        };
        assert_eq!(near("sqs", "sendMessage", WaitForTaskToken), "offered");
        assert_eq!(near("states", "startExecution", Sync2), "offered");
        assert_eq!(near("aws-sdk:s3", "listBuckets", RequestResponse), "offered");
        let arn = "arn:aws:states:::";
        assert_eq!(near("sqs", "sendMessage", Sync), format!("{arn}sqs:sendMessage"));
        assert_eq!(near("SQS", "SendMesage", RequestResponse), format!("{arn}sqs:sendMessage"));
        assert_eq!(near("ecs", "runTsk", Sync), format!("{arn}ecs:runTask.sync"));
        assert_eq!(near("dynamodb", "query", RequestResponse), "nothing near");
        assert_eq!(near("aws-sdk:S3", "ListBuckets", Sync), format!("{arn}aws-sdk:s3:listBuckets"));
        assert_eq!(near("teleport", "beam", RequestResponse), "nothing near");
        assert_eq!(near("aws-sdk:", "x", RequestResponse), "nothing near");
    }
}
