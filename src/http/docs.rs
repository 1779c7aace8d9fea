//! The documentation of the API, served by the gateway itself: the OpenAPI document, and a page to read and try it.
//!
//! The page is three small files of our own and loads nothing from anywhere else: people paste tokens into it.

use std::rc::Rc;

use actix_web::{
    HttpRequest, HttpResponse, Resource,
    http::header::{self, HeaderValue},
    web,
};

use super::{Edge, ops::only_get};

const PAGE: &str = include_str!("docs/reader.html");
const SCRIPT: &str = include_str!("docs/reader.js");
const STYLE: &str = include_str!("docs/reader.css");

/// As strict as a page with a script can have it: nothing inline, nothing from elsewhere, no frame, no form.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// `GET /`, `GET /docs` with its parts, `GET /openapi.json`.
pub(super) fn resources() -> [Resource; 5] {
    [
        web::resource("/").route(web::get().to(root)).route(web::head().to(root)),
        web::resource("/docs").route(web::get().to(page)).route(web::head().to(page)),
        web::resource("/docs/reader.js").route(web::get().to(script)).route(web::head().to(script)),
        web::resource("/docs/reader.css").route(web::get().to(style)).route(web::head().to(style)),
        web::resource("/openapi.json").route(web::get().to(document)).route(web::head().to(document)),
    ]
    .map(|resource| resource.default_service(web::to(only_get)))
}

async fn root() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/docs")).finish()
}

async fn page() -> HttpResponse {
    let mut answer = text("text/html; charset=utf-8", PAGE.into());
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    answer
}

async fn script() -> HttpResponse {
    text("text/javascript; charset=utf-8", SCRIPT.into())
}

async fn style() -> HttpResponse {
    text("text/css; charset=utf-8", STYLE.into())
}

/// Read this description
///
/// It names the regions of this gateway. `/docs` shows it to people.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "read_openapi",
    tag = "About",
    responses((status = 200, description = "this document", content_type = "application/json", body = Object)),
)]
pub(super) async fn document(request: HttpRequest) -> HttpResponse {
    let edge = request.app_data::<Rc<Edge>>().expect("the server gives every app its edge");
    text("application/json", edge.openapi.clone())
}

/// It changes with the program, so it is asked for anew each time; it is small.
fn text(content_type: &'static str, body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(body)
}
