//! Fluxlings: registering them and averaging how they fare.

use fluxus_schema::fluxling::{Load, Manifest};
use fluxus_store::fluxling::{record_load, registry};
use fluxus_store::{LoadDelta, Store};
use serde_json::json;

use crate::sample::{Done, at, store, tenant};

fn manifest(name: &str, version: &str) -> Manifest {
    let capabilities = json!([{ "name": "c" }]);
    serde_json::from_value(json!({
        "name": name, "version": version, "queue": "q", "capabilities": capabilities,
        "concurrency": 4, "timeout_ms": 1000,
    }))
    .expect("a manifest")
}

fn delta(name: &str) -> LoadDelta {
    LoadDelta {
        tenant: tenant(),
        fluxling: name.parse().expect("a name"),
        in_flight: 0,
        answered: 0,
        failed: 0,
        latency_ms: 0.0,
        circuit_open_until: None,
    }
}

async fn load(store: &Store, name: &str) -> anyhow::Result<Load> {
    Ok(store.fluxling(&tenant(), &name.parse()?).await?.expect("registered").load)
}

#[tokio::test]
async fn registering_again_keeps_how_it_fares() -> Done {
    let store = store().await;
    let name = "f".parse()?;
    let first = store.register_fluxling(&tenant(), &manifest("f", "1"), at(1)).await?;
    assert!(first.enabled);
    assert!(store.set_fluxling_enabled(&tenant(), &name, false).await?);
    assert!(!store.set_fluxling_enabled(&tenant(), &"g".parse()?, false).await?);
    let session = store.session().await?;
    record_load(&session, &[LoadDelta { in_flight: 3, ..delta("f") }]).await?;
    let again = store.register_fluxling(&tenant(), &manifest("f", "2"), at(9)).await?;
    assert_eq!(again.manifest.version, "2");
    assert_eq!((again.enabled, again.registered_at, again.load.in_flight), (false, at(1), 3));
    store.register_fluxling(&"other".parse()?, &manifest("f", "1"), at(1)).await?;
    assert_eq!(store.fluxlings(&tenant()).await?, [again]);
    assert_eq!(registry(&session).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn load_is_a_moving_average() -> Done {
    let store = store().await;
    store.register_fluxling(&tenant(), &manifest("f", "1"), at(1)).await?;
    let session = store.session().await?;
    let answered = |answered, failed, latency_ms| LoadDelta {
        answered,
        failed,
        latency_ms,
        in_flight: -i64::from(answered),
        ..delta("f")
    };
    let before = store.database().statements_sent();
    record_load(&session, &[answered(2, 0, 100.0), delta("unknown")]).await?;
    assert_eq!(store.database().statements_sent() - before, 1);
    let first = load(&store, "f").await?;
    assert_eq!((first.latency_ms, first.error_rate, first.answered), (100.0, 0.0, 2));
    assert_eq!(first.in_flight, 0, "never below none");
    // Two of one fluxling in a batch count as one delta of both.
    record_load(&session, &[answered(1, 1, 200.0), answered(1, 0, 400.0)]).await?;
    let second = load(&store, "f").await?;
    let keep = 0.9_f64.powi(2);
    assert!((second.latency_ms - (100.0 * keep + 300.0 * (1.0 - keep))).abs() < 1e-9);
    assert!((second.error_rate - 0.5 * (1.0 - keep)).abs() < 1e-9);
    assert_eq!(second.answered, 4);
    let nonsense = LoadDelta { circuit_open_until: Some(at(7)), ..answered(1, 9, f64::NAN) };
    record_load(&session, &[nonsense, delta("f")]).await?;
    let third = load(&store, "f").await?;
    assert!(third.latency_ms.is_finite() && third.error_rate <= 1.0);
    assert_eq!(third.circuit_open_until, Some(at(7)));
    Ok(())
}
