//! `fluxus invoke`, with an emulator that echoes what it was given.

use std::os::unix::fs::PermissionsExt as _;

use crate::fake::{Fake, root, stderr, stdout};

const TEMPLATE: &str = "
Resources:
  FluxlingOneFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: target/lambda/one
      Timeout: 7
      Environment: {Variables: {FLUXUS_STACK: !Ref AWS::StackName, ARN: !GetAtt A.Arn}}
";

/// Stands for the emulator: one answer over HTTP, told by a language that every CI has.
const EMULATOR: &str = r#"#!/usr/bin/env python3
import http.server, json, os, sys
host, port = sys.argv[sys.argv.index("--runtime-interface-emulator-address") + 1].split(":")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"errorType": "Bad", "errorMessage": "no"} if event == "fail" else {
            "event": event, "path": self.path, "bootstrap": os.path.basename(sys.argv[-1]),
            "stack": os.environ.get("FLUXUS_STACK"), "mine": os.environ.get("MINE"),
            "timeout": os.environ.get("AWS_LAMBDA_FUNCTION_TIMEOUT")}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"#;

#[test]
fn a_built_function_is_run_with_its_event_and_variables() {
    let fake = Fake::new(TEMPLATE);
    fake.write("project/emulator", EMULATOR);
    let emulator = fake.project().join("emulator");
    std::fs::set_permissions(&emulator, std::fs::Permissions::from_mode(0o755)).expect("sets");
    // No daemon answers here, so that it is not left to `sam`.
    fake.answer("docker", "#!/bin/sh\nexit 1\n");
    let docker = emulator.with_file_name("../bin/docker");
    std::fs::set_permissions(docker, std::fs::Permissions::from_mode(0o755)).expect("sets");
    fake.write("project/event.json", r#"{"a": 1}"#);
    fake.write("project/fail.json", r#""fail""#);
    let run = |event: &str| {
        let args = ["invoke", "fluxling-one", "--event", event, "--var", "MINE=x=y"];
        fake.run_with(&[&args[..], &["--output", "json"]].concat(), "FLUXUS_RIE", &emulator)
    };
    let output = run("event.json");
    assert!(output.status.success(), "{}", stderr(&output));
    let path = "/2015-03-31/functions/function/invocations";
    let want = format!(
        r#"{{"event":{{"a":1}},"path":"{path}","bootstrap":"bootstrap","stack":"fluxus","mine":"x=y","timeout":"7"}}"#
    );
    assert_eq!(stdout(&output).trim(), want);
    assert!(stderr(&output).contains("only AWS knows them: ARN"), "{}", stderr(&output));
    let output = run("fail.json");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`fluxling-one` failed: Bad: no"), "{}", stderr(&output));
}

#[test]
fn what_was_not_built_says_how() {
    let fake = Fake::new(&TEMPLATE.replace("lambda/one", "lambda/two"));
    let event = root().join("examples/approval/claim.json");
    let output = fake.run(&["invoke", "fluxling-one", "--event", &event.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("`two` was not built") && told.contains("cargo lambda build"), "{told}");
}
