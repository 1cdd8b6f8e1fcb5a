//! The command line against a server that says what each test lets it say: errors and their exit
//! codes, JSON that goes through untouched, paging, watching.

#![allow(clippy::expect_used)] // A test may stop where it cannot go on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A request as the server saw it: the first line, the headers it looks at, the body.
struct Seen {
    line: String,
    headers: String,
    body: String,
}

/// A server that gives the answers in order, one to a connection, and tells what it was asked.
fn server(answers: Vec<(u16, String)>) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, seen) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (stream, _) = listener.accept().expect("a connection");
            sender.send(answer(stream, status, &body)).expect("the test waits");
        }
    });
    (url, seen)
}

fn answer(mut stream: TcpStream, status: u16, body: &str) -> Seen {
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    let mut line = String::new();
    reader.read_line(&mut line).expect("a request");
    let mut headers = String::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).expect("a header");
        if header.trim().is_empty() {
            break;
        }
        headers.push_str(&header.to_ascii_lowercase());
    }
    let length = headers.lines().find_map(|header| header.strip_prefix("content-length: "));
    let mut sent = vec![0; length.map_or(0, |length| length.trim().parse().expect("a number"))];
    reader.read_exact(&mut sent).expect("a body");
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("writes");
    Seen { line: line.trim().into(), headers, body: String::from_utf8(sent).expect("text") }
}

fn command(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fluxus"));
    command.args(args).env("FLUXUS_URL", url).env_remove("FLUXUS_API_KEY").env_remove("RUST_LOG");
    command
}

fn fluxus(url: &str, args: &[&str]) -> Output {
    command(url, args).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn claim(status: &str) -> String {
    // Blanks, order and numbers that a JSON library would write differently.
    format!(
        r#"{{ "status":"{status}", "claim_id":"{ID}",  "tenant":"default", "type":"order.placed",
   "body":{{"price":10.50,"big":12345678901234567890}}, "priority":0,
   "received_at":"2026-11-23T12:03:04.500Z"}}"#
    )
}

#[test]
fn no_server_is_told_with_what_to_do() {
    let port =
        TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("address").port();
    let url = format!("http://127.0.0.1:{port}");
    let output = fluxus(&url, &["claim", "show", ID]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: cannot reach {url}: connection refused. Is it running? Start one with \
             `fluxus dev`\n"
        )
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_problem_is_shown_with_its_faults_and_its_code() {
    let problem = |status| {
        format!(
            r#"{{"type":"/problems/p","title":"The title","status":{status},
                "detail":"The detail.","faults":[{{"pointer":"/body/a","detail":"is missing"}}]}}"#
        )
    };
    for (status, code) in [(404, 4), (400, 1), (409, 1)] {
        let (url, _seen) = server(vec![(status, problem(status))]);
        let output = fluxus(&url, &["claim", "show", ID]);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(
            text(&output.stderr),
            "error: The title\n  The detail.\n  /body/a: is missing\n"
        );
    }
}

#[test]
fn an_answer_that_is_none_of_ours_is_told_as_such() {
    for (status, code) in [(200, 1), (404, 1), (503, 3)] {
        let (url, _seen) = server(vec![(status, "<html>\n hello</html>".into())]);
        let output = fluxus(&url, &["claim", "show", ID]);
        assert_eq!(output.status.code(), Some(code), "{status}");
        let said = text(&output.stderr);
        assert!(said.contains("not as Fluxus does") && said.contains("<html> hello"), "{said}");
    }
}

#[test]
fn json_goes_through_untouched() {
    let (url, seen) = server(vec![(200, claim("RUNNING"))]);
    let output = fluxus(&url, &["claim", "show", ID, "--output", "json"]);
    assert_eq!(text(&output.stdout), claim("RUNNING") + "\n");
    assert_eq!(output.status.code(), Some(0));
    let seen = seen.recv().expect("a request");
    assert_eq!(seen.line, format!("GET /v1/claims/{ID} HTTP/1.1"));
}

#[test]
fn all_pages_become_one_document_with_untouched_entries() {
    let page = |n: u32, next: &str| format!(r#"{{"claims":[{{"n" : {n}.10}}]{next}}}"#);
    let answers = vec![(200, page(1, r#","next_cursor":"c 1""#)), (200, page(2, ""))];
    let (url, seen) = server(answers);
    let args = ["claim", "list", "--all", "--attribute", "a b=c&d", "--output", "json"];
    let output = fluxus(&url, &args);
    assert_eq!(text(&output.stdout), "{\"claims\":[{\"n\" : 1.10},{\"n\" : 2.10}]}\n");
    let lines: Vec<_> = seen.iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/claims?limit=100&attribute.a+b=c%26d HTTP/1.1",
            "GET /v1/claims?limit=100&attribute.a+b=c%26d&cursor=c+1 HTTP/1.1",
        ]
    );
}

#[test]
fn submit_prints_the_id_alone() {
    let answer = format!(r#"{{"claim_id":"{ID}","status":"RECEIVED","duplicate":false}}"#);
    let (url, seen) = server(vec![(202, answer)]);
    let args = ["claim", "submit", "order.placed", "--body", "{\"n\":1}", "--api-key", "secret"];
    let output = fluxus(&url, &args);
    assert_eq!(text(&output.stdout), format!("{ID}\n"));
    let seen = seen.recv().expect("a request");
    assert_eq!(seen.line, "POST /v1/claims HTTP/1.1");
    assert_eq!(seen.body, r#"{"type":"order.placed","body":{"n":1},"priority":0}"#);
    assert!(seen.headers.contains("authorization: bearer secret"), "{}", seen.headers);
}

#[test]
fn waiting_ends_with_the_outcome_as_exit_code() {
    let submitted = format!(r#"{{"claim_id":"{ID}","status":"RECEIVED","duplicate":false}}"#);
    for (status, code) in [("SUCCEEDED", 0), ("FAILED", 5), ("REJECTED", 5)] {
        let answers = vec![(202, submitted.clone()), (200, claim("RUNNING")), (200, claim(status))];
        let (url, seen) = server(answers);
        let output = fluxus(&url, &["claim", "submit", "order.placed", "--wait"]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(status));
        assert!(seen.recv().expect("a request").headers.contains("prefer: wait=30"));
    }
    let answers = vec![(202, submitted), (200, claim("RUNNING"))];
    let (url, _seen) = server(answers);
    let output = fluxus(&url, &["claim", "submit", "order.placed", "--wait", "0"]);
    assert_eq!(output.status.code(), Some(6));
}

#[test]
fn watch_tells_each_event_once_even_if_one_comes_late() {
    let event = |id: u32, branch: &str, kind: &str, field: &str, details: &str| {
        format!(
            r#"{{"id":{id},"previousEventId":0,"timestamp":"2026-11-23T12:03:04.500Z",
                "type":"{kind}","branch":"{branch}","{field}":{details}}}"#
        )
    };
    let entered = "stateEnteredEventDetails";
    let pass = |id, branch: &str, name: &str| {
        event(id, branch, "PassStateEntered", entered, &format!(r#"{{"name":"{name}"}}"#))
    };
    let end = |id| event(id, "/", "ExecutionSucceeded", "executionSucceededEventDetails", "{}");
    let page = |events: &[String]| format!(r#"{{"events":[{}]}}"#, events.join(","));
    let answers = vec![
        (200, claim("RUNNING")),
        (200, page(&[pass(1, "/", "First"), pass(2, "/1.1", "Right")])),
        (200, claim("SUCCEEDED")),
        // The left branch's event takes its place before one that was told already.
        (
            200,
            page(&[
                pass(1, "/", "First"),
                pass(2, "/1.0", "Left"),
                pass(3, "/1.1", "Right"),
                end(4),
            ]),
        ),
    ];
    let (url, _seen) = server(answers);
    let output = fluxus(&url, &["claim", "watch", ID]);
    let told = text(&output.stdout);
    let names: Vec<_> = told.lines().take(4).filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(names, ["First", "/1.1 Right", "/1.0 Left", "claim"], "{told}");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn watch_ends_cleanly_with_ctrl_c() {
    let page = r#"{"events":[{"id":1,"previousEventId":0,"type":"ExecutionStarted","branch":"/",
        "timestamp":"2026-11-23T12:03:04.500Z","executionStartedEventDetails":{}}]}"#;
    let answers = vec![(200, claim("RUNNING")), (200, page.to_owned())];
    let answers = answers.into_iter().cycle().take(100).collect();
    let (url, _seen) = server(answers);
    let mut child = command(&url, &["claim", "watch", ID])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // Once the first line is there, the watching has begun.
    let mut first = String::new();
    let mut told = BufReader::new(child.stdout.take().expect("a pipe"));
    told.read_line(&mut first).expect("a line");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(text(&output.stderr), "The claim goes on without us.\n");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let (url, _seen) = server(vec![(200, claim("RUNNING"))]);
    let mut child = command(&url, &["claim", "show", ID])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn what_is_said_wrongly_is_a_usage_error() {
    let cases: [&[&str]; 6] = [
        &["claim", "show", "no-id"],
        &["claim", "submit", "a", "--body", "hello"],
        &["claim", "submit", "a", "--body", "@/no/such/file"],
        &["--url", "nowhere", "claim", "list"],
        &["recipe", "show", ".."],
        &["recipe", "validate", "/no/such/file"],
    ];
    for args in cases {
        let output = fluxus("http://127.0.0.1:9", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
    }
}
