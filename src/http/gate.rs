//! The gate of the resource routes: nobody passes without a caller, nor with one that has asked too often.

use std::{rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{Edge, authenticate::authenticate, caller_quota};
use crate::domain::Caller;

/// The caller of a request that got past the gate. The same token brings the same allocation for as long as it is known.
#[derive(Clone, Debug)]
pub(super) struct Authenticated(pub(super) Arc<Caller>);

/// Lets a request through whose token is accepted and whose caller's quota allows it; answers 401 or 429 else.
///
/// # Errors
///
/// Whatever the layers below return.
pub(super) async fn gate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let edge = Rc::clone(request.app_data::<Rc<Edge>>().expect("the server gives every app its edge"));
    let caller = match authenticate(&edge, &request).await {
        Ok(caller) => caller,
        Err(refusal) => return Ok(request.into_response(refusal).map_into_right_body()),
    };
    let allowance = match edge.caller_quota.take(&caller) {
        Ok(allowance) => allowance,
        Err(exhausted) => {
            let refusal = caller_quota::refuse(&edge, &request, &caller, &exhausted);
            return Ok(request.into_response(refusal).map_into_right_body());
        }
    };
    request.extensions_mut().insert(Authenticated(caller));
    let mut answer = next.call(request).await?.map_into_left_body();
    caller_quota::tell(answer.headers_mut(), &edge, allowance);
    Ok(answer)
}
