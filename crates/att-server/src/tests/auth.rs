use super::*;

#[tokio::test]
async fn a_token_is_asked_for_everywhere_but_where_it_is_seen_whether_the_server_lives() {
    let server = TestServer::with(|config| config.token = Some("a-secret".into()));
    let ask = async |path: &str, header: Option<&str>| {
        let request = Request::get(path);
        let request = match header {
            Some(header) => request.header("authorization", header),
            None => request,
        };
        server.send(request.body(Body::empty()).unwrap()).await
    };
    for path in [
        "/v1/models",
        "/metrics",
        "/languages",
        "/translator/models",
        "/openapi.json",
    ] {
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer a-secre"),
            Some("Bearer a-secret "),
            Some("Bearer a-secretx"),
            Some("Bearer b-secret"),
            Some("Basic a-secret"),
            Some("a-secret"),
        ] {
            let answer = ask(path, header).await;
            answer.refused(401, "unauthorized", &["Bearer"]);
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert!(!answer.text.contains("secret"));
        }
        for header in ["Bearer a-secret", "bearer a-secret"] {
            assert_eq!(ask(path, Some(header)).await.status, 200);
        }
    }
    // The page says nothing of the models, and asks people for the token.
    for path in ["/health", "/ready", "/studio/", "/studio/studio.js"] {
        assert_eq!(ask(path, None).await.status, 200);
    }
    // Before the body is looked at.
    for path in ["/v1/translate", "/v1/explain"] {
        let answer = server.post(path, "no JSON").await;
        answer.refused(401, "unauthorized", &[]);
    }
}
