use super::*;
use axum::http::request::Builder;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

const PATHS: [&str; 6] = [
    "/vertigo.v1.Jobs/Cancel",
    "/v1/blobs/sha256:00",
    "/v1/jobs/tutor",
    "/v1/events?job=tutor",
    "/",
    "/later.v2.Service/Do",
];

fn judged(request: Builder) -> Result<(), Refusal> {
    decide(&Hosts::loopback(), &request.body(()).unwrap().into_parts().0)
}

/// The request that our own gRPC clients make.
fn call(authority: &str) -> Builder {
    let uri = format!("http://{authority}/vertigo.v1.Jobs/Cancel");
    let request = axum::http::Request::post(uri).version(Version::HTTP_2).header("content-type", "application/grpc");
    request.header("te", "trailers").header("user-agent", "tonic/0.14")
}

#[test]
fn each_thing_that_is_wrong_is_refused_by_what_it_is() {
    type Change = fn(Builder) -> Builder;
    let page = |text: &str| Err(Refusal::Page(text.to_owned()));
    let host = |text: &str| Err(Refusal::Host(text.to_owned()));
    let not_grpc = Err(Refusal::NotGrpc("/vertigo.v1.Jobs/Cancel".to_owned()));
    let blob = |host: &'static str| axum::http::Request::put("/v1/blobs/sha256:00").header("host", host);
    let cases: Vec<(Builder, Change, Result<(), Refusal>)> = vec![
        (call("127.0.0.1:7420"), |r| r, Ok(())),
        (call("127.0.0.1:7420"), |r| r.header("host", "localhost:1"), Ok(())),
        (call("127.0.0.1:7420"), |r| r.version(Version::HTTP_11), not_grpc.clone()),
        (call("127.0.0.1:7420"), |r| r.method("GET"), not_grpc),
        (call("127.0.0.1:7420"), |r| r.header("host", "evil.example"), host("evil.example")),
        (call("evil.example:7420"), |r| r, host("evil.example:7420")),
        (call("localhost@evil.example"), |r| r, host("localhost@evil.example")),
        (
            call("127.0.0.1:7420"),
            |r| r.header("origin", "http://127.0.0.1:3000"),
            page("origin `http://127.0.0.1:3000`"),
        ),
        (call("127.0.0.1:7420"), |r| r.header("origin", "null"), page("origin `null`")),
        (
            call("127.0.0.1:7420"),
            |r| r.header("sec-fetch-site", "none").header("sec-fetch-site", "cross-site"),
            page("another site (Sec-Fetch-Site `cross-site`)"),
        ),
        (blob("127.0.0.1:7420"), |r| r, Ok(())),
        // A person who types a blob's address.
        (blob("localhost:7420"), |r| r.method("GET").header("sec-fetch-site", "none"), Ok(())),
        (blob("[::1]:9"), |r| r.header("origin", "https://evil.example"), page("origin `https://evil.example`")),
        (blob("rebound.example"), |r| r, host("rebound.example")),
        (axum::http::Request::put("/v1/blobs/sha256:00"), |r| r, host("")),
    ];
    for (n, (request, change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(judged(change(request)), expected, "case {n}");
    }
}

#[test]
fn what_only_reads_is_read_by_get_and_by_nothing_else() {
    let judged = |method: &str, path: &str| {
        judged(axum::http::Request::builder().method(method).uri(path).header("host", "localhost:7420")).is_ok()
    };
    for path in ["/v1/jobs", "/v1/jobs?state=failed", "/v1/jobs/a/b", "/v1/artifacts", "/v1/workers", "/v1/events"] {
        for method in METHODS {
            assert_eq!(judged(method, path), ["GET", "HEAD"].contains(&method), "{method} {path}");
        }
    }
    for path in ["/v1/jobsx", "/v1/job", "/v1/", "/v2/jobs", "/vertigo.v1.Jobs/List"] {
        assert!(!judged("GET", path), "{path}");
    }
}

#[test]
fn a_content_type_is_grpc_or_is_not() {
    let judged = |kind: &str| {
        let request = axum::http::Request::post("http://localhost/x.Y/Z").version(Version::HTTP_2);
        judged(request.header("content-type", kind)).is_ok()
    };
    for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"] {
        assert!(judged(kind), "{kind}");
    }
    for kind in
        ["", "text/plain", "application/grpc-web", "application/grpc-web+proto", "application/grp", "application"]
    {
        assert!(!judged(kind), "{kind}");
    }
}

#[test]
fn hosts_are_this_machine_by_address_or_name_with_any_port() {
    let hosts = Hosts::loopback();
    for host in ["127.0.0.1", "127.0.0.1:7420", "127.8.9.10:1", "[::1]", "[::1]:7420", "localhost", "LocalHost:80"] {
        assert!(hosts.allow(host), "{host}");
    }
    for host in [
        "",
        "10.0.0.1:7420",
        "0.0.0.0:7420",
        "[::]:7420",
        "[fe80::1]",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:7420",
        "a@localhost",
        "localhost:7420/x",
        "localhost evil.example",
        "127.1",
        "2130706433",
    ] {
        assert!(!hosts.allow(host), "{host}");
    }
}

#[test]
fn what_is_shown_of_a_request_is_short_and_harmless() {
    let shown = shown("\u{1b}[2J\u{202e}x".repeat(1000).as_bytes());
    assert!(shown.chars().all(|c| c.is_ascii_graphic() || c == ' ') && shown.len() < 1000, "{shown}");
}

/// A site that is not ours: a page of another program on this machine counts.
fn origin() -> impl Strategy<Value = String> {
    let host = prop_oneof!["[a-z]{1,10}\\.example", Just("127.0.0.1".to_owned()), Just("localhost".to_owned())];
    prop_oneof![
        (select(vec!["http", "https"]), host, 1u16..).prop_map(|(s, h, p)| format!("{s}://{h}:{p}")),
        Just("null".to_owned())
    ]
}

fn loopback() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(a, b, c)| format!("127.{a}.{b}.{c}")),
        Just("[::1]".to_owned()),
        Just("localhost".to_owned())
    ];
    (host, 1u16..).prop_map(|(host, port)| format!("{host}:{port}"))
}

fn versions() -> impl Strategy<Value = Version> {
    select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2])
}

/// What the page chooses, more freely than browsers let it.
fn chosen() -> impl Strategy<Value = (&'static str, &'static str, Version, Option<&'static str>)> {
    let kinds = vec!["text/plain", "application/grpc", "application/x-www-form-urlencoded", "application/grpc-web"];
    (select(METHODS.to_vec()), select(PATHS.to_vec()), versions(), option::of(select(kinds)))
}

proptest! {
    /// A page of another site asks for loopback. Browsers name its origin on all but GET and HEAD; those that do not send
    /// `Sec-Fetch-Site` yet cannot do more than read what the page may not see.
    #[test]
    fn no_page_of_another_site_gets_through(
        (method, path, version, kind) in chosen(),
        authority in loopback(),
        origin in origin(),
        site in select(vec!["cross-site", "same-site"]),
        names_site in any::<bool>(),
    ) {
        let plain = matches!(method, "GET" | "HEAD");
        let mut request = axum::http::Request::builder().method(method).uri(path).version(version).header("host", authority);
        if !plain {
            request = request.header("origin", origin);
        }
        if plain || names_site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        prop_assert!(matches!(judged(request), Err(Refusal::Page(_))));
    }

    /// A page whose name was pointed at loopback is of the same origin as what it asks for, and may send what it likes; but
    /// the host is the page's own.
    #[test]
    fn no_page_whose_name_was_rebound_gets_through(
        (method, path, version, kind) in chosen(),
        host in "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9-]{0,10}){0,3}\\.?(:[1-9][0-9]{0,3})?",
        in_uri in any::<bool>(),
        site in option::of(Just("same-origin")),
    ) {
        prop_assume!(host.split(':').next() != Some("localhost"));
        let mut request = axum::http::Request::builder().method(method).version(version);
        request = if in_uri { request.uri(format!("http://{host}{path}")) } else { request.uri(path).header("host", host) };
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        prop_assert!(matches!(judged(request), Err(Refusal::Host(_))));
    }

    /// gRPC calls over HTTP/2 and blobs over HTTP/1.1, wherever on loopback a tunnel ends.
    #[test]
    fn our_own_clients_get_through(authority in loopback(), method in select(vec!["GET", "HEAD", "PUT"])) {
        prop_assert_eq!(judged(call(&authority)), Ok(()));
        let blob = axum::http::Request::builder().method(method).uri("/v1/blobs/sha256:00").header("host", &authority);
        prop_assert_eq!(judged(blob), Ok(()));
        prop_assert_eq!(judged(axum::http::Request::get("/v1/jobs/tutor").header("host", authority)), Ok(()));
    }
}
