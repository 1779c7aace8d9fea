//! The gate of `/instances`: no handler and no extractor behind it runs without a verified caller.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::AUTHORIZATION,
    middleware::Next,
};

use super::{Edge, context::Context, problem::Problem};
use crate::{domain::Caller, identity::bearer};

/// The caller of a request that got past the gate.
#[derive(Clone, Debug)]
pub(super) struct Authenticated(pub(super) Arc<Caller>);

/// Turns the bearer token into a caller, or answers 401.
///
/// # Errors
///
/// Whatever the layers below return.
pub(super) async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().expect("the server gives every app its edge"));
    let verified = match bearer(request.headers().get_all(AUTHORIZATION).map(|value| value.as_bytes())) {
        Ok(token) => edge.identity.authenticate(token).await,
        Err(denial) => Err(denial),
    };
    match verified {
        Ok(verified) => {
            request.extensions_mut().insert(Authenticated(Arc::new(verified.caller)));
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(denial) => {
            let context = Context::known(&request);
            if let Some(suppressed) = edge.refusals_to_log.admit(edge.worker.broker().clock().monotonic()) {
                tracing::info!(
                    request_id = context.request_id.as_str(),
                    trace_id = context.trace_id.as_deref(),
                    reason = denial.as_str(),
                    suppressed,
                    "a request without an acceptable token was refused"
                );
            }
            let answer = Problem::from(&denial).respond(&context);
            Ok(request.into_response(answer).map_into_right_body())
        }
    }
}
