//! The API as a process: a Lambda behind API Gateway where `AWS_LAMBDA_RUNTIME_API` is set, a
//! server on a socket elsewhere.

use fluxus_api::environment::{self, Footing};
use fluxus_api::{App, lambda, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    fluxus_lambda::log();
    let settings = environment::Settings::from_env()?;
    match settings.footing {
        Footing::Lambda => lambda::run(&settings).await.map_err(|error| anyhow::anyhow!(error)),
        Footing::Socket { listen } => {
            let parts = settings.parts().await?;
            tokio::spawn(fluxus_store::clock::keep(parts.store.database().clone()));
            let app = App::start(parts).await?;
            let listener = tokio::net::TcpListener::bind(listen).await?;
            let shutdown = environment::on_signal()?;
            Ok(serve(app, listener, shutdown).await?)
        }
    }
}
