//! What a migration may do, so that old and new processes work on beside it.
//!
//! | not | because | instead |
//! | --- | --- | --- |
//! | drop, rename, other types, `NOT NULL` | the version before uses it | a later release: `-- contract: unused since 0.3` |
//! | an index of a table that is there | writers wait while it is built | [`ONLINE`](super::ONLINE), or `-- small: at most some hundred rows` |
//! | a constraint that reads the table | everybody waits meanwhile | `NOT VALID`, and `VALIDATE` in the next file |
//! | a column `NOT NULL` without a constant default | the old version does not fill it | a default |
//! | `UPDATE` or `DELETE` of rows | they stay locked to the end | `-- small: …`, or in pieces by the code |

use super::{MIGRATIONS, is_online, statements};

/// The first migration that these rules hold for; those before were applied before there were rules.
const SINCE: u32 = 12;

/// What a file says to be let off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excuse {
    /// `-- contract: unused since 0.3`: an old version does without it by now.
    Contract,
    /// `-- small: some hundred rows`: it takes no time.
    Small,
}

/// What is wrong with a migration.
fn faults(sql: &str) -> Vec<String> {
    let says = |mark: &str| {
        let told = sql.lines().filter_map(|line| line.trim().strip_prefix(mark));
        told.map(str::trim).any(|reason| !reason.is_empty())
    };
    let excuses: Vec<Excuse> = [("-- contract:", Excuse::Contract), ("-- small:", Excuse::Small)]
        .into_iter()
        .filter(|(mark, _)| says(mark))
        .map(|(_, excuse)| excuse)
        .collect();
    let code = without_comments(sql);
    let made = names_after(&code, "CREATE TABLE");
    let mut faults = Vec::new();
    for statement in code.split(';').map(str::trim).filter(|text| !text.is_empty()) {
        let mut note = |what: &str, excuse: Option<Excuse>| {
            if excuse.is_none_or(|excuse| !excuses.contains(&excuse)) {
                let shown: String = statement.chars().take(80).collect();
                faults.push(format!("{what}: `{shown}`"));
            }
        };
        let has = |words: &str| statement.contains(words);
        let is_of_new = made.iter().any(|name| mentions(statement, name));
        if is_online(sql) {
            let is_plain = ["CREATE INDEX CONCURRENTLY", "CREATE UNIQUE INDEX CONCURRENTLY"]
                .iter()
                .chain(&["DROP INDEX CONCURRENTLY IF EXISTS", "ALTER TABLE"])
                .any(|begin| statement.starts_with(begin));
            if !is_plain || (has("ALTER TABLE") && !has("VALIDATE CONSTRAINT")) {
                note("not to be run outside of a transaction", None);
            }
            continue;
        }
        if has("CONCURRENTLY") {
            note("needs to be online", None);
        }
        if has("DROP ") || has("RENAME ") || has("SET NOT NULL") || has(" TYPE ") {
            // A check that is replaced by a wider one is no contraction, but says so.
            note("takes away what the version before uses", Some(Excuse::Contract));
        }
        if has("CREATE INDEX") || has("CREATE UNIQUE INDEX") {
            if !is_of_new {
                note("an index of a table that is there", Some(Excuse::Small));
            }
        } else if has("ADD COLUMN") && has("NOT NULL") && !has("DEFAULT") {
            note("a column that the version before does not fill", None);
        }
        let constrains =
            has("ADD CONSTRAINT") || (has("ADD COLUMN") && (has("CHECK") || has("REFERENCES")));
        if constrains && !has("NOT VALID") && !is_of_new {
            note("a constraint that reads the table", Some(Excuse::Small));
        }
        let changes_rows = statement.starts_with("UPDATE ") || statement.starts_with("DELETE ");
        if changes_rows && !is_of_new {
            note("changes rows", Some(Excuse::Small));
        }
        if has("LOCK TABLE") || has("VACUUM FULL") || has("CLUSTER ") {
            note("stops everybody", None);
        }
    }
    faults
}

/// The code in capitals, with one space where there was any, so that it is easily searched. Bodies of
/// functions are left out: they are not run now.
fn without_comments(sql: &str) -> String {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join(" ").to_uppercase();
    let outside: Vec<&str> = code.split("$$").step_by(2).collect();
    outside.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn names_after(code: &str, words: &str) -> Vec<String> {
    let names = code.split(words).skip(1).filter_map(|rest| {
        let rest = rest.trim().trim_start_matches("IF NOT EXISTS ");
        rest.split([' ', '(']).find(|word| !word.is_empty())
    });
    names.map(str::to_owned).collect()
}

fn mentions(statement: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    statement.split(|c| !is_word(c)).any(|word| word == name)
}

#[test]
fn every_migration_lets_the_version_before_it_work_on() {
    let number =
        |name: &str| name[1..].split("__").next().and_then(|text| text.parse::<u32>().ok());
    let mut wrong = Vec::new();
    for (name, sql) in MIGRATIONS {
        if number(name) >= Some(SINCE) {
            wrong.extend(faults(sql).iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(wrong.is_empty(), "see `migrate/rules.rs`:\n{}", wrong.join("\n"));
}

#[test]
fn what_would_stop_others_is_found() {
    let wrong = [
        "ALTER TABLE claim DROP COLUMN subject;",
        "ALTER TABLE claim RENAME COLUMN subject TO topic;",
        "ALTER TABLE claim ALTER COLUMN priority TYPE integer;",
        "ALTER TABLE claim ALTER COLUMN subject SET NOT NULL;",
        "CREATE INDEX claim_by_x ON claim (x);",
        "CREATE INDEX CONCURRENTLY claim_by_x ON claim (x);",
        "ALTER TABLE claim ADD COLUMN x integer NOT NULL;",
        "ALTER TABLE claim ADD COLUMN x integer CHECK (x > 0);",
        "ALTER TABLE claim ADD CONSTRAINT positive CHECK (x > 0);",
        "UPDATE claim SET priority = 5;",
        "-- online: outside of a transaction\nUPDATE claim SET priority = 5;",
        // An excuse without a reason is none.
        "-- small:\nUPDATE claim SET priority = 5;",
    ];
    for sql in wrong {
        assert!(!faults(sql).is_empty(), "{sql}");
    }
}

#[test]
fn what_lets_others_work_on_passes() {
    let right = [
        "CREATE TABLE payload (hash bytea PRIMARY KEY);\nCREATE INDEX p ON payload (hash);",
        "ALTER TABLE claim ADD COLUMN x integer;",
        "ALTER TABLE claim ADD COLUMN x integer NOT NULL DEFAULT 0;",
        "ALTER TABLE claim ADD CONSTRAINT positive CHECK (x > 0) NOT VALID;",
        "-- small: one row for each recipe\nUPDATE recipe SET live_version = 1;",
        "-- contract: unused since 0.3\nALTER TABLE claim DROP COLUMN subject;",
        "-- online: outside of a transaction\nDROP INDEX CONCURRENTLY IF EXISTS a;\n\
         CREATE INDEX CONCURRENTLY a ON claim (x);",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ DELETE FROM claim; $$;",
    ];
    for sql in right {
        assert_eq!(faults(sql), [""; 0], "{sql}");
    }
}

#[test]
fn an_online_migration_is_run_statement_by_statement() {
    let sql = "-- online: outside of a transaction\n-- Why.\nDROP INDEX CONCURRENTLY IF EXISTS a;\n\
               \nCREATE INDEX CONCURRENTLY a\n    ON claim (x);\n";
    let found: Vec<_> = statements(sql).collect();
    assert_eq!(found.len(), 2);
    assert!(found[1].starts_with("CREATE INDEX"), "{found:?}");
}
