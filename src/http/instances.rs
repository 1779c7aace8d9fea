//! `GET /instances`.

use actix_web::{HttpRequest, HttpResponse, Resource, web};

use super::{
    accept::{self, Format},
    context::Context,
    lists::{self, InstancesBody},
    ops::only_get,
    query::InstancesQuery,
    request::Incoming,
};
use crate::{broker::InstancesAsk, domain::Action};

pub(super) fn resource() -> Resource {
    web::resource("")
        .route(web::get().to(instances))
        .route(web::head().to(instances))
        .default_service(web::to(only_get))
}

async fn instances(request: HttpRequest, context: Context) -> HttpResponse {
    let mut incoming = Incoming::of(&request, context);
    let understood = incoming.understand(&request, |incoming| {
        let query = InstancesQuery::parse(request.query_string(), incoming.broker())?;
        accept::choose(request.headers(), &[Format::Json])?;
        Ok(InstancesAsk { asker: incoming.asker.clone(), region: query.region, slice: query.slice })
    });
    let ask = match understood {
        Ok(ask) => ask,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.instances(&ask).await;
    incoming.conclude(Action::ListInstances, settled, |list| lists::respond(&InstancesBody::of(&ask, list))).await
}
