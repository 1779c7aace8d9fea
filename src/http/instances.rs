//! `GET /instances`.

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse};

use super::{
    accept::{self, Format},
    lists::{self, InstancesBody},
    query::InstancesQuery,
    request::Incoming,
};
use crate::{broker::InstancesAsk, domain::Action};

/// List the instances that you may see
///
/// Over all regions at once, from a listing that may be some seconds old. What you may not see is neither listed nor
/// counted. Whoever may see nothing gets an empty list.
#[utoipa::path(
    get,
    path = "/instances",
    operation_id = "list_instances",
    tag = "Find",
    params(InstancesQuery),
    responses((
        status = 200,
        description = "a page of the instances that you may see",
        content_type = "application/json",
        body = InstancesBody<'_>,
        example = json!({
            "instances": [{
                "instance_id": "crs-4y9t57vt", "name": "orders", "region": "ap-chengdu", "status": "running",
                "product_type": "cluster", "shards": 5, "version": "6.2"
            }],
            "total": 1, "limit": 20, "offset": 0, "unavailable_regions": []
        }),
    )),
    security(("bearer" = [])),
)]
pub(super) async fn instances(request: &HttpRequest, incoming: &mut Incoming) -> HttpResponse {
    let understood = incoming.understand(request, |incoming| {
        let query = InstancesQuery::parse(request.query_string(), incoming.broker())?;
        accept::choose(request.headers(), &[Format::Json])?;
        Ok(InstancesAsk { asker: Rc::clone(&incoming.asker), slice: query.slice(), region: query.region })
    });
    let ask = match understood {
        Ok(ask) => ask,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.instances(&ask).await;
    incoming.conclude(Action::ListInstances, settled, |list| lists::respond(&InstancesBody::of(&ask, list))).await
}
