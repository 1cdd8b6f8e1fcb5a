//! TLS against a server with a certificate of its own authority.

#![allow(clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;

use fluxus_postgres::environment::{CA_VARIABLE, URL_VARIABLE};
use fluxus_postgres::{Cluster, ClusterOptions, Database, DatabaseError, Options, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A server that speaks TLS, and the certificate of the authority that vouches for it.
struct Server {
    cluster: Cluster,
    ca: String,
    _folder: tempfile::TempDir,
}

async fn server() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let reachable = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), reachable).expect("permissions");
    let options = ClusterOptions { ephemeral: true, ..ClusterOptions::default() };
    let cluster = Cluster::start(&folder.path().join("cluster"), options).await.expect("a cluster");

    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().expect("a key");
    let ca = authority.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::from_params(&authority, ca_key);
    let key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).expect("parameters");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate").pem();

    let url = format!("{}?sslmode=disable", cluster.url("postgres"));
    let database = Database::connect(&url, Options::default()).await.expect("a connection");
    let session = database.session().await.expect("a session");
    // Written by the server, so that they belong to the account that it runs as.
    for (name, pem) in [("server.crt", certificate), ("server.key", key.serialize_pem())] {
        let write = format!(
            "COPY (SELECT unnest(string_to_array('{pem}', E'\\n'))) \
                             TO PROGRAM 'cat > {name} && chmod 600 {name}'"
        );
        session.batch(&write).await.expect("a file");
    }
    session.batch("ALTER SYSTEM SET ssl = on").await.expect("a setting");
    session.batch("SELECT pg_reload_conf()").await.expect("a reload");
    // The postmaster reads it in its own time.
    loop {
        let database = Database::connect(&url, Options::default()).await.expect("a connection");
        let session = database.session().await.expect("a session");
        if session.query("SHOW ssl", &[]).await.expect("a setting")[0].get::<_, &str>(0) == "on" {
            break;
        }
    }
    Server { cluster, ca, _folder: folder }
}

impl Server {
    async fn connect(&self, mode: &str, ca: Option<&str>) -> Result<Database, DatabaseError> {
        let url = format!("{}?sslmode={mode}", self.cluster.url("postgres"));
        let variable = |name: &str| match name {
            URL_VARIABLE => Some(url.clone()),
            CA_VARIABLE => ca.map(str::to_owned),
            _ => None,
        };
        let settings = Settings::read(variable, &mut Vec::new()).expect("settings");
        settings.connect(Options::default()).await
    }
}

async fn is_encrypted(database: &Database) -> bool {
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let session = database.session().await.expect("a session");
    session.query(sql, &[]).await.expect("a row")[0].get(0)
}

#[tokio::test]
async fn the_mode_of_the_url_holds() {
    let server = server().await;
    let ca = Some(server.ca.as_str());
    for (mode, ca, encrypted) in [
        ("require", ca, true),
        ("prefer", ca, true),
        // Nobody vouches for the server; whoever prefers goes without, and has it logged.
        ("prefer", None, false),
        ("disable", ca, false),
    ] {
        let database = server.connect(mode, ca).await.expect("a connection");
        assert_eq!(is_encrypted(&database).await, encrypted, "{mode} {}", ca.is_some());
        // Connections for other purposes are made in the same way.
        assert_eq!(is_encrypted(&database.relaxed()).await, encrypted, "{mode}");
        let dialed = database.dial().await.expect("a connection");
        let row = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(
            dialed.client.query_one(row, &[]).await.expect("a row").get::<_, bool>(0),
            encrypted
        );
    }
    let error = server.connect("require", None).await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("FLUXUS_DATABASE_CA"), "{text}");
    server.cluster.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let test = fluxus_test_support::database().await;
    let separator = if test.url().contains('?') { '&' } else { '?' };
    let url = format!("{}{separator}sslmode=require", test.url());
    let plain = Database::connect(test.url(), Options::default()).await.expect("a connection");
    let session = plain.session().await.expect("a session");
    if session.query("SHOW ssl", &[]).await.expect("a setting")[0].get::<_, &str>(0) == "on" {
        return; // Somebody's own server, which can.
    }
    let error = Database::connect(&url, Options::default()).await.expect_err("refused");
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn one_connection_serves_every_purpose() {
    let test = fluxus_test_support::database().await;
    let settings = &[("enable_seqscan", "off")];
    let options = Options { settings, ..Options::ONE };
    let database = Database::connect(test.url(), options).await.expect("a connection");
    let mut pids = Vec::new();
    for database in [&database, &database.relaxed(), &database.with_settings(&[]).expect("same")] {
        let session = database.session().await.expect("a session");
        let row = "SELECT pg_backend_pid(), current_setting('enable_seqscan')";
        let rows = session.query(row, &[]).await.expect("a row");
        assert_eq!(rows[0].get::<_, &str>(1), "off");
        pids.push(rows[0].get::<_, i32>(0));
    }
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
}
