//! Who asks, as API Gateway found out before it invoked this function.
//!
//! What it found is in the event that the service hands over, beside the HTTP request and not in
//! it. `lambda_http` keeps it among the request's extensions, where nothing that a client sends can
//! get to: headers of any name change nothing, and a request on a socket has none of it.
//!
//! Source: API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs",
//! payload format 2.0.

use std::borrow::Cow;

use fluxus_schema::Tenant;
use http::Extensions;
use lambda_http::request::RequestContext;

/// What API Gateway checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// A token of the issuer that the stack trusts.
    Jwt {
        /// The claim of the token that names the tenant. Without one everybody is the default
        /// tenant.
        tenant_claim: Option<String>,
    },
    /// A signature of AWS, by somebody who may invoke the API. Everybody is the default tenant.
    Iam,
}

impl Gateway {
    /// Whose request it is.
    ///
    /// # Errors
    /// Why it is nobody's: above all where no authorizer stands before the route.
    pub(crate) fn tenant(&self, extensions: &Extensions) -> Result<Tenant, Cow<'static, str>> {
        let context = match extensions.get::<RequestContext>() {
            Some(RequestContext::ApiGatewayV2(context)) => context,
            Some(_) | None => return Err("requests come through API Gateway, payload 2.0".into()),
        };
        let Some(authorizer) = &context.authorizer else {
            return Err("no authorizer of API Gateway has checked the request".into());
        };
        match self {
            Self::Iam => {
                let signed = authorizer.iam.as_ref().is_some_and(|iam| iam.user_arn.is_some());
                if signed { Ok(Tenant::default()) } else { Err("sign the request with AWS".into()) }
            }
            Self::Jwt { tenant_claim } => {
                let Some(jwt) = &authorizer.jwt else {
                    return Err("send a token as `Authorization: Bearer TOKEN`".into());
                };
                let Some(claim) = tenant_claim else { return Ok(Tenant::default()) };
                let Some(tenant) = jwt.claims.get(claim) else {
                    return Err(format!("the token has no claim `{claim}`").into());
                };
                let invalid = |_| format!("the token's claim `{claim}` names no tenant").into();
                tenant.parse().map_err(invalid)
            }
        }
    }
}
