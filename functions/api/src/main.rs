//! The API as a process: a Lambda behind API Gateway where `AWS_LAMBDA_RUNTIME_API` is set, a
//! server on a socket elsewhere.

use fluxus_api::environment::{self, Footing};
use fluxus_api::{App, router, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = environment::Settings::from_env()?;
    environment::log(&settings);
    let app = App::start(settings.parts().await?).await?;
    match settings.footing {
        Footing::Lambda => {
            let run = lambda_http::run(router(app)).await;
            run.map_err(|error| anyhow::anyhow!(error))
        }
        Footing::Socket { listen } => {
            let listener = tokio::net::TcpListener::bind(listen).await?;
            let shutdown = environment::on_signal()?;
            Ok(serve(app, listener, shutdown).await?)
        }
    }
}
