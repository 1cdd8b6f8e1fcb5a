//! The command line against a server that says what each test lets it say: errors and their exit
//! codes, JSON that goes through untouched, paging, watching.

#![allow(clippy::expect_used)] // A test may stop where it cannot go on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// In place of a status: the server takes the request and dies.
const HANGS_UP: u16 = 0;

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
    // As a server that says when to come again.
    let again = if status == 429 || status == 503 { "retry-after: 0\r\n" } else { "" };
    if status != HANGS_UP {
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{again}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .expect("writes");
    }
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
    let body = "{\"n\":1}";
    let args = ["claim", "submit", "order.placed", "--body", body, "--api-key", "secret"];
    let output = fluxus(&url, &[&args[..], &["--key", "k 1"]].concat());
    assert_eq!(text(&output.stdout), format!("{ID}\n"));
    assert_eq!(text(&output.stderr), "");
    let seen = seen.recv().expect("a request");
    assert_eq!(seen.line, "POST /v1/claims HTTP/1.1");
    let sent = r#"{"type":"order.placed","body":{"n":1},"idempotency_key":"k 1","priority":0}"#;
    assert_eq!(seen.body, sent);
    assert!(seen.headers.contains("authorization: bearer secret"), "{}", seen.headers);
}

#[test]
fn waiting_ends_with_the_outcome_as_exit_code() {
    let submitted = format!(r#"{{"claim_id":"{ID}","status":"RECEIVED","duplicate":false}}"#);
    for (status, code) in [("SUCCEEDED", 0), ("FAILED", 5), ("REJECTED", 5)] {
        let twice = [(202, submitted.clone()), (202, submitted.clone())].into_iter();
        let looks = [(200, claim("RUNNING")), (200, claim(status)), (200, verdict())];
        let (url, seen) = server(twice.chain(looks).collect());
        let output = fluxus(&url, &["claim", "submit", "order.placed", "--wait"]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let told = text(&output.stdout);
        assert!(told.contains(status));
        assert_eq!(told.contains("Faults\n  /card: is required\n"), status == "REJECTED", "{told}");
        assert_eq!(text(&output.stderr), format!("Claim {ID} is submitted.\n"));
        // The same key twice, and only the second time a wait.
        let [first, second] = [seen.recv(), seen.recv()].map(|seen| seen.expect("a request"));
        assert!(!first.headers.contains("prefer") && second.headers.contains("prefer: wait=30"));
        assert!(first.body.contains(r#""idempotency_key":"cli-"#), "{}", first.body);
        assert_eq!(first.body, second.body);
    }
    let answers = vec![(202, submitted), (200, claim("RUNNING"))];
    let (url, _seen) = server(answers);
    let output = fluxus(&url, &["claim", "submit", "order.placed", "--wait", "0"]);
    assert_eq!(output.status.code(), Some(6));
}

/// The history of a claim that was rejected.
fn verdict() -> String {
    r#"{"events":[{"id":1,"previousEventId":0,"timestamp":"2026-11-23T12:03:04.500Z","branch":"/",
        "type":"ClaimEvaluated","claimEvaluatedEventDetails":{"verdict":"REJECTED",
        "faults":[{"pointer":"/card","detail":"is required"}]}}]}"#
        .to_owned()
}

#[test]
fn a_submission_is_sent_again_where_the_server_dies_or_has_no_room() {
    let submitted = format!(r#"{{"claim_id":"{ID}","status":"RECEIVED","duplicate":true}}"#);
    let problem = |status| {
        format!(r#"{{"type":"/p","title":"No room","status":{status},"detail":"Try again later"}}"#)
    };
    let answers = vec![
        (429, problem(429)),
        (503, problem(503)),
        (HANGS_UP, String::new()),
        (202, submitted.clone()),
    ];
    let (url, seen) = server(answers);
    let output = fluxus(&url, &["claim", "submit", "order.placed"]);
    assert_eq!(text(&output.stdout), format!("{ID}\n"), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    let expected = [
        "No room. Trying again in 0 s.",
        "No room. Trying again for 60 s.",
        &format!("{url} broke off before its answer was whole; its log may say why."),
        "Trying again for 60 s.",
    ];
    assert_eq!(lines, expected);
    let bodies: Vec<_> = seen.iter().map(|seen| seen.body).collect();
    assert!(bodies.len() == 4 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");

    // What waits for its end outlives the server, too.
    let answers = vec![
        (202, submitted),
        (HANGS_UP, String::new()),
        (HANGS_UP, String::new()),
        (200, claim("SUCCEEDED")),
    ];
    let (url, _seen) = server(answers);
    let output = fluxus(&url, &["claim", "submit", "order.placed", "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).starts_with(&format!("Claim {ID} is submitted.\n")));
}

#[test]
fn what_reads_is_asked_again_where_the_server_can_do_nothing_now() {
    let problem = r#"{"type":"/p","title":"Not now","status":503,"detail":"the database is away"}"#;
    let (url, _seen) = server(vec![(503, problem.into()), (200, r#"{"claims":[]}"#.into())]);
    let output = fluxus(&url, &["claim", "list"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "Not now. Trying again for 60 s.\nNo such claims.\n");
    // What changes something is not: nobody knows whether it was done.
    let (url, _seen) = server(vec![(503, problem.into())]);
    let output = fluxus(&url, &["claim", "cancel", ID]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
}

#[test]
fn ctrl_c_leaves_the_way_to_the_claim() {
    // Interrupts once `has_begun` is back.
    let interrupted = |url: &str, has_begun: &dyn Fn()| {
        let mut child = command(url, &["claim", "submit", "order.placed", "--key", "k1", "--wait"]);
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        has_begun();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(130));
        text(&output.stderr)
    };
    // Nobody answers here, but the request is read.
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let connection = std::cell::OnceCell::new();
    let has_sent = || {
        let (stream, _) = listener.accept().expect("a connection");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("a request");
        // It stays open: nobody hangs up.
        connection.set(stream).expect("one connection");
    };
    assert!(interrupted(&url, &has_sent).contains("again with --key k1 to learn its id"));
    let submitted = format!(r#"{{"claim_id":"{ID}","status":"RECEIVED","duplicate":false}}"#);
    let running = std::iter::repeat_n((200, claim("RUNNING")), 20);
    let twice = [(202, submitted.clone()), (202, submitted)];
    let (url, seen) = server(twice.into_iter().chain(running).collect());
    // The claim is looked at.
    let waits = || (0..3).for_each(|_| drop(seen.recv().expect("a request")));
    assert_eq!(
        interrupted(&url, &waits),
        format!(
            "Claim {ID} is submitted.\nClaim {ID} goes on without us; see: fluxus claim watch {ID}\n"
        )
    );
}

#[test]
fn what_is_too_large_is_not_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("big.json");
    std::fs::write(&file, format!("\"{}\"", "x".repeat(7 << 20))).expect("writes");
    let body = format!("@{}", file.display());
    let output = fluxus("http://127.0.0.1:9", &["claim", "submit", "a", "--body", &body]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    let bytes = (7 << 20) + 2;
    let expected = format!(
        "error: --body {body}: the claim's body has {bytes} bytes of JSON; the bound is 6291456\n"
    );
    assert_eq!(said, expected);
    let output = fluxus("http://127.0.0.1:9", &["task", "succeed", "t", "--result", &body]);
    assert_eq!(output.status.code(), Some(2));
    let expected = format!(
        "error: --result {body}: the output has {bytes} bytes of JSON; the bound is 6291456\n"
    );
    assert_eq!(text(&output.stderr), expected);
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
