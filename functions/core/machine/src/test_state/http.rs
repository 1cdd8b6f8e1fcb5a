//! What `TRACE` adds for an HTTP Task: the request that it would send, and the mocked response.

use serde_json::Value;

use super::response::{HttpRequest, HttpResponse, InspectionData};
use crate::data_flow::shown;
use crate::definition::Task;
use crate::resource::Resource;

/// Adds request and response to `data`, if `task` is one.
pub(super) fn trace(task: &Task, data: &mut InspectionData) {
    let is_http = matches!(&task.resource, Resource::Service { service, action, .. }
        if (&**service, &**action) == ("http", "invoke"));
    if !is_http {
        return;
    }
    let sent = data.after_arguments.as_deref().or(data.after_parameters.as_deref());
    data.request = sent.map(request);
    data.response = data.result.as_deref().map(response);
}

fn request(arguments: &Value) -> HttpRequest {
    let text = |name: &str| arguments.get(name).map(shown);
    let mut url = text("ApiEndpoint").unwrap_or_default();
    if let Some(Value::Object(parameters)) = arguments.get("QueryParameters") {
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
        if !pairs.is_empty() {
            url = format!("{url}?{}", pairs.join("&"));
        }
    }
    HttpRequest {
        protocol: "https".to_owned(),
        method: text("Method").unwrap_or_default(),
        url,
        headers: arguments.get("Headers").map(headers),
        body: text("RequestBody"),
    }
}

fn response(result: &Value) -> HttpResponse {
    let text = |name: &str| result.get(name).map(shown);
    HttpResponse {
        protocol: "https".to_owned(),
        status_code: text("StatusCode"),
        status_message: text("StatusText"),
        headers: result.get("Headers").map(headers),
        body: text("ResponseBody"),
    }
}

/// `[name: value, ...]`, as the service shows headers; of several values the first.
fn headers(headers: &Value) -> String {
    let first = |value: &Value| match value {
        Value::Array(values) => values.first().map(shown).unwrap_or_default(),
        value => shown(value),
    };
    let members = headers.as_object().into_iter().flatten();
    let list: Vec<_> = members.map(|(name, value)| format!("{name}: {}", first(value))).collect();
    format!("[{}]", list.join(", "))
}
