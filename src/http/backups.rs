//! `GET /instances/{instance_id}/backups`.

use actix_web::{HttpRequest, HttpResponse, Resource, web};

use super::{
    accept::{self, Format},
    context::Context,
    lists::{self, BackupsBody},
    ops::only_get,
    query::BackupsQuery,
    request::{Incoming, instance_id},
};
use crate::{broker::BackupsAsk, domain::Action};

pub(super) fn resource() -> Resource {
    web::resource("/{instance_id}/backups")
        .route(web::get().to(backups))
        .route(web::head().to(backups))
        .default_service(web::to(only_get))
}

async fn backups(request: HttpRequest, context: Context) -> HttpResponse {
    let mut incoming = Incoming::of(&request, context);
    let understood = incoming.understand(&request, |incoming| {
        let instance = instance_id(&request)?;
        let query = BackupsQuery::parse(request.query_string(), incoming.broker())?;
        accept::choose(request.headers(), &[Format::Json])?;
        let BackupsQuery { region, slice, filter } = query;
        Ok(BackupsAsk { asker: incoming.asker.clone(), instance, region, filter, slice })
    });
    let ask = match understood {
        Ok(ask) => ask,
        Err(problem) => return incoming.refuse(&problem).await,
    };
    let settled = incoming.edge.worker.backups(&ask).await;
    incoming.conclude(Action::ListBackups, settled, |list| lists::respond(&BackupsBody::of(&ask, list))).await
}
