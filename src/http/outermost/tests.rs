use actix_web::{App, HttpRequest, middleware::from_fn, rt::System, test, web};

use super::*;

async fn call(path: &str) -> HttpResponse {
    let app = App::new()
        .wrap(from_fn(outermost))
        .route("/panics", web::get().to(async |_: HttpRequest| -> HttpResponse { panic!("hunter2") }))
        .route("/errs", web::get().to(async || Err::<HttpResponse, _>(actix_web::error::ErrorBadRequest("bad"))));
    let service = test::init_service(app).await;
    let request = test::TestRequest::get().uri(path).insert_header(("X-Request-Id", "its-own-id")).to_request();
    match actix_web::dev::Service::call(&service, request).await {
        Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    }
}

#[test]
fn a_panic_is_a_problem_with_the_requests_own_id_and_says_nothing_of_what_was_said() {
    System::new().block_on(async {
        let answer = call("/panics").await;

        assert_eq!(answer.status(), 500);
        assert_eq!(answer.headers().get("x-request-id").unwrap(), "its-own-id");
        assert_eq!(answer.headers().get("x-content-type-options").unwrap(), "nosniff");
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["code"], &problem["request_id"]), (&"internal".into(), &"its-own-id".into()));
        assert!(!problem.to_string().contains("hunter2"));
    });
}

#[test]
fn an_error_of_a_layer_below_carries_the_headers_of_every_answer() {
    System::new().block_on(async {
        let answer = call("/errs").await;

        assert_eq!(answer.status(), 400);
        assert_eq!(answer.headers().get("x-request-id").unwrap(), "its-own-id");
        assert_eq!(answer.headers().get("referrer-policy").unwrap(), "no-referrer");
    });
}
