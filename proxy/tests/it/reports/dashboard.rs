//! Tests the dashboard's page. What a browser makes of it, `make test-dashboard` shows.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::json;

use crate::reports::metrics::{ask, with_admin};
use crate::support::{TestProxy, config, run};

/// The status, the head and the body of the answer to a request for the page with these fields.
async fn page(proxy: &TestProxy, fields: &str) -> (u16, String, String) {
    ask(proxy.addr, &format!("GET /dashboard HTTP/1.1\r\n{fields}")).await
}

#[test]
fn whoever_may_read_the_statistics_may_see_it() {
    run(async {
        let mut json = config(&[([127, 0, 0, 1], 9).into()]);
        let proxy = TestProxy::start(json.clone()).await;
        assert_eq!(page(&proxy, "Host: localhost").await.0, 200);
        assert_eq!(page(&proxy, "Host: evil.test").await.0, 403);
        assert_eq!(ask(proxy.addr, "GET /dashboard?x HTTP/1.1\r\nHost: localhost").await.0, 200);
        for (method, path, status) in
            [("POST", "/dashboard", 405), ("GET", "/dashboard/", 404), ("GET", "/DASHBOARD", 404)]
        {
            let answered = ask(proxy.addr, &format!("{method} {path} HTTP/1.1\r\nHost: localhost")).await.0;
            assert_eq!(answered, status, "{method} {path}");
        }
        json["authentication"] = json!({ "enabled": true, "users": [{ "username": "u", "password": "p" }] });
        json["stats"] = json!({ "require_auth": true });
        let proxy = TestProxy::start(json).await;
        let (status, head, body) = page(&proxy, "Host: localhost").await;
        assert_eq!(status, 401);
        assert!(head.contains("\r\nWWW-Authenticate: Basic ") && !body.contains("<html"), "{head}{body}");
        assert_eq!(page(&proxy, "Host: localhost\r\nAuthorization: Basic dTpx").await.0, 401);
        assert_eq!(page(&proxy, "Host: localhost\r\nAuthorization: Basic dTpw").await.0, 200);
    });
}

#[test]
fn it_is_on_the_admin_listener_where_there_is_one() {
    run(async {
        let (proxy, admin) = with_admin(|_| {}).await;
        let request = "GET /dashboard HTTP/1.1\r\nHost: localhost";
        assert_eq!((ask(admin, request).await.0, ask(proxy.addr, request).await.0), (200, 404));
    });
}

/// What stands between `<tag>` and `</tag>`.
fn inside<'a>(page: &'a str, tag: &str) -> &'a str {
    let (_, behind) = page.split_once(&format!("<{tag}>")).unwrap();
    behind.split_once(&format!("</{tag}>")).unwrap().0
}

#[test]
fn a_browser_runs_what_stands_in_it_and_asks_nobody_else() {
    run(async {
        let proxy = TestProxy::before(&[([127, 0, 0, 1], 9).into()]).await;
        let (_, head, page) = page(&proxy, "Host: localhost").await;
        let hash = |tag: &str| {
            let digest = ring::digest::digest(&ring::digest::SHA256, inside(&page, tag).as_bytes());
            BASE64_STANDARD.encode(digest)
        };
        let policy = format!(
            "default-src 'none'; connect-src 'self'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash("style"),
            hash("script")
        );
        for field in [
            "Content-Type: text/html; charset=utf-8",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            &format!("Content-Security-Policy: {policy}"),
        ] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{field} in {head}");
        }
        for outside in
            ["http://", "https://", "src=", "@import", "url(", "<link", "<iframe", "<base", " style=", " onclick="]
        {
            assert!(!page.contains(outside), "{outside}");
        }
        let markup = page.replace(inside(&page, "style"), "").replace(inside(&page, "script"), "");
        assert!(!markup.contains("//"), "another host's address: {markup}");
        assert!(markup.starts_with("<!doctype html>\n<html lang=\"en\">") && markup.contains("<title>"), "{markup}");
        for landmark in ["<header>", "<main>", "role=\"status\""] {
            assert_eq!(markup.matches(landmark).count(), 1, "{landmark}");
        }
    });
}

#[test]
fn it_asks_for_the_statistics_where_they_are() {
    run(async {
        let mut json = config(&[([127, 0, 0, 1], 9).into()]);
        json["server"]["stats_endpoint"] = "/\"><script>alert(1)</script>&'".into();
        let proxy = TestProxy::start(json.clone()).await;
        let (_, _, told) = page(&proxy, "Host: localhost").await;
        let escaped = "<body data-stats=\"/&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;\">";
        assert!(told.contains(escaped), "{told}");
        json["server"]["stats_endpoint"] = "/moved".into();
        proxy.proxy.reload(crate::support::parse(&json)).unwrap();
        assert!(page(&proxy, "Host: localhost").await.2.contains("<body data-stats=\"/moved\">"));
    });
}
