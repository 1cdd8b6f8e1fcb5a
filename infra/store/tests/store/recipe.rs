//! Recipes: versions, and the claim types that lead to them.

use fluxus_schema::RecipeName;
use fluxus_schema::recipe::PutRecipe;
use fluxus_store::recipe::{PutOutcome, definitions, for_claims};
use serde_json::{Value, json};

use crate::sample::{Done, at, insert, intake, new_claim, store, tenant};

fn put(definition: Value, claim_types: &[&str]) -> PutRecipe {
    let claim_types = claim_types.iter().map(|name| name.parse().expect("a name")).collect();
    PutRecipe { definition, claim_types }
}

#[tokio::test]
async fn each_new_definition_is_a_version_and_the_same_one_is_not() -> Done {
    let store = store().await;
    let name: RecipeName = "saga".parse()?;
    let (a, b) = (json!({ "StartAt": "A\u{0}" }), json!({ "StartAt": "B" }));
    let put_it = async |definition: &Value, types: &[&str]| {
        store.put_recipe(&tenant(), &name, &put(definition.clone(), types), at(1)).await
    };
    let outcome = |version, created| PutOutcome { version, created };
    assert_eq!(put_it(&a, &["t"]).await?, outcome(1, true));
    assert_eq!(put_it(&a, &["u", "u"]).await?, outcome(1, false));
    assert_eq!(put_it(&b, &[]).await?, outcome(2, true));
    assert_eq!(put_it(&a, &[]).await?, outcome(3, true), "back to an old one is a new version");
    let live = store.recipe(&tenant(), &name, None).await?.expect("there");
    assert_eq!((live.version, &live.definition), (3, &a));
    assert_eq!(live.claim_types, ["t".parse()?, "u".parse()?], "those named before stay");
    assert_eq!(store.recipe(&tenant(), &name, Some(2)).await?.expect("there").definition, b);
    assert_eq!(store.recipe(&tenant(), &name, Some(9)).await?, None);
    let versions = store.recipe_versions(&tenant(), &name).await?;
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [3, 2, 1]);
    let listed = store.recipes(&tenant()).await?;
    assert_eq!((listed.len(), &listed[0].name, listed[0].version), (1, &name, 3));
    assert_eq!(store.recipes(&"other".parse()?).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_claim_type_goes_to_the_recipe_that_named_it_last() -> Done {
    let store = store().await;
    let definition = json!({ "StartAt": "A" });
    let (one, two): (RecipeName, RecipeName) = ("one".parse()?, "two".parse()?);
    store.put_claim_type(&tenant(), &"t".parse()?, Some(&json!({ "type": "object" }))).await?;
    store.put_claim_type(&tenant(), &"lonely".parse()?, Some(&json!(true))).await?;
    store.put_recipe(&tenant(), &one, &put(definition.clone(), &["t", "u"]), at(1)).await?;
    store.put_recipe(&tenant(), &two, &put(definition.clone(), &["t"]), at(2)).await?;
    let claims = ["t", "u", "t", "lonely", "unknown"].map(|name| intake(3, new_claim(name)));
    insert(&store, &claims).await?;
    let asked: Vec<_> = claims.iter().map(|claim| claim.claim_id).collect();
    let mut session = store.session().await?;
    let tx = session.begin().await?;
    let mut routes = for_claims(&tx, &asked).await?;
    routes.sort_by(|a, b| a.claim_type.cmp(&b.claim_type));
    let routes: Vec<_> = routes
        .into_iter()
        .map(|route| (route.claim_type.to_string(), route.schema, route.recipe))
        .collect();
    let schema = |text: &str| Some(text.to_owned());
    assert_eq!(
        routes,
        [
            ("lonely".to_owned(), schema("true"), None),
            ("t".to_owned(), schema(r#"{"type":"object"}"#), Some((two.clone(), 1))),
            ("u".to_owned(), None, Some((one.clone(), 1))),
        ]
    );
    let wanted = [(tenant(), one.clone(), 1), (tenant(), two, 7), (tenant(), one, 1)];
    let found = definitions(&tx, &wanted).await?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].definition, definition.to_string());
    assert_eq!(tx.statements(), 2);
    tx.rollback().await?;
    store.put_claim_type(&tenant(), &"t".parse()?, None).await?;
    let types = store.claim_types(&tenant()).await?;
    assert_eq!(types.len(), 3);
    assert_eq!((&types[1].schema, types[1].recipe.is_some()), (&None, true));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_put_at_once_have_no_gaps() -> Done {
    let store = store().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = fluxus_store::Store::clone(&store);
        tasks.spawn(async move {
            let put = put(json!({ "Comment": n }), &["t"]);
            store.put_recipe(&tenant(), &"r".parse()?, &put, at(1)).await?;
            anyhow::Ok(())
        });
    }
    for result in tasks.join_all().await {
        result?;
    }
    assert_eq!(store.recipe_versions(&tenant(), &"r".parse()?).await?.len(), 8);
    assert_eq!(store.recipe(&tenant(), &"r".parse()?, None).await?.expect("there").version, 8);
    Ok(())
}
