//! Reading a Task's `Resource`.

use std::sync::Arc;

use super::field::Fields;
use super::{Faults, integrations, wording};
use crate::resource::{Pattern, Resource};

/// Why a text is no resource.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) detail: String,
    /// What would be one.
    pub(crate) help: Option<String>,
}

/// Reads a resource.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Resource, Refused> {
    let unknown = |near: Option<String>| Refused {
        detail: wording::unknown_resource(text),
        help: near.map(|near| format!("there is {near}")),
    };
    if let Some(rest) = text.strip_prefix("fluxling:") {
        return fluxling(text, rest).map_err(|detail| Refused { detail, help: None });
    }
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    match parts.as_slice() {
        ["arn", _, "lambda", _, _, "function", name] if !name.is_empty() => {
            Ok(Resource::Lambda { arn: Arc::from(text) })
        }
        ["arn", _, "states", _, _, "activity", name] if !name.is_empty() => {
            Ok(Resource::Activity { arn: Arc::from(text), exists: true })
        }
        ["arn", _, "states", _, _, service, action]
            if !service.is_empty() && !action.is_empty() =>
        {
            let (service, action) = match *service {
                // `aws-sdk:SERVICE:ACTION` names the SDK's service and its operation.
                "aws-sdk" => match action.split_once(':') {
                    Some((sdk, action)) => (format!("aws-sdk:{sdk}"), action),
                    None => return Err(unknown(None)),
                },
                service => (service.to_owned(), *action),
            };
            let (action, pattern) = split_pattern(action);
            integrations::check(&service, action, pattern).map_err(unknown)?;
            Ok(Resource::Service {
                service: Arc::from(service),
                action: Arc::from(action),
                pattern,
            })
        }
        ["arn", ..] => Err(unknown(None)),
        _ => {
            let help = "write fluxling:CAPABILITY, or an ARN that the service knows".to_owned();
            Err(Refused { detail: wording::NOT_AN_ARN.to_owned(), help: Some(help) })
        }
    }
}

/// What the commonest actions cannot do without, as the service checks it.
const NEEDED: &[(&str, &str, &[&str])] = &[
    ("dynamodb", "getItem", &["TableName", "Key"]),
    ("dynamodb", "putItem", &["TableName", "Item"]),
    ("ecs", "runTask", &["TaskDefinition"]),
    ("events", "putEvents", &["Entries"]),
    ("glue", "startJobRun", &["JobName"]),
    ("lambda", "invoke", &["FunctionName"]),
    ("sns", "publish", &["Message"]),
    ("sqs", "sendMessage", &["QueueUrl", "MessageBody"]),
    ("states", "startExecution", &["StateMachineArn"]),
];

/// Checks that an integration is given what it works on.
pub(crate) fn check_payload(
    fields: &Fields<'_>,
    text: &str,
    resource: &Resource,
    faults: &mut Faults,
) {
    let Resource::Service { service, action, .. } = resource else { return };
    let name = if fields.is_jsonata() { "Arguments" } else { "Parameters" };
    let Some(payload) = fields.get(name) else {
        let detail = format!("{name} field is required for resource ARN: {text}");
        return faults.add(fields.at("Resource"), detail);
    };
    // An expression may give anything.
    let Some(payload) = payload.as_object() else { return };
    let entry = NEEDED.iter().find(|(of, to, _)| (*of, *to) == (service, action));
    for needed in entry.map_or(&[][..], |(_, _, needed)| needed) {
        let computed = !fields.is_jsonata() && payload.contains_key(&format!("{needed}.$"));
        if !payload.contains_key(*needed) && !computed {
            faults.add(fields.at(name), wording::field_required(needed));
        }
    }
}

fn fluxling(text: &str, rest: &str) -> Result<Resource, String> {
    let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (name, pattern) = split_pattern(name);
    if matches!(pattern, Pattern::Sync | Pattern::Sync2) {
        let suffix = pattern.suffix();
        return Err(format!(
            "`{text}`: a fluxling's answer is always waited for; leave out `{suffix}`"
        ));
    }
    let capability = name.parse().map_err(|error| format!("{error}"))?;
    let label = |pair: &str| match pair.split_once('=') {
        Some((label, value)) if !label.is_empty() => Ok((label.to_owned(), value.to_owned())),
        _ => Err(format!("`{pair}` in `{text}` is not a label; write `?region=eu&tier=fast`")),
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let labels = pairs.map(label).collect::<Result<_, _>>()?;
    Ok(Resource::Fluxling { capability, pattern, labels })
}

fn split_pattern(text: &str) -> (&str, Pattern) {
    [Pattern::Sync2, Pattern::Sync, Pattern::WaitForTaskToken]
        .into_iter()
        .find_map(|pattern| Some((text.strip_suffix(pattern.suffix())?, pattern)))
        .unwrap_or((text, Pattern::RequestResponse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_told_apart() {
        let shown = |text| format!("{:?}", parse(text));
        assert!(shown("fluxling:a.b.waitForTaskToken?x=1").contains("WaitForTaskToken"));
        assert!(shown("arn:aws:states:::sqs:sendMessage").contains("RequestResponse"));
        assert!(shown("arn:aws:states:::states:startExecution.sync:2").contains("Sync2"));
        assert!(shown("arn:aws:states:::aws-sdk:dynamodb:getItem").contains("aws-sdk:dynamodb"));
        assert!(shown("arn:aws:lambda:eu-west-1:1:function:f").contains("Lambda"));
        for wrong in [
            "",
            "fluxling:",
            "payments",
            "arn:aws:sqs:::q",
            "fluxling:a.sync",
            "fluxling:a?b",
            "arn:aws:states:::dynamodb:query",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
