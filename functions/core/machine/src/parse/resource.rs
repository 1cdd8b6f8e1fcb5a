//! Reading a Task's `Resource`.

use std::sync::Arc;

use super::integrations;
use crate::resource::{Pattern, Resource};

/// Reads a resource.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(text: &str) -> Result<Resource, String> {
    if let Some(rest) = text.strip_prefix("fluxling:") {
        return fluxling(text, rest);
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
                    None => return Err(unknown(text)),
                },
                service => (service.to_owned(), *action),
            };
            let (action, pattern) = split_pattern(action);
            integrations::check(&service, action, pattern).map_err(|near| match near {
                Some(near) => format!("{} There is {near}.", unknown(text)),
                None => unknown(text),
            })?;
            Ok(Resource::Service {
                service: Arc::from(service),
                action: Arc::from(action),
                pattern,
            })
        }
        _ => Err(format!(
            "`{text}` is not a resource; write `fluxling:CAPABILITY` or an ARN of Step Functions"
        )),
    }
}

/// In the service's words.
fn unknown(text: &str) -> String {
    format!(
        "The resource provided {text} is not recognized. The value is not a valid resource ARN, or \
         the resource is not available in this region."
    )
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
