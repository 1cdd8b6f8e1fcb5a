//! The queues of a stack, each with its dead letters.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::task::JoinSet;

use super::stack::Resource;
use super::tool::Aws;

/// Queues that are asked at a time: each is a process of its own.
const AT_A_TIME: usize = 4;

/// A queue as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Depth {
    /// Its name in AWS.
    pub queue: String,
    /// Messages that wait.
    pub waiting: u64,
    /// Messages that somebody works on.
    pub in_flight: u64,
    /// Messages whose time has not come.
    pub delayed: u64,
    /// How old the oldest message is, in seconds; absent where CloudWatch does not say.
    pub oldest_s: Option<u64>,
    /// Messages in its dead-letter queue; absent where it has none.
    pub dead: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct Answer {
    #[serde(rename = "Attributes", default)]
    attributes: BTreeMap<String, String>,
}

/// All queues among these resources, those of dead letters told with the queues they are for.
///
/// # Errors
/// Any [`AwsError`](super::tool::AwsError).
pub async fn of(aws: &Aws, resources: &[Resource]) -> anyhow::Result<Vec<Depth>> {
    let queues = resources.iter().filter(|one| one.resource_type == "AWS::SQS::Queue");
    let mut urls = queues.map(|one| one.physical_resource_id.clone());
    let mut asked = JoinSet::new();
    let mut answers = Vec::new();
    loop {
        while asked.len() < AT_A_TIME
            && let Some(url) = urls.next()
        {
            let aws = aws.clone();
            asked.spawn(async move {
                let args = ["sqs", "get-queue-attributes", "--queue-url", &url];
                aws.ask::<Answer>(&[&args[..], &["--attribute-names", "All"]].concat()).await
            });
        }
        let Some(answer) = asked.join_next().await else { break };
        answers.push(answer.context("wait for a queue")??.attributes);
    }
    Ok(paired(&answers))
}

fn paired(answers: &[BTreeMap<String, String>]) -> Vec<Depth> {
    let count = |of: &BTreeMap<String, String>, name: &str| {
        of.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let arn = |of: &BTreeMap<String, String>| of.get("QueueArn").cloned().unwrap_or_default();
    let dead_of = |of: &BTreeMap<String, String>| {
        let policy: Value = serde_json::from_str(of.get("RedrivePolicy")?).ok()?;
        policy["deadLetterTargetArn"].as_str().map(str::to_owned)
    };
    let dead: Vec<_> = answers.iter().filter_map(dead_of).collect();
    let mut depths: Vec<_> = answers
        .iter()
        .filter(|one| !dead.contains(&arn(one)))
        .map(|one| {
            let letters = dead_of(one).and_then(|dead| answers.iter().find(|one| arn(one) == dead));
            Depth {
                queue: arn(one).rsplit(':').next().unwrap_or_default().to_owned(),
                waiting: count(one, "ApproximateNumberOfMessages"),
                in_flight: count(one, "ApproximateNumberOfMessagesNotVisible"),
                delayed: count(one, "ApproximateNumberOfMessagesDelayed"),
                oldest_s: None,
                dead: letters.map(|one| {
                    count(one, "ApproximateNumberOfMessages")
                        + count(one, "ApproximateNumberOfMessagesNotVisible")
                }),
            }
        })
        .collect();
    depths.sort_by(|a, b| a.queue.cmp(&b.queue));
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_told_with_their_queue() {
        let queue = |name: &str, waiting: &str, dead: Option<&str>| {
            let mut answer = BTreeMap::from([
                ("QueueArn".to_owned(), format!("arn:aws:sqs:eu:1:{name}")),
                ("ApproximateNumberOfMessages".to_owned(), waiting.to_owned()),
            ]);
            if let Some(dead) = dead {
                let policy = format!(r#"{{"deadLetterTargetArn": "arn:aws:sqs:eu:1:{dead}"}}"#);
                answer.insert("RedrivePolicy".to_owned(), policy);
            }
            answer
        };
        let depths = paired(&[
            queue("x-core-dlq", "2", None),
            queue("x-core", "7", Some("x-core-dlq")),
            queue("x-alone", "0", None),
        ]);
        let told: Vec<_> =
            depths.iter().map(|one| (one.queue.as_str(), one.waiting, one.dead)).collect();
        assert_eq!(told, [("x-alone", 0, None), ("x-core", 7, Some(2))]);
    }
}
